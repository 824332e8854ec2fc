"""A run's networks, opened again to draw samples: no data are needed, and nothing of the run is changed.

trained = open_run("runs/faces")
best = trained.pick(np.random.default_rng(0), candidates=512, keep=64)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from minigan.arrays import Array
from minigan.checkpoint import Checkpoints
from minigan.layers import Sequential
from minigan.parameters import Parameters
from minigan.running.folder import Folder, options_from, read_about
from minigan.sampling import Picked, apply, pick
from minigan.systems import SYSTEMS
from minigan.systems.system import Show
from minigan.weights_files import CheckpointError


class Trained(NamedTuple):
    """What a checkpoint of a run knows.

    name, options: the system's.
    turn: at which the checkpoint was saved.
    G, D, g, d: the networks and their numbers; g is the moving average of G if the run has one.
    show: how samples are drawn and looked at.
    """

    name: str
    options: Any
    turn: int
    G: Sequential
    D: Sequential
    g: Parameters
    d: Parameters
    show: Show

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        """n samples of G, (n, ...)."""
        return self.show.sample(self.G, self.g, self.show.noise(rng, n))

    def pick(self, rng: np.random.Generator, candidates: int = 512, keep: int = 64) -> Picked:
        """Of many samples those that D finds most real; see `sampling.pick`."""

        def score(x: Array) -> Array:
            return apply(self.D, self.d, x).reshape(len(x), -1).mean(1)

        show = self.show
        return pick(lambda z: show.sample(self.G, self.g, z), score, show.noise, rng, candidates, keep, show.rows)


def open_run(folder: str | os.PathLike[str], which: Literal["latest", "best"] = "latest") -> Trained:
    """Open a run's latest checkpoint, or the one with the best score.

    Raises:
        CheckpointError: if there is no run or no such checkpoint in the folder, or it is not of this version's systems.
    """
    place = Folder(Path(folder))
    about = read_about(place)
    if about["system"] not in SYSTEMS:
        raise CheckpointError(f"{place.about}: expected one of {', '.join(SYSTEMS)}, got {about['system']!r}")
    module = SYSTEMS[about["system"]]
    checkpoints = Checkpoints(place.checkpoints)
    found = checkpoints.latest() if which == "latest" else checkpoints.best()
    if found is None:
        raise CheckpointError(f"{place.checkpoints}: there is no {which} checkpoint")
    turn, state = found
    options = options_from(module.Options, about["options"])
    G, D = module.networks(options)
    g, d = G.init(np.random.default_rng(0)), D.init(np.random.default_rng(0))
    g.load_state_dict(state["average"]["params"] if "average" in state else state["G"])
    d.load_state_dict(state["D"])
    return Trained(about["system"], options, turn, G, D, g, d, module.show(options))
