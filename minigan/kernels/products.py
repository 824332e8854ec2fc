"""Matrix products cut into pieces so small that OpenBLAS does not pack them.

Before it multiplies, a BLAS packs both matrices into the order its inner loop reads. With thousands of rows but few
terms and columns, as convolutions have them, that takes a third of the time. OpenBLAS has a second way for small
products, which reads the matrices where they lie. It is chosen by the number of multiplications, and on processors with
AVX-512 it is good up to the limit, so a product of many rows goes faster as a stack of small ones:

    multiply       out[p] = a[p] @ b               pieces p of a's and out's rows
    sum_products   out = sum over p  a[:,p] @ b[p]  pieces p of the terms

numpy runs through a stack without the interpreter, so the number of pieces costs nothing. Other libraries and other
processors get the product whole.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController

from minigan.kernels.scratch import empty, scratch

_UNPACKED = 10**6  # multiplications in the largest product that OpenBLAS leaves unpacked
_ARCHITECTURES = {"SkylakeX", "Cooperlake", "SapphireRapids"}  # OpenBLAS's names for those with AVX-512
_MULTIPLE = 8  # of so many rows or terms a piece: the inner loop takes several at a time
_MIN_TERMS, _MAX_TERMS = 48, 512  # fewer, and the sum costs what the product saves; more leave the first-level cache


def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a @ b for a (rows, K), b (K, N), out (rows, N) as BLAS takes them; best with `row_major(b)`."""
    (rows, K), N = a.shape, b.shape[1]
    piece = _rows(K, N)
    if rows <= piece or piece == 0 or (_is_transposed(b) and not _is_transposed(a)):
        np.matmul(a, b, out=out)
        return
    n_pieces = rows // piece
    cut = n_pieces * piece
    np.matmul(a[:cut].reshape(n_pieces, piece, K), b, out=out[:cut].reshape(n_pieces, piece, N))
    if cut < rows:
        np.matmul(a[cut:], b, out=out[cut:])


def sum_products(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a @ b for a (M, K), b (K, N) of many terms K and out (M, N) of few numbers."""
    (M, K), N = a.shape, b.shape[1]
    piece = min(_limit() // max(M * N, 1), _MAX_TERMS) // _MULTIPLE * _MULTIPLE
    if not _MIN_TERMS <= piece < K:
        np.matmul(a, b, out=out)
        return
    n_pieces = K // piece
    cut = n_pieces * piece
    products = scratch("products", (n_pieces + (cut < K), M, N), out.dtype)
    stack = a[:, :cut].reshape(M, n_pieces, piece).transpose(1, 0, 2)
    np.matmul(stack, b[:cut].reshape(n_pieces, piece, N), out=products[:n_pieces])
    if cut < K:
        np.matmul(a[:, cut:], b[cut:], out=products[-1])
    np.add.reduce(products, axis=0, out=out)


def row_major(b: np.ndarray) -> np.ndarray:
    """b in the order `multiply` is fastest with, on a cache line; copied only where it cuts into pieces."""
    if not _rows(*b.shape):
        return b
    copy = empty(b.shape, b.dtype)
    copy[...] = b
    return copy


def _rows(K: int, N: int) -> int:
    """Rows of one piece, 0 for a product that is better left whole."""
    return _limit() // max(K * N, 1) // _MULTIPLE * _MULTIPLE


def _is_transposed(a: np.ndarray) -> bool:
    return a.strides[0] < a.strides[1]


@cache
def _limit() -> int:
    """Multiplications in a piece; 0 where small products are no faster."""
    libraries = ThreadpoolController().select(internal_api="openblas").lib_controllers
    names = {getattr(library, "architecture", None) for library in libraries}
    return _UNPACKED if names and names <= _ARCHITECTURES else 0
