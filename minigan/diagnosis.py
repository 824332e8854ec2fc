"""Where numbers stop being finite: a network run once more, layer by layer, with an eye on every array on the way.

Only asked after a loss came out as NaN or infinite, so it may take its time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from minigan.arrays import Array, array_module
from minigan.parameters import Parameters


def first_not_finite(network: Any, params: Parameters, x: Array) -> tuple[str, Array]:
    """The first array on the way through the network that is not finite, in words ("" if there is none), and y.

    Args:
        network: called as layers are; a Sequential is entered, anything else is looked at as a whole.
        params: its numbers, copied first: running statistics do not move.
        x: what it is given.
    """
    if not finite(x):
        return "what comes in", x
    params, found = params.copy(), ""
    for name, layer, path in _leaves(network, ""):
        y = layer(params, x, path)
        if not found:
            bad = [key for key, a in _own(params, path, layer).items() if not finite(a)]
            found = f"parameter {bad[0]}" if bad else "" if finite(y) else f"output of layer {name} ({layer!r})"
        x = y
    return found, x


def finite(a: Array) -> bool:
    """Whether every number of the array is: no NaN, no infinity."""
    return bool(array_module(a).isfinite(a).all())


def _leaves(network: Any, path: str) -> Iterator[tuple[str, Any, str]]:
    """The layers of a network in the order they run, with their dotted names and the paths their arrays are under."""
    for name, layer in getattr(network, "layers", {"": network}).items():
        if hasattr(layer, "layers"):
            yield from _leaves(layer, f"{path}{name}.")
        else:
            yield path + name, layer, f"{path}{name}." if name else path


def _own(params: Parameters, path: str, layer: Any) -> Mapping[str, Array]:
    return {key: params[key] for key in (path + name for name in layer.parameters())}
