"""Binary cross-entropy: how badly p says what t is, for t in [0, 1].

    on probabilities p:   l = -(t log p + (1 - t) log(1 - p))
    on logits x:          l = max(x, 0) - x t + log(1 + exp(-|x|)),   the same with p = sigmoid(x), never overflowing

With t = 1 on real samples and t = 0 on generated ones this is -V(D, G), the value function of the game
[Goodfellow et al. 2014, eq. 1]; objectives.py says so in its terms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from minigan.arrays import Array, array_module
from minigan.autodiff import defvjp_joint, primitive
from minigan.primitives.elementwise import clamp, log, sigmoid

Reduction = Literal["mean", "sum", "none"]


@primitive
def binary_cross_entropy(input: Array, target: Array | float, reduction: Reduction = "mean") -> Array:
    """-(t log p + (1 - t) log(1 - p)) on probabilities p.

    Args:
        input: p, any shape, values in [0, 1].
        target: t, an array of that shape or one number for all, in [0, 1].
        reduction: 'mean' or 'sum' give a scalar, 'none' keeps the shape.

    As in PyTorch, logarithms are clamped at -100, so that p = 0 costs 100 and not infinity, and the slope
    (p - t) / (p (1 - p)) has its denominator clamped at 1e-12.
    """
    _check("binary_cross_entropy", input, target, reduction)
    xp, p, t = array_module(input), input, target
    with np.errstate(divide="ignore"):  # log 0 = -inf is clamped on the same line
        if isinstance(t, float) and t in (0.0, 1.0):  # the usual targets need only one of the two logarithms
            loss = -xp.maximum(xp.log(p) if t else xp.log1p(-p), -100.0)
        else:
            loss = -(t * xp.maximum(xp.log(p), -100.0) + (1.0 - t) * xp.maximum(xp.log1p(-p), -100.0))
    return _reduce(loss, reduction)


def _binary_cross_entropy_vjp(
    argnums: Sequence[int], y: Array, input: Array, target: Array | float, reduction: Reduction = "mean"
) -> Callable[[Array], tuple[Array, ...]]:
    p, t, share = input, target, _share(input, reduction)

    def wrt_input(dy: Array) -> Array:
        return (p - t) / clamp(p * (1.0 - p), 1e-12) * (dy * share)

    def wrt_target(dy: Array) -> Array:
        with np.errstate(divide="ignore"):  # log 0 is clamped
            return (clamp(log(1.0 - p), -100.0) - clamp(log(p), -100.0)) * (dy * share)

    return lambda dy: tuple([(wrt_input, wrt_target)[i](dy) for i in argnums])


defvjp_joint(binary_cross_entropy, _binary_cross_entropy_vjp)


@primitive
def binary_cross_entropy_with_logits(input: Array, target: Array | float, reduction: Reduction = "mean") -> Array:
    """max(x, 0) - x t + log(1 + exp(-|x|)) on logits x, that is binary_cross_entropy(sigmoid(x), t).

    Args:
        input: x, any shape, any values.
        target: t, an array of that shape or one number for all, in [0, 1].
        reduction: 'mean' or 'sum' give a scalar, 'none' keeps the shape.
    """
    _check("binary_cross_entropy_with_logits", input, target, reduction)
    xp, x = array_module(input), input
    return _reduce(xp.maximum(x, 0.0) - x * target + xp.log1p(xp.exp(-xp.abs(x))), reduction)


def _binary_cross_entropy_with_logits_vjp(
    argnums: Sequence[int], y: Array, input: Array, target: Array | float, reduction: Reduction = "mean"
) -> Callable[[Array], tuple[Array, ...]]:
    x, t, share = input, target, _share(input, reduction)

    def wrt_input(dy: Array) -> Array:
        return (sigmoid(x) - t) * (dy * share)

    def wrt_target(dy: Array) -> Array:
        return -x * (dy * share)

    return lambda dy: tuple([(wrt_input, wrt_target)[i](dy) for i in argnums])


defvjp_joint(binary_cross_entropy_with_logits, _binary_cross_entropy_with_logits_vjp)


def _reduce(loss: Array, reduction: Reduction) -> Array:
    if reduction == "mean":
        return loss.sum() * (1.0 / loss.size)
    return loss.sum() if reduction == "sum" else loss


def _share(input: Array, reduction: Reduction) -> float:
    """The weight of one element in the reduced loss."""
    return 1.0 / input.size if reduction == "mean" else 1.0


def _check(name: str, input: Array, target: Array | float, reduction: Reduction) -> None:
    if not isinstance(target, float | int) and target.shape != input.shape:
        raise ValueError(f"{name}: expected target of the input's shape {input.shape}, got {target.shape}")
    if input.size == 0:
        raise ValueError(f"{name}: expected at least one number, got input of shape {input.shape}")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{name}: expected reduction 'mean', 'sum' or 'none', got {reduction!r}")
