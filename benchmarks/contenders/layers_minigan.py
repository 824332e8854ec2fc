"""One layer in minigan, with and without kernels, and the large matrix product that gives the machine's peak."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from minigan import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Linear,
    MaxPool2d,
    Sequential,
    kernels,
    value_and_grad,
)
from minigan.arrays import Array
from minigan.primitives import sum

Numbers = dict[str, np.ndarray]


def numbers(kind: str, batch: int, channels: int, outputs: int, size: int, kernel: int) -> Numbers:
    """x and the layer's weight and bias, the same for every contender; a batch norm's are 1 and 0."""
    rng = np.random.default_rng(0)
    flat = kind == "linear" or (kind == "norm" and size == 1)
    shape: tuple[int, ...] = (batch, channels) if flat else (batch, channels, size, size)
    weights = {
        "linear": (outputs, channels),
        "conv": (outputs, channels, kernel, kernel),
        "transposed": (channels, outputs, kernel, kernel),
    }
    named = {"x": rng.standard_normal(shape, np.float32)}
    if kind in weights:
        named["weight"] = rng.standard_normal(weights[kind], np.float32)
        named["bias"] = rng.standard_normal(outputs, np.float32)
    elif kind == "norm":
        named["weight"], named["bias"] = np.ones(outputs, np.float32), np.zeros(outputs, np.float32)
    return named


def slope(y: Array) -> np.ndarray:
    """dy for a result of y's shape."""
    return np.random.default_rng(1).standard_normal(y.shape, np.float32)


def backward(layer: Callable[[Array], Array], x: Array, dy: np.ndarray) -> Callable[[np.ndarray], tuple[Array, ...]]:
    """The layer's way from dy to (dx,) alone, as a gradient of sum(layer(x) * dy) found it on the tape."""
    ways: list[Callable[[np.ndarray], tuple[Array, ...]]] = []

    def loss(x: Array) -> Array:
        y = layer(x)
        ways.append(y._node.vjp)  # the sweep takes it off the tape; it would run once
        return sum(y * dy)

    value_and_grad(loss)(x)
    return ways[0]


class Minigan:
    """A step is one operation; images lie in channels-last memory, as they do between minigan's layers."""

    def __init__(
        self,
        batch: int,
        name: str,
        kind: str,
        channels: int,
        outputs: int,
        size: int,
        kernel: int,
        stride: int,
        padding: int,
        operation: str,
    ) -> None:
        layers: dict[str, Callable[[], Any]] = {
            "linear": lambda: Linear(channels, outputs),
            "conv": lambda: Conv2d(channels, outputs, kernel, stride, padding),
            "transposed": lambda: ConvTranspose2d(channels, outputs, kernel, stride, padding),
            "norm": lambda: (BatchNorm1d if size == 1 else BatchNorm2d)(channels),
            "pool": lambda: MaxPool2d(kernel, stride, padding),
        }
        layer = Sequential(layers[kind]())
        p = layer.init(np.random.default_rng(0))
        given = numbers(kind, batch, channels, outputs, size, kernel)
        x = self.laid_out(given.pop("x"))
        for key, array in given.items():
            p[f"0.{key}"] = array
        self.result: Array = np.zeros(1, np.float32)
        with self.backend():
            if operation == "forward":
                self.operation = lambda: layer(p, x)
                return
            dy = self.laid_out(slope(layer(p, x)))
            if operation == "input":
                vjp = backward(lambda x: layer(p, x), x, dy)
            else:
                vjp = backward(lambda w: layer(p.replaced({**p, "0.weight": w}), x), p["0.weight"], dy)
            self.operation = lambda: vjp(dy)[0]

    def backend(self) -> Any:
        """What the operation runs in."""
        return nullcontext()

    def laid_out(self, x: np.ndarray) -> Array:
        """x in the memory order that the backend likes."""
        if x.ndim < 4:
            return x
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)

    def step(self, index: int) -> None:
        """The operation, once."""
        with self.backend():
            self.result = self.operation()

    def answer(self) -> dict[str, np.ndarray]:
        """What it gave; nothing before the first step."""
        return {"result": self.result}


class Plain(Minigan):
    """Without kernels: only the code in `minigan/primitives/` runs, on ordinary memory."""

    def backend(self) -> Any:
        """The plain code."""
        return kernels.plain()

    def laid_out(self, x: np.ndarray) -> Array:
        """As it is."""
        return x


class Peak:
    """A matrix product of 2048 x 2048 x 2048 in float32, threaded by BLAS."""

    def __init__(self) -> None:
        a, b = np.random.default_rng(0).standard_normal((2, 2048, 2048), np.float32)
        self.a, self.b, self.c = a, b, np.empty_like(a)

    def step(self, index: int) -> None:
        """The product, once."""
        np.matmul(self.a, self.b, out=self.c)

    def answer(self) -> dict[str, np.ndarray]:
        """The product."""
        return {"c": self.c}
