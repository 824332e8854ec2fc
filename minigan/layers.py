"""Layers are descriptions. They hold sizes and settings, never numbers; the numbers are a dict (parameters.py).

    G = Sequential(Linear(1, 50), ELU(), Linear(50, 1))
    g = G.init(np.random.default_rng(0))     # {"0.weight": ..., "0.bias": ..., "2.weight": ..., "2.bias": ...}
    y = G(g, x)

A layer is called with all the parameters of its network and the path under which its own are kept: `p[path + "weight"]`
is PyTorch's state_dict name, so state_dicts go in and out key for key. Read next: optimizers.py.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from minigan import initializers
from minigan.arrays import Array, Device, to_device
from minigan.initializers import Initializer
from minigan.parameters import Parameters
from minigan.primitives.convolution import (
    Pair,
    Window,
    conv2d_activation,
    conv_transpose2d_activation,
    pair,
)
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
from minigan.primitives.linear import embedding, linear, linear_activation
from minigan.primitives.normalization import batch_norm
from minigan.primitives.pooled_convolution import conv2d_max_pool2d
from minigan.primitives.pooling import avg_pool2d, max_pool2d, upsample
from minigan.primitives.shaping import flatten, reshape


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

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """y, from x and the arrays p[path + name]; `training` says which statistics batch norm uses."""
        ...


class Sequential:
    """Layers one after another.

    Args:
        layers: each a Layer, named "0", "1", ... as PyTorch does; or one dict name -> Layer. Names join with dots,
            so Sequential({"main": Sequential(Linear(2, 3))}) owns "main.0.weight" and "main.0.bias".

    Attributes:
        mixes_rows: whether a row of y depends on other rows of x, as batch norm makes it.
        convolves: whether its work is mostly convolutions (kernels.one_gradient asks).

    A Linear, Conv or BatchNorm layer and the activation behind it run as one primitive; the result is the same. So it
    is where MaxPool2d comes behind an activation that only rises: the largest is found first, which leaves less to
    activate. A Conv2d before the two joins them.
    """

    def __init__(self, *layers: Layer | dict[str, Layer]) -> None:
        if len(layers) == 1 and isinstance(layers[0], dict):
            self.layers: dict[str, Any] = dict(layers[0])
        else:
            self.layers = {str(i): layer for i, layer in enumerate(layers)}
        self.mixes_rows = any(getattr(layer, "mixes_rows", False) for layer in self.layers.values())
        self.convolves = any(getattr(layer, "convolves", False) for layer in self.layers.values())
        self._steps = list(_joined(self.layers))

    def parameters(self) -> dict[str, Spec]:
        """Specs of all arrays, under their dotted names."""
        return {
            f"{name}.{key}": spec for name, layer in self.layers.items() for key, spec in layer.parameters().items()
        }

    def buffers(self, dtype: Any = np.float32) -> dict[str, np.ndarray]:
        """The numbers that layers keep without training them, as they start, under their dotted names."""
        return {
            f"{name}.{key}": buffer
            for name, layer in self.layers.items()
            if hasattr(layer, "buffers")
            for key, buffer in layer.buffers(dtype).items()
        }

    def init(self, rng: np.random.Generator, dtype: Any = np.float32, device: Device = "cpu") -> Parameters:
        """Fresh numbers for every array: the same seed gives the same network in every dtype, up to rounding."""
        arrays = {
            name: to_device(s.initializer(rng, s.shape, s.fan_in, s.fan_out).astype(dtype), device)
            for name, s in self.parameters().items()
        }
        return Parameters(arrays, {name: to_device(b, device) for name, b in self.buffers(dtype).items()})

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """y, from x and the arrays p[path + name]; `training` says which statistics batch norm uses."""
        for step, name in self._steps:
            x = step(p, x, path + name, training)
        return x

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}: {layer!r}" for name, layer in self.layers.items())
        return f"Sequential({inner})"


class _Joinable:
    """A layer that can take in the activation behind it."""

    activation_behind: Activation | None = None

    def joined(self, activation: Activation) -> Any:
        """This layer and the activation behind it, as one step."""
        step = copy.copy(self)
        step.activation_behind = activation
        return step


class Linear(_Joinable):
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
        _check_counts("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features, self.bias = in_features, out_features, bias
        self.weight_init, self.bias_init = weight_init, bias_init

    def parameters(self) -> dict[str, Spec]:
        """weight (out_features, in_features) and bias (out_features,)."""
        fans = (self.in_features, self.out_features)
        specs = {"weight": Spec((self.out_features, self.in_features), self.weight_init, *fans)}
        if self.bias:
            specs["bias"] = Spec((self.out_features,), self.bias_init, *fans)
        return specs

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """x (N, in_features) -> (N, out_features)"""
        weight, bias = p[path + "weight"], p[path + "bias"] if self.bias else None
        if self.activation_behind is None:
            return linear(x, weight, bias)
        return linear_activation(x, weight, bias, self.activation_behind)

    def __repr__(self) -> str:
        return f"Linear({self.in_features}, {self.out_features})"


_STANDARD_NORMAL = initializers.normal(0.0, 1.0)


class Embedding:
    """A row of numbers for each label: (N,) -> (N, embedding_dim), with weight (num_embeddings, embedding_dim).

    Args:
        num_embeddings: how many labels there are, 0 to num_embeddings - 1; at least 1.
        embedding_dim: numbers in a row, at least 1.
        weight_init: see initializers.py; PyTorch's default, Normal(0, 1).
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, weight_init: Initializer = _STANDARD_NORMAL) -> None:
        _check_counts("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim, self.weight_init = num_embeddings, embedding_dim, weight_init

    def parameters(self) -> dict[str, Spec]:
        """weight (num_embeddings, embedding_dim)."""
        shape = (self.num_embeddings, self.embedding_dim)
        return {"weight": Spec(shape, self.weight_init, *shape)}

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """x (N,), integers -> (N, embedding_dim)"""
        return embedding(x, p[path + "weight"])

    def __repr__(self) -> str:
        return f"Embedding({self.num_embeddings}, {self.embedding_dim})"


class _Convolution(_Joinable):
    """What Conv2d and ConvTranspose2d share."""

    convolves = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair,
        padding: int | Pair,
        dilation: int | Pair,
        bias: bool,
        weight_init: Initializer,
        bias_init: Initializer,
    ) -> None:
        _check_counts(type(self).__name__, in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels, self.bias = in_channels, out_channels, bias
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.window = Window(pair("stride", stride, 1), pair("padding", padding, 0), pair("dilation", dilation, 1))
        self.weight_init, self.bias_init = weight_init, bias_init

    def _specs(self, first: int, second: int) -> dict[str, Spec]:
        taps = self.kernel_size[0] * self.kernel_size[1]
        fans = (second * taps, first * taps)  # PyTorch's reading of a weight (first, second, kh, kw)
        specs = {"weight": Spec((first, second, *self.kernel_size), self.weight_init, *fans)}
        if self.bias:
            specs["bias"] = Spec((self.out_channels,), self.bias_init, *fans)
        return specs

    def arrays(self, p: Mapping[str, Array], x: Array, path: str) -> tuple[Array, Array | None]:
        """This layer's weight and bias, if x fits them."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"{self!r}: expected x of shape (N, {self.in_channels}, H, W), got {x.shape}")
        return p[path + "weight"], p[path + "bias"] if self.bias else None

    def __repr__(self) -> str:
        stride, padding, dilation = self.window
        inner = f"{self.in_channels}, {self.out_channels}, {self.kernel_size}, {stride=}, {padding=}, {dilation=}"
        return f"{type(self).__name__}({inner})"


class Conv2d(_Convolution):
    """Convolution: (N, in_channels, H, W) -> (N, out_channels, OH, OW); see primitives.conv2d for the sizes.

    Args:
        in_channels, out_channels: at least 1.
        kernel_size, stride, padding, dilation: a number or a pair (vertical, horizontal).
        bias: whether there is one.
        weight_init, bias_init: see initializers.py; PyTorch's defaults.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        bias: bool = True,
        weight_init: Initializer = initializers.torch_uniform,
        bias_init: Initializer = initializers.torch_uniform,
    ) -> None:
        sizes = (kernel_size, stride, padding, dilation)
        super().__init__(in_channels, out_channels, *sizes, bias, weight_init, bias_init)

    def parameters(self) -> dict[str, Spec]:
        """weight (out_channels, in_channels, kh, kw) and bias (out_channels,)."""
        return self._specs(self.out_channels, self.in_channels)

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """x (N, in_channels, H, W) -> (N, out_channels, OH, OW)"""
        return conv2d_activation(x, *self.arrays(p, x, path), self.activation_behind, self.window)


