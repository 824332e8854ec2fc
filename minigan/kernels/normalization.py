"""Batch norm (Ioffe & Szegedy 2015, arXiv:1502.03167) in few passes over memory, forward and backward.

For every channel c over its R = N*H*W numbers, with var the biased variance and s = 1 / sqrt(var + eps):

    xhat = s (x - mean)            y = weight xhat + bias = a x + b,   a = weight s,   b = bias - a mean
    dweight = sum dy xhat          dbias = sum dy
    dx = a (dy - dbias/R - xhat dweight/R) = a (dy + e x + f)
                                   e = -s dweight/R,   f = -dbias/R - e mean

All sums are taken over x itself, not over x - mean, which would have to be written down first:

    mean = sum x / R               var = sum x^2 / R - mean^2               sum dy (x - mean) = sum dy x - mean sum dy

Each tile of rows is summed in its own dtype and the tiles in float64, in a fixed order. A mean of many standard
deviations would drown these differences: channels that have one are done again on x - mean (`_drowned`).

A sum is a vector of ones times the matrix, a sum of products is np.einsum, which multiplies and adds in one loop.
Tiles are large, for between two calls of numpy the threads wait for each other at the interpreter lock.

Arrays are (N, C) or (N, C, H, W).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minigan.kernels.elementwise import Activation
from minigan.kernels.layout import channels_first, channels_last
from minigan.kernels.pool import parallel_for
from minigan.kernels.scratch import Array, constant, empty, scratch

_TILE = 1 << 19  # elements of a tile that is summed
_ALONE = 1 << 18  # elements: below, one thread is done before two have started
_SUMMED = 1 << 10  # numbers in a row that is added to the next
_REWRITTEN = 1 << 13  # numbers in a row that is multiplied by a vector: numpy copies shorter vectors first


def channel_sums(x: Array) -> Array:
    """The sum of every channel, (C,)."""
    tiles = _tiles(_rows(x), _SUMMED)
    return _summed((len(tiles), 1, x.shape[1]), lambda k: [_sum(tiles[k])])[0].astype(x.dtype)


def moments(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of every channel, (C,) each."""
    rows = _rows(x)
    mean, var = _moments(rows)
    drowned = _drowned(mean, var)
    if drowned.any():
        center = mean[drowned].astype(x.dtype)
        rest, var[drowned] = _moments(rows.compress(drowned, axis=1) - center)
        mean[drowned] = center + rest
    return mean.astype(x.dtype), var.astype(x.dtype)


def normalize(
    x: Array, weight: Array, bias: Array, mean: Array, var: Array, eps: float, activation: Activation | None
) -> Array:
    """y for a given mean and variance, as in evaluation."""
    rows = _rows(x)
    y = empty(rows.shape, x.dtype)
    exact_a = weight / np.sqrt(var.astype(np.float64) + eps)
    a, b = _repeated(x.dtype, exact_a, bias - exact_a * mean)
    xs, ys = _tiles(rows, _REWRITTEN), _tiles(y, _REWRITTEN)

    def body(k: int) -> None:
        out = ys[k]
        width = out.shape[1]
        np.multiply(xs[k], a[:width], out=out)
        np.add(out, b[:width], out=out)
        if activation is not None:
            activation.forward(out, out)

    parallel_for(len(xs), body)
    return _like(y, x)


