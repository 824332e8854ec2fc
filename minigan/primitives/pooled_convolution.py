"""A convolution, the largest of each 2x2 window, and an activation, as one step where a kernel has them all.

    y = f(max_pool2d(conv2d(x, w) + b, 2))

It is what conv2d and max_pool2d compute one after the other, and without the kernel that is how it runs. The kernel
does not hand out the large array between the two. What their derivatives need of it is which tap of each window was
the largest: forwards this goes into a record, `Won`, that lies among the arguments, and the derivative finds it there.
The taps are whole numbers, constants to any derivative, so the derivative is linear in dy and in x or w:

    dz = _spread(dy f'(y), taps)         dx, dw, db: those of a convolution, from dz

Read next: normalization.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigan import kernels
from minigan.arrays import Array
from minigan.autodiff import defvjp_joint, primitive, stop_gradient
from minigan.kernels import pooled_convolution as pooled
from minigan.primitives.convolution import Pair, Vjp, Window, conv2d_activation, conv2d_wrt, pair
from minigan.primitives.elementwise import Activation, for_kernels, times_slope
from minigan.primitives.pooling import _pick, _spread, _taps, max_pool2d

_TWO = (2, 2)
_WINDOW = Window(_TWO, (0, 0), (1, 1))


class Won:
    """Which z was the largest of its window: as the kernel notes it, or as taps 0 ... 3 in the shape of y."""

    def __init__(self) -> None:
        self.bits: np.ndarray | None = None
        self.taps: Array | None = None

    def as_taps(self, shape: Sequence[int]) -> Array:
        """The taps of y of this shape."""
        return self.taps if self.bits is None else pooled.taps(self.bits, shape)


def conv2d_max_pool2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    activation: Activation | None,
    window: Window,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
) -> Array:
    """f(max_pool2d(conv2d(x, w) + b)), for an f that only rises: what is largest before it is largest behind it.

    Args:
        x, weight, bias: (N, C, H, W), (O, C, kh, kw), (O,) or None.
        activation: f, or None.
        window: the convolution's.
        kernel_size, stride, padding: the pooling's, as for max_pool2d.
    """
    halves = pair("kernel_size", kernel_size, 1) == _TWO and stride in (None, 2, _TWO) and padding in (0, (0, 0))
    if halves and _has_kernel(stop_gradient(x), stop_gradient(weight), stop_gradient(bias), activation, window):
        return _conv2d_halved(x, weight, bias, activation, window, Won())
    y = max_pool2d(conv2d_activation(x, weight, bias, None, window), kernel_size, stride, padding)
    return y if activation is None else activation.f(y, *activation.args)


def _has_kernel(x: Array, weight: Array, bias: Array | None, activation: Activation | None, window: Window) -> bool:
    if not kernels.takes(x, weight, *(() if bias is None else (bias,))):
        return False
    named = for_kernels(activation)
    return named is not None and pooled.takes(x.shape, weight.shape, *window, *named)


def _for_kernel(activation: Activation | None, window: Window) -> tuple[Any, ...]:
    """How the kernel calls them."""
    return window.padding, *(for_kernels(activation) or (None,))


@primitive
def _conv2d_halved(
    x: Array, weight: Array, bias: Array | None, activation: Activation | None, window: Window, won: Won
) -> Array:
    y, won.bits = pooled.conv2d_max_pool2d(x, weight, bias, *_for_kernel(activation, window))
    if won.bits is not None:
        return y
    z = conv2d_activation(x, weight, bias, None, window)  # NaN or infinity
    won.taps = _taps(z, _TWO, _WINDOW, y.shape[2:])
    y = _pick(z, won.taps, _TWO, _WINDOW, y.shape[2:])
    return y if activation is None else activation.f(y, *activation.args)


def _conv2d_halved_vjp(
    argnums: Sequence[int],
    y: Array,
    x: Array,
    weight: Array,
    bias: Array | None,
    activation: Activation | None,
    window: Window,
    won: Won,
) -> Vjp:
    wrt = conv2d_wrt(argnums, x, weight, window)
    places = window.places(x.shape[2:], weight.shape[2:])

    def vjp(dy: Array) -> tuple[Array, ...]:
        if won.bits is not None and kernels.takes(dy, x, weight):
            return pooled.gradients(argnums, dy, won.bits, x, weight, *_for_kernel(activation, window))
        return wrt(_spread(times_slope(dy, y, activation), won.as_taps(y.shape), _TWO, _WINDOW, places))

    return vjp


defvjp_joint(_conv2d_halved, _conv2d_halved_vjp)
