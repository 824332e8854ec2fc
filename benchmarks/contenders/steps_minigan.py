"""The training step of every system in minigan: `play`, as a training program calls it, with and without kernels."""

from __future__ import annotations

import numpy as np

from benchmarks.systems import BETAS, EPSILON, LEARNING_RATE, LOGITS, answer, networks, problem
from minigan import Adam, Parameters, Player, kernels, play, to_device, to_host
from minigan.arrays import Array
from minigan.devices import Device
from minigan.game import Notes, Turn
from minigan.objectives import non_saturating, non_saturating_with_logits
from minigan.primitives import concatenate


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
        objective = non_saturating_with_logits if LOGITS[system] else non_saturating

        def d_loss(D: Player, x: Array, fake: Array) -> tuple[Array, Notes]:
            if system == "dcgan":
                on_real, on_fake = D(x), D(fake)  # one pass each: batch norm would mix them
            else:
                scores = D(concatenate([x, fake]))
                on_real, on_fake = scores[: len(x)], scores[len(x) :]
            return objective.d_loss(on_real, on_fake), {"on_real": on_real, "on_fake": on_fake}

        def g_loss(G: Player, D: Player, z: Array) -> Array:
            return objective.g_loss(D(G(z)))

        def turn(number: int) -> Notes:
            x, z_d, z_g = self.drawn
            return self.d.move(d_loss, x, self.g(z_d)) | self.g.move(g_loss, self.d, z_g)

        self.turn: Turn | None = None
        self.game = play(turn, turns=10**9)  # the harness decides when to stop

    def placed(self, params: Parameters) -> Parameters:
        """Params on this contender's device."""
        return params if self.device == "cpu" else params.to_device(self.device)

    def step(self, index: int) -> None:
        """One move of D, one of G."""
        self.drawn = self.batches[index % len(self.batches)]
        self.turn = next(self.game)  # whose losses are read when they are asked for: on a GPU that means to wait

    def answer(self) -> dict[str, np.ndarray]:
        """Both networks' numbers and the last losses."""
        turn = self.turn
        losses = (turn["d_loss"], turn["g_loss"]) if turn else (0.0, 0.0)
        G, D = ({name: to_host(a) for name, a in player.params.state_dict().items()} for player in (self.g, self.d))
        return answer(G, D, *losses)


class Plain(Minigan):
    """Without kernels: only the code in `minigan/primitives/` runs."""

    def step(self, index: int) -> None:
        """One move of D, one of G."""
        with kernels.plain():
            super().step(index)
