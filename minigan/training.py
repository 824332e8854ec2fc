"""The game: D learns to tell real from generated, G learns to pass, in turns.   [Goodfellow et al. 2014, alg. 1]

    for epoch in play(G, D, objective, draw_real, draw_noise, epochs=3000):
        print(epoch.d_real, epoch.d_fake, epoch.g)

`play` is a generator: it takes the steps, the caller logs, draws, saves, or stops, all in an ordinary for loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from minigan import kernels
from minigan.arrays import Array
from minigan.autodiff import value_and_grad
from minigan.objectives import Objective
from minigan.optimizers import Schedule, constant
from minigan.parameters import Parameters
from minigan.primitives import concatenate


class Player(NamedTuple):
    """One of the two: its network, its numbers, and the optimizer that moves them."""

    network: Any
    params: Parameters
    optimizer: Any


class Epoch(NamedTuple):
    """What happened in one round of D's steps and G's steps: the losses of the last of each.

    number counts from 1; d_real and d_fake are the two terms of D's loss, g is G's loss.
    """

    number: int
    d_real: float
    d_fake: float
    g: float


class DivergedError(ArithmeticError):
    """A loss became NaN or infinite."""


def play(
    G: Player,
    D: Player,
    objective: Objective,
    draw_real: Callable[[], Array],
    draw_noise: Callable[[], Array],
    epochs: int,
    d_steps: int = 1,
    g_steps: int = 1,
    schedule: Schedule = constant,
) -> Iterator[Epoch]:
    """Play `epochs` rounds of d_steps steps of D, then g_steps steps of G, and yield after each round.

    Args:
        G, D: the players; their params are moved in place.
        objective: what each minimises.
        draw_real, draw_noise: called for a fresh batch each step: real before noise in D's step, noise in G's.
        epochs, d_steps, g_steps: at least 1 each.
        schedule: progress in [0, 1) -> the factor on both players' rates in that round.

    Raises:
        ValueError: if a count is below 1.
        DivergedError: if a loss is NaN or infinite; says which, whose, and when. That step is not taken.
    """
    for name, count in [("epochs", epochs), ("d_steps", d_steps), ("g_steps", g_steps)]:
        if count < 1:
            raise ValueError(f"{name}: expected at least 1, got {count}")
    return _rounds(G, D, objective, draw_real, draw_noise, epochs, d_steps, g_steps, schedule)


def _rounds(
    G: Player,
    D: Player,
    objective: Objective,
    draw_real: Callable[[], Array],
    draw_noise: Callable[[], Array],
    epochs: int,
    d_steps: int,
    g_steps: int,
    schedule: Schedule,
) -> Iterator[Epoch]:
    d_step, g_step = value_and_grad(d_loss, has_aux=True), value_and_grad(g_loss)
    d_rate, g_rate = D.optimizer.lr, G.optimizer.lr
    pooled = any(getattr(player.network, "convolves", False) for player in (G, D))
    try:
        for number in range(1, epochs + 1):
            factor = schedule((number - 1) / epochs)
            D.optimizer.lr, G.optimizer.lr = d_rate * factor, g_rate * factor
            for _ in range(d_steps):
                x, z = draw_real(), draw_noise()
                with kernels.one_gradient(pooled):
                    fake = G.network(G.params, z)  # plain numbers: D's step builds no graph through G
                    (_, terms), gradient = d_step(D.params, D.network, objective, x, fake)
                d_real, d_fake = (float(term) for term in terms)
                _check_finite(number, "D", d_real, "on real samples")
                _check_finite(number, "D", d_fake, "on generated samples")
                D.optimizer.step(gradient)
            for _ in range(g_steps):
                z = draw_noise()
                with kernels.one_gradient(pooled):
                    loss, gradient = g_step(G.params, G.network, D, objective, z)
                _check_finite(number, "G", float(loss), "on generated samples")
                G.optimizer.step(gradient)
            yield Epoch(number, d_real, d_fake, float(loss))
    finally:  # also where the caller breaks off or a loss diverges
        D.optimizer.lr, G.optimizer.lr = d_rate, g_rate


def d_loss(d: Parameters, D: Any, objective: Objective, x: Array, fake: Array) -> tuple[Any, tuple[Any, Any]]:
    """D's loss as a function of D's numbers d: real(D(x)) + fake(D(G(z))), and the two terms beside it."""
    if D.mixes_rows:
        on_real, on_fake = objective.real(D(d, x)), objective.fake(D(d, fake))
        return on_real + on_fake, (on_real, on_fake)
    scores = D(d, concatenate([x, fake]))  # both in one pass: half the operations on twice the rows
    n = len(scores) * len(x) // (len(x) + len(fake))
    on_real, on_fake = objective.real(scores[:n]), objective.fake(scores[n:])
    return on_real + on_fake, (on_real, on_fake)


def g_loss(g: Parameters, G: Any, D: Player, objective: Objective, z: Array) -> Any:
    """G's loss as a function of G's numbers g: generator(D(G(z))), with D standing still."""
    return objective.generator(D.network(D.params, G(g, z)))


def _check_finite(epoch: int, player: str, loss: float, term: str) -> None:
    """Before the step is taken: the players keep their last good numbers."""
    if not math.isfinite(loss):
        raise DivergedError(f"epoch {epoch}: {player}'s loss {term} is {loss}; try a lower learning rate")
