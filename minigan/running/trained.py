"""A run's networks, opened again to draw samples: no data are needed, and nothing of the run is changed.

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

from minigan.arrays import Array, Device, set_precision
from minigan.checkpoint import Checkpoints, load
from minigan.layers import Sequential
from minigan.parameters import Parameters
from minigan.running.folder import Folder, options_from, read_about
from minigan.sampling import Picked, apply, pick
from minigan.systems import SYSTEMS
from minigan.systems.system import Show
from minigan.weights_files import CheckpointError, load_weights, read_metadata


class Trained(NamedTuple):
    """What a checkpoint or a weight file of a run knows.

    name, options: the system's.
    turn: at which it was saved.
    G, D, g, d: the networks and their numbers; g is the moving average of G if the run has one. d is None if only G's
        numbers are known.
    show: how samples are drawn and looked at.
    """

    name: str
    options: Any
    turn: int
    G: Sequential
    D: Sequential
    g: Parameters
    d: Parameters | None
    show: Show

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        """n samples of G, (n, ...)."""
        return self.show.sample(self.G, self.g, self.show.noise(rng, n))

    def pick(self, rng: np.random.Generator, candidates: int = 512, keep: int = 64) -> Picked:
        """Of many samples those that D finds most real; see `sampling.pick`. Raises ValueError if d is None."""
        d = self.d
        if d is None:
            raise ValueError("candidates: there is no D here to choose among them: open the run's folder instead")

        def score(x: Array) -> Array:
            return apply(self.D, d, x).reshape(len(x), -1).mean(1)

        show = self.show
        return pick(lambda z: show.sample(self.G, self.g, z), score, show.noise, rng, candidates, keep, show.rows)


def open_run(
    folder: str | os.PathLike[str],
    which: Literal["latest", "best"] | int = "latest",
    average: bool = True,
    device: Device = "cpu",
    tf32: bool = False,
) -> Trained:
    """Open a checkpoint of a run.

    Args:
        folder: the run's.
        which: the latest, the one with the best score, or that of a turn.
        average: take the moving average of G, if the run has one, and not G itself.
        device: where to draw, wherever the run was trained.
        tf32: whether a GPU may round to TF32, see `arrays.set_precision`.

    Raises:
        ValueError: if TF32 is asked of the host.
        DeviceError: if the device cannot be used here.
        CheckpointError: if there is no run or no such checkpoint in the folder, it is damaged, or it is not of this
            version's systems.
    """
    place = Folder(Path(folder))
    about = read_about(place)
    module = _module(place.about, about["system"])
    checkpoints = Checkpoints(place.checkpoints)
    if isinstance(which, int):
        if which not in checkpoints.steps():
            there = ", ".join(map(str, checkpoints.steps())) or "none"
            raise CheckpointError(f"{place.checkpoints}: there is no checkpoint of turn {which}; there are {there}")
        turn, state = which, load(checkpoints.folder / f"step-{which:08d}")
    else:
        found = checkpoints.latest() if which == "latest" else checkpoints.best()
        if found is None:
            whole = ", and those that there are are damaged" if checkpoints.steps() and which == "latest" else ""
            raise CheckpointError(f"{place.checkpoints}: there is no {which} checkpoint{whole}")
        turn, state = found
    try:
        g, d = state["average"]["params"] if average and "average" in state else state["G"], state["D"]
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{place.checkpoints}: the checkpoint of turn {turn} is no run's: {error!r}") from error
    return _trained(place.about, module, about["options"], turn, g, d, device, tf32)


def open_weights(path: str | os.PathLike[str], device: Device = "cpu", tf32: bool = False) -> Trained:
    """Open a weight file of a generator that a run left, to draw on a device; it says itself how the network is built.

    Raises:
        ValueError: if TF32 is asked of the host.
        DeviceError: if the device cannot be used here.
        CheckpointError: if there is no such file, it is broken, or not of a generator of this version's systems.
    """
    path = Path(path)
    weights, about = load_weights(path), {} if path.suffix == ".npz" else read_metadata(path)
    try:
        name, options, turn = about["system"], json.loads(about["options"]), int(about["turn"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: does not say which system's weights it holds ({error!r})") from error
    return _trained(path, _module(path, name), options, turn, weights, None, device, tf32)


def _module(path: Path, name: str) -> ModuleType:
    if name not in SYSTEMS:
        raise CheckpointError(f"{path}: expected one of {', '.join(SYSTEMS)}, got {name!r}")
    return SYSTEMS[name]


def _trained(
    path: Path, module: ModuleType, plain: Any, turn: int, g: Any, d: Any, device: Device, tf32: bool
) -> Trained:
    set_precision(device, tf32)
    name = module.__name__.rpartition(".")[2]
    try:
        options = options_from(module.Options, {**plain, "device": device, "tf32": tf32})
        G, D = module.networks(options)
        G_numbers, D_numbers = (N.init(np.random.default_rng(0), device=device) for N in (G, D))
        G_numbers.load_state_dict(g)
        if d is not None:
            D_numbers.load_state_dict(d)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: does not hold the networks of {name}: {error.args[0]}") from error
    return Trained(name, options, turn, G, D, G_numbers, None if d is None else D_numbers, module.show(options))
