"""The game: D learns to tell real from generated, G learns to pass, in turns.   [Goodfellow et al. 2014, alg. 1]

    for turn in play(G, D, objective, draw_real, draw_noise, turns=3000):
        print(turn.d_real, turn.d_fake, turn.g)

`play` is a generator: it takes the steps, the caller logs, draws, saves, or stops, all in an ordinary for loop.

On a GPU a step is only asked for, and Python runs ahead of it. To read a number means to wait for it, so the losses
of a turn stay where they are until the caller reads them, and only then are they found to be finite or not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minigan.arrays import Array, array_module
from minigan.autodiff import value_and_grad
from minigan.diagnosis import first_not_finite
from minigan.objectives import Objective
from minigan.optimizers import Schedule, constant
from minigan.parameters import Parameters
from minigan.primitives import concatenate

LOOK_EVERY = 100
"""On a GPU: turns between two looks at the losses, if the caller does not look."""


class Player(NamedTuple):
    """One of the two: its network, its numbers, and the optimizer that moves them."""

    network: Any
    params: Parameters
    optimizer: Any


class Table:
    """What the players sit at, and the batches they were dealt last: where one looks if a loss is no number."""

    __slots__ = ("D", "G", "x", "z")

    def __init__(self, G: Player, D: Player) -> None:
        self.G, self.D = G, D
        self.x: Array = None
        self.z: Array = None

    def first_not_finite(self, loss: str) -> str:
        """Where numbers stop being finite on the way of x through D, or of z through G and D, by the loss's name."""
        x = self.x
        if loss != "d_real":
            found, x = first_not_finite(self.G.network, self.G.params, self.z)
            if found:
                return f"G: {found}"
        found, _ = first_not_finite(self.D.network, self.D.params, x)
        return f"D: {found}" if found else "the loss itself"


_TERMS = {
    "d_real": ("D", "on real samples"),
    "d_fake": ("D", "on generated samples"),
    "g": ("G", "on generated samples"),
}


class Turn:
    """What happened in one turn: D's steps, then G's.

    number counts from 1. The losses are those of each player's last step, before it was taken: d_real and d_fake are
    the two terms of D's loss, g is G's; nan for a player that did not move. on_real and on_fake are D's scores of that
    step, (N, ...); None if D did not move.

    On a GPU the first look at a loss waits for it, and raises DivergedError if it is NaN or infinite.
    """

    __slots__ = ("_losses", "_table", "_unread", "number", "on_fake", "on_real")

    def __init__(self, number: int, table: Table) -> None:
        self.number, self._table = number, table
        self._unread: dict[str, Array] = {}
        self._losses: dict[str, float] = {}
        self.on_real: Array | None = None
        self.on_fake: Array | None = None

    d_real = property(lambda self: self._loss("d_real"))
    d_fake = property(lambda self: self._loss("d_fake"))
    g = property(lambda self: self._loss("g"))

    def check(self) -> None:
        """Look at all losses. Raises DivergedError if one is NaN or infinite."""
        for name in tuple(self._unread):
            self._loss(name)

    def _loss(self, name: str) -> float:
        if name in self._unread:
            loss = float(self._unread[name])
            if not math.isfinite(loss):
                raise DivergedError(self.number, *_TERMS[name], loss, self._table.first_not_finite(name))
            self._losses[name] = loss
            del self._unread[name]
        return self._losses.get(name, math.nan)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Turn):
            return NotImplemented
        return (self.number, self.d_real, self.d_fake, self.g) == (other.number, other.d_real, other.d_fake, other.g)

    # Equal by its losses, and to compare them is to read them: no key of a dict. mypy knows __hash__ as a method only.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Turn(number={self.number}, d_real={self.d_real}, d_fake={self.d_fake}, g={self.g})"


class DivergedError(ArithmeticError):
    """A loss became NaN or infinite.

    Attributes:
        turn: in which it happened; the step was not taken. On a GPU: whose loss was looked at; it may have begun some
            turns before, and was taken.
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
        DivergedError: if a loss is NaN or infinite; says which, whose, where, and when. That step is not taken. On a
            GPU losses are looked at when the caller reads them, every 100 turns, and after the last.
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
    on_host, table = array_module(G.params.flat) is np, Table(G, D)
    try:
        for number in range(played + 1, turns + 1):
            factor = schedule((number - 1) / turns)
            D.optimizer.lr, G.optimizer.lr = d_rate * factor, g_rate * factor
            turn, z = Turn(number, table), None
            if number % d_every:
                draw_real()
            for _ in range(0 if number % d_every else d_steps):
                x, z = draw_real(), draw_noise()
                fake = G.network(G.params, z)  # plain numbers: D's step builds no graph through G
                (_, aux), gradient = d_step(D.params, D.network, objective, x, fake)
                turn._unread["d_real"], turn._unread["d_fake"], turn.on_real, turn.on_fake = aux
                table.x, table.z = x, z
                if on_host:
                    turn.check()
                D.optimizer.step(gradient)
            for _ in range(0 if number % g_every else g_steps):
                z = z if reuse_noise and z is not None else draw_noise()
                turn._unread["g"], gradient = g_step(G.params, G.network, D, objective, z)
                table.z = z
                if on_host:
                    turn.check()
                G.optimizer.step(gradient)
                z = None
            if number % LOOK_EVERY == 0 or number == turns:
                turn.check()
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
