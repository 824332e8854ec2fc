"""Layers are descriptions. They hold sizes and settings, never numbers; the numbers are a dict (parameters.py).

    G = Sequential(Linear(1, 50), ELU(), Linear(50, 1))
    g = G.init(np.random.default_rng(0))     # {"0.weight": ..., "0.bias": ..., "2.weight": ..., "2.bias": ...}
    y = G(g, x)

A layer is called with all the parameters of its network and the path under which its own are kept: `p[path + "weight"]`
is PyTorch's state_dict name, so state_dicts go in and out key for key. Read next: optimizers.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from minigan import initializers
from minigan.arrays import Array, Device, to_device
from minigan.initializers import Initializer
from minigan.parameters import Parameters
from minigan.primitives.elementwise import (
    Activation,
    elu,
    elu_slope,
    leaky_relu,
    leaky_relu_slope,
    relu,
    relu_slope,
    sigmoid,
    sigmoid_slope,
    softplus,
    tanh,
    tanh_slope,
)
from minigan.primitives.linear import linear, linear_activation


class Spec(NamedTuple):
    """What it takes to create one array of a layer."""

    shape: tuple[int, ...]
    initializer: Initializer
    fan_in: int
    fan_out: int


class Layer(Protocol):
    """Anything that names its arrays and maps x to y."""

    def parameters(self) -> dict[str, Spec]:
        """Names of this layer's arrays, in PyTorch's order, and how each starts."""
        ...

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "") -> Array:
        """y, from x and the arrays p[path + name]."""
        ...


class Sequential:
    """Layers one after another.

    Args:
        layers: each a Layer, named "0", "1", ... as PyTorch does; or one dict name -> Layer. Names join with dots,
            so Sequential({"main": Sequential(Linear(2, 3))}) owns "main.0.weight" and "main.0.bias".

    A Linear and the activation behind it run as one primitive where that exists; the result is the same.
    """

    def __init__(self, *layers: Layer | dict[str, Layer]) -> None:
        if len(layers) == 1 and isinstance(layers[0], dict):
            self.layers: dict[str, Any] = dict(layers[0])
        else:
            self.layers = {str(i): layer for i, layer in enumerate(layers)}
        self._steps = list(_joined(self.layers))

    def parameters(self) -> dict[str, Spec]:
        """Specs of all arrays, under their dotted names."""
        return {
            f"{name}.{key}": spec for name, layer in self.layers.items() for key, spec in layer.parameters().items()
        }

    def init(self, rng: np.random.Generator, dtype: Any = np.float32, device: Device = "cpu") -> Parameters:
        """Fresh numbers for every array: the same seed gives the same network in every dtype, up to rounding."""
        return Parameters(
            {
                name: to_device(s.initializer(rng, s.shape, s.fan_in, s.fan_out).astype(dtype), device)
                for name, s in self.parameters().items()
            }
        )

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "") -> Array:
        """y, from x and the arrays p[path + name]."""
        for step, name in self._steps:
            x = step(p, x, path + name)
        return x

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}: {layer!r}" for name, layer in self.layers.items())
        return f"Sequential({inner})"


class Linear:
    """x W^T + b: (N, in_features) -> (N, out_features), with weight (out_features, in_features).

    Args:
        in_features, out_features: at least 1.
        bias: whether there is a b.
        weight_init, bias_init: see initializers.py; PyTorch's defaults.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        weight_init: Initializer = initializers.torch_uniform,
        bias_init: Initializer = initializers.torch_uniform,
    ) -> None:
        for name, value in [("in_features", in_features), ("out_features", out_features)]:
            if value < 1:
                raise ValueError(f"Linear: expected {name} >= 1, got {value}")
        self.in_features, self.out_features, self.bias = in_features, out_features, bias
        self.weight_init, self.bias_init = weight_init, bias_init

    def parameters(self) -> dict[str, Spec]:
        """weight (out_features, in_features) and bias (out_features,)."""
        fans = (self.in_features, self.out_features)
        specs = {"weight": Spec((self.out_features, self.in_features), self.weight_init, *fans)}
        if self.bias:
            specs["bias"] = Spec((self.out_features,), self.bias_init, *fans)
        return specs

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "") -> Array:
        """x (N, in_features) -> (N, out_features)"""
        return linear(x, p[path + "weight"], p[path + "bias"] if self.bias else None)

    def joined(self, activation: Activation) -> Layer:
        """This layer and the activation behind it, as one step."""
        return _LinearActivation(self, activation)

    def __repr__(self) -> str:
        return f"Linear({self.in_features}, {self.out_features})"


class _Elementwise:
    """What the activations share: no arrays of their own."""

    activation: Activation | None = None  # set where the slope can be read off y

    def parameters(self) -> dict[str, Spec]:
        """None."""
        return {}

    def __repr__(self) -> str:
        settings = self.activation.args if self.activation else ()
        return f"{type(self).__name__}({', '.join(map(str, settings))})"


class ReLU(_Elementwise):
    """max(x, 0)"""

    activation = Activation(relu, relu_slope)

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "") -> Array:
        """Any shape."""
        return relu(x)


class LeakyReLU(_Elementwise):
    """x where x > 0, else negative_slope * x."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope
        if negative_slope >= 0:  # otherwise y > 0 on both sides, and the slope has to be read off x
            self.activation = Activation(leaky_relu, leaky_relu_slope, negative_slope)

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "") -> Array:
        """Any shape."""
        return leaky_relu(x, self.negative_slope)


class ELU(_Elementwise):
    """x where x > 0, else alpha * (exp(x) - 1), for alpha >= 0."""

    def __init__(self, alpha: float = 1.0) -> None:
        if alpha < 0:
            raise ValueError(f"ELU: expected alpha >= 0, got {alpha}")
        self.alpha = alpha
        self.activation = Activation(elu, elu_slope, alpha)

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "") -> Array:
        """Any shape."""
        return elu(x, self.alpha)


class Sigmoid(_Elementwise):
    """1 / (1 + exp(-x))"""

    activation = Activation(sigmoid, sigmoid_slope)

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "") -> Array:
        """Any shape."""
        return sigmoid(x)


class Tanh(_Elementwise):
    """tanh(x)"""

    activation = Activation(tanh, tanh_slope)

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "") -> Array:
        """Any shape."""
        return tanh(x)


class Softplus(_Elementwise):
    """log(1 + exp(x))"""

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "") -> Array:
        """Any shape."""
        return softplus(x)


class _LinearActivation:
    """Linear and activation in one node. Sequential makes it; it owns no names."""

    def __init__(self, layer: Linear, activation: Activation) -> None:
        self.bias, self.activation = layer.bias, activation

    def parameters(self) -> dict[str, Spec]:
        return {}

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "") -> Array:
        return linear_activation(x, p[path + "weight"], p[path + "bias"] if self.bias else None, self.activation)


def _joined(layers: Mapping[str, Any]) -> Iterator[tuple[Layer, str]]:
    """(step, path) for each layer, where a layer that can take in the activation behind it does."""
    items = list(layers.items())
    while items:
        name, layer = items.pop(0)
        activation = getattr(items[0][1], "activation", None) if items else None
        if activation is not None and hasattr(layer, "joined"):
            items.pop(0)
            layer = layer.joined(activation)
        yield layer, f"{name}."
