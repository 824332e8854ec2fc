"""Bias and activation in one pass over memory, dx = dy f'(x) in another; so too binary cross-entropy on logits.

    relu   max(x, 0)      leaky_relu   x or a x      elu   x or a (exp(x) - 1)      sigmoid      tanh

Slopes are read off y = f(x), as in primitives/elementwise.py. To the kernels an activation is a pair (kind, a).
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from minigan.kernels.gpu.launch import Array, launch

Code: TypeAlias = tuple[int, float]

NO_ACTIVATION: Code = 0, 0.0
LEAKY_RELU = 2
_ACTIVATIONS: dict[str, Code] = {
    "relu": (1, 0.0),
    "leaky_relu": (LEAKY_RELU, 0.01),
    "elu": (3, 1.0),
    "sigmoid": (4, 0.0),
    "tanh": (5, 0.0),
}


def coded(activation: str, *args: float) -> Code | None:
    """The pair by which kernels know an activation of primitives/, with its setting; None if they do not."""
    if activation not in _ACTIVATIONS:
        return None
    kind, a = _ACTIVATIONS[activation]
    return kind, float(args[0]) if args else a


def bias_activation(xp: Any, z: Array, bias: Array | None, code: Code, y: Array | None = None) -> Array:
    """y[n,c,l] = f(z[n,c,l] + bias[c]), where z and bias meet.

    Args:
        z: (N, C), to be overwritten; or with y, the matrix (C, N L).
        bias: (C,) or None.
        y: where the result goes, (N, C, ...) of N C L numbers, contiguous.
    """
    N, C, *rest = z.shape if y is None else y.shape
    L = math.prod(rest)
    strides = (C, 1) if y is None else (L, N * L)
    y = z if y is None else y
    biases = z if bias is None else bias  # some address, not read
    launch(xp, "bias_activation", y.size, (z, biases), (y,), C, L, *strides, int(bias is not None), *code)
    return y


def activate(xp: Any, x: Array, code: Code) -> Array:
    """f(x) for x of any shape."""
    y = xp.empty(x.shape, x.dtype)
    kind, a = code
    launch(xp, "bias_activation", x.size, (x, x), (y,), 1, x.size, 0, 0, 0, kind, float(a))
    return y


def times_slope(xp: Any, dy: Array, y: Array, code: Code) -> Array:
    """dy f'(x), read off y = f(x) of any shape."""
    dx = xp.empty(y.shape, y.dtype)
    kind, a = code
    launch(xp, "times_slope", y.size, (dy, y), (dx,), kind, float(a))
    return dx


def binary_cross_entropy_with_logits(xp: Any, x: Array, target: Array | float) -> Array:
    """-(t log p + (1 - t) log(1 - p)) with p = sigmoid(x), for each x; t of x's shape, or one for all."""
    loss = xp.empty(x.shape, x.dtype)
    targets, *t = _targets(x, target)
    launch(xp, "bce_with_logits", x.size, (x, targets), (loss,), *t)
    return loss


def binary_cross_entropy_with_logits_slope(xp: Any, x: Array, target: Array | float, dy: Array, share: float) -> Array:
    """(sigmoid(x) - t) dy share, for dy of x's shape, or one number on the device."""
    dx = xp.empty(x.shape, x.dtype)
    targets, constant, t = _targets(x, target)
    launch(
        xp,
        "bce_with_logits_slope",
        x.size,
        (x, targets, dy),
        (dx,),
        constant,
        int(dy.ndim == 0),
        t,
        share,
    )
    return dx


def _targets(x: Array, target: Array | float) -> tuple[Array, int, float]:
    """The targets' address, whether they are one number instead, and which."""
    return (x, 1, float(target)) if isinstance(target, float | int) else (target, 0, 0.0)
