"""NCHW outside, NHWC inside.

Callers see PyTorch's shape (N, C, H, W). The memory holds (N, H, W, C): a pixel's channels are neighbours, so
a patch of the image is a few long runs that copy fast, and a batch of pixels is a matrix that BLAS takes as
it is. Axes of size 1 carry arbitrary strides, so kernels compute strides from shapes and never read them off
an array.
"""

from __future__ import annotations

import math

from minigan.kernels.pool import cut, for_each, get_num_threads
from minigan.kernels.scratch import Array, empty

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


def add_to_rows(x: Array, b: Array) -> None:
    """x[row, c] += b[c] in place, for contiguous x (rows, C).

    numpy works row by row and a row costs it about as much as fifty numbers, so g rows are laid end to end.
    """
    rows, C = x.shape
    g = math.gcd(rows, 1 << (_WIDTH // C).bit_length() >> 1) if C <= _WIDTH else 1
    wide = x.reshape(rows // g, g * C)
    wide += b if g == 1 else b[None].repeat(g, axis=0).reshape(-1)