class ConvTranspose2d(_Convolution):
    """Transposed convolution: (N, in_channels, H, W) -> (N, out_channels, OH, OW); see primitives.conv_transpose2d.

    Args:
        in_channels, out_channels: at least 1.
        kernel_size, stride, padding, output_padding, dilation: a number or a pair (vertical, horizontal).
        bias: whether there is one.
        weight_init, bias_init: see initializers.py; PyTorch's defaults.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        output_padding: int | Pair = 0,
        bias: bool = True,
        dilation: int | Pair = 1,
        weight_init: Initializer = initializers.torch_uniform,
        bias_init: Initializer = initializers.torch_uniform,
    ) -> None:
        sizes = (kernel_size, stride, padding, dilation)
        super().__init__(in_channels, out_channels, *sizes, bias, weight_init, bias_init)
        self.output_padding = pair("output_padding", output_padding, 0)
        self.window.check_output_padding(self.output_padding)

    def parameters(self) -> dict[str, Spec]:
        """weight (in_channels, out_channels, kh, kw) and bias (out_channels,)."""
        return self._specs(self.in_channels, self.out_channels)

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """x (N, in_channels, H, W) -> (N, out_channels, OH, OW)"""
        weight, bias = self.arrays(p, x, path)
        size = self.window.transposed_size(x.shape[2:], self.kernel_size, self.output_padding)
        return conv_transpose2d_activation(x, weight, bias, self.activation_behind, self.window, size)


_ONES, _ZEROS = initializers.constant(1.0), initializers.constant(0.0)


class _BatchNorm(_Joinable):
    """What BatchNorm1d and BatchNorm2d share: they differ in the shape of x alone."""

    mixes_rows = True
    axes: tuple[str, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        weight_init: Initializer = _ONES,
        bias_init: Initializer = _ZEROS,
    ) -> None:
        _check_counts(type(self).__name__, num_features=num_features)
        if not eps > 0:
            raise ValueError(f"{type(self).__name__}: expected eps > 0, got {eps}")
        if not 0 <= momentum <= 1:
            raise ValueError(f"{type(self).__name__}: expected momentum in [0, 1], got {momentum}")
        self.num_features, self.eps, self.momentum, self.affine = num_features, eps, momentum, affine
        self.track_running_stats, self.weight_init, self.bias_init = track_running_stats, weight_init, bias_init

    def parameters(self) -> dict[str, Spec]:
        """weight and bias, (num_features,) each, if affine."""
        if not self.affine:
            return {}
        n = self.num_features
        return {"weight": Spec((n,), self.weight_init, n, n), "bias": Spec((n,), self.bias_init, n, n)}

    def buffers(self, dtype: Any = np.float32) -> dict[str, np.ndarray]:
        """running_mean, running_var (num_features,) and num_batches_tracked, a counter, if they are tracked."""
        if not self.track_running_stats:
            return {}
        return {
            "running_mean": np.zeros(self.num_features, dtype),
            "running_var": np.ones(self.num_features, dtype),
            "num_batches_tracked": np.zeros((), np.int64),
        }

    def __call__(self, p: Any, x: Array, path: str = "", training: bool = True) -> Array:
        """Like x. Without tracked statistics the batch's own are used at evaluation too, as in PyTorch."""
        if x.ndim != len(self.axes) or x.shape[1] != self.num_features:
            axes = ", ".join(self.axes).replace("C", str(self.num_features))
            raise ValueError(f"{self!r}: expected x of shape ({axes}), got {x.shape}")
        weight, bias = (p[path + "weight"], p[path + "bias"]) if self.affine else (None, None)
        mean = var = None
        if self.track_running_stats:
            mean, var = p.buffers[path + "running_mean"], p.buffers[path + "running_var"]
            if training:
                p.buffers[path + "num_batches_tracked"][...] += 1
        use_batch = training or not self.track_running_stats
        return batch_norm(x, weight, bias, mean, var, use_batch, self.momentum, self.eps, self.activation_behind)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_features})"


