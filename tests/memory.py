"""Random arrays in awkward memory, and closeness by norm: what the tests of convolution and its kernels share."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

TIMES = float(os.environ.get("MINIGAN_EXAMPLES", "0.3"))
"""how many random examples a test draws, as a share of its own number: 1 in .ci/run; from 2 on other ones each time"""

DTYPES = st.sampled_from([np.float64, np.float32])
MEMORIES = st.sampled_from(["first", "last", "strided", "reversed"])


def examples(n: int) -> settings:
    """Settings for n random examples, in .ci/run; see TIMES."""
    return settings(
        max_examples=max(1, int(n * TIMES)),
        derandomize=TIMES < 2,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    """(vertical, horizontal), each of low ... high."""
    return st.tuples(st.integers(low, high), st.integers(low, high))


def array(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, memory: str = "first") -> np.ndarray:
    """Normal numbers of this shape, laid out channels-first, channels-last, with gaps, or backwards."""
    return laid_out(rng.standard_normal(shape).astype(dtype), memory)


def laid_out(x: np.ndarray, memory: str) -> np.ndarray:
    """The numbers of x in another layout; backwards also puts them in another order."""
    if memory == "last" and x.ndim == 4:
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if memory == "strided":
        wide = np.zeros([2 * size + 1 for size in x.shape], x.dtype)
        view = wide[tuple(slice(1, 2 * size + 1, 2) for size in x.shape)]
        view[...] = x
        return view
    if memory == "reversed":
        return x[::-1, ..., ::-1] if x.ndim > 1 else x[::-1]
    return x


def assert_close(actual: Any, expected: Any, dtype: Any, scale: float = 1.0, least: float = 1e-3) -> None:
    """|actual - expected| <= 1e-10 (float64) or 2e-5 (float32) of max(|expected|, least), as vectors."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert actual.dtype == dtype
    tolerance = (1e-10 if dtype == np.float64 else 2e-5) * scale
    error = np.linalg.norm(actual.astype(np.float64) - expected)
    assert error <= tolerance * max(np.linalg.norm(expected), least), error
