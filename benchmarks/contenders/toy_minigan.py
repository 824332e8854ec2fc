"""The toy step in minigan: `play`, as a training program calls it, with the kernels and on the plain code."""

from __future__ import annotations

import numpy as np

from benchmarks.toy import BETAS, EPSILON, LEARNING_RATE, problem
from minigan import Adam, Parameters, Player, Sequential, kernels, play
from minigan.arrays import Array
from minigan.game import Notes
from minigan.networks import toy
from minigan.objectives import non_saturating
from minigan.primitives import concatenate


def d_loss(D: Player, x: Array, fake: Array) -> tuple[Array, Notes]:
    """D's loss, both batches in one pass."""
    scores = D(concatenate([x, fake]))
    on_real, on_fake = scores[: len(scores) // 2], scores[len(scores) // 2 :]
    return non_saturating.d_loss(on_real, on_fake), {"on_real": on_real, "on_fake": on_fake}


def g_loss(G: Player, D: Player, z: Array) -> Array:
    """G's loss."""
    return non_saturating.g_loss(D(G(z)))


class Minigan:
    """One turn of the generator `play` is one step."""

    def __init__(self, batch: int) -> None:
        self.start = start = problem(batch)
        self.g = player(toy.generator(), start.generator)
        self.d = player(toy.discriminator("variances", batch), start.discriminator)
        # minigan takes samples one a row and lets D lay them side by side.
        self.batches = [(real.T.copy(), noise_d, noise_g) for real, noise_d, noise_g in start.batches]
        self.game = play(self.turn, turns=10**9)  # the harness decides when to stop

    def turn(self, number: int) -> Notes:
        """One move of D, one of G."""
        x, z_d, z_g = self.drawn
        return self.d.move(d_loss, x, self.g(z_d)) | self.g.move(g_loss, self.d, z_g)

    def step(self, index: int) -> None:
        """One move of D, one of G."""
        self.drawn = self.batches[index % len(self.batches)]
        self.played = next(self.game)

    def answer(self) -> dict[str, np.ndarray]:
        """Both networks' weights and the last losses."""
        g, d = self.g.params.values(), self.d.params.values()
        return {
            **{f"G.{name}": w for name, w in zip(self.start.generator, g, strict=True)},
            **{f"D.{name}": w for name, w in zip(self.start.discriminator, d, strict=True)},
            "d_loss": np.array(self.played["d_loss"]),
            "g_loss": np.array(self.played["g_loss"]),
        }


class Plain(Minigan):
    """Without kernels: only the code in `minigan/primitives/` runs."""

    def step(self, index: int) -> None:
        """One move of D, one of G."""
        with kernels.plain():
            super().step(index)


def player(network: Sequential, start: dict[str, np.ndarray]) -> Player:
    """The network with the problem's weights, whose order is the same and whose names are not."""
    params = Parameters(dict(zip(network.parameters(), start.values(), strict=True)))
    return Player(network, params, Adam(params, lr=LEARNING_RATE, betas=BETAS, eps=EPSILON))
