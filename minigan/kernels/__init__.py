"""How the NumPy backend computes the heavy primitives fast. Nothing here is needed to understand minigan.

The reader reads primitives/, the machine runs kernels/: a primitive hands its plain NumPy arrays over where a kernel
exists (`takes`), and tests hold each kernel equal to the plain code it stands in for. `plain()` switches them all off:

    with minigan.kernels.plain():
        ...                       # only what you read in primitives/ runs
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

_switched_on = True


def takes(*arrays: Any) -> bool:
    """Whether kernels may work on these: switched on, and every one a NumPy array, not traced, not on a GPU."""
    if not _switched_on:
        return False
    for a in arrays:  # noqa: SIM110  all(...) costs three times as much, and this runs at every operation
        if type(a) is not np.ndarray:
            return False
    return True


@contextmanager
def plain() -> Iterator[None]:
    """Run the plain code of primitives/ only, inside this context and in every thread."""
    global _switched_on
    before, _switched_on = _switched_on, False
    try:
        yield
    finally:
        _switched_on = before
