"""Max and average pooling, rows first, then columns.

    max    y[oy,ox] = max over ky, kx of x[oy*s - p + ky, ox*s - p + kx]     outside of x stands -infinity
    avg    y[oy,ox] = sum over the same / (kh kw)                            outside of x stands 0 and counts

Both are separable: kh whole rows are combined first, in long runs of memory, then kw columns of what is left.
Where several pixels of a window share the maximum, the gradient goes to the first in row-major order, as in
PyTorch. Tap by tap in that order, with `left` what no tap has taken yet, dy at first and all gone at last:

    share = left [x[tap] = y]          left = left - share          dx[tap] += share

Tiles are large, for between two calls of numpy the threads wait for each other at the interpreter lock.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigan.kernels.layout import bordered, channels_first, channels_last
from minigan.kernels.pool import cut, for_each
from minigan.kernels.scratch import Array, empty, scratch
from minigan.primitives.convolution import Pair, Window

_TILE = 1 << 20  # elements
_ALONE = 1 << 17  # elements: below, one thread is done before two have started


def max_pool2d(x: Array, kernel_size: Pair, window: Window) -> Array:
    """(N, C, H, W) -> (N, C, OH, OW)."""
    return _pool(x, kernel_size, window, np.maximum, -np.inf)


def max_pool2d_backward(dy: Array, x: Array, y: Array, kernel_size: Pair, window: Window) -> Array:
    """dx, with y the forward's result."""
    (kh, kw), (sh, sw), padding = kernel_size, window.stride, window.padding
    (H, W), (OH, OW), (ph, pw) = x.shape[2:], y.shape[2:], padding
    x, y, dy = channels_last(x), channels_last(y), channels_last(dy)
    dx = empty(x.shape, x.dtype)
    disjoint = kh <= sh and kw <= sw

    def body(n: slice) -> None:
        part = bordered(x[n], padding, -np.inf)
        grad = dx[n] if padding == (0, 0) else scratch("bordered dx", part.shape, x.dtype)
        if not disjoint or (OH * kh, OW * kw) != part.shape[1:3]:
            grad[...] = 0
        top, left = y[n], dy[n]
        share, rest = scratch("share", top.shape, x.dtype), scratch("left", top.shape, x.dtype)
        for ky, kx, (lines, columns) in window.slices((kh, kw), (OH, OW)):
            tap = slice(None), lines, columns
            if (ky, kx) == (kh - 1, kw - 1):
                share = left  # the last takes what is left
            else:
                np.equal(part[tap], top, out=share)
                share *= left
                left = np.subtract(left, share, out=rest)
            if disjoint:
                grad[tap] = share
            else:
                grad[tap] += share
        if padding != (0, 0):
            dx[n] = grad[:, ph : ph + H, pw : pw + W]

    _for_images(x, body)
    return channels_first(dx)


def avg_pool2d(x: Array, kernel_size: Pair, window: Window) -> Array:
    """(N, C, H, W) -> (N, C, OH, OW)."""
    return _pool(x, kernel_size, window, np.add, 0, 1 / (kernel_size[0] * kernel_size[1]))


def avg_pool2d_backward(dy: Array, input_size: Pair, kernel_size: Pair, window: Window) -> Array:
    """dx (N, C, H, W) with (H, W) = input_size."""
    (kh, kw), (sh, sw), padding = kernel_size, window.stride, window.padding
    (H, W), (ph, pw) = input_size, padding
    dy = channels_last(dy)
    N, OH, OW, C = dy.shape
    dx = empty((N, H, W, C), dy.dtype)

    def body(n: slice) -> None:
        images = dx[n].shape[0]
        share = scratch("share", (images, OH, OW, C), dy.dtype)
        np.multiply(dy[n], 1 / (kh * kw), out=share)
        rows = scratch("rows", (images, OH, W + 2 * pw, C), dy.dtype)
        rows[...] = 0
        for kx in range(kw):
            rows[:, :, kx : kx + (OW - 1) * sw + 1 : sw] += share
        grad = dx[n] if padding == (0, 0) else scratch("bordered dx", (images, H + 2 * ph, W + 2 * pw, C), dy.dtype)
        grad[...] = 0
        for ky in range(kh):
            grad[:, ky : ky + (OH - 1) * sh + 1 : sh] += rows
        if padding != (0, 0):
            dx[n] = grad[:, ph : ph + H, pw : pw + W]

    _for_images(dx, body)
    return channels_first(dx)


def _pool(
    x: Array, kernel_size: Pair, window: Window, combine: np.ufunc, border: float, scale: float | None = None
) -> Array:
    (kh, kw), (sh, sw), padding = kernel_size, window.stride, window.padding
    N, C, H, W = x.shape
    OH, OW = window.places((H, W), kernel_size)
    x = channels_last(x)
    y = empty((N, OH, OW, C), x.dtype)

    def body(n: slice) -> None:
        part = bordered(x[n], padding, border)
        rows = scratch("rows", (part.shape[0], OH, part.shape[2], C), x.dtype)
        _combine([part[:, ky : ky + (OH - 1) * sh + 1 : sh] for ky in range(kh)], combine, rows)
        _combine([rows[:, :, kx : kx + (OW - 1) * sw + 1 : sw] for kx in range(kw)], combine, y[n])
        if scale is not None:
            y[n] *= scale

    _for_images(x, body)
    return channels_first(y)


def _combine(parts: list[Array], combine: np.ufunc, out: Array) -> None:
    if len(parts) == 1:
        out[...] = parts[0]
        return
    combine(parts[0], parts[1], out=out)
    for part in parts[2:]:
        combine(out, part, out=out)


def _for_images(x: Array, body: Callable[[slice], None]) -> None:
    """Tiles of whole images; two at least, for two threads."""
    N = len(x)
    n = max(1, min(_TILE // max(1, x[:1].size), N if x.size < _ALONE else -(-N // 2)))
    for_each(cut(N, -(-N // n)), body)
