"""Adam's recurrence on the scaled moments (optimizers.py) in ten in-place passes, chunk by chunk.

    M <- b1 M + g        V <- b2 V + g^2        p <- p - rate M / (sqrt(V) + e)

A chunk of p, g, M, V and the temporary stays in a core's second-level cache from the first pass to the last, so large
vectors are read from memory once, not ten times. The gradient of a large network comes in pieces, one an array, and is
never laid out as one vector: where a chunk crosses from one piece to the next, just the chunk is put together.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from minigan.kernels.pool import chunks, for_each
from minigan.kernels.scratch import Array, scratch

_CHUNK = 1 << 16  # elements
_SHARED_CHUNK = 1 << 18  # where threads share the work: between two calls they wait for each other at Python's lock
_PARALLEL = 1 << 20  # below, a network may be left to BLAS's own threads, beside which the pool must not run


def adam_step(
    p: Array, pieces: Sequence[Array], M: Array, V: Array, b1: float, b2: float, e: float, rate: float
) -> None:
    """Move the vector p, and its moments M and V, in place. The pieces, end to end, are g."""
    if len(p) <= _CHUNK:
        g = pieces[0].reshape(-1) if len(pieces) == 1 else np.concatenate(pieces, axis=None)
        _move(p, g, M, V, g * g, b1, b2, e, rate)
        return
    vectors = [piece.reshape(-1) for piece in pieces]
    ends = list(accumulate(len(v) for v in vectors))

    def body(chunk: slice) -> None:
        g = _between(vectors, ends, chunk.start, chunk.stop)
        s = scratch("adam", g.shape, g.dtype)
        np.multiply(g, g, out=s)
        _move(p[chunk], g, M[chunk], V[chunk], s, b1, b2, e, rate)

    if len(p) >= _PARALLEL:
        for_each(chunks(len(p), _SHARED_CHUNK), body)
    else:
        for chunk in chunks(len(p), _CHUNK):
            body(chunk)


def _move(p: Array, g: Array, M: Array, V: Array, s: Array, b1: float, b2: float, e: float, rate: float) -> None:
    """s comes as g^2 and is overwritten."""
    M *= b1
    M += g
    V *= b2
    V += s
    np.sqrt(V, out=s)
    s += e
    np.divide(M, s, out=s)
    s *= rate
    p -= s


def _between(vectors: Sequence[Array], ends: Sequence[int], start: int, stop: int) -> Array:
    """Numbers start ... stop - 1 of the vectors laid end to end: a view if they are all in one, else in scratch."""
    k = bisect_right(ends, start)
    origin = ends[k] - len(vectors[k])
    if stop <= ends[k]:
        return vectors[k][start - origin : stop - origin]
    chunk = scratch("adam chunk", (stop - start,), vectors[k].dtype)
    filled = 0
    while filled < len(chunk):
        piece = vectors[k][start + filled - (ends[k] - len(vectors[k])) :][: len(chunk) - filled]
        chunk[filled : filled + len(piece)] = piece
        filled += len(piece)
        k += 1
    return chunk
