"""What every GAN comes down to: two players, an objective, what is drawn, and how the game is played and shown.

Plain data: a module of this package fills it in, `minigan.running` trains it, and whoever wants neither loops over

    for turn in system.turns():
        ...
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigan.arrays import Array, array_module, set_precision
from minigan.averaging import MovingAverage
from minigan.data.batches import Batches, Data
from minigan.objectives import Objective
from minigan.optimizers import Schedule, constant
from minigan.parameters import Parameters
from minigan.sampling import Noise, apply
from minigan.training import Player, Turn, play


class Game(NamedTuple):
    """How long it is and who moves when; see `training.play`."""

    turns: int
    d_steps: int = 1
    g_steps: int = 1
    d_every: int = 1
    g_every: int = 1
    reuse_noise: bool = False
    schedule: Schedule = constant


class Show(NamedTuple):
    """How samples are drawn and looked at.

    noise: (rng, n) -> n rows of noise, on the device of the options.
    rows: samples that go through G at once.
    training: whether batch norm takes the statistics of those rows, or the running ones.
    sheet: samples on a sheet.
    picture: samples -> one picture, uint8 of shape (H, W) or (H, W, 3).
    between: the way from one noise to another, see `sampling.lerp`; None where there is nothing to see on it.
    """

    noise: Noise
    rows: int
    training: bool
    sheet: int
    picture: Callable[[Array], np.ndarray]
    between: Callable[[Array, Array, float], Array] | None = None

    def sample(self, G: Any, params: Parameters, z: Array) -> Array:
        """What G makes of the noise z, and nothing moves.

        Where batch norm looks at the rows at hand, z gets company, always the same, that fills up the last of them.
        """
        n, missing = len(z), -len(z) % self.rows if self.training else 0
        if missing:
            z = array_module(z).concatenate([z, self.noise(np.random.default_rng(0), missing)])
        return apply(G, params, z, self.rows, self.training)[:n]


class System(NamedTuple):
    """A GAN, ready to be trained.

    name: that of its module.
    options: what it was built from.
    free: names of options that another part of the same training may have different, since they change no number, or
        only how it is rounded.
    G, D, objective: see training.py and objectives.py.
    draw_real, draw_noise: a fresh batch each, drawn on the host and then moved to the device of the options.
    rng: where the first weights came from and the noise of the training comes from.
    batches: where draw_real reads; None if it draws from rng.
    game: the settings of the game.
    average: a copy of G that follows it slowly, moved after each turn; None if there is none.
    show: how samples are drawn and looked at.
    scores: name -> (samples -> how far they are from the data; smaller is better).
    epoch: turns in an epoch.
    log_every, sample_every: turns between two lines of the log, two sheets of samples.
    line: what the log prints of a record, see `running`.
    weights_each_epoch: whether weights are kept of every epoch.
    """

    name: str
    options: Any
    free: frozenset[str]
    G: Player
    D: Player
    objective: Objective
    draw_real: Callable[[], Array]
    draw_noise: Callable[[], Array]
    rng: np.random.Generator
    batches: Batches | None
    game: Game
    average: MovingAverage | None
    show: Show
    scores: Mapping[str, Callable[[Array], float]]
    epoch: int
    log_every: int
    sample_every: int
    line: Callable[[Mapping[str, Any]], str]
    weights_each_epoch: bool = False

    def turns(self, played: int = 0) -> Iterator[Turn]:
        """The game, from the turn after `played` on; the average follows G."""
        turns = play(
            self.G,
            self.D,
            self.objective,
            self.draw_real,
            self.draw_noise,
            self.game.turns,
            d_steps=self.game.d_steps,
            g_steps=self.game.g_steps,
            d_every=self.game.d_every,
            g_every=self.game.g_every,
            reuse_noise=self.game.reuse_noise,
            schedule=self.game.schedule,
            played=played,
        )
        for turn in turns:
            if self.average:
                self.average.update()
            yield turn

    def shown(self) -> Parameters:
        """The numbers of G that samples are drawn with: the average's if there is one."""
        return self.average.params if self.average else self.G.params

    def sample(self, z: Array) -> Array:
        """What G makes of noise, as `show` says; nothing moves."""
        return self.show.sample(self.G.network, self.shown(), z)


def check(options: Any, counts: Sequence[str] = (), rates: Sequence[str] = ()) -> None:
    """Refuse what cannot work before any work is done, and set the precision of the device.

    Args:
        options: of a system; each has a seed, betas, an average, a device and a precision too.
        counts: names of those that are at least 1, or None.
        rates: names of those that are finite and > 0.

    Raises:
        ValueError: naming the option, what was expected and what came.
        DeviceError: if the device cannot be used here.
    """
    for name in counts:
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise ValueError(f"{name}: expected at least 1, got {getattr(options, name)}")
    for name in rates:
        if not 0 < getattr(options, name) < math.inf:
            raise ValueError(f"{name}: expected a finite number > 0, got {getattr(options, name)}")
    if not all(0 <= beta < 1 for beta in options.betas):
        raise ValueError(f"betas: expected two numbers in [0, 1), got {options.betas}")
    if not 0 <= options.average < 1:
        raise ValueError(f"average: expected a number in [0, 1), got {options.average}")
    if options.seed < 0:
        raise ValueError(f"seed: expected at least 0, got {options.seed}")
    set_precision(options.device, options.tf32)


def batches_of(data: Data, options: Any, workers: int = 1) -> Batches:
    """Batches as the options say. Raises ValueError, naming the option, if the data do not fill one."""
    if options.batch > len(data):
        raise ValueError(f"batch: expected at most the {len(data)} images of the data, got {options.batch}")
    return Batches(data, options.batch, options.seed, workers=workers)


def follow(params: Parameters, decay: float) -> MovingAverage | None:
    """The average of G with this decay; none for 0."""
    return MovingAverage(params, decay) if decay else None
