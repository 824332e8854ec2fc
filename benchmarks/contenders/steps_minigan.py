"""The training step of every system in minigan: `play`, as a training program calls it, with and without kernels."""

from __future__ import annotations

import numpy as np
from minigan.training import Turn

from benchmarks.systems import BETAS, EPSILON, LEARNING_RATE, LOGITS, answer, networks, problem
from minigan import Adam, Parameters, Player, kernels, play, to_device, to_host
from minigan.arrays import Device
from minigan.objectives import non_saturating, non_saturating_with_logits


class Minigan:
    """One turn of the generator `play` is one step."""

    device: Device = "cpu"

    def __init__(self, system: str, batch: int, width: int = 64, size: int = 96) -> None:
        start = problem(system, batch, width, size)
        self.batches = [[to_device(array, self.device) for array in drawn] for drawn in start.batches]
        self.g, self.d = (
            Player(network, params, Adam(params, lr=LEARNING_RATE, betas=BETAS, eps=EPSILON))
            for network, params in zip(
                networks(system, width), map(self.placed, (start.generator, start.discriminator)), strict=True
            )
        )
        self.turn: Turn | None = None
        self.game = play(
            self.g,
            self.d,
            non_saturating_with_logits if LOGITS[system] else non_saturating,
            draw_real=lambda: next(self.drawn),
            draw_noise=lambda: next(self.drawn),
            turns=10**9,  # the harness decides when to stop
        )

    def placed(self, params: Parameters) -> Parameters:
        """Params on this contender's device."""
        return params if self.device == "cpu" else params.to_device(self.device)

    def step(self, index: int) -> None:
        """One move of D, one of G."""
        self.drawn = iter(self.batches[index % len(self.batches)])
        self.turn = next(self.game)  # whose losses are read when they are asked for: on a GPU that means to wait

    def answer(self) -> dict[str, np.ndarray]:
        """Both networks' numbers and the last losses."""
        turn = self.turn
        losses = (turn.d_real + turn.d_fake, turn.g) if turn else (0.0, 0.0)
        G, D = ({name: to_host(a) for name, a in player.params.state_dict().items()} for player in (self.g, self.d))
        return answer(G, D, *losses)


class Plain(Minigan):
    """Without kernels: only the code in `minigan/primitives/` runs."""

    def step(self, index: int) -> None:
        """One move of D, one of G."""
        with kernels.plain():
            super().step(index)
