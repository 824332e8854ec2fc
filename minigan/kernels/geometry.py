"""The numbers that place a kernel on an image, and what every convolution checks first."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Pair = tuple[int, int]


class Geometry(NamedTuple):
    """Each of them vertical, horizontal."""

    stride: Pair
    padding: Pair
    dilation: Pair


def conv2d_output_size(input_size: Pair, kernel_size: Pair, geometry: Geometry) -> Pair:
    """(H, W) -> (OH, OW)."""
    OH, OW = (
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, s, p, d in zip(input_size, kernel_size, *geometry, strict=True)
    )
    return OH, OW


def check_array(name: str, array: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Fail in words if the array is not of this shape and of this dtype, one of the two that kernels know."""
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    if array.dtype != dtype or dtype not in (np.float32, np.float64):
        raise TypeError(f"{name}: expected {dtype}, and float32 or float64, got {array.dtype}")
