"""Definitions, and what stands in for them.

Everything else in minigan but kernels/ is written once, as a formula for any kind of array. Whoever knows a faster way
for one kind registers it here, from outside, for that operation and that type:

    @stand_in(linear, np.ndarray)
    def _(x, weight, bias=None):
        y = ...
        return y, lambda argnums, dy: ...       # y, and the way back: dy to the gradients of those arguments

It is asked whenever the operation's first argument is of that type and no argument is traced. It answers

    y, back            back(argnums, dy) gives a tuple of gradients, or NotImplemented: then, and where dy is traced by
                       an outer gradient, the derivative of the definition is taken. back may be None.
    NotImplemented     and the definition runs. Nothing may have been written by then.

A definition knows nothing of this: delete kernels/, and all of minigan runs on what one reads. `plain()` does the same
for a while. Two more may be asked for: how a Sequential runs its layers (`rewrites`), and what to do around the work
for one gradient (`surrounds`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

switched_on = True

Function = Callable[..., Any]
Context = AbstractContextManager[Any]
Steps = list[tuple[Any, str]]


def stand_in(f: Function, array_type: type) -> Callable[[Function], Function]:
    """A decorator: the function stands in for f where f's first argument is of this type."""

    def register(fast: Function) -> Function:
        stand_ins(f)[array_type] = fast
        return fast

    return register


def stand_ins(f: Function) -> dict[type, Function]:
    """Type of array -> what stands in for f there. Filled later: whoever asks at every call keeps the dict."""
    return _tables.setdefault(f, {})


def replaceable(f: Function) -> Function:
    """Make f a function that others may stand in for, outside of any gradient: they return what f returns."""

    @functools.wraps(f)
    def either(*args: Any) -> Any:
        fast = table.get(type(args[0]))
        if fast is not None and switched_on:
            result = fast(*args)
            if result is not NotImplemented:
                return result
        return f(*args)

    table = stand_ins(either)
    return either


def rewrites(rewrite: Callable[[Mapping[str, Any]], Steps]) -> Callable[[Mapping[str, Any]], Steps]:
    """Let `rewrite` say how a Sequential runs its layers: name -> layer to steps (called as layers are) and paths."""
    global _rewrite
    _rewrite = rewrite
    return rewrite


def steps_of(layers: Mapping[str, Any]) -> Steps:
    """What a Sequential of these layers runs, one after another: (step, the path its arrays are under)."""
    return _rewrite(layers)


def surrounds(around: Callable[[Iterable[Any]], Context | None]) -> Callable[[Iterable[Any]], Context | None]:
    """Let `around(arrays)` give a context for the work of one gradient with respect to these arrays, or None."""
    global one_gradient
    one_gradient = around
    return around


@contextmanager
def plain() -> Iterator[None]:
    """Run definitions only, inside this context and in every thread."""
    global switched_on
    before, switched_on = switched_on, False
    try:
        yield
    finally:
        switched_on = before


def _one_by_one(layers: Mapping[str, Any]) -> Steps:
    return [(layer, f"{name}.") for name, layer in layers.items()]


_tables: dict[Function, dict[type, Function]] = {}
_rewrite: Callable[[Mapping[str, Any]], Steps] = _one_by_one

one_gradient: Callable[[Iterable[Any]], Context | None] = lambda arrays: None
"""Around the work for one gradient with respect to these arrays, in which nothing that it reads is written to."""
