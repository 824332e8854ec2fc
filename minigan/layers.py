"""Layers are descriptions. They hold sizes and settings, never numbers; the numbers are a dict (parameters.py).

    G = Sequential(Linear(1, 50), ELU(), Linear(50, 1))
    g = G.init(np.random.default_rng(0))     # {"0.weight": ..., "0.bias": ..., "2.weight": ..., "2.bias": ...}
    y = G(g, x)

A layer is called with all the parameters of its network and the path under which its own are kept: `p[path + "weight"]`
is PyTorch's state_dict name, so state_dicts go in and out key for key. What it computes is an operation of primitives/,
on x, the layer's arrays and its settings. Read next: optimizers.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from minigan import faster, initializers
from minigan.arrays import Array
from minigan.devices import Device, to_device
from minigan.initializers import Initializer
from minigan.parameters import Parameters
from minigan.primitives.convolution import Size, Window, conv2d, conv_transpose2d, pair
from minigan.primitives.elementwise import elu, leaky_relu, relu, sigmoid, softplus, tanh
from minigan.primitives.linear import embedding, linear
from minigan.primitives.normalization import batch_norm
from minigan.primitives.pooling import avg_pool2d, max_pool2d, upsample
from minigan.primitives.shaping import flatten, reshape


class Spec(NamedTuple):
    """What it takes to create one array of a layer."""

    shape: tuple[int, ...]
    initializer: Initializer
    fan_in: int
    fan_out: int


class Layer:
    """y = operation(x, *arrays, *settings). Anything else with `parameters` and `__call__` can stand in a Sequential.

    Attributes:
        operation: what the layer computes.
    """

    operation: Callable[..., Array]

    def parameters(self) -> dict[str, Spec]:
        """Names of this layer's arrays, in PyTorch's order, and how each starts."""
        return {}

    def settings(self) -> tuple[Any, ...]:
        """What the operation gets behind x and the layer's arrays: as a rule the layer's attributes, in order."""
        return tuple(vars(self).values())

    def arguments(self, p: Any, x: Array, path: str, training: bool) -> tuple[Any, ...]:
        """All that the operation gets, if x fits the layer."""
        return x, *self.settings()

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """y, from x and the arrays p[path + name]; `training` says which statistics batch norm uses."""
        return self.operation(*self.arguments(p, x, path, training))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.settings()))})"


class Sequential(Layer):
    """Layers one after another.

    Args:
        layers: each a Layer, named "0", "1", ... as PyTorch does; or one dict name -> Layer. Names join with dots,
            so Sequential({"main": Sequential(Linear(2, 3))}) owns "main.0.weight" and "main.0.bias".
    """

    def __init__(self, *layers: Layer | dict[str, Layer]) -> None:
        if len(layers) == 1 and isinstance(layers[0], dict):
            self.layers: dict[str, Any] = dict(layers[0])
        else:
            self.layers = {str(i): layer for i, layer in enumerate(layers)}
        self._steps = faster.steps_of(self.layers)  # the layers, unless somebody runs two of them as one

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


class Linear(Layer):
    """x W^T + b: (N, in_features) -> (N, out_features), with weight (out_features, in_features).

    Args:
        in_features, out_features: at least 1.
        bias: whether there is a b.
        weight_init, bias_init: see initializers.py; PyTorch's defaults.
    """

    operation = staticmethod(linear)

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

    def arguments(self, p: Any, x: Array, path: str, training: bool) -> tuple[Any, ...]:
        """x (N, in_features), weight and bias."""
        return x, p[path + "weight"], p[path + "bias"] if self.bias else None

    def __repr__(self) -> str:
        return f"Linear({self.in_features}, {self.out_features})"


_STANDARD_NORMAL = initializers.normal(0.0, 1.0)


class Embedding(Layer):
    """A row of numbers for each label: (N,) -> (N, embedding_dim), with weight (num_embeddings, embedding_dim).

    Args:
        num_embeddings: how many labels there are, 0 to num_embeddings - 1; at least 1.
        embedding_dim: numbers in a row, at least 1.
        weight_init: see initializers.py; PyTorch's default, Normal(0, 1).
    """

    operation = staticmethod(embedding)

    def __init__(self, num_embeddings: int, embedding_dim: int, weight_init: Initializer = _STANDARD_NORMAL) -> None:
        _check_counts("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim, self.weight_init = num_embeddings, embedding_dim, weight_init

    def parameters(self) -> dict[str, Spec]:
        """weight (num_embeddings, embedding_dim)."""
        shape = (self.num_embeddings, self.embedding_dim)
        return {"weight": Spec(shape, self.weight_init, *shape)}

    def arguments(self, p: Any, x: Array, path: str, training: bool) -> tuple[Any, ...]:
        """x (N,), integers, and the weight."""
        return x, p[path + "weight"]

    def __repr__(self) -> str:
        return f"Embedding({self.num_embeddings}, {self.embedding_dim})"


class _Convolution(Layer):
    """What Conv2d and ConvTranspose2d share."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Size,
        dilation: Size,
        bias: bool,
        weight_init: Initializer,
        bias_init: Initializer,
    ) -> None:
        _check_counts(type(self).__name__, in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels, self.bias = in_channels, out_channels, bias
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.window = Window.of(stride, padding, dilation)
        self.weight_init, self.bias_init = weight_init, bias_init

    def _specs(self, first: int, second: int) -> dict[str, Spec]:
        taps = self.kernel_size[0] * self.kernel_size[1]
        fans = (second * taps, first * taps)  # PyTorch's reading of a weight (first, second, kh, kw)
        specs = {"weight": Spec((first, second, *self.kernel_size), self.weight_init, *fans)}
        if self.bias:
            specs["bias"] = Spec((self.out_channels,), self.bias_init, *fans)
        return specs

    def arguments(self, p: Any, x: Array, path: str, training: bool) -> tuple[Any, ...]:
        """x (N, in_channels, H, W), weight and bias, and how the weight moves."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"{self!r}: expected x of shape (N, {self.in_channels}, H, W), got {x.shape}")
        return x, p[path + "weight"], p[path + "bias"] if self.bias else None, *self.settings()

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

    operation = staticmethod(conv2d)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        bias: bool = True,
        weight_init: Initializer = initializers.torch_uniform,
        bias_init: Initializer = initializers.torch_uniform,
    ) -> None:
        sizes = (kernel_size, stride, padding, dilation)
        super().__init__(in_channels, out_channels, *sizes, bias, weight_init, bias_init)

    def parameters(self) -> dict[str, Spec]:
        """weight (out_channels, in_channels, kh, kw) and bias (out_channels,)."""
        return self._specs(self.out_channels, self.in_channels)

    def settings(self) -> tuple[Any, ...]:
        """stride, padding, dilation."""
        return self.window


class ConvTranspose2d(_Convolution):
    """Transposed convolution: (N, in_channels, H, W) -> (N, out_channels, OH, OW); see primitives.conv_transpose2d.

    Args:
        in_channels, out_channels: at least 1.
        kernel_size, stride, padding, output_padding, dilation: a number or a pair (vertical, horizontal).
        bias: whether there is one.
        weight_init, bias_init: see initializers.py; PyTorch's defaults.
    """

    operation = staticmethod(conv_transpose2d)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        bias: bool = True,
        dilation: Size = 1,
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

    def settings(self) -> tuple[Any, ...]:
        """stride, padding, output_padding, dilation."""
        stride, padding, dilation = self.window
        return stride, padding, self.output_padding, dilation


_ONES, _ZEROS = initializers.constant(1.0), initializers.constant(0.0)


class _BatchNorm(Layer):
    """What BatchNorm1d and BatchNorm2d share: they differ in the shape of x alone."""

    operation = staticmethod(batch_norm)
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

    def arguments(self, p: Any, x: Array, path: str, training: bool) -> tuple[Any, ...]:
        """x, scale and shift, statistics. If none are tracked, the batch's own serve at evaluation too, as in PyTorch.

        A batch in training is counted.
        """
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
        return x, weight, bias, mean, var, use_batch, self.momentum, self.eps

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


# --- Layers without arrays of their own -----------------------------------------------------------------------------


class _Pooling(Layer):
    """What MaxPool2d and AvgPool2d share."""

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding


class MaxPool2d(_Pooling):
    """The largest number of each window, (N, C, H, W) -> (N, C, OH, OW); see primitives.max_pool2d."""

    operation = staticmethod(max_pool2d)


class AvgPool2d(_Pooling):
    """The mean of each window, (N, C, H, W) -> (N, C, OH, OW); see primitives.avg_pool2d."""

    operation = staticmethod(avg_pool2d)


class Upsample(Layer):
    """Each pixel scale_factor times in both directions, nearest neighbour: (N, C, H, W) -> (N, C, s H, s W)."""

    operation = staticmethod(upsample)

    def __init__(self, scale_factor: int = 2) -> None:
        _check_counts("Upsample", scale_factor=scale_factor)
        self.scale_factor = scale_factor


class Flatten(Layer):
    """(N, C, H, W) -> (N, C*H*W)"""

    operation = staticmethod(flatten)


class Reshape(Layer):
    """(N, ...) -> (N, *shape)"""

    operation = staticmethod(reshape)

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def arguments(self, p: Any, x: Array, path: str, training: bool) -> tuple[Any, ...]:
        """x and its new shape."""
        return x, (x.shape[0], *self.shape)


class ReLU(Layer):
    """max(x, 0)"""

    operation = staticmethod(relu)


class LeakyReLU(Layer):
    """x where x > 0, else negative_slope * x."""

    operation = staticmethod(leaky_relu)

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope


class ELU(Layer):
    """x where x > 0, else alpha * (exp(x) - 1), for alpha >= 0."""

    operation = staticmethod(elu)

    def __init__(self, alpha: float = 1.0) -> None:
        if alpha < 0:
            raise ValueError(f"ELU: expected alpha >= 0, got {alpha}")
        self.alpha = alpha


class Sigmoid(Layer):
    """1 / (1 + exp(-x))"""

    operation = staticmethod(sigmoid)


class Tanh(Layer):
    """tanh(x)"""

    operation = staticmethod(tanh)


class Softplus(Layer):
    """log(1 + exp(x))"""

    operation = staticmethod(softplus)


def _check_counts(layer: str, **counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{layer}: expected {name} >= 1, got {value}")
