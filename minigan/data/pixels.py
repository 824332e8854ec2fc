"""Bytes to floats: pixels are stored as 0 ... 255, and a generator that ends in tanh speaks of -1 ... 1."""

from __future__ import annotations

import numpy as np


def to_floats(pixels: np.ndarray) -> np.ndarray:
    """x / 127.5 - 1 for uint8 of any shape: float32 in [-1, 1], with 0 at -1 and 255 at 1 exactly."""
    x = np.divide(pixels, np.float32(127.5), dtype=np.float32)
    x -= 1
    return x
