"""What G starts from: rows of independent numbers, drawn in float32."""

from __future__ import annotations

import numpy as np


def normal_noise(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Standard normal numbers, (n, size)."""
    return rng.standard_normal((n, size), np.float32)


def box_noise(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Numbers uniform on [-1, 1), (n, size)."""
    return 2.0 * rng.random((n, size), np.float32) - 1.0


def uniform_noise(rng: np.random.Generator, n: int, dtype: type = np.float32) -> np.ndarray:
    """n numbers uniform on [0, 1), shape (n, 1): what the toy's G turns into samples."""
    return rng.random((n, 1)).astype(dtype)
