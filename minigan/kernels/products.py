"""Matrix products in pieces that BLAS multiplies where they lie.

OpenBLAS packs both factors of a product into the order its inner loop reads before it multiplies. Where a number is
used only a few hundred times, as in the products of a convolution, that costs a fifth to a half of the time. With
AVX-512 it has a second way, which reads the factors in place, for products of at most 10^6 multiplications. So

    multiply               out (rows, n) = a (rows, k) @ b (k, n)       pieces (m, k) @ (k, 64), b in panels
    multiply_rows          the same for few columns n and long sums     pieces (m, k), which meet all panels in turn
    multiply_transposed    out (m, n) = a (rows, m)^T @ b (rows, n)     pieces of the rows, then summed, or of out
    multiply_stack_transposed   the same for a stack of them            pieces of out

are cut below that size. The columns of a piece lie together, as panels (n/64, k, 64) of b that the first-level cache
can hold; np.matmul takes the pieces as a stack and calls BLAS for each, in C, so their number costs nothing. Other
libraries and other processors get the product whole.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from minigan.kernels.pool import blas_architectures
from minigan.kernels.scratch import Array, empty, scratch

_PIECE = 10**6  # multiplications
_WIDTH = 64  # columns of a panel: four vector registers
_HEIGHT = 64  # rows of a piece, at most
_DEPTH = 896  # numbers k in a sum; longer ones leave too few rows
_ROUND = 8  # rows of a piece are a multiple: the inner loop takes several at a time
_SUMMED = range(48, 513)  # rows of a piece that is summed: fewer cost more than they save, more leave the cache
_FEW = 128  # columns at which a whole product of long sums packs more than it computes
_COLUMNS = 512  # of out in pieces, at most: wide products are no slower whole
_IN_PLACE = {"SkylakeX", "Cooperlake", "SapphireRapids"}  # OpenBLAS's names of the processors with such kernels


@cache
def _cuts() -> bool:
    """Whether pieces are faster than whole products on this machine."""
    return not _IN_PLACE.isdisjoint(blas_architectures())


def panel_width(n: int) -> int:
    """How many columns a panel of a matrix with n columns has: n if it had better stay whole."""
    return _WIDTH if n % _WIDTH == 0 and _cuts() else n


def panels(b: Array) -> Array:
    """(..., k, n) -> (..., n/w, k, w) for `multiply`, w = panel_width(n). Copied only where it is cut into pieces."""
    *stack, k, n = b.shape
    w = panel_width(n)
    view = b.reshape(*stack, k, n // w, w).swapaxes(-3, -2)
    if w > _WIDTH or not _cuts():
        return view
    copy = empty(view.shape, b.dtype)
    copy[...] = view
    return copy


def multiply(a: Array, b: Array, out: Array) -> None:
    """out (..., rows, n) = a (..., rows, k) @ b, given as panels (..., n/w, k, w)."""
    *_, rows, k = a.shape
    *_, q, _, w = b.shape
    stack = out.shape[:-2]
    if w > _WIDTH or not _cuts():
        np.matmul(a[..., None, :, :], b, out=out.reshape(*stack, rows, q, w).swapaxes(-3, -2))
        return
    parts = max(-(-k // _DEPTH), 1)
    depths = [slice(i * k // parts, (i + 1) * k // parts) for i in range(parts)]
    m = max(min(_PIECE * parts // max(k * w, 1), _HEIGHT) // _ROUND, 1) * _ROUND
    whole = rows // m * m
    for i, depth in enumerate(depths):
        product = out if i == 0 else scratch("terms", out.shape, out.dtype)
        columns = product.reshape(*stack, rows, q, w).swapaxes(-3, -2)
        pieces = columns[..., :whole, :].reshape(*stack, q, whole // m, m, w)
        terms = depth.stop - depth.start
        rows_of_pieces = a[..., :whole, depth].reshape(*a.shape[:-2], 1, whole // m, m, terms)
        np.matmul(rows_of_pieces, b[..., None, depth, :], out=pieces)
        if whole < rows:
            np.matmul(a[..., None, whole:, depth], b[..., depth, :], out=columns[..., whole:, :])
        if i > 0:
            out += product


def multiply_transposed(a: Array, b: Array, out: Array) -> None:
    """out (m, n) = a^T @ b of a (rows, m) and b (rows, n)."""
    (rows, m), n = a.shape, b.shape[1]
    r = min(_PIECE // max(m * n, 1), _SUMMED[-1]) // _ROUND * _ROUND
    if _cuts() and _SUMMED[0] <= r < rows:  # pieces of all of out, to be summed
        whole = rows // r * r
        products = scratch("products", (-(-rows // r), m, n), out.dtype)
        pieces = a[:whole].reshape(-1, r, m).swapaxes(1, 2)
        np.matmul(pieces, b[:whole].reshape(-1, r, n), out=products[: whole // r])
        if whole < rows:
            np.matmul(a[whole:].T, b[whole:], out=products[-1])
        np.sum(products, axis=0, out=out)
    else:
        multiply_stack_transposed(a, b, out)


def multiply_stack_transposed(a: Array, b: Array, out: Array) -> None:
    """out (..., m, n) = a^T @ b of a (..., rows, m) and b (..., rows, n), a stack with no sum over it."""
    (*stack, rows, m), n = a.shape, b.shape[-1]
    h, w = _HEIGHT // 2, _WIDTH
    fits = m % h == 0 == n % w and rows * h * w <= _PIECE < rows * m * n and n <= _COLUMNS
    if not (fits and _cuts()):
        np.matmul(a.swapaxes(-1, -2), b, out=out)
        return
    # pieces (h, w) of out
    a = np.moveaxis(a.reshape(*stack, rows, m // h, 1, h), -4, -1)
    b = np.moveaxis(b.reshape(*stack, rows, 1, n // w, w), -4, -2)
    np.matmul(a, b, out=out.reshape(*stack, m // h, h, n // w, w).swapaxes(-3, -2))


def takes_rows(k: int, n: int) -> bool:
    """Whether `multiply_rows` is faster than a whole product: sums of k numbers, n columns."""
    return _cuts() and n % _WIDTH == 0 and n <= _FEW and _DEPTH < k <= _PIECE // (_WIDTH * _ROUND)


def multiply_rows(a: Array, b: Array, out: Array) -> None:
    """out (rows, n) = a (rows, k) @ b for an a that comes from memory: a piece of it meets all panels (n/w, k, w) of b.

    A piece has as many rows as k leaves it.
    """
    (rows, k), (q, _, w) = a.shape, b.shape
    m = max(_PIECE // (k * w) // _ROUND, 1) * _ROUND
    whole = rows // m * m
    pieces = out[:whole].reshape(whole // m, m, q, w).swapaxes(1, 2)
    np.matmul(a[:whole].reshape(whole // m, 1, m, k), b, out=pieces)
    if whole < rows:
        np.matmul(a[whole:], b, out=out[whole:].reshape(rows - whole, q, w).swapaxes(0, 1))
