"""The training step of every system in minigan: `play`, as a training program calls it, with and without kernels."""

from __future__ import annotations

import numpy as np

from benchmarks.systems import BETAS, EPSILON, LEARNING_RATE, LOGITS, answer, networks, problem
from minigan import Adam, Player, kernels, play
from minigan.objectives import non_saturating, non_saturating_with_logits


class Minigan:
    """One turn of the generator `play` is one step."""

    def __init__(self, system: str, batch: int, width: int = 64, size: int = 96) -> None:
        start = problem(system, batch, width, size)
        self.batches = start.batches
        self.g, self.d = (
            Player(network, params, Adam(params, lr=LEARNING_RATE, betas=BETAS, eps=EPSILON))
            for network, params in zip(networks(system, width), (start.generator, start.discriminator), strict=True)
        )
        self.d_loss = self.g_loss = 0.0
        self.game = play(
            self.g,
            self.d,
            non_saturating_with_logits if LOGITS[system] else non_saturating,
            draw_real=lambda: next(self.drawn),
            draw_noise=lambda: next(self.drawn),
            turns=10**9,  # the harness decides when to stop
        )

    def step(self, index: int) -> None:
        """One move of D, one of G."""
        self.drawn = iter(self.batches[index % len(self.batches)])
        epoch = next(self.game)
        self.d_loss, self.g_loss = epoch.d_real + epoch.d_fake, epoch.g

    def answer(self) -> dict[str, np.ndarray]:
        """Both networks' numbers and the last losses."""
        return answer(self.g.params.state_dict(), self.d.params.state_dict(), self.d_loss, self.g_loss)


class Plain(Minigan):
    """Without kernels: only the code in `minigan/primitives/` runs."""

    def step(self, index: int) -> None:
        """One move of D, one of G."""
        with kernels.plain():
            super().step(index)
