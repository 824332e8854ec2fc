"""Sums and shapes: operations that move numbers without changing them, and their adjoints.

Three pairs are each other's derivative, which is the whole content of this file:

    sum_to        <->  broadcast_to      adding copies up     <->  making copies
    reshape       <->  reshape           back to the old shape
    concatenate   <->  indexing          gluing               <->  cutting

NumPy's own functions would do, but autograd's derivatives of them leave the caller's dtype (float64 from float32) and
device (host arrays from a GPU's), so minigan has its own. Read next: operators.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from minigan.arrays import Array, array_module
from minigan.autodiff import defvjp, defvjp_joint, primitive

Shape = tuple[int, ...]
Axis = int | tuple[int, ...] | None


@primitive
def sum_to(x: Array, shape: Shape) -> Array:
    """x summed over the axes that broadcasting would repeat to make `shape` into x.shape."""
    if x.shape == shape:
        return x
    lead = x.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(i + lead for i, n in enumerate(shape) if n == 1 and x.shape[i + lead] != 1)
    return x.sum(axis=axes, keepdims=True).reshape(shape)


@primitive
def broadcast_to(x: Array, shape: Shape) -> Array:
    """x repeated to `shape`, by NumPy's rules. The result owns its memory."""
    y = array_module(x).empty(shape, x.dtype)
    y[...] = x
    return y


def _back(adjoint: Callable[[Array, Shape], Array]) -> Callable[..., Any]:
    """The derivative of an operation y = op(x, ...) that is undone by adjoint(dy, x.shape)."""

    def maker(y: Array, x: Array, *settings: Any, **named: Any) -> Callable[[Array], Array]:
        shape = x.shape  # taken out here, so that the closure keeps the shape and not x alive
        return lambda dy: adjoint(dy, shape)

    return maker


defvjp(sum_to, _back(broadcast_to))
defvjp(broadcast_to, _back(sum_to))


@primitive
def reshape(x: Array, shape: Shape) -> Array:
    """The same numbers in row-major order under another shape; one entry may be -1."""
    return x.reshape(shape)


defvjp(reshape, _back(reshape))


@primitive
def transpose(x: Array, axes: Sequence[int] | None = None) -> Array:
    """Axis i of the result is axis axes[i] of x; all axes reversed by default."""
    return x.transpose(axes)


def _transpose_vjp(y: Array, x: Array, axes: Sequence[int] | None = None) -> Any:
    back = None if axes is None else tuple(sorted(range(len(axes)), key=lambda i: axes[i] % len(axes)))
    return lambda dy: transpose(dy, back)


defvjp(transpose, _transpose_vjp)


@primitive
def index(x: Array, at: Any) -> Array:
    """x[at], for any index NumPy knows."""
    return x[at]


@primitive
def put(x: Array, at: Any, shape: Shape) -> Array:
    """Zeros of `shape` with x added at `at`; an element named twice gets both."""
    xp = array_module(x)
    y = xp.zeros(shape, x.dtype)
    if _is_basic(at):
        y[at] = x
    else:
        xp.add.at(y, at, x)
    return y


def _index_vjp(y: Array, x: Array, at: Any) -> Callable[[Array], Array]:
    shape = x.shape
    return lambda dy: put(dy, at, shape)


defvjp(index, _index_vjp)
defvjp(put, lambda y, x, at, shape: lambda dy: index(dy, at))


def concatenate(arrays: Sequence[Array], axis: int = 0) -> Array:
    """The arrays joined along an existing axis."""
    return _concatenate(axis, *arrays)


@primitive
def _concatenate(axis: int, *arrays: Array) -> Array:
    return array_module(arrays[0]).concatenate(arrays, axis=axis)


def _concatenate_vjp(argnums: Sequence[int], y: Array, axis: int, *arrays: Array) -> Any:
    before: tuple[Any, ...] = (slice(None),) * (axis % y.ndim)
    cuts, start = [], 0
    for a in arrays:
        cuts.append((*before, slice(start, start + a.shape[axis])))
        start += a.shape[axis]
    return lambda dy: tuple([index(dy, cuts[i - 1]) for i in argnums])  # argument 0 is the axis


defvjp_joint(_concatenate, _concatenate_vjp)


@primitive
def sum(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The sum over one axis, several, or all of them (None)."""
    return x.sum(axis=axis, keepdims=keepdims)


def _sum_vjp(y: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Any:
    shape, kept = x.shape, _kept_shape(x.shape, axis)
    return lambda dy: broadcast_to(reshape(dy, kept), shape)


defvjp(sum, _sum_vjp)


def mean(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The sum over one axis, several, or all of them (None), divided by how many numbers went into it."""
    n = _count(x.shape, axis)
    if n == 0:
        raise ValueError(f"mean: expected at least one number, got x of shape {x.shape}")
    return sum(x, axis, keepdims) * (1.0 / n)


def flatten(x: Array, start_dim: int = 1) -> Array:
    """All axes from start_dim on made one: (N, C, H, W) -> (N, C*H*W)."""
    return reshape(x, (*x.shape[:start_dim], math.prod(x.shape[start_dim:])))


def _axes(ndim: int, axis: Axis) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    return tuple(a % ndim for a in (axis if isinstance(axis, tuple) else (axis,)))


def _kept_shape(shape: Shape, axis: Axis) -> Shape:
    axes = _axes(len(shape), axis)
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def _count(shape: Shape, axis: Axis) -> int:
    return math.prod(shape[a] for a in _axes(len(shape), axis))


def _is_basic(at: Any) -> bool:
    if type(at) is slice:
        return True
    parts = at if isinstance(at, tuple) else (at,)
    return all(p is None or p is Ellipsis or (isinstance(p, (int, slice)) and p is not True) for p in parts)