class BatchNorm1d(_BatchNorm):
    """Batch norm of (N, num_features); see primitives.batch_norm.

    Args:
        num_features: C, at least 1.
        eps, momentum, affine, track_running_stats: as in PyTorch.
        weight_init, bias_init: of the scale and the shift; 1 and 0.
    """

    axes = ("N", "C")


class BatchNorm2d(_BatchNorm):
    """Batch norm of (N, num_features, H, W), a mean and a variance for each channel; see primitives.batch_norm.

    Args:
        num_features: C, at least 1.
        eps, momentum, affine, track_running_stats: as in PyTorch.
        weight_init, bias_init: of the scale and the shift; 1 and 0.
    """

    axes = ("N", "C", "H", "W")


class _Shaping:
    """What the layers without arrays of their own share."""

    def parameters(self) -> dict[str, Spec]:
        """None."""
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, vars(self).values()))})"


class MaxPool2d(_Shaping):
    """The largest number of each window; see primitives.max_pool2d."""

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """x (N, C, H, W) -> (N, C, OH, OW)"""
        return max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2d(_Shaping):
    """The mean of each window; see primitives.avg_pool2d."""

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """x (N, C, H, W) -> (N, C, OH, OW)"""
        return avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class Upsample(_Shaping):
    """Each pixel scale_factor times in both directions, nearest neighbour."""

    def __init__(self, scale_factor: int = 2) -> None:
        _check_counts("Upsample", scale_factor=scale_factor)
        self.scale_factor = scale_factor

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """x (N, C, H, W) -> (N, C, s H, s W)"""
        return upsample(x, self.scale_factor)


