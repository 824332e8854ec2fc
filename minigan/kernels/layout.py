"""NCHW outside, NHWC inside.

Callers see PyTorch's shape (N, C, H, W). The memory holds (N, H, W, C): a pixel's channels are neighbours, so
a patch of the image is a few long runs that copy fast, and a batch of pixels is a matrix that BLAS takes as
it is. Axes of size 1 carry arbitrary strides, so kernels compute strides from shapes and never read them off
an array.
"""

from __future__ import annotations

import math

from minigan.kernels.pool import cut, for_each, get_num_threads
from minigan.kernels.scratch import Array, empty, scratch
from minigan.primitives.convolution import Pair

_PARALLEL = 1 << 16  # elements: below, one thread copies faster than two wake up
_WIDTH = 1024


def channels_last(x: Array) -> Array:
    """(N, C, H, W) -> (N, H, W, C), C-contiguous; copied only where the memory is not already so."""
    inside = x.transpose(0, 2, 3, 1)
    if inside.flags.c_contiguous:
        return inside
    copy = empty(inside.shape, inside.dtype)

    def body(n: slice) -> None:
        copy[n] = inside[n]

    for_each(cut(len(x), 1 if x.size < _PARALLEL else min(len(x), 2 * get_num_threads())), body)
    return copy


def channels_first(x: Array) -> Array:
    """(N, H, W, C) -> its (N, C, H, W) view."""
    return x.transpose(0, 3, 1, 2)


def cropped(x: Array, lines: tuple[int, int], columns: tuple[int, int], value: float = 0.0) -> Array:
    """Lines and columns (first, behind the last) of x (n, H, W, C), `value` outside of x; in this thread's scratch."""
    (n, H, W, C), (top, bottom), (left, right) = x.shape, lines, columns
    crop = scratch("cropped", (n, bottom - top, right - left, C), x.dtype)
    y0, y1 = _overlap(top, bottom, H)
    x0, x1 = _overlap(left, right, W)
    crop[:, : y0 - top] = value
    crop[:, y1 - top :] = value
    crop[:, y0 - top : y1 - top, : x0 - left] = value
    crop[:, y0 - top : y1 - top, x1 - left :] = value
    crop[:, y0 - top : y1 - top, x0 - left : x1 - left] = x[:, y0:y1, x0:x1]
    return crop


def bordered(x: Array, padding: Pair, value: float) -> Array:
    """x (n, H, W, C) inside a border of one value; x itself where there is none."""
    (_, H, W, _), (ph, pw) = x.shape, padding
    return cropped(x, (-ph, H + ph), (-pw, W + pw), value) if padding != (0, 0) else x


def _overlap(low: int, high: int, size: int) -> tuple[int, int]:
    """The part of range(low, high) that lies in range(size); empty parts stay within low and high."""
    first = min(max(0, low), high)
    return first, max(min(size, high), first)


def add_to_rows(x: Array, b: Array) -> None:
    """x[row, c] += b[c] in place, for contiguous x (rows, C).

    numpy works row by row and a row costs it about as much as fifty numbers, so g rows are laid end to end.
    """
    rows, C = x.shape
    g = math.gcd(rows, 1 << (_WIDTH // C).bit_length() >> 1) if C <= _WIDTH else 1
    wide = x.reshape(rows // g, g * C)
    wide += b if g == 1 else b[None].repeat(g, axis=0).reshape(-1)
