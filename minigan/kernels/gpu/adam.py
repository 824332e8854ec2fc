"""Adam's recurrence on the scaled moments (optimizers.py) as one launch for up to 16 arrays of gradients.

    M <- b1 M + g        V <- b2 V + g^2        p <- p - rate M / (sqrt(V) + e)

The gradient is not laid out as one vector: the kernel is told where in the vector each piece begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from minigan.kernels.gpu.launch import Array, launch

_PIECES = 16  # addresses that the kernel takes


def adam_step(
    xp: Any,
    p: Array,
    pieces: Sequence[Array],
    M: Array,
    V: Array,
    b1: float,
    b2: float,
    e: float,
    rate: float,
) -> None:
    """Move the vector p, and its moments M and V, in place. The pieces, end to end, are g."""
    start = 0
    for first in range(0, len(pieces), _PIECES):
        some = pieces[first : first + _PIECES]
        ends = list(accumulate(g.size for g in some))
        part, unused = slice(start, start + ends[-1]), _PIECES - len(some)
        moved = p[part], M[part], V[part]
        starts = (*ends[:-1], *ends[-1:] * unused)  # a piece that starts at the end is not read
        launch(xp, "adam", ends[-1], (*some, *[some[0]] * unused), moved, *starts, *map(float, (b1, b2, e, rate)))
        start = part.stop
