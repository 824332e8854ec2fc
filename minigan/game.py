"""The game: players who can be called and who can move, in turns.   [Goodfellow et al. 2014, alg. 1]

    D.move(d_loss, x, G(z))     # value and gradient of d_loss with respect to D's numbers, one step of D's optimizer
    G.move(g_loss, D, z)        # the first argument is the player who moves; all others are plain numbers

A turn says who moves when. It is a function of its number, and it returns notes, which go into the log.

    def turn(n):
        notes = D.move(d_loss, images(), G(noise()))
        if n % 5 == 0:
            notes |= G.move(g_loss, D, noise())
        return notes

    for t in play(turn, turns=3000):
        print(t.number, t["d_loss"])

`play` is a generator: it takes the turns, the caller logs, draws, saves or stops, all in an ordinary for loop.
Read next: networks/mlp.py.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from minigan.arrays import Array, finite, on_host
from minigan.autodiff import value_and_grad
from minigan.devices import Device
from minigan.diagnosis import DivergedError, Unread, remember
from minigan.parameters import Parameters

Notes = dict[str, Any]
"""What is worth a line in the log, by name: numbers, or arrays, which are logged as their mean."""

LOOK_EVERY = 100
"""On a GPU: turns between two looks at the losses, if the caller does not look."""


class Player:
    """Somebody who can be called and who can move: a network, its numbers, and the optimizer that moves them.

    Args:
        network: called as layers are, network(params, x, path, training). Or a dict of several on one set of numbers,
            name -> network: their arrays are then named "name.0.weight", and one optimizer moves them all.
        params: the numbers.
        optimizer: moves `params` by its method step(gradient).
        name: what messages call the player.

    Raises:
        ValueError: if the optimizer moves other numbers than params.
    """

    __slots__ = ("__weakref__", "name", "network", "optimizer", "params", "training", "watch")

    def __init__(self, network: Any, params: Parameters, optimizer: Any, name: str = "") -> None:
        if getattr(optimizer, "params", params) is not params:
            raise ValueError("optimizer: expected one that moves this player's params, got one of other numbers")
        self.network, self.params, self.optimizer, self.name = network, params, optimizer, name
        self.training = True
        self.watch: Any = None  # runs the network in its place, with an eye on every layer; see diagnosis.py

    @classmethod
    def create(
        cls,
        network: Any,
        rng: np.random.Generator,
        optimizer: Callable[[Parameters], Any],
        dtype: Any = np.float32,
        device: Device = "cpu",
        name: str = "",
    ) -> Player:
        """A player with fresh numbers: Player.create(network, rng, lambda params: Adam(params, lr=2e-4)).

        Args:
            network, name: as above.
            rng: what the first numbers are drawn from.
            optimizer: params -> the optimizer that moves them.
            dtype, device: of the numbers.
        """
        if isinstance(network, dict):
            params = Parameters.joined({part: n.init(rng, dtype, device) for part, n in network.items()})
        else:
            params = network.init(rng, dtype, device)
        return cls(network, params, optimizer(params), name)

    def __call__(self, *inputs: Any, training: bool | None = None, record: bool = True) -> Array:
        """What the network makes of x, or of several inputs, which it gets as a tuple.

        Args:
            inputs: x, or x and y and so on.
            training: which statistics batch norm uses, the batch's or the running ones; the batch's unless this player
                stands `still`.
            record: whether the running statistics take in this batch; False where the same batch passes once more.
        """
        return self._run(self.network, "", inputs, training, record)

    def __getitem__(self, part: str) -> Callable[..., Array]:
        """A part of the network, to be called like the player: D["features"](x), G["ab"](x).

        Args:
            part: the name of one of several networks, or of a layer, dotted: its arrays are those under that name.
        """
        network, path = self.network, ""
        for name in part.split("."):
            inside = network if isinstance(network, dict) else getattr(network, "layers", {})
            if name not in inside:
                raise KeyError(
                    f"part: expected one of {', '.join(inside) or 'none'} in {path or 'the player'}, got {name!r}"
                )
            network, path = inside[name], f"{path}{name}."
        return lambda *inputs, training=None, record=True: self._run(network, path, inputs, training, record)

    def move(self, loss: Callable[..., Any], *rest: Any) -> Notes:
        """Take one step of the optimizer against the gradient of loss(self, *rest) in this player's numbers.

        Args:
            loss: returns a scalar, or (scalar, notes) with a dict of whatever else is worth a line in the log.
            rest: the loss's other arguments. Players among them, this one too, are plain numbers: nobody else moves.

        Returns:
            The notes, and with them the loss under the name of its function. They were taken before the step.

        Raises:
            DivergedError: if the loss is NaN or infinite; the step is not taken. On a GPU, where to look at a number
                means to wait for it, that comes when the note is read.
            TypeError: if the loss returns anything else than a scalar or (scalar, notes), or the player stands still.
            RuntimeError: if it is called inside a loss that is being computed for somebody's move.
        """
        if self.optimizer is None:
            raise TypeError(f"{self.name or 'player'}: this player cannot move, it has no optimizer")
        if getattr(_thread, "in_loss", False):  # what that gradient reads must stand still
            name = self.name or "a player"
            raise RuntimeError(f"move: {name} cannot move while a loss is being computed; move it before or after")
        _thread.in_loss = True
        try:
            (value, notes), gradient = _value_and_gradient(self.params, self, loss, rest)
        finally:
            _thread.in_loss = False
        name = _name(loss)
        if not on_host(value):
            value = Unread(value, name, self, loss, rest)
        elif not math.isfinite(value):
            note = next((n for n, a in notes.items() if not finite(a)), name)
            raise DivergedError(self, note, float(value), loss, rest)
        self.optimizer.step(gradient)
        return {name: value, **notes}

    def still(self, params: Parameters | None = None, training: bool = False) -> Player:
        """The same player, read-only: it cannot move, and neither do its running statistics.

        Args:
            params: other numbers to stand in for its own, say their moving average.
            training: what is meant where a call does not say it.
        """
        params = self.params if params is None else params
        twin = self._with(params.with_own_buffers())
        twin.training = training
        return twin

    def _run(self, network: Any, path: str, inputs: tuple[Any, ...], training: bool | None, record: bool) -> Array:
        if isinstance(network, dict):
            raise TypeError(f"this player has several networks: call one of them, player[{next(iter(network))!r}](x)")
        x = inputs[0] if len(inputs) == 1 else inputs
        training = self.training if training is None else training
        if self.watch is not None:
            return self.watch(network, path, x, training)
        y = network(self.params if record else self.params.with_own_buffers(), x, path, training)
        if self.params.flat is not None:  # else a gradient is being taken
            remember(y, self, network, path, x)
        return y

    def _with(self, params: Parameters) -> Player:
        twin: Player = Player.__new__(Player)
        twin.network, twin.params, twin.optimizer = self.network, params, None
        twin.name, twin.training, twin.watch = self.name, self.training, None
        return twin

    def __repr__(self) -> str:
        return f"Player({self.name or self.network!r})"


def _loss_of_numbers(params: Parameters, player: Player, loss: Callable[..., Any], rest: tuple[Any, ...]) -> Any:
    """loss(player, *rest) as a function of the player's numbers, always as a pair with its notes."""
    result = loss(player._with(params), *rest)
    if type(result) is not tuple:
        if not hasattr(result, "dtype"):
            raise TypeError(
                f"{_name(loss)}: expected a loss, or (loss, notes), got {result!r:.200}; is a return missing?"
            )
        return result, {}
    if len(result) != 2 or not isinstance(result[1], dict):
        raise TypeError(f"{_name(loss)}: expected a loss, or (loss, notes) with a dict of notes, got {result!r:.200}")
    return result


