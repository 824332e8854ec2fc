"""Activations and their slopes, chunk by chunk.

An activation is named by a string; `slope` is leaky_relu's slope a for x <= 0. Every slope is read off the
result y:

    relu        y = max(x, 0)                   dx = dy [y > 0]
    leaky_relu  y = max(x, a x)   (a <= 1)      dx = dy max([y > 0], a)
    tanh        y = tanh(x)                     dx = dy (1 - y^2)
    sigmoid     y = 1 / (1 + exp(-x))           dx = dy (y - y^2)

np.where would cost several times what the maximum of two arrays costs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigan.kernels.layout import add_to_rows
from minigan.kernels.pool import parallel_for
from minigan.kernels.scratch import constant_like, empty_like, memory_order, scratch

Finish = Callable[[np.ndarray], None]

ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid")
_CHUNK = 1 << 18  # elements; of fewer, two threads spend much of their time waiting for each other between calls


def activate(x: np.ndarray, activation: str, slope: float = 0.01) -> np.ndarray:
    """y = activation(x), in x's memory layout."""
    check_activation(activation, slope)
    y = empty_like(x)
    x, flat = _flat(x, y)

    def body(chunk: slice) -> None:
        _activate(x[chunk], activation, slope, out=flat[chunk])

    _for_chunks(flat.size, body)
    return y


def activation_grad(dy: np.ndarray, y: np.ndarray, activation: str, slope: float = 0.01) -> np.ndarray:
    """dx = dy * activation'(x), in y's memory layout."""
    check_activation(activation, slope)
    dx = empty_like(y)
    dy, y, flat = _flat(dy, y, dx)

    def body(chunk: slice) -> None:
        slope_times(dy[chunk], y[chunk], activation, slope, out=flat[chunk])

    _for_chunks(flat.size, body)
    return dx


def activate_in_place(x: np.ndarray, activation: str | None, slope: float) -> None:
    """Overwrite x, a chunk of at most a few megabytes, with its activation."""
    _activate(x, activation, slope, out=x)


def finisher(bias: np.ndarray | None, activation: str | None, slope: float) -> Finish:
    """What a convolution does to a tile (rows, channels) of its result while that is still in the cache."""

    def finish(out: np.ndarray) -> None:
        if bias is not None:
            add_to_rows(out, bias)
        activate_in_place(out, activation, slope)

    return finish


def slope_times(dy: np.ndarray, y: np.ndarray, activation: str | None, slope: float, out: np.ndarray) -> None:
    """out = dy * activation'(x) for one chunk; out may be dy itself."""
    factor = scratch("activation", y.shape, y.dtype) if out is dy else out
    if activation == "relu":
        np.greater(y, 0, out=factor)
    elif activation == "leaky_relu":
        np.greater(y, 0, out=factor)
        if slope <= 1:
            np.maximum(factor, constant_like(factor, slope), out=factor)
        else:
            factor *= 1 - slope
            factor += slope
    elif activation == "tanh":
        np.multiply(y, y, out=factor)
        np.subtract(1, factor, out=factor)
    elif activation == "sigmoid":
        np.multiply(y, y, out=factor)
        np.subtract(y, factor, out=factor)
    np.multiply(dy, factor, out=out)


def check_activation(activation: str | None, slope: float) -> None:
    if activation is not None and activation not in ACTIVATIONS:
        raise ValueError(f"activation: expected None or one of {ACTIVATIONS}, got {activation!r}")
    if activation == "leaky_relu" and not slope >= 0:
        raise ValueError(f"slope: expected at least 0, for the sign of y must be that of x, got {slope}")


def _activate(x: np.ndarray, activation: str | None, slope: float, out: np.ndarray) -> None:
    if activation == "relu":
        np.maximum(x, constant_like(x, 0), out=out)
    elif activation == "leaky_relu":
        scaled = np.multiply(x, slope, out=scratch("activation", x.shape, x.dtype))
        (np.maximum if slope <= 1 else np.minimum)(x, scaled, out=out)
    elif activation == "tanh":
        np.tanh(x, out=out)
    elif activation == "sigmoid":
        np.negative(x, out=out)
        with np.errstate(over="ignore"):  # 1 / inf = 0 is right
            np.exp(out, out=out)
        np.add(out, 1, out=out)
        np.divide(1, out, out=out)


def _flat(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """The arrays as vectors in the last one's memory order; copies of those whose order differs."""
    like = arrays[-1]
    order = memory_order(like)
    return tuple(array.transpose(order).reshape(-1) for array in arrays)


def _for_chunks(size: int, body: Callable[[slice], None]) -> None:
    parallel_for(-(-size // _CHUNK), lambda i: body(slice(i * _CHUNK, min((i + 1) * _CHUNK, size))))
