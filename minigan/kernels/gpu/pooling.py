"""Max pooling's three steps as a launch each: which tap of a window is the largest, pick it, spread numbers back.

They are those of primitives/pooling.py, where they take im2col and several passes over its result.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.kernels.gpu.convolution import Pair, Window
from minigan.kernels.gpu.launch import Array, launch


def max_taps(xp: Any, x: Array, kernel: Pair, window: Window, places: Pair) -> Array:
    """(N, C, H, W) -> (N, C, *places), int32: the first of the largest taps of each window, 0 ... kh*kw - 1."""
    taps = xp.empty((*x.shape[:2], *places), np.int32)
    launch(xp, "max_taps", taps.size, (x,), (taps,), *x.shape[2:], *kernel, *places, *window[0], *window[1])
    return taps


def pick(xp: Any, x: Array, taps: Array, kernel: Pair, window: Window) -> Array:
    """The number at tap taps[n, c, i, j] of each window: (N, C, H, W) -> (N, C, OH, OW)."""
    y = xp.empty(taps.shape, x.dtype)
    launch(xp, "pick", y.size, (x, _short(taps)), (y,), *x.shape[2:], *kernel, *taps.shape[2:], *window[0], *window[1])
    return y


def spread(xp: Any, dy: Array, taps: Array, kernel: Pair, window: Window, size: Pair) -> Array:
    """Each number added where pick would have taken it: (N, C, OH, OW) -> (N, C, *size)."""
    dx = xp.empty((*dy.shape[:2], *size), dy.dtype)
    launch(xp, "spread", dx.size, (dy, _short(taps)), (dx,), *size, *kernel, *dy.shape[2:], *window[0], *window[1])
    return dx


def _short(taps: Array) -> Array:
    """Taps as the kernels read them; the plain code's have 64 bits."""
    return taps.astype(np.int32, copy=False)
