"""Batch norm (Ioffe & Szegedy 2015, arXiv:1502.03167) in few passes over memory, forward and backward.

For every channel c over its R = N*H*W numbers, with var the biased variance and s = 1 / sqrt(var + eps):

    xhat = s (x - mean)            y = weight xhat + bias = a x + b,   a = weight s,   b = bias - a mean
    dweight = sum dy xhat          dbias = sum dy
    dx = a (dy - dbias/R - xhat dweight/R) = a dy + e x + f

Column sums are a vector of ones times the matrix (BLAS reads memory faster than np.sum does here). Each chunk
of rows gives its own mean and its sum of squared deviations M2 from that mean; chunks are merged in float64
and in a fixed order (Chan, Golub & LeVeque 1979), so a large mean does not drown a small variance:

    mean = sum_k r_k mean_k / R           R var = sum_k M2_k + r_k (mean_k - mean)^2

Arrays are (N, C) or (N, C, H, W).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigan.kernels.elementwise import activate_in_place, check_activation, slope_times
from minigan.kernels.layout import channels_first, channels_last, widened
from minigan.kernels.pool import parallel_for
from minigan.kernels.scratch import constant, empty, scratch

_CHUNK = 1 << 17  # elements


def batch_norm(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    eps: float = 1e-5,
    activation: str | None = None,
    slope: float = 0.01,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y, with the batch's mean and biased variance (C,)."""
    if x.size == 0:
        raise ValueError(f"x: a batch needs numbers to have a mean, got shape {x.shape}")
    mean, var = moments(x)
    return normalize(x, weight, bias, mean, var, eps, activation, slope), mean, var


