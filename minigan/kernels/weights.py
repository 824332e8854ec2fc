"""What was computed from a weight, kept while weights stand still.

D sees a real and a fake batch between two moves, and each pass forwards and backwards transforms the same
weights again (winograd.py, k4s2.py). A weight is an array that somebody may write to, and nothing tells when, so
results are kept only inside `standing_still`: whoever opens that context promises not to write to any weight until
it closes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from minigan.kernels.scratch import Array

_Transform = Callable[[Array], Array]
_Kept = dict[tuple[_Transform, int], tuple[Array, Array]]


@contextmanager
def standing_still() -> Iterator[None]:
    """In this thread and inside this context no weight is written to."""
    before = getattr(_thread, "kept", None)
    try:
        _thread.kept = {} if before is None else before
        yield
    finally:
        _thread.kept = before


def once(transform: _Transform, weight: Array) -> Array:
    """transform(weight), from the last call if weights have been standing still since."""
    kept: _Kept | None = getattr(_thread, "kept", None)
    if kept is None:
        return transform(weight)
    key = transform, id(weight)
    if key not in kept:
        kept[key] = weight, transform(weight)  # the weight too: its id must not be given to another array
    return kept[key][1]


_thread = threading.local()
