"""A row of the gradient table: how a primitive is called, on which inputs, and which function of PyTorch it equals.

Inputs are float64 and keep clear of kinks. The rows of a file of minigan stand beside its tests, in rows_NAME.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigan.arrays import array_module
from minigan.autodiff import stop_gradient
from minigan.primitives.elementwise import elu, leaky_relu, relu, sigmoid, tanh

Arrays = tuple[np.ndarray, ...]
Inputs = Callable[[np.random.Generator], Arrays]
Activation = tuple[Any, ...]  # a function and its settings
X = (4, 3)


class Case(NamedTuple):
    """A row.

    name: says what is special about this way of calling it.
    op: the function the row is about.
    inputs: draws the arrays that are differentiated.
    call: those arrays -> y; op itself unless it takes settings.
    torch: (the module torch, the same arrays as tensors) -> what y has to be; None where PyTorch has no such function.
    fancy: whether `call` indexes with a host array, which a device has to copy.
    """

    name: str
    op: Callable[..., Any]
    inputs: Inputs
    call: Callable[..., Any]
    torch: Callable[..., Any] | None
    fancy: bool = False

    def __repr__(self) -> str:
        return self.name


def normal(*shapes: tuple[int, ...]) -> Inputs:
    """Numbers of any size and sign."""
    return lambda rng: tuple(rng.normal(size=shape) for shape in shapes)


def uniform(low: float, high: float, *shapes: tuple[int, ...]) -> Inputs:
    """Numbers of [low, high)."""
    return lambda rng: tuple(rng.uniform(low, high, shape) for shape in shapes)


def nonzero(*shapes: tuple[int, ...]) -> Inputs:
    """Numbers of both signs, at least 0.2 away from 0."""
    return lambda rng: tuple(rng.uniform(0.2, 2.0, shape) * rng.choice([-1.0, 1.0], shape) for shape in shapes)


def layer(n: int, inputs: int, outputs: int, bias: bool = True) -> Inputs:
    """x, W and b whose x W^T + b is at least 0.15 away from 0 everywhere and has both signs."""

    def draw(rng: np.random.Generator) -> Arrays:
        while True:
            x, w, b = rng.normal(size=(n, inputs)), rng.normal(size=(outputs, inputs)), rng.normal(size=outputs)
            z = x @ w.T + (b if bias else 0.0)
            if np.abs(z).min() > 0.15 and z.min() < 0.0 < z.max():
                return (x, w, b) if bias else (x, w)

    return draw


def same(op: Callable[..., Any], inputs: Inputs, torch: Callable[..., Any] | None = None, name: str = "") -> Case:
    """A row for op without settings."""
    return Case(name or op.__name__, op, inputs, op, torch)


def clear(inputs: Inputs, z: Callable[..., np.ndarray], least: float = 0.08) -> Inputs:
    """Of those inputs, such whose z is at least `least` away from 0 everywhere and has both signs."""

    def draw(rng: np.random.Generator) -> Arrays:
        while True:
            arrays = inputs(rng)
            if np.abs(numbers := z(*arrays)).min() > least and numbers.min() < 0.0 < numbers.max():
                return arrays

    return draw


def distinct(shape: tuple[int, ...]) -> Inputs:
    """Numbers at least 0.1 apart, none of which is near 0."""
    n = math.prod(shape)
    return lambda rng: (rng.permutation(np.arange(n) - n // 2 + 0.5).reshape(shape) * 0.1,)


def some_labels(x: Any) -> Any:
    """Labels 0, 2, 1, 0, where x is."""
    return 2 * array_module(stop_gradient(x)).arange(4) % 3


ACTIVATIONS: list[tuple[str, Activation, Callable[..., Any]]] = [
    ("relu", (relu,), lambda t, z: t.relu(z)),
    ("sigmoid", (sigmoid,), lambda t, z: t.sigmoid(z)),
    ("tanh", (tanh,), lambda t, z: t.tanh(z)),
    *[(f"elu {a}", (elu, a), lambda t, z, a=a: t.nn.functional.elu(z, a)) for a in (1.0, 0.5, 2.0)],
    *[(f"leaky_relu {a}", (leaky_relu, a), lambda t, z, a=a: t.nn.functional.leaky_relu(z, a)) for a in (0.2, 1.5)],
]