def channel_sums(x: np.ndarray) -> np.ndarray:
    """The sum of every channel, (C,)."""
    rows = _rows(x)
    sums = np.zeros((_n_chunks(rows.shape), rows.shape[1]), x.dtype)

    def body(chunk: slice, k: int) -> None:
        part = rows[chunk]
        np.matmul(constant(1, len(part), x.dtype), part, out=sums[k])

    _for_numbered_chunks(rows.shape, body)
    total: np.ndarray = sums.sum(axis=0)
    return total


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance of every channel, (C,) each."""
    return _moments(_rows(x))


def normalize(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float = 1e-5,
    activation: str | None = None,
    slope: float = 0.01,
) -> np.ndarray:
    """y for a given mean and variance, as in evaluation."""
    check_activation(activation, slope)
    exact_a = weight / np.sqrt(var.astype(np.float64) + eps)
    a = exact_a.astype(x.dtype)
    b = (bias - exact_a * mean).astype(x.dtype)
    rows = _rows(x)
    y = empty(rows.shape, x.dtype)

    def body(chunk: slice) -> None:
        wide_x, wide_a, wide_b = widened(rows[chunk], a, b)
        out = y[chunk].reshape(wide_x.shape)
        np.multiply(wide_x, wide_a, out=out)
        out += wide_b
        activate_in_place(out, activation, slope)

    _for_chunks(rows.shape, body)
    return _like(y, x)


def batch_norm_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float = 1e-5,
    y: np.ndarray | None = None,
    activation: str | None = None,
    slope: float = 0.01,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dx, dweight, dbias; y is the forward's result, needed if there was an activation."""
    check_activation(activation, slope)
    if activation is not None and y is None:
        raise ValueError(f"y: the slope of {activation} is read off the forward's result, got None")
    g, rows = _rows(dy), _rows(x)
    R, C = rows.shape
    dx = empty(rows.shape, x.dtype)
    sums = np.zeros((_n_chunks(rows.shape), 2, C), x.dtype)
    y_rows = None if y is None or activation is None else _rows(y)
    center = mean.astype(x.dtype)

    def reduce(chunk: slice, k: int) -> None:
        part = g[chunk]
        if y_rows is not None:
            part = dx[chunk]
            slope_times(g[chunk], y_rows[chunk], activation, slope, out=part)
        wide_x, wide_mean = widened(rows[chunk], center)
        product = scratch("normalization", wide_x.shape, x.dtype)
        np.subtract(wide_x, wide_mean, out=product)
        product *= part.reshape(wide_x.shape)
        ones = constant(1, len(part), x.dtype)
        np.matmul(ones, part, out=sums[k, 0])
        np.matmul(ones, product.reshape(-1, C), out=sums[k, 1])

    _for_numbered_chunks(rows.shape, reduce)
    dbias, centered = sums.sum(axis=0, dtype=np.float64)
    s = 1 / np.sqrt(var.astype(np.float64) + eps)
    dweight = s * centered
    exact_a = weight * s
    exact_e = -exact_a * s * dweight / R
    a, e, f = (v.astype(x.dtype) for v in (exact_a, exact_e, -exact_a * dbias / R - exact_e * mean))
    source = g if y_rows is None else dx

    def body(chunk: slice) -> None:
        wide_x, wide_a, wide_e, wide_f = widened(rows[chunk], a, e, f)
        out = dx[chunk].reshape(wide_x.shape)
        np.multiply(source[chunk].reshape(wide_x.shape), wide_a, out=out)
        out += np.multiply(wide_x, wide_e, out=scratch("normalization", wide_x.shape, x.dtype))
        out += wide_f

    _for_chunks(rows.shape, body)
    return _like(dx, x), dweight.astype(x.dtype), dbias.astype(x.dtype)


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    R, C = rows.shape
    n_chunks = _n_chunks(rows.shape)
    counts, means, M2 = np.zeros((n_chunks, 1)), np.zeros((n_chunks, C)), np.zeros((n_chunks, C))

    def body(chunk: slice, k: int) -> None:
        part = rows[chunk]
        ones = constant(1, len(part), rows.dtype)
        mean_k = ones @ part / len(part)
        wide_x, wide_mean = widened(part, mean_k)
        deviations = np.subtract(wide_x, wide_mean, out=scratch("normalization", wide_x.shape, rows.dtype))
        rest = ones @ deviations.reshape(-1, C)  # not zero: mean_k is rounded
        deviations *= deviations
        counts[k] = len(part)
        means[k] = mean_k + rest.astype(np.float64) / len(part)
        M2[k] = ones @ deviations.reshape(-1, C) - rest.astype(np.float64) ** 2 / len(part)

    _for_numbered_chunks(rows.shape, body)
    mean = (counts * means).sum(axis=0) / R
    var = (M2 + counts * (means - mean) ** 2).sum(axis=0) / R
    return mean.astype(rows.dtype), var.astype(rows.dtype)


def _rows(x: np.ndarray) -> np.ndarray:
    """(N, C) or (N, C, H, W) -> contiguous (R, C)."""
    if x.ndim == 4:
        return channels_last(x).reshape(-1, x.shape[1])
    return np.ascontiguousarray(x)


def _like(rows: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(R, C) -> the shape of x."""
    if x.ndim == 4:
        N, C, H, W = x.shape
        return channels_first(rows.reshape(N, H, W, C))
    return rows


def _chunk_rows(shape: tuple[int, ...]) -> int:
    """A power of two, so that chunks widen well."""
    return 1 << max(0, _CHUNK // shape[1]).bit_length() >> 1 or 1


def _n_chunks(shape: tuple[int, ...]) -> int:
    return -(-shape[0] // _chunk_rows(shape))


def _for_numbered_chunks(shape: tuple[int, ...], body: Callable[[slice, int], None]) -> None:
    step = _chunk_rows(shape)
    parallel_for(_n_chunks(shape), lambda k: body(slice(k * step, min((k + 1) * step, shape[0])), k))


def _for_chunks(shape: tuple[int, ...], body: Callable[[slice], None]) -> None:
    _for_numbered_chunks(shape, lambda chunk, k: body(chunk))