class Flatten(_Shaping):
    """(N, C, H, W) -> (N, C*H*W)"""

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """All axes but the first made one."""
        return flatten(x)


class Reshape(_Shaping):
    """(N, ...) -> (N, *shape)"""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """The numbers of each row under another shape."""
        return reshape(x, (x.shape[0], *self.shape))


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

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """Any shape."""
        return relu(x)


class LeakyReLU(_Elementwise):
    """x where x > 0, else negative_slope * x."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope
        if negative_slope >= 0:  # otherwise y > 0 on both sides, and the slope has to be read off x
            self.activation = Activation(leaky_relu, leaky_relu_slope, negative_slope)

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """Any shape."""
        return leaky_relu(x, self.negative_slope)


class ELU(_Elementwise):
    """x where x > 0, else alpha * (exp(x) - 1), for alpha >= 0."""

    def __init__(self, alpha: float = 1.0) -> None:
        if alpha < 0:
            raise ValueError(f"ELU: expected alpha >= 0, got {alpha}")
        self.alpha = alpha
        self.activation = Activation(elu, elu_slope, alpha)

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """Any shape."""
        return elu(x, self.alpha)


class Sigmoid(_Elementwise):
    """1 / (1 + exp(-x))"""

    activation = Activation(sigmoid, sigmoid_slope)

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """Any shape."""
        return sigmoid(x)


class Tanh(_Elementwise):
    """tanh(x)"""

    activation = Activation(tanh, tanh_slope)

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """Any shape."""
        return tanh(x)


class Softplus(_Elementwise):
    """log(1 + exp(x))"""

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """Any shape."""
        return softplus(x)


def _check_counts(layer: str, **counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{layer}: expected {name} >= 1, got {value}")


def _joined(layers: Mapping[str, Any]) -> Iterator[tuple[Layer, str]]:
    """(step, path) for each layer, where a layer that can take in the activation behind it does."""
    items = list(layers.items())
    while items:
        name, layer = items.pop(0)
        activation = getattr(items[0][1], "activation", None) if items else None
        if activation is not None and len(items) > 1 and activation.f in _RISING and isinstance(items[1][1], MaxPool2d):
            items.pop(0)
            pool_name, pool = items.pop(0)
            if isinstance(layer, Conv2d):
                layer = _Pooled(layer, activation, pool)
            else:
                yield layer, f"{name}."
                name, layer = pool_name, _Activated(pool, activation)
        elif activation is not None and hasattr(layer, "joined"):
            items.pop(0)
            layer = layer.joined(activation)
        yield layer, f"{name}."


class _Pooled:
    """A convolution, an activation that rises, and max-pooling."""

    def __init__(self, conv: Conv2d, activation: Activation, pool: MaxPool2d) -> None:
        self.conv, self.activation, self.pool = conv, activation, pool

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        weight, bias = self.conv.arrays(p, x, path)
        size = (self.pool.kernel_size, self.pool.stride, self.pool.padding)
        return conv2d_max_pool2d(x, weight, bias, self.activation, self.conv.window, *size)


class _Activated:
    """A layer and an activation behind it, one after the other."""

    def __init__(self, layer: Layer, activation: Activation) -> None:
        self.layer, self.activation = layer, activation

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        return self.activation.f(self.layer(p, x, path, training), *self.activation.args)


_RISING = (relu, leaky_relu)  # they rise, or stay, for every slope that `activation` is set for
