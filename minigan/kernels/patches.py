"""im2col, one tile at a time.

A convolution is a matrix product once every output pixel has its patch of the input as a row:

    columns[(n, q, u), (i, j, c)] = x[n, row(q, i), column(u, j), c]      y = columns @ w

The whole matrix is kh*kw times the image and would stream through memory; a tile of it, some megabytes in a
worker's scratch, is written, multiplied and forgotten inside the cache. Where the patches already lie in
memory as a matrix (1x1 kernels, kernels as large as the image) nothing is copied.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from minigan.kernels.layout import cropped
from minigan.kernels.pool import get_num_threads
from minigan.kernels.scratch import Array, scratch

_TILE_BYTES = 1 << 22  # more than the second-level cache holds: between two calls threads wait for each other
_LONG_RUN = 12  # numbers: then the strides of shorter runs across the image cost more
_MIN_ROWS, _MAX_ROWS = 256, 1 << 15


class Axis(NamedTuple):
    """Along one axis, tap t of output q reads input start + q*stride + t*step; outside of it are zeros."""

    start: int
    stride: int
    step: int
    taps: int

    def reach(self, q0: int, q1: int) -> tuple[int, int]:
        """The half-open range of inputs that outputs q0 ... q1 - 1 read."""
        return self.start + q0 * self.stride, self.start + (q1 - 1) * self.stride + (self.taps - 1) * self.step + 1


class Tile(NamedTuple):
    """Images n0 ... n1 - 1, output rows q0 ... q1 - 1; several images only if every row is in."""

    n0: int
    n1: int
    q0: int
    q1: int


def tiles(N: int, OH: int, OW: int, K: int, itemsize: int) -> list[Tile]:
    """Cut N images of OH x OW output pixels, each a row of K numbers, into tiles that fit the scratch."""
    rows = min(max(_TILE_BYTES // (K * itemsize), _MIN_ROWS), _MAX_ROWS)
    threads = get_num_threads()
    if rows < OH * OW or threads > N:
        return bands(0, N, OH, OW, min(rows, max(N * OH * OW // threads, 64)))
    rounds = -(-N * OH * OW // (rows * threads))
    n_tiles = min(rounds * threads, N)  # as many for one thread as for another
    return [Tile(N * i // n_tiles, N * (i + 1) // n_tiles, 0, OH) for i in range(n_tiles)]


def bands(n0: int, n1: int, OH: int, OW: int, rows: int) -> list[Tile]:
    """Tiles of one image each, or of a part of it, with at most so many rows where OW allows."""
    n_bands = -(-OH // max(rows // OW, 1))
    cuts = [OH * band // n_bands for band in range(n_bands + 1)]
    return [Tile(n, n + 1, q0, q1) for n in range(n0, n1) for q0, q1 in pairwise(cuts)]


def patches(x: Array, tile: Tile, OW: int, vertical: Axis, horizontal: Axis) -> Array:
    """The tile's columns (n * rows * OW, taps * taps * C) of x (N, H, W, C), as a matrix that BLAS accepts.

    It may be a view of x, or live in this thread's scratch until the next call.
    """
    _, H, W, C = x.shape
    n0, n1, q0, q1 = tile
    top, bottom = vertical.reach(q0, q1)
    left, right = horizontal.reach(0, OW)
    if top >= 0 and bottom <= H and left >= 0 and right <= W:
        source, origin = x, ((n0 * H + top) * W + left) * C
    else:
        source, origin = cropped(x[n0:n1], (top, bottom), (left, right)), 0
        _, H, W, _ = source.shape
    pixel = C * x.itemsize
    line = W * pixel
    places, place_strides = (n1 - n0, q1 - q0, OW), (H * line, vertical.stride * line, horizontal.stride * pixel)
    taps, tap_strides = (vertical.taps, horizontal.taps, C), (vertical.step * line, horizontal.step * pixel, x.itemsize)
    offset, rows, K = origin * x.itemsize, math.prod(places), math.prod(taps)
    row_stride, column_stride = _joined(places, place_strides), _joined(taps, tap_strides)
    if column_stride == x.itemsize and row_stride is not None and row_stride >= K * x.itemsize:
        return np.ndarray((rows, K), x.dtype, source.data, offset, (row_stride, column_stride))
    view = np.ndarray(places + taps, x.dtype, source.data, offset, place_strides + tap_strides)
    run = C * horizontal.taps if horizontal.step == 1 else C
    if run >= min(OW, _LONG_RUN):  # numpy copies run by run, so a long run goes last
        columns = scratch("columns", places + taps, x.dtype)
        columns[...] = view
        return columns.reshape(rows, K)
    columns = scratch("columns", taps + places, x.dtype)
    columns[...] = view.transpose(3, 4, 5, 0, 1, 2)
    return columns.reshape(K, rows).T


def _joined(shape: tuple[int, ...], strides: tuple[int, ...]) -> int | None:
    """The stride of these axes taken as one, or None if they do not lie evenly in memory."""
    joined, size = strides[-1], 1
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length > 1:
            if size == 1:
                joined = stride
            elif stride != joined * size:
                return None
            size *= length
    return joined
