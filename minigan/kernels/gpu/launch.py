"""From Python to kernels.cu: which variant of a kernel, on how many threads, with which arguments.

    launch(xp, "times_slope", count, (dy, y), (dx,), kind, a)
                |             |      |        |      |
                |             |      |        |      numbers: an int becomes an INDEX, a float a REAL
                |             |      |        results, contiguous
                |             |      what is read, made contiguous where it is not; then come the results' addresses
                |             elements that the threads share out; the kernel's argument after all addresses
                the kernel's name

The source is compiled once for each REAL (float32, float64) and INDEX that comes up, when it first does. An INDEX has
32 bits while every array has fewer than 2^30 numbers, else 64: a GPU divides short whole numbers several times as fast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # an array of xp

SOURCE = Path(__file__).with_name("kernels.cu").read_text()

_BLOCK = 256  # threads
_BLOCKS = 1 << 16  # at most; for more than 2^24 elements a thread takes several
_WIDE = 1 << 30  # numbers in an array


def launch(
    xp: Any, kernel: str, count: int, read: Sequence[Array], written: Sequence[Array], *numbers: int | float
) -> None:
    """Start the kernel and return at once. No elements, no launch.

    Args:
        xp: the array module, for its RawModule.
        read: at least one array; the first one's dtype is REAL.
        written: arrays with nothing between their numbers.
        numbers: what the kernel takes after the count.
    """
    if count == 0:
        return
    arrays = [*[a if a.flags.c_contiguous else a.copy() for a in read], *written]
    wide = max([a.size for a in arrays]) >= _WIDE
    real, index = arrays[0].dtype.type, np.int64 if wide else np.int32
    values = [real(n) if isinstance(n, float) else index(n) for n in numbers]
    blocks = min(-(-count // _BLOCK), _BLOCKS)
    _compiled(xp, kernel, real, wide)((blocks,), (_BLOCK,), (*arrays, index(count), *values))


@cache
def _compiled(xp: Any, kernel: str, real: type, wide: bool) -> Callable[..., None]:
    return _module(xp, real, wide).get_function(kernel)


@cache
def _module(xp: Any, real: type, wide: bool) -> Any:
    options = "-DREAL=float" if real is np.float32 else "-DREAL=double", *(["-DWIDE"] if wide else [])
    return xp.RawModule(code=SOURCE, options=options)
