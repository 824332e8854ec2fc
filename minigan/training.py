"""The game: D learns to tell real from generated, G learns to pass, in turns.   [Goodfellow et al. 2014, alg. 1]

    for turn in play(G, D, objective, draw_real, draw_noise, turns=3000):
        print(turn.d_real, turn.d_fake, turn.g)

`play` is a generator: it takes the steps, the caller logs, draws, saves, or stops, all in an ordinary for loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from minigan import kernels
from minigan.arrays import Array
from minigan.autodiff import value_and_grad
from minigan.diagnosis import first_not_finite
from minigan.objectives import Objective
from minigan.optimizers import Schedule, constant
from minigan.parameters import Parameters
from minigan.primitives import concatenate


class Player(NamedTuple):
    """One of the two: its network, its numbers, and the optimizer that moves them."""

    network: Any
    params: Parameters
    optimizer: Any


@dataclass(slots=True)
class Turn:
    """What happened in one turn: D's steps, then G's.

    number counts from 1. The losses are those of each player's last step, before it was taken: d_real and d_fake are
    the two terms of D's loss, g is G's; nan for a player that did not move. on_real and on_fake are D's scores of that
    step, (N, ...); None if D did not move.
    """

    number: int
    d_real: float = math.nan
    d_fake: float = math.nan
    g: float = math.nan
    on_real: Array | None = field(default=None, repr=False, compare=False)
    on_fake: Array | None = field(default=None, repr=False, compare=False)


class DivergedError(ArithmeticError):
    """A loss became NaN or infinite.

    Attributes:
        turn: in which it happened; the step was not taken.
        player: whose loss, "G" or "D".
        term: which term of it, "on real samples" or "on generated samples".
        where: the first layer or array, on the way from the noise or the sample to the score, that is not finite.
    """

    def __init__(self, turn: int, player: str, term: str, loss: float, where: str) -> None:
        super().__init__(
            f"turn {turn}: {player}'s loss {term} is {loss}, not finite from here on: {where}; try a lower rate"
        )
        self.turn, self.player, self.term, self.where = turn, player, term, where


def play(
    G: Player,
    D: Player,
    objective: Objective,
    draw_real: Callable[[], Array],
    draw_noise: Callable[[], Array],
    turns: int,
    *,
    d_steps: int = 1,
    g_steps: int = 1,
    d_every: int = 1,
    g_every: int = 1,
    reuse_noise: bool = False,
    schedule: Schedule = constant,
    played: int = 0,
) -> Iterator[Turn]:
    """Play the turns of a game and yield after each.

    Args:
        G, D: the players; their params are moved in place.
        objective: what each minimises.
        draw_real, draw_noise: called for a fresh batch each step: real before noise in D's step, noise in G's. In a
            turn in which D does not move a real batch is drawn nevertheless, and passes by.
        turns: how long the game is, at least 1.
        d_steps, g_steps: steps of each player in a turn in which it moves, at least 1.
        d_every, g_every: a player moves in each turn whose number is a multiple of this, at least 1.
        reuse_noise: whether G's first step takes the noise of D's last one in the same turn instead of fresh noise:
            both then work on the same fake batch.
        schedule: progress in [0, 1) -> the factor on both players' rates in that turn.
        played: turns that were already taken when this one resumes the game; numbers go on from there.

    Raises:
        ValueError: if a count is below 1, or played is not in [0, turns].
        DivergedError: if a loss is NaN or infinite; says which, whose, where, and when. That step is not taken.
    """
    counts = {"turns": turns, "d_steps": d_steps, "g_steps": g_steps, "d_every": d_every, "g_every": g_every}
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name}: expected at least 1, got {count}")
    if not 0 <= played <= turns:
        raise ValueError(f"played: expected between 0 and {turns} turns, got {played}")
    return _turns(G, D, objective, draw_real, draw_noise, reuse_noise, schedule, played, **counts)


def _turns(
    G: Player,
    D: Player,
    objective: Objective,
    draw_real: Callable[[], Array],
    draw_noise: Callable[[], Array],
    reuse_noise: bool,
    schedule: Schedule,
    played: int,
    turns: int,
    d_steps: int,
    g_steps: int,
    d_every: int,
    g_every: int,
) -> Iterator[Turn]:
    d_step = value_and_grad(d_loss, has_aux=True, gather=False)  # only the optimizer reads it
    g_step = value_and_grad(g_loss, gather=False)
    d_rate, g_rate = D.optimizer.lr, G.optimizer.lr
    pooled = any(getattr(player.network, "convolves", False) for player in (G, D))
    try:
        for number in range(played + 1, turns + 1):
            factor = schedule((number - 1) / turns)
            D.optimizer.lr, G.optimizer.lr = d_rate * factor, g_rate * factor
            turn, z = Turn(number), None
            if number % d_every:
                draw_real()
            for _ in range(0 if number % d_every else d_steps):
                x, z = draw_real(), draw_noise()
                with kernels.one_gradient(pooled):
                    fake = G.network(G.params, z)  # plain numbers: D's step builds no graph through G
                    (_, aux), gradient = d_step(D.params, D.network, objective, x, fake)
                d_real, d_fake, turn.on_real, turn.on_fake = aux
                turn.d_real, turn.d_fake = float(d_real), float(d_fake)
                if not math.isfinite(turn.d_real):
                    raise DivergedError(number, "D", "on real samples", turn.d_real, _not_finite(G, D, None, x))
                if not math.isfinite(turn.d_fake):
                    raise DivergedError(number, "D", "on generated samples", turn.d_fake, _not_finite(G, D, z, None))
                D.optimizer.step(gradient)
            for _ in range(0 if number % g_every else g_steps):
                z = z if reuse_noise and z is not None else draw_noise()
                with kernels.one_gradient(pooled):
                    loss, gradient = g_step(G.params, G.network, D, objective, z)
                turn.g = float(loss)
                if not math.isfinite(turn.g):
                    raise DivergedError(number, "G", "on generated samples", turn.g, _not_finite(G, D, z, None))
                G.optimizer.step(gradient)
                z = None
            yield turn
    finally:  # also where the caller breaks off or a loss diverges
        D.optimizer.lr, G.optimizer.lr = d_rate, g_rate


def d_loss(d: Parameters, D: Any, objective: Objective, x: Array, fake: Array) -> tuple[Any, tuple[Any, Any, Any, Any]]:
    """D's loss as a function of D's numbers d: real(D(x)) + fake(D(G(z))); beside it the two terms and both scores."""
    if D.mixes_rows:
        on_real, on_fake = D(d, x), D(d, fake)
    else:
        scores = D(d, concatenate([x, fake]))  # both in one pass: half the operations on twice the rows
        n = len(scores) * len(x) // (len(x) + len(fake))
        on_real, on_fake = scores[:n], scores[n:]
    d_real, d_fake = objective.real(on_real), objective.fake(on_fake)
    return d_real + d_fake, (d_real, d_fake, on_real, on_fake)


def g_loss(g: Parameters, G: Any, D: Player, objective: Objective, z: Array) -> Any:
    """G's loss as a function of G's numbers g: generator(D(G(z))), with D standing still."""
    return objective.generator(D.network(D.params, G(g, z)))


def _not_finite(G: Player, D: Player, z: Array | None, x: Array | None) -> str:
    """Where numbers stop being finite on the way of z through G and D, or of x through D."""
    if z is not None:
        found, x = first_not_finite(G.network, G.params, z)
        if found:
            return f"G: {found}"
    found, _ = first_not_finite(D.network, D.params, x)
    return f"D: {found}" if found else "the loss itself"
