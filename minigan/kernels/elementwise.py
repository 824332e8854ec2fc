"""Activations and their slopes: each once, for a small layer, a tile in the cache, or an array in chunks.

`forward(x, out)` writes y = f(x) to out, which may be x. `backward(dy, y, out)` gives dy f'(x), read off y:

    relu        y = max(x, 0)                   dx = dy [y > 0]
    leaky_relu  y = max(x, a x)   (a <= 1)      dx = dy max([y > 0], a)
    elu         y = max(x, e^min(x, 0) - 1)     dx = dy (min(y, 0) + 1)       right because e^x - 1 >= x
    tanh        y = tanh(x)                     dx = dy (1 - y^2)
    sigmoid     y = 1 / (1 + exp(-x))           dx = dy (1 - y) y

np.where would cost several times what the maximum of two arrays costs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from minigan.kernels.layout import add_to_rows
from minigan.kernels.pool import chunks, for_each
from minigan.kernels.scratch import Array, constant_like, empty_like, memory_order, scratch
from minigan.primitives.elementwise import elu, leaky_relu, relu, sigmoid, tanh

Finish = Callable[[Array], None]

_SMALL = 1 << 12  # numbers: up to here a call costs more than its arithmetic
_CHUNK = 1 << 18  # numbers; of fewer, two threads spend much of their time waiting for each other between calls

_ZERO, _ONE = ({c: np.array(value, c) for c in "efdg"} for value in (0, 1))  # a small layer takes numbers more slowly


class Activation(NamedTuple):
    """An activation: forward(x, out) -> out, backward(dy, y, out) -> out, or a new array where out is None."""

    forward: Callable[[Array, Array], Array]
    backward: Callable[..., Array]


@cache
def activation(f: Callable[..., Any], *settings: float) -> Activation | None:
    """How f with these settings is computed here, or None where only the definition is right."""
    if f is leaky_relu:
        (a,) = settings or (0.01,)
        if not a > 0:  # 0 * inf; or y > 0 on both sides
            return None
        return Activation(
            lambda x, out: _leaky_relu(x, out, a), lambda dy, y, out=None: _leaky_relu_backward(dy, y, out, a)
        )
    if f is elu and settings not in ((), (1.0,)):
        return None
    return _OTHERS.get(f)


def apply(x: Array, f: Activation) -> Array:
    """y = f(x), in x's memory layout, chunk by chunk."""
    y = empty_like(x)
    x, flat = _flat(x, y)
    for_each(chunks(flat.size, _CHUNK), lambda chunk: f.forward(x[chunk], flat[chunk]))
    return y


def times_slope(dy: Array, y: Array, f: Activation) -> Array:
    """dy f'(x), in y's memory layout, chunk by chunk."""
    dx = empty_like(y)
    dy, y, flat = _flat(dy, y, dx)
    for_each(chunks(flat.size, _CHUNK), lambda chunk: f.backward(dy[chunk], y[chunk], flat[chunk]))
    return dx


def finisher(bias: Array | None, f: Activation | None) -> Finish:
    """What a convolution does to a tile (rows, channels) of its result while that is still in the cache."""

    def finish(out: Array) -> None:
        if bias is not None:
            add_to_rows(out, bias)
        if f is not None:
            f.forward(out, out)

    return finish


def _relu(x: Array, out: Array) -> Array:
    return np.maximum(x, _repeated(0.0, x), out=out)


def _relu_backward(dy: Array, y: Array, out: Array | None = None) -> Array:
    slope = np.greater(y, 0, out=np.empty_like(y) if out is None else out)
    slope *= dy
    return slope


def _leaky_relu(x: Array, out: Array, a: float) -> Array:
    if x.flags.c_contiguous:
        scaled = scratch("activation", x.shape, x.dtype)
    else:
        scaled = scratch("activation", x.shape[::-1], x.dtype).T
    np.multiply(x, a, out=scaled)
    return (np.maximum if a <= 1.0 else np.minimum)(x, scaled, out=out)


def _leaky_relu_backward(dy: Array, y: Array, out: Array | None, a: float) -> Array:
    slope = np.greater(y, 0, out=np.empty_like(y) if out is None else out)
    if a <= 1.0:
        np.maximum(slope, _repeated(a, y), out=slope)
    else:
        slope *= 1.0 - a
        slope += a
    slope *= dy
    return slope


def _elu(x: Array, out: Array) -> Array:
    negative = np.minimum(x, _ZERO[x.dtype.char])
    np.expm1(negative, out=negative)
    return np.maximum(x, negative, out=out)


def _elu_backward(dy: Array, y: Array, out: Array | None = None) -> Array:
    slope = np.minimum(y, _ZERO[y.dtype.char], out=out)
    slope += _ONE[y.dtype.char]
    slope *= dy
    return slope


def _sigmoid(x: Array, out: Array) -> Array:
    np.negative(x, out=out)
    with np.errstate(over="ignore"):  # 1 / inf = 0 is right
        np.exp(out, out=out)
    out += _ONE[x.dtype.char]
    return np.reciprocal(out, out=out)


def _sigmoid_backward(dy: Array, y: Array, out: Array | None = None) -> Array:
    if out is None:
        slope = _ONE[y.dtype.char] - y
        slope *= y
    else:  # the same, rounded otherwise
        slope = np.multiply(y, y, out=out)
        np.subtract(y, slope, out=slope)
    slope *= dy
    return slope


def _tanh_backward(dy: Array, y: Array, out: Array | None = None) -> Array:
    slope = np.multiply(y, y, out=out)
    np.subtract(1.0, slope, out=slope)
    slope *= dy
    return slope


_OTHERS = {
    relu: Activation(_relu, _relu_backward),
    elu: Activation(_elu, _elu_backward),
    sigmoid: Activation(_sigmoid, _sigmoid_backward),
    tanh: Activation(np.tanh, _tanh_backward),
}


def _repeated(value: float, like: Array) -> float | Array:
    """A large array's second operand in np.maximum: an array of one number is compared three times as fast as it."""
    return value if like.size <= _SMALL else constant_like(like, value)


def _flat(*arrays: Array) -> tuple[Array, ...]:
    """The arrays as vectors in the last one's memory order; copies of those whose order differs."""
    like = arrays[-1]
    order = memory_order(like)
    return tuple(array.transpose(order).reshape(-1) for array in arrays)
