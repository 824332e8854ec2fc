"""Batch norm in training: the formulas of primitives/normalization.py, each pass over x as one launch.

forward     y = f(w xhat + b)                                          xhat = (x - mu) / sqrt(var + eps)
backward    dz = dy f'(..),  dz xhat          side by side, (2, N, C, L)
            db = sum dz,     dw = sum dz xhat       as one sum, (2, C)
            dx = w r (dz - db / R - xhat dw / R)    R = N L numbers a channel
"""

from __future__ import annotations

import math
from typing import Any

from minigan.kernels.gpu.elementwise import Code
from minigan.kernels.gpu.launch import Array, launch


def batch_norm(xp: Any, x: Array, weight: Array, bias: Array, mu: Array, var: Array, eps: float, code: Code) -> Array:
    """f(w xhat + b) for x (N, C) or (N, C, H, W) and the rest (C,)."""
    y = xp.empty(x.shape, x.dtype)
    kind, a = code
    launch(xp, "batch_norm", x.size, (x, weight, bias, mu, var), (y,), *_channels(x), kind, float(eps), a)
    return y


def batch_norm_backward(
    xp: Any, dy: Array, y: Array, x: Array, weight: Array, mu: Array, var: Array, eps: float, code: Code
) -> tuple[Array, Array, Array]:
    """dx, dw, db, where y is the forward's result and mu and var are the statistics of x."""
    (C, L), (kind, a) = _channels(x), code
    parts, dx = xp.empty((2, len(x), C, L), x.dtype), xp.empty(x.shape, x.dtype)
    launch(xp, "batch_norm_parts", x.size, (dy, y, x, mu, var), (parts,), C, L, kind, float(eps), a)
    sums = parts.sum(axis=(1, 3))
    launch(xp, "batch_norm_backward", x.size, (parts[0], x, weight, mu, var, sums), (dx,), C, L, float(eps))
    return dx, sums[1], sums[0]


def _channels(x: Array) -> tuple[int, int]:
    """How many channels, and how many numbers of each lie in a row."""
    return x.shape[1], math.prod(x.shape[2:])
