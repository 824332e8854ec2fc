"""A run's players, opened again to draw samples: nothing of the run is changed.

    trained = open_run("runs/faces")
    best = trained.pick(np.random.default_rng(0), candidates=512, keep=64)

`python -m minigan sample` is made of this.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np

from minigan.arrays import Array
from minigan.devices import Device
from minigan.files.checkpoint import Checkpoints, load
from minigan.files.weights import CheckpointError, load_weights, read_metadata
from minigan.game import Player
from minigan.gans import GANS, gan_of, name_of
from minigan.gans.options import Options
from minigan.gans.sampling import Picked, Sampling, pick
from minigan.optimizers import SGD
from minigan.running.folder import Folder, options_from, read_about


class Trained(NamedTuple):
    """What a checkpoint or a weight file of a run knows."""

    name: str  # of the GAN
    options: Any  # that it was built from
    turn: int  # at which it was saved
    players: dict[str, Player]  # those whose numbers are known, or the moving averages that follow them
    sampling: Sampling  # how samples are drawn and looked at

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        """n samples, (n, ...)."""
        return self.sampling.samples(self.players, self.sampling.noise(rng, n))

    def pick(self, rng: np.random.Generator, candidates: int = 512, keep: int = 64) -> Picked:
        """Of many samples those that D finds most real; see `sampling.pick`. Raises ValueError if there is no D."""
        if "D" not in self.players:
            raise ValueError("candidates: there is no D here to choose among them: open the run's folder instead")
        D, look = self.players["D"].still(), self.sampling
        score = lambda x: D(x).reshape(len(x), -1).mean(1)
        return pick(lambda z: look.samples(self.players, z), score, look.noise, rng, candidates, keep, look.batch)


def open_run(
    folder: str | os.PathLike[str],
    which: Literal["latest", "best"] | int = "latest",
    average: bool = True,
    device: Device = "cpu",
    gan: ModuleType | str | Path | None = None,
) -> Trained:
    """Open a checkpoint of a run.

    Args:
        folder: the run's.
        which: the latest, the one with the best score, or that of a turn.
        average: take the moving average of G, if the run has one, and not G itself.
        device: where to draw, wherever the run was trained.
        gan: the page of the GAN, or its file, if it is not one of minigan's own.

    Raises:
        ValueError: if there is no such page.
        DeviceError: if the device cannot be used here.
        CheckpointError: if there is no run or no such checkpoint in the folder, it is damaged or of another GAN.
    """
    place = Folder(Path(folder))
    about = read_about(place)
    page = _page(place.about, about["system"], gan)
    checkpoints = Checkpoints(place.checkpoints)
    if isinstance(which, int):
        if which not in checkpoints.steps():
            there = ", ".join(map(str, checkpoints.steps())) or "none"
            raise CheckpointError(f"{place.checkpoints}: there is no checkpoint of turn {which}; there are {there}")
        turn, state = which, load(checkpoints.folder / f"step-{which:08d}")
    else:
        saved = checkpoints.latest() if which == "latest" else checkpoints.best()
        if saved is None:
            whole = ", and those that there are are damaged" if checkpoints.steps() and which == "latest" else ""
            raise CheckpointError(f"{place.checkpoints}: there is no {which} checkpoint{whole}")
        turn, state = saved
    return _trained(place.checkpoints, page, about["options"], turn, state, device, None, average)


def open_weights(
    path: str | os.PathLike[str], device: Device = "cpu", gan: ModuleType | str | Path | None = None
) -> Trained:
    """Open a weight file of a generator that a run left, to draw on a device; it says itself how the network is built.

    Raises as open_run; CheckpointError also if the file is not of a generator of this GAN.
    """
    path = Path(path)
    weights, about = load_weights(path), {} if path.suffix == ".npz" else read_metadata(path)
    try:
        name, options, turn = about["system"], json.loads(about["options"]), int(about["turn"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: does not say which system's weights it holds ({error!r})") from error
    return _trained(path, _page(path, name, gan), options, turn, {"G": weights}, device, "G", False)


def _page(path: Path, name: str, gan: ModuleType | str | Path | None) -> ModuleType:
    if gan is None and name not in GANS:
        raise CheckpointError(
            f"{path}: expected one of {', '.join(GANS)}, got {name!r}; "
            "if it is a GAN of your own, name its file by --gan FILE.py"
        )
    page = gan if isinstance(gan, ModuleType) else gan_of(name if gan is None else gan)
    if name_of(page) != name:
        raise CheckpointError(f"{path}: expected a run of {name_of(page)}, got one of {name}")
    return page


def _trained(
    path: Path, page: ModuleType, plain: Any, turn: int, state: Any, device: Device, only: str | None, average: bool
) -> Trained:
    """The only player wanted, or all that the page has, with the numbers of the state or their averages."""
    try:
        kind = getattr(page, "Options", Options)
        known = {"device": device} if "device" in kind.__dataclass_fields__ else {}
        options = options_from(kind, {**plain, **known})
        if hasattr(page, "networks") and hasattr(page, "sampling"):  # no data are needed
            rng, dtype, look = np.random.default_rng(0), getattr(options, "dtype", "float32"), page.sampling(options)
            networks = page.networks(options)
            names = [only] if only else list(networks)
            players = {name: Player.create(networks[name], rng, SGD, dtype, device, name) for name in names}
        else:
            system = page.build(options)
            look, names = system.sampling, [only] if only else list(system.players)
            players = {name: system.players[name] for name in names}
        averages = {}
        if average:  # earlier versions did not say whom an average follows
            averages = state["about"].get("averages", {"G": "average"} if "average" in state else {})
        for name, player in players.items():
            player.params.load_state_dict(state[averages[name]]["params"] if name in averages else state[name])
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: does not hold the networks of {name_of(page)}: {error.args[0]}") from error
    return Trained(name_of(page), options, turn, players, look)