_thread = threading.local()
_value_and_gradient = value_and_grad(_loss_of_numbers, has_aux=True, gather=False)  # only the optimizer reads it


class Turn(Mapping[str, float]):
    """What happened in one turn: its number, from 1, and its notes by name, read when they are asked for.

    To read a loss on a GPU means to wait for it; DivergedError comes then if it is NaN or infinite. Two turns are equal
    if their notes are.
    """

    __slots__ = ("_notes", "_read", "number")

    def __init__(self, number: int, notes: Notes) -> None:
        if not isinstance(notes, dict):
            raise TypeError(
                f"turn {number}: expected a dict of notes, as Player.move returns them, got {notes!r:.200}; "
                "is a return missing?"
            )
        self.number, self._notes = number, notes
        self._read: dict[str, float] = {}

    def __getitem__(self, name: str) -> float:
        if name not in self._read:
            note = self._notes[name]
            try:
                self._read[name] = note.read() if isinstance(note, Unread) else _mean(note)
            except DivergedError as error:
                error.turn = self.number
                raise
            except (TypeError, ValueError):
                raise TypeError(f"note {name!r}: expected a number or an array, got {note!r:.100}") from None
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._notes)

    def __len__(self) -> int:
        return len(self._notes)

    def check(self) -> None:
        """Look at all losses that nobody has looked at. Raises DivergedError if one is NaN or infinite."""
        for name, note in self._notes.items():
            if isinstance(note, Unread):
                self[name]

    def __repr__(self) -> str:
        return f"Turn({self.number}, {dict(self)})"


def play(turn: Callable[[int], Notes], turns: int, played: int = 0) -> Iterator[Turn]:
    """Play the turns of a game and yield each when it has been played.

    Args:
        turn: plays the turn of a number, counted from 1, and returns its notes.
        turns: how many the game has, at least 1.
        played: turns that were already taken when this one resumes the game; numbers go on from there.

    Raises:
        ValueError: if turns is below 1, or played is not in [0, turns].
        DivergedError: if a loss is NaN or infinite; says in which turn, whose, and where. On a GPU losses are looked at
            when the caller reads them, every 100 turns, and after the last.
    """
    if turns < 1:
        raise ValueError(f"turns: expected at least 1, got {turns}")
    if not 0 <= played <= turns:
        raise ValueError(f"played: expected between 0 and {turns} turns, got {played}")
    return _turns(turn, turns, played)


def _turns(turn: Callable[[int], Notes], turns: int, played: int) -> Iterator[Turn]:
    for number in range(played + 1, turns + 1):
        try:
            happened = Turn(number, turn(number))
        except DivergedError as error:
            error.turn = number
            raise
        if number % LOOK_EVERY == 0 or number == turns:
            happened.check()
        yield happened


def _mean(note: Any) -> float:
    return float(note.mean() if getattr(note, "shape", ()) else note)


def _name(loss: Callable[..., Any]) -> str:
    while isinstance(loss, partial):
        loss = loss.func
    return getattr(loss, "__name__", "loss")