def batch_norm_backward(
    dy: Array, x: Array, weight: Array, mean: Array, var: Array, eps: float, y: Array, activation: Activation | None
) -> tuple[Array, Array, Array]:
    """dx, dweight, dbias; y is the forward's result."""
    g, rows = _rows(dy), _rows(x)
    R, C = rows.shape
    dx = empty(rows.shape, x.dtype)
    dz = g if activation is None else dx
    gs, ys, xs, dzs = (_tiles(part, _SUMMED) for part in (g, g if activation is None else _rows(y), rows, dz))

    def sums(k: int) -> list[Array]:
        if activation is not None:
            activation.backward(gs[k], ys[k], dzs[k])
        return [_sum(dzs[k]), np.einsum("rc,rc->c", dzs[k], xs[k])]

    dbias, products = _summed((len(xs), 2, C), sums)
    centered = products - mean * dbias
    drowned = _drowned(mean, var)
    if drowned.any():
        few_dz, few_x = (part.compress(drowned, axis=1) for part in (dz, rows))
        centered[drowned] = np.einsum("rc,rc->c", few_dz, few_x - mean[drowned], dtype=np.float64)
    s = 1 / np.sqrt(var.astype(np.float64) + eps)
    dweight = s * centered
    exact_e = -s * dweight / R
    a, e, f = _repeated(x.dtype, weight * s, exact_e, -dbias / R - exact_e * mean)
    xs, dzs, dxs = (_tiles(part, _REWRITTEN) for part in (rows, dz, dx))

    def body(k: int) -> None:
        out = dxs[k]
        width = out.shape[1]
        affine = out if activation is None else scratch("normalization", out.shape, out.dtype)
        np.multiply(xs[k], e[:width], out=affine)
        np.add(affine, f[:width], out=affine)
        np.add(affine, dzs[k], out=out)
        np.multiply(out, a[:width], out=out)

    parallel_for(len(xs), body)
    return _like(dx, x), dweight.astype(x.dtype), dbias.astype(x.dtype)


def _moments(rows: Array) -> tuple[Array, Array]:
    R, C = rows.shape
    tiles = _tiles(rows, _SUMMED)
    total, squares = _summed((len(tiles), 2, C), lambda k: [_sum(tiles[k]), np.einsum("rc,rc->c", tiles[k], tiles[k])])
    mean = total / R
    return mean, np.maximum(squares / R - mean * mean, 0)


def _drowned(mean: Array, var: Array) -> Array:
    """Which channels have sums over x that cannot be trusted to show what happens around the mean."""
    return mean.astype(np.float64) ** 2 > 4 * var


def _summed(shape: tuple[int, int, int], sums: Callable[[int], list[Array]]) -> Array:
    """What sums(k) says of tile k, (g*C,) each, added up over g and the tiles: (tiles, n, C) -> (n, C)."""
    partial = np.empty(shape)

    def body(k: int) -> None:
        for out, wide in zip(partial[k], sums(k), strict=True):
            np.add.reduce(wide.reshape(-1, shape[2]), axis=0, dtype=partial.dtype, out=out)

    parallel_for(shape[0], body)
    total: Array = partial.sum(axis=0)
    return total


def _sum(tile: Array) -> Array:
    sums: Array = constant(1, len(tile), tile.dtype) @ tile
    return sums


def _rows(x: Array) -> Array:
    """(N, C) or (N, C, H, W) -> contiguous (R, C)."""
    return channels_last(x).reshape(-1, x.shape[1]) if x.ndim == 4 else np.ascontiguousarray(x)


def _like(rows: Array, x: Array) -> Array:
    """(R, C) -> the shape of x."""
    return channels_first(rows.reshape(len(x), *x.shape[2:], x.shape[1])) if x.ndim == 4 else rows


def _tiles(rows: Array, width: int) -> list[Array]:
    """Contiguous (R, C) -> tiles (r, g*C), g rows laid end to end so that they are about as long as the width.

    A tile has a power of two of rows, the last one what is left; there are two at least, for two threads.
    """
    R, C = rows.shape
    step = 1 << max(0, min(_TILE // C, R // 2 if R * C > _ALONE else R)).bit_length() >> 1 or 1
    n = R // step
    g = math.gcd(step, _repeats(C, width))
    tiles = list(rows[: n * step].reshape(n, step // g, g * C))
    if n * step < R:
        g = math.gcd(R - n * step, g)
        tiles.append(rows[n * step :].reshape(-1, g * C))
    return tiles


def _repeats(C: int, width: int) -> int:
    """The smallest power of two that makes C channels at least so wide."""
    return 1 << (-(-width // C) - 1).bit_length()


def _repeated(dtype: np.dtype, *vectors: Array) -> list[Array]:
    """Vectors (C,) as often as the longest row of a tile needs them."""
    return [np.tile(v.astype(dtype), _repeats(len(v), _REWRITTEN)) for v in vectors]
