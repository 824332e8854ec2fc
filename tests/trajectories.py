"""One game for two libraries: what both sides of a trajectory comparison share, and minigan's side.

Both get the same first weights and the same numbers in the same order. Their trajectories are the losses of every step
and, at some steps, every weight and both Adam moments of every weight. The PyTorch side is torch_toy.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from minigan import Adam, Parameters, Player, Sequential, play
from minigan.arrays import to_host
from minigan.devices import Device, to_device
from minigan.game import Notes
from minigan.networks import toy
from tests.losses import OBJECTIVES, losses

ADAM = {"lr": 1e-3, "betas": (0.5, 0.999), "eps": 1e-8}
PREPROCESSES = ("raw", "variances", "diffs", "moments", "pointwise")
KINDS = ("weights", "exp_avg", "exp_avg_sq")


class Game(NamedTuple):
    """What is played: D reads `rows` rows of `minibatch` numbers, each through `preprocess`."""

    preprocess: Any
    scores: str
    objective: str
    rows: int
    minibatch: int
    hidden: int

    def __str__(self) -> str:
        return f"{self.preprocess}, {self.scores}, {self.objective}, {self.rows} x {self.minibatch}"

    def networks(self) -> dict[str, Sequential]:
        """G and D, as minigan describes them."""
        d = toy.discriminator(self.preprocess, self.minibatch, self.hidden, logits=self.scores == "logits")
        return {"G": toy.generator(self.hidden), "D": d}


class Draws(NamedTuple):
    """What each step sees: (steps, rows * minibatch, 1), float64 numbers; see draw."""

    real: np.ndarray
    noise_d: np.ndarray
    noise_g: np.ndarray


class Trajectory(NamedTuple):
    """The kept steps, the losses (steps, [d_real, d_fake, g]), and each player's numbers (kept step, kind, weight)."""

    at: tuple[int, ...]
    losses: np.ndarray
    G: np.ndarray
    D: np.ndarray


class Difference(NamedTuple):
    """The distance between two arrays; the largest of several is max(differences)."""

    relative: float
    step: int
    what: str


def games(rows: int, minibatch: int, hidden: int, preprocesses: tuple[str, ...] = PREPROCESSES) -> list[Game]:
    """Every preprocess with every objective."""
    return [Game(p, *o, rows, minibatch, hidden) for p, o in itertools.product(preprocesses, OBJECTIVES)]


STEPS, KEPT = 200, (1, 10, 50, 100, 200)
STEPS_32, KEPT_32 = 50, (1, 10, 50)  # in float32
SMALL = games(rows=2, minibatch=6, hidden=5)
FULL = games(rows=1, minibatch=100, hidden=50) + games(rows=8, minibatch=100, hidden=50, preprocesses=("moments",))


def draw(game: Game, steps: int, seed: int = 2018) -> Draws:
    """The numbers of a game: noise uniform on [0, 1), real samples uniform on [2, 6)."""
    rng = np.random.default_rng(seed)
    u = rng.random((steps, 3, game.rows * game.minibatch, 1), dtype=np.float32).astype(np.float64)
    return Draws(2.0 + 4.0 * u[:, 0], u[:, 1], u[:, 2])


def minigan_trajectory(
    game: Game,
    start: dict[str, np.ndarray],
    steps: int,
    at: tuple[int, ...],
    dtype: Any = np.float64,
    device: Device = "cpu",
) -> Trajectory:
    """The game as `play` plays it, from the flat weights start["G"] and start["D"]."""
    networks = game.networks()
    G, D = (_player(networks[name], start[name].astype(dtype), device) for name in "GD")
    draws = Draws(*(numbers.astype(dtype) for numbers in draw(game, steps)))
    d_loss, g_loss = losses(OBJECTIVES[game.scores, game.objective])

    def turn(number: int) -> Notes:
        x, z_d, z_g = (to_device(numbers[number - 1], device) for numbers in draws)
        return D.move(d_loss, x, G(z_d)) | G.move(g_loss, D, z_g)

    noted, kept = [], []
    for played in play(turn, steps):
        noted.append([played[name] for name in ("real_loss", "fake_loss", "g_loss")])
        np.testing.assert_allclose(sum(noted[-1][:2]), played["d_loss"], rtol=1e-6 if dtype == np.float32 else 1e-12)
        if played.number in at:
            kept.append([_numbers(G), _numbers(D)])
    g, d = zip(*kept, strict=True)
    return Trajectory(at, np.array(noted), np.array(g), np.array(d))


def differences(game: Game, got: Trajectory, want: Trajectory) -> Iterator[Difference]:
    """How far got is from want, array by array, at every step that got kept.

    An array is one weight or bias, or one of its two moments, or one loss over the steps since the last kept one.
    """
    for i, (before, step) in enumerate(itertools.pairwise((0, *got.at))):
        for j, name in enumerate(("d_real", "d_fake", "g")):
            window = slice(before, step), j
            yield Difference(distance(got.losses[window], want.losses[window]), step, f"loss {name}")
        for player, network in game.networks().items():
            specs = network.parameters()
            cuts = np.cumsum([np.prod(spec.shape) for spec in specs.values()])[:-1]
            for j, kind in enumerate(KINDS):
                ours = np.split(getattr(got, player)[i, j], cuts)
                theirs = np.split(getattr(want, player)[want.at.index(step), j], cuts)
                for name, a, b in zip(specs, ours, theirs, strict=True):
                    yield Difference(distance(a, b), step, f"{kind} of {player}'s {name}")


def distance(got: np.ndarray, want: np.ndarray) -> float:
    """max |got - want| / max |want|; infinite if anything is not a number."""
    if got.shape != want.shape or not (np.isfinite(got).all() and np.isfinite(want).all()):
        return float("inf")
    gap, scale = np.abs(got - want).max(), np.abs(want).max()
    return float(gap / scale) if scale else float("inf" if gap else 0.0)


def _player(network: Sequential, flat: np.ndarray, device: Device) -> Player:
    params = network.init(np.random.default_rng(0), dtype=flat.dtype)
    params.flat[...] = flat
    params = params.to_device(device)
    return Player(network, params, Adam(params, **ADAM))


def _numbers(player: Player) -> list[np.ndarray]:
    params: Parameters = player.params
    return [to_host(a.copy()) for a in (params.flat, player.optimizer.exp_avg, player.optimizer.exp_avg_sq)]
