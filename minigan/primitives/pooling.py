"""Pooling and resampling: one number for each window, and the way back.

    max_pool2d     the largest of a window        dx: dy goes to the place it was taken from
    avg_pool2d     the mean of a window           dx: dy is shared out evenly
    upsample       each pixel s*s times           dx: the sum over its copies

Max pooling is two steps. `_taps` finds for each window which of its kh*kw taps is the largest (the first of several
equals, as in PyTorch), once, as whole numbers; `_pick` takes those. Picking is linear, its adjoint `_spread` puts
numbers back where they were picked, and the two are each other's derivative: second derivatives need nothing new.

Windows are those of convolution.py, and so are the loops over taps. Read next: pooled_convolution.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minigan import kernels
from minigan.arrays import Array, array_module
from minigan.autodiff import defvjp, primitive, stop_gradient
from minigan.kernels import gpu, pooling
from minigan.primitives.convolution import Pair, Window, col2im, im2col, pair
from minigan.primitives.shaping import broadcast_to, put, reshape


def max_pool2d(x: Array, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> Array:
    """The largest number of each window.

    Args:
        x: (N, C, H, W).
        kernel_size, stride, padding: a number or a pair (vertical, horizontal). stride is kernel_size if None;
            padding at most half of kernel_size. What is padded never wins.

    Returns:
        (N, C, OH, OW) with OH = (H + 2 p - k) // s + 1, OW likewise.

    Raises:
        ValueError: if the window does not fit.
    """
    kernel, window, places = _pool_window("max_pool2d", x, kernel_size, stride, padding)
    return _max_pool2d(x, kernel, window, places)


def avg_pool2d(x: Array, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> Array:
    """The mean of each window; what is padded counts as 0, as PyTorch does by default. Arguments as for max_pool2d."""
    kernel, window, places = _pool_window("avg_pool2d", x, kernel_size, stride, padding)
    return _avg_pool2d(x, kernel, window, places)


def upsample(x: Array, scale_factor: int = 2) -> Array:
    """Each pixel scale_factor times in both directions (nearest neighbour): (N, C, H, W) -> (N, C, s H, s W)."""
    s = scale_factor
    if s < 1:
        raise ValueError(f"upsample: expected scale_factor >= 1, got {s}")
    N, C, H, W = x.shape
    copies = broadcast_to(reshape(x, (N, C, H, 1, W, 1)), (N, C, H, s, W, s))
    return reshape(copies, (N, C, H * s, W * s))  # (N, C, H, s, W, s) -> (N, C, H*s, W*s)


def pad(x: Array, padding: Sequence[int]) -> Array:
    """Zeros around the last axes: (left, right) or (left, right, top, bottom), as torch.nn.functional.pad has it."""
    if len(padding) not in (2, 4) or min(padding) < 0:
        raise ValueError(
            f"pad: expected (left, right) or (left, right, top, bottom), none negative, got {tuple(padding)}"
        )
    shape, at = list(x.shape), [slice(None)] * x.ndim
    for axis, (before, after) in enumerate(zip(padding[::2], padding[1::2], strict=True)):
        at[-1 - axis] = slice(before, before + shape[-1 - axis])
        shape[-1 - axis] += before + after
    return put(x, tuple(at), tuple(shape))


@primitive
def _max_pool2d(x: Array, kernel: Pair, window: Window, places: Pair) -> Array:
    if kernels.takes(x):
        return pooling.max_pool2d(x, kernel, window.stride, window.padding)
    return _pick(x, _taps(x, kernel, window, places), kernel, window, places)


def _max_pool2d_vjp(y: Array, x: Array, kernel: Pair, window: Window, places: Pair) -> Callable[[Array], Array]:
    size = x.shape[2:]

    def vjp(dy: Array) -> Array:
        if kernels.takes(dy, x, y) and np.isfinite(y.sum()):  # the plain code knows what to do with NaN and infinity
            return pooling.max_pool2d_backward(dy, x, y, kernel, window.stride, window.padding)
        return _spread(dy, _taps(stop_gradient(x), kernel, window, places), kernel, window, size)

    return vjp


defvjp(_max_pool2d, _max_pool2d_vjp)


def _taps(x: Array, kernel: Pair, window: Window, places: Pair) -> Array:
    """Which tap of each window is the largest, 0 ... kh*kw - 1: (N, C, H, W) -> (N, C, OH, OW) whole numbers."""
    if kernels.takes_gpu(x):
        return gpu.max_taps(array_module(x), x, kernel, window, places)
    xp, patches = array_module(x), _patches(x, kernel, window, places, float("-inf"))
    largest = (patches == patches.max(axis=2, keepdims=True)) | xp.isnan(patches)  # NaN wins, as in PyTorch
    if window.padding != (0, 0):  # what is padded never wins, not even among -inf
        largest &= _patches(xp.ones_like(x), kernel, window, places, 0.0) > 0.0
    return largest.argmax(axis=2)


@primitive
def _pick(x: Array, taps: Array, kernel: Pair, window: Window, places: Pair) -> Array:
    """The number at tap taps[n, c, i, j] of each window: (N, C, H, W) -> (N, C, OH, OW)."""
    if kernels.takes_gpu(x):
        return gpu.pick(array_module(x), x, taps, kernel, window)
    patches = _patches(x, kernel, window, places, 0.0)
    return array_module(x).take_along_axis(patches, taps[:, :, None], axis=2)[:, :, 0]


@primitive
def _spread(dy: Array, taps: Array, kernel: Pair, window: Window, size: Pair) -> Array:
    """Each number added where _pick would have taken it: (N, C, OH, OW) -> (N, C, H, W)."""
    if kernels.takes_gpu(dy):
        return gpu.spread(array_module(dy), dy, taps, kernel, window, size)
    (N, C, OH, OW), n_taps = dy.shape, kernel[0] * kernel[1]
    numbers = array_module(dy).arange(n_taps).reshape(-1, 1, 1)
    patches = dy[:, :, None] * (taps[:, :, None] == numbers)  # (N, C, kh*kw, OH, OW)
    return col2im(patches.reshape(N, C * n_taps, OH * OW), size, kernel, (OH, OW), window)


def _pick_vjp(y: Array, x: Array, taps: Array, kernel: Pair, window: Window, places: Pair) -> Callable[[Array], Array]:
    size = x.shape[2:]
    return lambda dy: _spread(dy, taps, kernel, window, size)


def _spread_vjp(
    dx: Array, dy: Array, taps: Array, kernel: Pair, window: Window, size: Pair
) -> Callable[[Array], Array]:
    places = dy.shape[2:]
    return lambda g: _pick(g, taps, kernel, window, places)


defvjp(_pick, _pick_vjp)
defvjp(_spread, _spread_vjp)


@primitive
def _avg_pool2d(x: Array, kernel: Pair, window: Window, places: Pair) -> Array:
    if kernels.takes(x):
        return pooling.avg_pool2d(x, kernel, window.stride, window.padding)
    return _patches(x, kernel, window, places, 0.0).mean(axis=2)


@primitive
def _avg_spread(dy: Array, kernel: Pair, window: Window, size: Pair) -> Array:
    """Each number shared out evenly over its window: (N, C, OH, OW) -> (N, C, H, W)."""
    if kernels.takes(dy):
        return pooling.avg_pool2d_backward(dy, size, kernel, window.stride, window.padding)
    (N, C, OH, OW), taps = dy.shape, kernel[0] * kernel[1]
    patches = array_module(dy).repeat((dy * (1.0 / taps))[:, :, None], taps, axis=2)  # (N, C, kh*kw, OH, OW)
    return col2im(patches.reshape(N, C * taps, OH * OW), size, kernel, (OH, OW), window)


def _avg_pool2d_vjp(y: Array, x: Array, kernel: Pair, window: Window, places: Pair) -> Callable[[Array], Array]:
    size = x.shape[2:]
    return lambda dy: _avg_spread(dy, kernel, window, size)


def _avg_spread_vjp(dx: Array, dy: Array, kernel: Pair, window: Window, size: Pair) -> Callable[[Array], Array]:
    places = dy.shape[2:]
    return lambda g: _avg_pool2d(g, kernel, window, places)


defvjp(_avg_pool2d, _avg_pool2d_vjp)
defvjp(_avg_spread, _avg_spread_vjp)


def _patches(x: Array, kernel: Pair, window: Window, places: Pair, border: float) -> Array:
    """(N, C, H, W) -> (N, C, kh*kw, OH, OW): im2col with a border of any value."""
    N, C = x.shape[:2]
    return im2col(x, kernel, places, window, border).reshape(N, C, kernel[0] * kernel[1], *places)


def _pool_window(
    name: str, x: Array, kernel_size: int | Pair, stride: int | Pair | None, padding: int | Pair
) -> tuple[Pair, Window, Pair]:
    if x.ndim != 4:
        raise ValueError(f"{name}: expected x of shape (N, C, H, W), got {x.shape}")
    kernel = pair("kernel_size", kernel_size, 1)
    window = Window(pair("stride", kernel if stride is None else stride, 1), pair("padding", padding, 0), (1, 1))
    if any(2 * p > k for p, k in zip(window.padding, kernel, strict=True)):
        raise ValueError(f"{name}: expected padding of at most half of kernel_size {kernel}, got {window.padding}")
    places = window.places(x.shape[2:], kernel)
    if min(places) < 1:
        raise ValueError(f"{name}: expected x at least as large as the window {kernel}, got {x.shape}")
    return kernel, window, places
