"""Where numbers stop being finite: asked only after a loss came out as NaN or infinite, so it may take its time.

The same loss is called once more, with players who are watched: every layer's parameters and output are looked at on
the way. D is handed G's samples and not G, so of the last few arrays it is remembered which player made them.

A player is anything with a network, its params and a `watch`; game.py has them, and nothing here imports it.
"""

from __future__ import annotations

import inspect
import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from minigan.arrays import Array, finite
from minigan.autodiff import stop_gradient
from minigan.layers import Sequential


class DivergedError(ArithmeticError):
    """A loss became NaN or infinite.

    Attributes:
        turn: in which it happened; None where no turn was being played. On a GPU: whose loss was looked at; it may have
            begun some turns before.
        player: who was to move.
        note: the first note of that loss that is not finite, or the loss itself.
        where: the first array, parameter or layer on the way to the loss that is not finite.
    """

    def __init__(self, player: Any, note: str, value: float, loss: Callable[..., Any], rest: tuple[Any, ...]) -> None:
        self.turn: int | None = None
        self.player, self.note, self.value = player.name or argument_names(loss, 1)[0], note, value
        self.where = first_not_finite(loss, (player, *rest))
        super().__init__(note)

    def __str__(self) -> str:
        turn = "" if self.turn is None else f"turn {self.turn}: "
        advice = "look at the data" if self.where.endswith("which came in") else "try a lower rate"
        happened = f"{turn}{self.player} cannot move, {self.note} is {self.value}"
        return f"{happened}; not finite from here on: {self.where}; {advice}"


class Unread:
    """A loss that was asked for and not yet looked at: on a GPU to look means to wait."""

    __slots__ = ("loss", "name", "player", "rest", "value")

    def __init__(self, value: Array, name: str, player: Any, loss: Callable[..., Any], rest: tuple[Any, ...]) -> None:
        self.value, self.name, self.player, self.loss, self.rest = value, name, player, loss, rest

    def read(self) -> float:
        """Wait for it. Raises DivergedError if it is NaN or infinite."""
        value = float(self.value)
        if not math.isfinite(value):
            raise DivergedError(self.player, self.name, value, self.loss, self.rest)
        return value


def first_not_finite(loss: Callable[..., Any], arguments: tuple[Any, ...]) -> str:
    """In words, the first argument, parameter or layer's output on the way to loss(*arguments) that is not finite."""
    named = list(zip(argument_names(loss, len(arguments)), arguments, strict=True))
    for name, a in named:
        for part in _parts(a):
            if not _is_finite(part):
                return _look_at_its_making(part) or f"{name}, which came in"
    found: list[str] = []
    watched = [_watched(a, a.name or name, found) if hasattr(a, "watch") else a for name, a in named]
    with suppress(Exception):  # the report of one error must not end in another
        loss(*watched)
    return found[0] if found else "the loss itself"


def argument_names(loss: Callable[..., Any], count: int) -> list[str]:
    """The loss's own names of its first arguments."""
    try:
        names = [p.name for p in inspect.signature(loss).parameters.values() if p.kind is not p.VAR_POSITIONAL]
    except (TypeError, ValueError):
        names = []
    return [*names, *(f"argument {i}" for i in range(len(names), count))][:count]


def remember(y: Any, player: Any, network: Any, path: str, x: Any) -> None:
    """Note down which player made y, by which network, and of what."""
    if type(y).__weakrefoffset__ and y is not x and not (type(x) is tuple and any(y is part for part in x)):
        key = id(y)  # were y a part of x, it would keep itself alive
        _made[key] = (weakref.ref(y, lambda _: _made.pop(key, None)), player, network, path, x)
        if len(_made) > REMEMBERED:  # what x is made of would be kept as well, and what that is made of
            _made.pop(next(iter(_made)), None)


REMEMBERED = 16
_made: dict[int, tuple[Any, Any, Any, str, Any]] = {}


def _watched(player: Any, name: str, found: list[str]) -> Any:
    """The player, standing still and looked at; what is not finite is noted in `found`."""
    twin = player.still(training=player.training)
    twin.watch = lambda network, path, x, training: _walk(twin.params, name, found, network, path, x, training)
    return twin


def _walk(params: Any, name: str, found: list[str], network: Any, path: str, x: Any, training: bool) -> Any:
    """What the network makes of x, layer by layer."""
    for place, layer, own_path in _layers(network, path):
        y = layer(params, x, own_path, training)
        if not found:
            own = [own_path + key for key in layer.parameters()] if hasattr(layer, "parameters") else []
            bad = [key for key in own if not finite(stop_gradient(params[key]))]
            if bad:
                found.append(f"{name}: parameter {bad[0]}")
            elif not finite(stop_gradient(y)):
                found.append(f"{name}: output of layer {place} ({layer!r})")
        x = y
    return x


def _layers(network: Any, path: str) -> Iterator[tuple[str, Any, str]]:
    """The layers of a network in the order they run, with their dotted names and the paths their arrays are under.

    Only a Sequential is entered: what another layer does with the layers that it holds is its own affair.
    """
    if type(network) is not Sequential:
        yield path.rstrip(".") or "all", network, path
        return
    for name, layer in network.layers.items():
        yield from _layers(layer, f"{path}{name}.")


def _look_at_its_making(y: Array) -> str:
    if id(y) not in _made:
        return ""
    _, player, network, path, x = _made[id(y)]
    name = player.name or "its maker"
    found: list[str] = []
    if not all(map(_is_finite, _parts(x))):
        return f"{name}: what comes in"
    with suppress(Exception):
        _watched(player, name, found).watch(network, path, x, player.training)
    return found[0] if found else ""


def _parts(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else (x,)


def _is_finite(x: Any) -> bool:
    """Whether all numbers of x are, if there are any in it: an argument may be anything."""
    return not (hasattr(x, "dtype") and x.dtype.kind == "f") or finite(x)
