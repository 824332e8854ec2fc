"""Two layers as one: an activation in the operation before it, and max-pooling before an activation that rises.

    y = f(z),  z = operation(...)          "relu of linear" is one node on the tape, and only y is kept

The definition of such a node is what it says: the two, one after the other. Where f'(z) can be read off y, z need not
even exist, and dz = dy f'(z) goes into the derivative of the operation.

Max-pooling commutes with an f that only rises: what is largest before f is largest behind it, and a quarter of the
numbers is left to activate. A convolution of few channels, pooling of 2x2 and such an f are one node,

    y = f(max_pool2d(conv2d(x, w) + b, 2))

whose kernel does not hand out the large array between them. Which tap of each window was the largest, and whether f
rises there, goes forwards into a few bits, and backwards the kernel reads dy and these.

A Sequential asks once, when it is built, which of its layers go together (`steps`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import cache, partial, wraps
from typing import Any

import numpy as np

from minigan import faster
from minigan import layers as L  # noqa: N812
from minigan.arrays import Array
from minigan.autodiff import defvjp_joint, primitive, stop_gradient, vjp_of
from minigan.kernels import pooled_convolution
from minigan.kernels.backend import WITH_ACTIVATION, on_the_pool, ours
from minigan.kernels.elementwise import activation
from minigan.primitives import elementwise as E  # noqa: N812
from minigan.primitives.convolution import Size, Window, conv2d, conv2d_places
from minigan.primitives.pooling import max_pool2d, spread, winners

Operation = Callable[..., Array]

SLOPES: dict[Operation, Operation] = {
    E.relu: E.relu_slope,
    E.leaky_relu: E.leaky_relu_slope,  # of a slope that is not negative: then the sign of y is that of z
    E.elu: E.elu_slope,
    E.sigmoid: E.sigmoid_slope,
    E.tanh: E.tanh_slope,
}
"""f -> its slope as a function of y = f(z)."""


@cache
def fused(operation: Operation, f: Operation, *settings: float) -> Operation:
    """f(operation(...), *settings) as one primitive, called as the operation is."""
    if f not in SLOPES or (f is E.leaky_relu and settings and settings[0] < 0):
        raise ValueError(f"fused: the slope of {f.__name__} cannot be read off its result")

    def composed(*args: Any, **kwargs: Any) -> Array:
        return f(operation(*args, **kwargs), *settings)

    node = primitive(_named(composed, operation, f"{f.__name__} of {operation.__name__}"))

    def derivative(argnums: Sequence[int], y: Array, *args: Any, **kwargs: Any) -> Callable[[Array], Any]:
        vjp = vjp_of(operation, argnums, None, *args, **kwargs)  # none of these operations' derivatives reads its z
        return lambda dy: vjp(dy * SLOPES[f](y, *settings))

    defvjp_joint(node, derivative)
    fast = activation(f, *settings)
    if fast is not None:
        faster.stand_in(node, np.ndarray)(partial(WITH_ACTIVATION[operation], fast))
    return node


# --- A convolution, 2x2 max-pooling and an activation ----------------------------------------------------------------


@cache
def pooled(f: Operation, *settings: float) -> Operation:
    """f(max_pool2d(conv2d(...), 2), *settings) as one primitive, called as conv2d is; for a relu or leaky_relu."""

    def composed(*args: Any) -> Array:
        return f(max_pool2d(conv2d(*args), 2), *settings)

    node = primitive(_named(composed, conv2d, f"{f.__name__} of max_pool2d of conv2d"))

    def derivative(argnums: Sequence[int], y: Array, *args: Any) -> Callable[[Array], Any]:
        """Which tap won is a constant to any derivative: dz = spread(dy f'(z), won), of a z that is computed again."""
        vjp, two, window = vjp_of(conv2d, argnums, None, *args), (2, 2), Window((2, 2))
        z = conv2d(*map(stop_gradient, args))
        won = winners(z, two, window, y.shape[2:])
        return lambda dy: vjp(spread(dy * SLOPES[f](y, *settings), won, two, window, z.shape[2:]))

    defvjp_joint(node, derivative)
    slope = _slope_of(f, *settings)

    @faster.stand_in(node, np.ndarray)
    def _(x: Any, weight: Any, bias: Any = None, stride: Size = 1, padding: Size = 0, dilation: Size = 1) -> Any:
        window, _ = conv2d_places(x, weight, bias, stride, padding, dilation)
        if not _fits(x, weight, window, slope):
            return NotImplemented
        y, bits = pooled_convolution.conv2d_max_pool2d(x, weight, bias, window.padding, slope)
        if bits is None:  # NaN or infinity
            return NotImplemented
        return y, lambda argnums, dy: pooled_convolution.gradients(argnums, dy, bits, x, weight, window.padding, slope)

    return node


def _fits(x: Any, weight: Any, window: Window, slope: float) -> bool:
    return ours(x, weight) and pooled_convolution.takes(x.shape, weight.shape, window, slope)


def _slope_of(f: Operation, negative_slope: float = 0.01) -> float:
    """a in f(z) = max(z, a z), for a relu or leaky_relu."""
    return 0.0 if f is E.relu else negative_slope


def _named(composed: Operation, operation: Operation, name: str) -> Operation:
    """With the operation's signature, which errors and keywords go by."""
    composed.__name__ = composed.__qualname__ = name
    return wraps(operation, assigned=("__doc__", "__annotations__"))(composed)


# --- The layers of a Sequential --------------------------------------------------------------------------------------


class _AsOne:
    """Layers that run as one, while the settings that it was made for are those that they have."""

    def __init__(self, make: Callable[..., Any], layers: tuple[Any, ...], settings: Any = None) -> None:
        self.make, self.layers = make, layers  # the latter as written, for when settings change
        self.now = [vars(layer) for layer in layers if type(layer) not in _WITH_ARRAYS]
        self.settings = settings or [dict(now) for now in self.now]
        self.arguments, self.as_one = layers[0].arguments, make(*layers, *self.settings[0].values())

    def __reduce__(self) -> Any:
        return _AsOne, (self.make, self.layers, self.settings)

    def __call__(self, p: Any, x: Array, path: str, training: bool) -> Array:
        try:
            fits = faster.switched_on and self.now == self.settings
        except ValueError:  # a setting is an array now
            fits = False
        if fits:
            return self.as_one(*self.arguments(p, x, path, training))
        for layer in self.layers:
            x = layer(p, x, path, training)
        return x


def _fused(layer: Any, f: Any, *settings: float) -> Callable[..., Array]:
    """A layer and the activation behind it."""
    return fused(layer.operation, f.operation, *settings)


def _pool_first(f: Any, pool: Any, *settings: float) -> Callable[..., Array]:
    """An activation that rises and the max-pooling behind it."""
    return lambda x, *settings: f({}, pool({}, x))


def _pooled(conv: Any, f: Any, pool: Any, *settings: float) -> Callable[..., Array]:
    """A convolution, an activation that rises, and max-pooling of 2x2: as one where the kernel is faster."""
    operation, slope = pooled(f.operation, *settings), _slope_of(f.operation, *settings)

    def as_one(x: Array, weight: Array, *rest: Any) -> Array:
        if _fits(stop_gradient(x), stop_gradient(weight), conv.window, slope):
            return operation(x, weight, *rest)
        return f({}, pool({}, conv.operation(x, weight, *rest)))

    return as_one


def _on_the_pool(steps: faster.Steps, p: Any, x: Array, path: str, training: bool) -> Array:
    """Layers with convolutions among them, which run on the pool's threads."""
    on_numpy = faster.switched_on and type(stop_gradient(x)) is np.ndarray  # others' bits must not depend on kernels
    with on_the_pool() if on_numpy else nullcontext():
        for step, name in steps:
            x = step(p, x, path + name, training)
    return x


@faster.rewrites
def steps(layers: Mapping[str, Any]) -> faster.Steps:
    """What runs of these layers: three or two as one where they go together, and convolutions on the pool."""
    rest, found = list(layers.items()), []
    while rest:
        first, second, third = ([layer for _, layer in rest[:3]] + [None, None])[:3]
        step, count = first, 1
        if type(first) is L.Conv2d and _pools(second, third) and third.settings() in _HALVES:
            step, count = _AsOne(_pooled, (first, second, third)), 3
        elif _pools(first, second):
            step, count = _AsOne(_pool_first, (first, second)), 2
        elif type(first) in _WITH_ARRAYS and _goes_along(second) and not _pools(second, third):
            step, count = _AsOne(_fused, (first, second)), 2
        found.append((step, f"{rest[0][0]}."))
        del rest[:count]
    return [(partial(_on_the_pool, found), "")] if any(map(_convolves, layers.values())) else found


# These types and no types derived from them, whose authors mean what they write:
_WITH_ARRAYS = (L.Linear, L.Conv2d, L.ConvTranspose2d, L.BatchNorm1d, L.BatchNorm2d)
_ACTIVATIONS = (L.ReLU, L.LeakyReLU, L.ELU, L.Sigmoid, L.Tanh)
_RISING = (L.ReLU, L.LeakyReLU)  # they rise, or stay, for every slope that goes along
_HALVES = [(size, stride, padding) for size in (2, (2, 2)) for stride in (None, 2, (2, 2)) for padding in (0, (0, 0))]


def _goes_along(f: Any) -> bool:
    """Whether f is an activation whose slope can be read off its result."""
    if type(f) not in _ACTIVATIONS or not all(type(number) in (float, int) for number in f.settings()):
        return False
    return type(f) is not L.LeakyReLU or f.negative_slope >= 0


def _pools(f: Any, pool: Any) -> bool:
    return type(f) in _RISING and _goes_along(f) and type(pool) is L.MaxPool2d


def _convolves(layer: Any) -> bool:
    if isinstance(layer, L.Sequential):
        return any(map(_convolves, layer.layers.values()))
    return isinstance(layer, (L.Conv2d, L.ConvTranspose2d))
