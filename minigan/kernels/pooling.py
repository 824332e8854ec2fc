"""Max-pooling, rows first, then columns.

    y[oy,ox] = max over ky, kx of x[oy*s - p + ky, ox*s - p + kx]        outside of x stands -infinity

This is separable: the maximum of kh whole rows comes first, in long runs of memory, then that of kw columns.
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
    (kh, kw), (sh, sw) = kernel_size, window.stride
    OH, OW = window.places(x.shape[2:], kernel_size)
    x = channels_last(x)
    N, _, _, C = x.shape
    y = empty((N, OH, OW, C), x.dtype)

    def body(n: slice) -> None:
        part = bordered(x[n], window.padding, -np.inf)
        rows = scratch("rows", (part.shape[0], OH, part.shape[2], C), x.dtype)
        _maximum([part[:, ky : ky + (OH - 1) * sh + 1 : sh] for ky in range(kh)], rows)
        _maximum([rows[:, :, kx : kx + (OW - 1) * sw + 1 : sw] for kx in range(kw)], y[n])

    _for_images(x, body)
    return channels_first(y)


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


def _maximum(parts: list[Array], out: Array) -> None:
    if len(parts) == 1:
        out[...] = parts[0]
        return
    np.maximum(parts[0], parts[1], out=out)
    for part in parts[2:]:
        np.maximum(out, part, out=out)


def _for_images(x: Array, body: Callable[[slice], None]) -> None:
    """Tiles of whole images; two at least, for two threads."""
    N = len(x)
    n = max(1, min(_TILE // max(1, x[:1].size), N if x.size < _ALONE else -(-N // 2)))
    for_each(cut(N, -(-N // n)), body)
