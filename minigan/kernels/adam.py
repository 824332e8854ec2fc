"""Adam's recurrence on the scaled moments (optimizers.py) in ten in-place passes, chunk by chunk.

    M <- b1 M + g        V <- b2 V + g^2        p <- p - rate M / (sqrt(V) + e)

A chunk of p, g, M, V and the temporary stays in a core's second-level cache from the first pass to the last, so large
vectors are read from memory once, not ten times.
"""

from __future__ import annotations

import numpy as np

from minigan.kernels.pool import parallel_for

_CHUNK = 1 << 16  # elements
_PARALLEL = 1 << 20  # below, a network may be left to BLAS's own threads, beside which the pool must not run


def adam_step(
    p: np.ndarray, g: np.ndarray, M: np.ndarray, V: np.ndarray, b1: float, b2: float, e: float, rate: float
) -> None:
    """Move the vector p, and its moments M and V, in place."""
    if p.size <= _CHUNK:
        _move(p, g, M, V, b1, b2, e, rate)
        return

    def body(i: int) -> None:
        chunk = slice(i * _CHUNK, (i + 1) * _CHUNK)
        _move(p[chunk], g[chunk], M[chunk], V[chunk], b1, b2, e, rate)

    n_chunks = -(-p.size // _CHUNK)
    if p.size >= _PARALLEL:
        parallel_for(n_chunks, body)
    else:
        for i in range(n_chunks):
            body(i)


def _move(
    p: np.ndarray, g: np.ndarray, M: np.ndarray, V: np.ndarray, b1: float, b2: float, e: float, rate: float
) -> None:
    M *= b1
    M += g
    V *= b2
    s = g * g
    V += s
    np.sqrt(V, out=s)
    s += e
    np.divide(M, s, out=s)
    s *= rate
    p -= s
