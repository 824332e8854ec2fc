"""What NumPy arrays run on: all that kernels/ stands in for, one operation after the other (see faster.py).

A kernel looks at its arguments with the definition's own eyes (`conv2d_places`), so what does not fit is refused by the
same words, and hands back y and the way from dy to the gradients of the arguments `argnums`. Where it returns
NotImplemented the definition is right and it is not, or not faster.

Linear layers, convolutions and batch norm take an activation f along, which fusion.py asks for; None is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from minigan import faster
from minigan.autodiff import stop_gradient
from minigan.faster import stand_in, surrounds
from minigan.kernels import adam, convolution, dense, elementwise, normalization, pooling
from minigan.kernels.elementwise import Activation
from minigan.kernels.pool import SingleThreadedBLAS
from minigan.kernels.scratch import Array
from minigan.kernels.weights import standing_still
from minigan.optimizers import adam_step
from minigan.primitives.convolution import (
    Pair,
    Size,
    Window,
    conv2d,
    conv2d_input_grad,
    conv2d_places,
    conv2d_product,
    conv2d_weight_grad,
    conv_transpose2d,
    conv_transpose2d_size,
)
from minigan.primitives.elementwise import leaky_relu, relu
from minigan.primitives.linear import check_linear, linear
from minigan.primitives.normalization import batch_norm, check_batch_norm, record
from minigan.primitives.pooling import max_pool2d, pooled_places

F = Activation | None
Bias = Array | None
Answer = Any  # y and the way back, or NotImplemented

WITH_ACTIVATION: dict[Callable[..., Any], Callable[..., Answer]] = {}
"""operation -> its kernel, called with an activation first; fusion.py makes nodes of it."""


def _alone_and_with_activation(operation: Callable[..., Any]) -> Callable[..., Any]:
    def register(fast: Callable[..., Answer]) -> Callable[..., Answer]:
        WITH_ACTIVATION[operation] = fast
        return stand_in(operation, Array)(partial(fast, None))

    return register


def ours(*arrays: Any) -> bool:
    """Whether all are NumPy arrays of one float dtype that the kernels were written for."""
    for a in arrays:
        if type(a) is not np.ndarray or a.dtype.char not in "fd" or a.dtype != arrays[0].dtype:
            return False
    return True


# --- Layers ---------------------------------------------------------------------------------------------------------


@_alone_and_with_activation(linear)
def _(f: F, x: Array, weight: Array, bias: Bias = None) -> Answer:
    check_linear(x, weight, bias)
    if type(weight) is not np.ndarray:
        return NotImplemented
    y = dense.linear(x, weight, bias, f)
    return y, lambda argnums, dy: dense.linear_gradients(argnums, dy if f is None else f.backward(dy, y), x, weight)


def _back(f: F, y: Array, *gradients: Callable[[Array], Array]) -> Callable[[Sequence[int], Array], tuple[Array, ...]]:
    """The way back from dy through f to the gradients, each a function of dz."""

    def back(argnums: Sequence[int], dy: Array) -> tuple[Array, ...]:
        dz = dy if f is None else elementwise.times_slope(dy, y, f)
        return tuple([gradients[i](dz) for i in argnums])

    return back


@_alone_and_with_activation(conv2d)
def _(
    f: F, x: Array, weight: Array, bias: Bias = None, stride: Size = 1, padding: Size = 0, dilation: Size = 1
) -> Answer:
    window, _ = conv2d_places(x, weight, bias, stride, padding, dilation)
    if not ours(x, weight):
        return NotImplemented
    y = convolution.conv2d(x, weight, bias, window, f)
    dx = lambda dz: convolution.conv2d_input_grad(dz, weight, x.shape[2:], window)
    dw = lambda dz: convolution.conv2d_weight_grad(x, dz, weight.shape[2:], window)
    return y, _back(f, y, dx, dw, normalization.channel_sums)


@_alone_and_with_activation(conv_transpose2d)
def _(
    f: F,
    x: Array,
    weight: Array,
    bias: Bias = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
) -> Answer:
    window, size = conv_transpose2d_size(x, weight, bias, stride, padding, output_padding, dilation)
    if not (ours(x, weight) and x.shape[2:] == window.places(size, weight.shape[2:])):
        return NotImplemented
    y = convolution.conv2d_input_grad(x, weight, size, window, bias, f)
    dx = lambda dz: convolution.conv2d(dz, weight, None, window)
    dw = lambda dz: convolution.conv2d_weight_grad(dz, x, weight.shape[2:], window)
    return y, _back(f, y, dx, dw, normalization.channel_sums)


@_alone_and_with_activation(batch_norm)
def _(
    f: F,
    x: Array,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Answer:
    check_batch_norm(x, weight, bias, running_mean, running_var, training)
    if not (training and ours(x, weight, bias)):
        return NotImplemented
    mu, var = normalization.moments(x)
    record(x, mu, var, running_mean, running_var, momentum)
    y = normalization.normalize(x, weight, bias, mu, var, eps, f)

    def back(argnums: Sequence[int], dy: Array) -> tuple[Array, ...]:
        gradients = normalization.batch_norm_backward(dy, x, weight, mu, var, eps, y, f)
        return tuple([gradients[i] for i in argnums])

    return y, back


# --- The three faces of convolution, whose derivatives are one another ----------------------------------------------


@stand_in(conv2d_product, Array)
def _(x: Array, weight: Array, window: Window, places: Pair) -> Answer:
    if not (ours(x, weight) and places == window.places(x.shape[2:], weight.shape[2:])):
        return NotImplemented
    return convolution.conv2d(x, weight, None, window), None


@stand_in(conv2d_input_grad, Array)
def _(dy: Array, weight: Array, window: Window, size: Pair) -> Answer:
    if not (ours(dy, weight) and dy.shape[2:] == window.places(size, weight.shape[2:])):
        return NotImplemented
    return convolution.conv2d_input_grad(dy, weight, size, window), None


@stand_in(conv2d_weight_grad, Array)
def _(x: Array, dy: Array, window: Window, taps: Pair) -> Answer:
    if not (ours(x, dy) and dy.shape[2:] == window.places(x.shape[2:], taps)):
        return NotImplemented
    return convolution.conv2d_weight_grad(x, dy, taps, window), None


# --- Pooling and activations ----------------------------------------------------------------------------------------


@stand_in(max_pool2d, Array)
def _(x: Array, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> Answer:
    taps, window, _ = pooled_places("max_pool2d", x, kernel_size, stride, padding)
    y = pooling.max_pool2d(x, taps, window)

    def back(argnums: Sequence[int], dy: Array) -> Any:
        if not np.isfinite(y.sum()):  # the definition knows what to do with NaN and infinity
            return NotImplemented
        return (pooling.max_pool2d_backward(dy, x, y, taps, window),)

    return y, back


@stand_in(relu, Array)
def _(x: Array) -> Answer:
    return _activated(x, relu)


@stand_in(leaky_relu, Array)
def _(x: Array, negative_slope: float = 0.01) -> Answer:
    if type(negative_slope) not in (float, int):  # an array, which may be of another dtype
        return NotImplemented
    return _activated(x, leaky_relu, negative_slope)


def _activated(x: Array, operation: Callable[..., Any], *settings: float) -> Answer:
    f = elementwise.activation(operation, *settings)
    if f is None or x.dtype.kind != "f":
        return NotImplemented
    y = elementwise.apply(x, f)
    return y, lambda argnums, dy: (elementwise.times_slope(dy, y, f),)


# --- A step of the optimizer, and what surrounds a gradient ---------------------------------------------------------


@stand_in(adam_step, Array)
def _(p: Array, pieces: Sequence[Array], M: Array, V: Array, b1: float, b2: float, e: float, rate: float) -> Any:
    for piece in pieces:
        if type(piece) is not np.ndarray:
            return NotImplemented
    return adam.adam_step(p, pieces, M, V, b1, b2, e, rate)


@surrounds
def _(arrays: Iterable[Any]) -> faster.Context | None:
    """The work for a convolution's gradient runs on the pool; that of matrix products alone is left to BLAS."""
    for a in arrays:
        if a.ndim == 4 and faster.switched_on and type(stop_gradient(a)) is np.ndarray:
            return on_the_pool()
    return None


@contextmanager
def on_the_pool() -> Iterator[None]:
    """Around work that is mostly convolutions, in which no parameter is written to.

    BLAS is held to one thread throughout: its own threads, once woken by one matrix product, spin for a while and take
    the pool's cores. Networks of matrix products alone leave it to BLAS to share them out, which costs less than the
    pool does.
    """
    with SingleThreadedBLAS(), standing_still():
        yield
