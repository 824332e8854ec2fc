"""Cross-entropy: how badly p says what t is. Read next: convolution.py.

Two classes, t in [0, 1]:

    on probabilities p:   l = -(t log p + (1 - t) log(1 - p))
    on logits x:          l = max(x, 0) - x t + log(1 + exp(-|x|)),   the same with p = sigmoid(x), never overflowing

With t = 1 on real samples and t = 0 on generated ones this is -V(D, G), the value function of the game
[Goodfellow et al. 2014, eq. 1]; objectives.py says so in its terms. Many classes, t one of them:

    on logits x:          l = -log p_t   with   p = softmax(x) = exp(x) / sum(exp(x)),   dl/dx = p - (1 at t, else 0)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from minigan.arrays import Array, array_module
from minigan.autodiff import defvjp, defvjp_joint, primitive
from minigan.primitives.elementwise import clamp, exp, log, sigmoid
from minigan.primitives.linear import check_labels
from minigan.primitives.shaping import reshape, sum

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


@primitive
def log_softmax(x: Array, axis: int = -1) -> Array:
    """x - log(sum(exp(x))): the logarithms of numbers that add up to 1 along the axis.

    The largest x is taken off all of them first, which changes nothing, so that nothing overflows.
    """
    xp = array_module(x)
    x = x - x.max(axis=axis, keepdims=True)
    return x - xp.log(xp.exp(x).sum(axis=axis, keepdims=True))


def _log_softmax_vjp(y: Array, x: Array, axis: int = -1) -> Callable[[Array], Array]:
    return lambda dy: dy - exp(y) * sum(dy, axis, keepdims=True)


defvjp(log_softmax, _log_softmax_vjp)


def softmax(x: Array, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x)): positive numbers that add up to 1 along the axis."""
    return exp(log_softmax(x, axis))


@primitive
def cross_entropy(input: Array, target: Array, reduction: Reduction = "mean") -> Array:
    """-log(softmax(x)[t]) on logits x: 0 where x is sure of the class t, and log C where it has no opinion.

    Args:
        input: x (N, C), any values.
        target: t (N,), integers in [0, C), where x is.
        reduction: 'mean' or 'sum' over the batch give a scalar, 'none' gives (N,).

    Raises:
        ValueError: if the shapes do not fit, or a label on the host is none of the classes.
        TypeError: if the labels are not integers.
    """
    if input.ndim != 2 or input.size == 0:
        raise ValueError(f"cross_entropy: expected input of shape (N, C) with N, C >= 1, got {input.shape}")
    if target.shape != input.shape[:1]:
        raise ValueError(f"cross_entropy: expected target of shape {input.shape[:1]}, got {target.shape}")
    check_labels("cross_entropy", "target", target, input.shape[1])
    _check_reduction("cross_entropy", reduction)
    loss = -log_softmax(input)[array_module(target).arange(len(target)), target]
    return _reduce(loss, reduction)


def _cross_entropy_vjp(
    y: Array, input: Array, target: Array, reduction: Reduction = "mean"
) -> Callable[[Array], Array]:
    x, classes = input, array_module(target).arange(input.shape[1])
    share = 1.0 / len(target) if reduction == "mean" else 1.0

    def vjp(dy: Array) -> Array:
        one_hot = (target[:, None] == classes).astype(x.dtype)
        return (softmax(x) - one_hot) * (reshape(dy, (-1, 1)) * share)  # dy () or (N,)

    return vjp


defvjp(cross_entropy, _cross_entropy_vjp)


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
    _check_reduction(name, reduction)


def _check_reduction(name: str, reduction: Reduction) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{name}: expected reduction 'mean', 'sum' or 'none', got {reduction!r}")
