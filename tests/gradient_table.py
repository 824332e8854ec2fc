"""One row for every primitive: how it is called, on which inputs, and which function of PyTorch it equals.

    python -m tests.gradient_table        # the worst error of each primitive's first and second derivative

To hold a new primitive to all the tests that walk this table, add a row. Inputs are float64 and keep clear of kinks.
Derivatives are taken of one scalar for all rows, L = sum((u y)^2) / 2 with fixed weights u: its second derivative sees
the curvature of y and how the derivative handles its own argument dy. They are compared with central differences of
eighth order, whose error is far below that of a formula gone wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minigan
from minigan import kernels, primitives
from minigan.arrays import array_module
from minigan.autodiff import stop_gradient
from minigan.kernels.fusion import fused, pooled
from minigan.primitives.convolution import Pair, Window, conv2d_input_grad, conv2d_product, conv2d_weight_grad
from minigan.primitives.elementwise import (
    elu,
    elu_slope,
    heaviside,
    leaky_relu,
    leaky_relu_slope,
    relu,
    relu_slope,
    sigmoid,
    sigmoid_slope,
    sign,
    tanh,
    tanh_slope,
)
from minigan.primitives.linear import linear
from minigan.primitives.losses import binary_cross_entropy, binary_cross_entropy_with_logits, cross_entropy, log_softmax
from minigan.primitives.pooling import pick, share_out, spread
from minigan.primitives.shaping import put, sum_to

Arrays = tuple[np.ndarray, ...]
Inputs = Callable[[np.random.Generator], Arrays]
Activation = tuple[Any, ...]  # a function and its settings


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


class Derivatives(NamedTuple):
    """y, the gradient of L, and the gradient of the gradient's product with fixed weights v."""

    y: Any
    first: Arrays
    second: Arrays


def derivatives(case: Case, inputs: Arrays, u: Any, v: Arrays) -> Derivatives:
    """What minigan says."""
    xs, vs = _named(inputs), _named(v)
    first = minigan.grad(lambda xs: _scalar(case, xs, u))

    def along_v(xs: dict[str, Any]) -> Any:
        dx = first(xs)
        return _total([primitives.sum(dx[name] * vs[name]) for name in xs])

    return Derivatives(case.call(*inputs), tuple(first(xs).values()), tuple(minigan.grad(along_v)(xs).values()))


def drawn(case: Case, dtype: Any = np.float64, seed: int = 0) -> tuple[Arrays, np.ndarray, Arrays]:
    """Inputs of a row, and weights u and v for `derivatives`."""
    rng = np.random.default_rng(seed)
    inputs = case.inputs(rng)
    u = rng.uniform(0.5, 1.5, np.shape(case.call(*inputs)))
    v = tuple(rng.uniform(-1.0, 1.0, x.shape) for x in inputs)
    return tuple(x.astype(dtype) for x in inputs), np.asarray(u, dtype), tuple(np.asarray(a, dtype) for a in v)


def differences(case: Case, inputs: Arrays, u: np.ndarray, v: Arrays, h: float = 2e-3) -> tuple[Arrays, Arrays]:
    """What central differences say about the first derivative, and about the second from the first."""
    sizes = np.cumsum([0, *(x.size for x in inputs)])
    theta, direction = _flat(inputs), _flat(v)

    def cut(t: np.ndarray) -> Arrays:
        return tuple(t[a:b].reshape(x.shape) for a, b, x in zip(sizes, sizes[1:], inputs, strict=False))

    def loss(t: np.ndarray) -> Any:
        return _scalar(case, _named(cut(t)), u)

    def gradient(t: np.ndarray) -> np.ndarray:
        return _flat(tuple(minigan.grad(lambda xs: _scalar(case, xs, u))(_named(cut(t))).values()))

    first = np.array([central_difference(loss, theta, e, h) for e in np.eye(theta.size)])
    return cut(first), cut(central_difference(gradient, theta, direction, h))


def central_difference(f: Callable[[np.ndarray], Any], x: np.ndarray, along: np.ndarray, h: float = 2e-3) -> Any:
    """The derivative of f at x along a direction, from 8 values, with an error of order h^8."""
    weights = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
    return sum(w * (f(x + k * h * along) - f(x - k * h * along)) for k, w in enumerate(weights, 1)) / h


class Errors(NamedTuple):
    """The largest differences from central differences, relative to the largest number in those."""

    op: str
    first: float
    second: float


def worst_errors() -> list[Errors]:
    """The worst of each op's rows, with kernels and without."""
    worst: dict[str, Errors] = {}
    for case in CASES:
        inputs, u, v = drawn(case)
        with kernels.plain():
            first, second = differences(case, inputs, u, v)
            found = [derivatives(case, inputs, u, v)]
        found.append(derivatives(case, inputs, u, v))
        op = case.op.__name__
        worst[op] = Errors(
            op,
            max([worst[op].first if op in worst else 0.0, *(_error(d.first, first) for d in found)]),
            max([worst[op].second if op in worst else 0.0, *(_error(d.second, second) for d in found)]),
        )
    return sorted(worst.values())


def main() -> None:
    """Print the worst errors, a line an op."""
    errors = worst_errors()
    width = max(len(e.op) for e in errors)
    print(f"{'primitive':{width}}  first derivative  second derivative")
    for e in [*errors, Errors("worst", max(e.first for e in errors), max(e.second for e in errors))]:
        print(f"{e.op:{width}}  {e.first:16.1e}  {e.second:17.1e}")


def _scalar(case: Case, xs: dict[str, Any], u: Any) -> Any:
    return primitives.sum(primitives.square(case.call(*xs.values()) * u)) * 0.5


def _error(found: Arrays, expected: Arrays) -> float:
    a, b = _flat(found), _flat(expected)
    largest = np.abs(b).max()
    return float(np.abs(a - b).max() / (largest if largest > 1e-9 else 1.0))


def _named(arrays: Arrays) -> dict[str, Any]:
    return {str(i): a for i, a in enumerate(arrays)}


def _flat(arrays: Arrays) -> np.ndarray:
    return np.concatenate([np.ravel(a) for a in arrays])


def _total(terms: list[Any]) -> Any:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def normal(*shapes: tuple[int, ...]) -> Inputs:
    """Numbers of any size and sign."""
    return lambda rng: tuple(rng.normal(size=shape) for shape in shapes)


def uniform(low: float, high: float, *shapes: tuple[int, ...]) -> Inputs:
    """Numbers of [low, high)."""
    return lambda rng: tuple(rng.uniform(low, high, shape) for shape in shapes)


def nonzero(*shapes: tuple[int, ...]) -> Inputs:
    """Numbers of both signs, at least 0.2 away from 0."""
    return lambda rng: tuple(rng.uniform(0.2, 2.0, shape) * rng.choice([-1.0, 1.0], shape) for shape in shapes)


def _layer(n: int, inputs: int, outputs: int, bias: bool = True) -> Inputs:
    """x, W and b whose x W^T + b is at least 0.15 away from 0 everywhere and has both signs."""

    def draw(rng: np.random.Generator) -> Arrays:
        while True:
            x, w, b = rng.normal(size=(n, inputs)), rng.normal(size=(outputs, inputs)), rng.normal(size=outputs)
            z = x @ w.T + (b if bias else 0.0)
            if np.abs(z).min() > 0.15 and z.min() < 0.0 < z.max():
                return (x, w, b) if bias else (x, w)

    return draw


def _same(op: Callable[..., Any], inputs: Inputs, torch: Callable[..., Any] | None = None, name: str = "") -> Case:
    """A row for op without settings."""
    return Case(name or op.__name__, op, inputs, op, torch)


def _activation_row(name: str, activation: Activation, torch: Callable[..., Any]) -> Case:
    return Case(
        f"linear, {name}",
        fused(linear, *activation),
        _layer(4, 3, 2),
        fused(linear, *activation),
        lambda t, x, w, b: torch(t, t.nn.functional.linear(x, w, b)),
    )


# Convolutions: name -> (x's shape, how many channels come out, kernel, settings). Small, for every number is
# moved; not square, so that an exchange of the two directions shows.
_CONVOLUTIONS: dict[str, tuple[tuple[int, ...], int, Pair, dict[str, Any]]] = {
    "plain": ((2, 2, 3, 4), 2, (2, 3), {}),
    "stride": ((1, 2, 5, 6), 2, (2, 2), {"stride": (2, 3)}),
    "stride beyond the kernel": ((1, 1, 5, 7), 2, (1, 2), {"stride": (2, 4)}),
    "padding": ((1, 2, 2, 3), 1, (2, 3), {"padding": (1, 2)}),
    "padding beyond the kernel": ((1, 1, 2, 1), 2, (1, 2), {"padding": (2, 3)}),
    "dilation": ((1, 2, 4, 5), 2, (2, 3), {"dilation": (3, 2)}),
    "everything": ((2, 1, 5, 4), 2, (3, 2), {"stride": (2, 3), "padding": (2, 1), "dilation": (1, 2)}),
    "kernel 4, stride 2": ((1, 2, 6, 4), 2, (4, 4), {"stride": 2, "padding": 1}),
    "one pixel": ((3, 2, 1, 1), 2, (1, 1), {}),
    "the kernel covers the image": ((2, 2, 3, 2), 2, (3, 2), {}),
}
_TRANSPOSED: dict[str, tuple[tuple[int, ...], int, Pair, dict[str, Any]]] = {
    "plain": ((2, 2, 2, 3), 2, (2, 3), {}),
    "stride": ((1, 2, 2, 3), 2, (2, 2), {"stride": (2, 3)}),
    "stride beyond the kernel": ((1, 2, 2, 3), 1, (1, 2), {"stride": (2, 3)}),
    "padding": ((1, 2, 3, 4), 2, (3, 2), {"padding": (2, 1)}),
    "dilation": ((1, 2, 2, 2), 2, (2, 3), {"dilation": (3, 2)}),
    "output padding": ((1, 2, 2, 2), 2, (3, 2), {"stride": (3, 2), "output_padding": (2, 1)}),
    "output padding of the stride and more": (
        (1, 2, 2, 3),
        2,
        (2, 2),
        {"stride": (2, 1), "dilation": (4, 3), "output_padding": (3, 1)},
    ),
    "everything": (
        (2, 1, 2, 3),
        2,
        (3, 2),
        {"stride": (2, 3), "padding": (2, 1), "dilation": (1, 2), "output_padding": (1, 2)},
    ),
    "kernel 4, stride 2": ((1, 2, 3, 2), 2, (4, 4), {"stride": 2, "padding": 1}),
    "one pixel": ((3, 2, 1, 1), 2, (1, 1), {}),
    "from one pixel": ((2, 2, 1, 1), 2, (3, 2), {}),
}
_WINDOW = Window(stride=(2, 3), padding=(2, 1), dilation=(1, 2))  # takes a (3, 2) kernel to (4, 2) places on (5, 5)
_PLACES = _WINDOW.places((5, 5), (3, 2))


def _convolution_rows() -> list[Case]:
    rows = []
    for op, settings_of in ((primitives.conv2d, _CONVOLUTIONS), (primitives.conv_transpose2d, _TRANSPOSED)):
        for name, (x, outputs, kernel, settings) in settings_of.items():
            weight = (outputs, x[1]) if op is primitives.conv2d else (x[1], outputs)
            rows.append(
                Case(
                    f"{op.__name__}, {name}",
                    op,
                    normal(x, (*weight, *kernel), (outputs,)),
                    lambda *arrays, op=op, settings=settings: op(*arrays, **settings),
                    lambda t, *arrays, op=op, settings=settings: getattr(t.nn.functional, op.__name__)(
                        *arrays, **settings
                    ),
                )
            )
        rows.append(
            _same(
                op,
                normal((1, 2, 3, 2), (2, 2, 2, 2)),
                lambda t, x, w, op=op: getattr(t.nn.functional, op.__name__)(x, w),
                f"{op.__name__} without bias",
            )
        )
    return rows


def _face_rows() -> list[Case]:
    """The three faces, and the activation behind two of them. x (1, 2, 5, 5), w (2, 2, 3, 2), dy (1, 2, *_PLACES)."""
    x, w, dy = (1, 2, 5, 5), (2, 2, 3, 2), (1, 2, *_PLACES)
    settings = _WINDOW._asdict()
    spread = settings | {"output_padding": (0, 1)}  # no place reads the last column
    return [
        Case(
            "conv2d_product",
            conv2d_product,
            normal(x, w),
            lambda x, w: conv2d_product(x, w, _WINDOW, _PLACES),
            lambda t, x, w: t.nn.functional.conv2d(x, w, **settings),
        ),
        Case(
            "conv2d_input_grad",
            conv2d_input_grad,
            normal(dy, w),
            lambda dy, w: conv2d_input_grad(dy, w, _WINDOW, (5, 5)),
            lambda t, dy, w: t.nn.functional.conv_transpose2d(dy, w, **spread),
        ),
        Case(
            "conv2d_weight_grad",
            conv2d_weight_grad,
            normal(x, dy),
            lambda x, dy: conv2d_weight_grad(x, dy, _WINDOW, (3, 2)),
            lambda t, x, dy: t.stack(  # dw[o, c, u, v] is the product of dy[:, o] with what tap (u, v) meets of x[:, c]
                [
                    t.einsum("nohw,nchw->oc", dy, _padded(t, x)[:, :, u : u + 7 : 2, 2 * v : 2 * v + 4 : 3])
                    for u in range(3)
                    for v in range(2)
                ],
                -1,
            ).reshape(w),
        ),
    ]


def _pooled_rows() -> list[Case]:
    """A convolution, an activation and max-pooling of 2x2, as one node."""
    plain = Window((1, 1), (1, 0), (1, 1))
    return [
        Case(
            f"conv2d, max_pool2d, {name}",
            pooled(*activation),
            _clear(
                normal((1, 2, 3, 6), (2, 2, 2, 2), (2,)), lambda x, w, b: _margins(primitives.conv2d(x, w, b, *plain))
            ),
            lambda x, w, b, activation=activation: pooled(*activation)(x, w, b, *plain),
            lambda t, x, w, b, torch=torch: t.nn.functional.max_pool2d(
                torch(t, t.nn.functional.conv2d(x, w, b, 1, (1, 0))), 2
            ),
        )
        for name, activation, torch in _ACTIVATIONS
        if activation[0] in (relu, leaky_relu)
    ]


def _margins(z: np.ndarray) -> np.ndarray:
    """The largest of each 2x2 window, and by how much it exceeds the next."""
    N, O, H, W = z.shape
    windows = z[:, :, : H // 2 * 2, : W // 2 * 2].reshape(N, O, H // 2, 2, W // 2, 2).swapaxes(3, 4)
    *_, second, first = np.moveaxis(np.sort(windows.reshape(*windows.shape[:4], 4)), -1, 0)
    return np.stack([first, first - second])


def _padded(t: Any, x: Any) -> Any:
    (ph, pw) = _WINDOW.padding
    return t.nn.functional.pad(x, (pw, pw, ph, ph))


def _fused_rows() -> list[Case]:
    """Convolutions and batch norm with the activation behind them, as one node."""
    small = Window((1, 2), (1, 0), (1, 1))
    rows = []
    for name, activation, torch in _ACTIVATIONS:
        rows += [
            Case(
                f"conv2d, {name}",
                fused(primitives.conv2d, *activation),
                _clear(normal((1, 2, 2, 3), (2, 2, 2, 2), (2,)), lambda x, w, b: primitives.conv2d(x, w, b, *small)),
                lambda x, w, b, activation=activation: fused(primitives.conv2d, *activation)(x, w, b, *small),
                lambda t, x, w, b, torch=torch: torch(t, t.nn.functional.conv2d(x, w, b, *small)),
            ),
            Case(
                f"conv_transpose2d, {name}",
                fused(primitives.conv_transpose2d, *activation),
                _clear(
                    normal((1, 2, 3, 2), (2, 2, 4, 3), (2,)),
                    lambda x, w, b: primitives.conv_transpose2d(x, w, b, *small[:2]),
                    least=0.02,
                ),
                lambda x, w, b, activation=activation: fused(primitives.conv_transpose2d, *activation)(
                    x, w, b, *small[:2]
                ),
                lambda t, x, w, b, torch=torch: torch(t, t.nn.functional.conv_transpose2d(x, w, b, *small[:2])),
            ),
            *[
                Case(
                    f"batch_norm, {name}, {len(shape)} axes",
                    fused(primitives.batch_norm, *activation),
                    _clear(normal(shape, (2,), (2,)), _batch_norm),
                    lambda x, w, b, activation=activation: fused(primitives.batch_norm, *activation)(
                        x, w, b, None, None
                    ),
                    lambda t, x, w, b, torch=torch: torch(
                        t, t.nn.functional.batch_norm(x, None, None, w, b, training=True)
                    ),
                )
                for shape in [(5, 2), (2, 2, 2, 3)]
            ],
        ]
    return rows


def _loss_rows(op: Callable[..., Any], inputs: Inputs) -> list[Case]:
    """A loss with each reduction and the targets that take different paths through it."""

    def torch_loss(t: Any, x: Any, target: Any, reduction: str) -> Any:
        target = t.full_like(x, target) if isinstance(target, float) else target
        return getattr(t.nn.functional, op.__name__)(x, target, reduction=reduction)

    rows = [
        Case(
            f"{op.__name__}, target {target}, {reduction}",
            op,
            inputs,
            lambda x, target=target, reduction=reduction: op(x, target, reduction),
            lambda t, x, target=target, reduction=reduction: torch_loss(t, x, target, reduction),
        )
        for target in (0.0, 1.0, 0.9)
        for reduction in ("mean", "sum", "none")
    ]
    both = lambda rng: (*inputs(rng), rng.uniform(0.1, 0.9, inputs(rng)[0].shape))
    return [*rows, Case(f"{op.__name__}, target traced too", op, both, op, lambda t, x, y: torch_loss(t, x, y, "mean"))]


def _class_rows() -> list[Case]:
    """The loss on many classes with each reduction, and the logarithms and probabilities it is made of."""
    return [
        *[
            Case(
                f"cross_entropy, {reduction}",
                cross_entropy,
                normal(_X),
                lambda x, reduction=reduction: cross_entropy(x, _some_labels(x), reduction),
                lambda t, x, reduction=reduction: t.nn.functional.cross_entropy(
                    x, 2 * t.arange(4) % 3, reduction=reduction
                ),
            )
            for reduction in ("mean", "sum", "none")
        ],
        *[
            Case(
                f"{op.__name__}, axis {axis}",
                op,
                normal((4, 2, 3)),
                lambda x, op=op, axis=axis: op(x, axis),
                lambda t, x, op=op, axis=axis: getattr(t, op.__name__)(x, axis),
            )
            for op in (log_softmax, primitives.softmax)
            for axis in (-1, 1)
        ],
    ]


def _some_labels(x: Any) -> Any:
    """Labels 0, 2, 1, 0, where x is."""
    return 2 * array_module(stop_gradient(x)).arange(4) % 3


def _torch_put(t: Any, x: Any, at: Any, shape: tuple[int, ...]) -> Any:
    y = t.zeros(shape, dtype=x.dtype)
    y[at] = x
    return y


def _clear(inputs: Inputs, z: Callable[..., np.ndarray], least: float = 0.08) -> Inputs:
    """Of those inputs, such whose z is at least `least` away from 0 everywhere and has both signs."""

    def draw(rng: np.random.Generator) -> Arrays:
        while True:
            arrays = inputs(rng)
            if np.abs(numbers := z(*arrays)).min() > least and numbers.min() < 0.0 < numbers.max():
                return arrays

    return draw


def _distinct(shape: tuple[int, ...]) -> Inputs:
    """Numbers at least 0.1 apart, none of which is near 0."""
    n = math.prod(shape)
    return lambda rng: (rng.permutation(np.arange(n) - n // 2 + 0.5).reshape(shape) * 0.1,)


def _batch_norm(x: Any, weight: Any = None, bias: Any = None, **settings: Any) -> Any:
    return primitives.batch_norm(x, weight, bias, None, None, **settings)


def _evaluated(x: Any, weight: Any = None, bias: Any = None, op: Any = primitives.batch_norm, **settings: Any) -> Any:
    """Batch norm of two channels at evaluation, with running means 0.5 and 1.5, variances 1 and 2, where x is."""
    numbers = array_module(stop_gradient(x)).arange(1.0, 3.0, dtype=x.dtype)
    return op(x, weight, bias, numbers - 0.5, numbers, training=False, **settings)


def _torch_evaluated(t: Any, x: Any, weight: Any = None, bias: Any = None, **settings: Any) -> Any:
    numbers = t.arange(1.0, 3.0, dtype=x.dtype)
    return t.nn.functional.batch_norm(x, numbers - 0.5, numbers, weight, bias, **settings)


def _normalization_rows() -> list[Case]:
    rows = []
    for shape in [(5, 2), (2, 2, 2, 3)]:
        for affine in (True, False):
            inputs = normal(shape, (2,), (2,)) if affine else normal(shape)
            name = f"{len(shape)} axes{'' if affine else ', no scale and shift'}"
            rows += [
                Case(
                    f"batch_norm, {name}",
                    primitives.batch_norm,
                    inputs,
                    lambda *arrays: _batch_norm(*arrays, eps=0.01),
                    lambda t, x, *wb: t.nn.functional.batch_norm(x, None, None, *wb, training=True, eps=0.01),
                ),
                Case(
                    f"batch_norm at evaluation, {name}",
                    primitives.batch_norm,
                    inputs,
                    lambda *arrays: _evaluated(*arrays, eps=0.01),
                    lambda t, *arrays: _torch_evaluated(t, *arrays, eps=0.01),
                ),
            ]
        clear = _clear(normal(shape, (2,), (2,)), _evaluated)
        rows.append(
            Case(
                f"batch_norm at evaluation, leaky_relu, {len(shape)} axes",
                fused(primitives.batch_norm, leaky_relu, 0.2),
                clear,
                lambda *arrays: _evaluated(*arrays, op=fused(primitives.batch_norm, leaky_relu, 0.2)),
                lambda t, *arrays: t.nn.functional.leaky_relu(_torch_evaluated(t, *arrays), 0.2),
            )
        )
    rows.append(
        Case(
            "batch_norm, tanh, no scale and shift",
            fused(primitives.batch_norm, tanh),
            normal((2, 2, 2, 3)),
            lambda x: fused(primitives.batch_norm, tanh)(x, None, None, None, None),
            lambda t, x: t.tanh(t.nn.functional.batch_norm(x, None, None, training=True)),
        )
    )
    return rows


# name -> (x's shape, kernel_size, stride, padding)
_POOLS: dict[str, tuple[tuple[int, ...], Any, Any, Any]] = {
    "2": ((2, 2, 4, 4), 2, None, 0),
    "overlapping": ((1, 2, 5, 4), (3, 2), (1, 1), 0),
    "stride beyond the window": ((1, 2, 5, 7), (2, 1), (3, 4), 0),
    "padding": ((1, 2, 3, 4), (2, 3), (2, 1), (1, 1)),
    "some pixels in no window": ((1, 1, 5, 5), 2, 2, 0),
}


def _pooling_rows() -> list[Case]:
    rows = []
    for op in (primitives.max_pool2d, primitives.avg_pool2d):
        for name, (shape, *settings) in _POOLS.items():
            rows.append(
                Case(
                    f"{op.__name__}, {name}",
                    op,
                    _distinct(shape),
                    lambda x, op=op, settings=settings: op(x, *settings),
                    lambda t, x, op=op, settings=settings: getattr(t.nn.functional, op.__name__)(x, *settings),
                )
            )
    kernel, window = (2, 3), Window((2, 1), (1, 1), (1, 1))  # as "padding" above: (3, 4) -> (2, 4)
    return [
        *rows,
        Case(
            "share_out",
            share_out,
            normal((1, 2, 2, 4)),
            lambda dy: share_out(dy, kernel, window, (3, 4)),
            lambda t, dy: t.nn.functional.fold(
                dy.reshape(1, 2, 1, 8).expand(1, 2, 6, 8).reshape(1, 12, 8) / 6.0, (3, 4), kernel, 1, 1, (2, 1)
            ),
        ),
        Case(
            "pick",
            pick,
            normal((1, 2, 3, 4)),
            lambda x: pick(x, _any_taps(x, (1, 2, 2, 4)), kernel, window, (2, 4)),
            lambda t, x: t.gather(
                t.nn.functional.unfold(x, kernel, 1, 1, (2, 1)).reshape(1, 2, 6, 8),
                2,
                (t.arange(16) % 6).reshape(1, 2, 1, 8),
            ).reshape(1, 2, 2, 4),
        ),
        Case(
            "spread",
            spread,
            normal((1, 2, 2, 4)),
            lambda dy: spread(dy, _any_taps(dy, (1, 2, 2, 4)), kernel, window, (3, 4)),
            lambda t, dy: t.nn.functional.fold(
                t.zeros(1, 2, 6, 8, dtype=dy.dtype)
                .scatter(2, (t.arange(16) % 6).reshape(1, 2, 1, 8), dy.reshape(1, 2, 1, 8))
                .reshape(1, 12, 8),
                (3, 4),
                kernel,
                1,
                1,
                (2, 1),
            ),
        ),
        *[
            Case(
                f"upsample, {s} times",
                primitives.upsample,
                normal((2, 2, 2, 3)),
                lambda x, s=s: primitives.upsample(x, s),
                lambda t, x, s=s: t.nn.functional.interpolate(x, scale_factor=s, mode="nearest"),
            )
            for s in (1, 2, 3)
        ],
        *[
            Case(
                f"pad, {padding}",
                primitives.pad,
                normal((1, 2, 2, 3)),
                lambda x, padding=padding: primitives.pad(x, padding),
                lambda t, x, padding=padding: t.nn.functional.pad(x, padding),
            )
            for padding in [(1, 2), (1, 0, 2, 3), (0, 0, 0, 0)]
        ],
        _same(primitives.flatten, normal((2, 2, 1, 3)), lambda t, x: t.flatten(x, 1), "flatten, 4 axes"),
    ]


def _any_taps(x: Any, shape: tuple[int, ...]) -> Any:
    """A tap of a window of 6 for each place, where x is."""
    return (array_module(stop_gradient(x)).arange(math.prod(shape)) % 6).reshape(shape)


_ROWS = np.array([2, 0, 2])
_MASK = np.array([True, False, True, True])
_X = (4, 3)
_ACTIVATIONS: list[tuple[str, Activation, Callable[..., Any]]] = [
    ("relu", (relu,), lambda t, z: t.relu(z)),
    ("sigmoid", (sigmoid,), lambda t, z: t.sigmoid(z)),
    ("tanh", (tanh,), lambda t, z: t.tanh(z)),
    *[(f"elu {a}", (elu, a), lambda t, z, a=a: t.nn.functional.elu(z, a)) for a in (1.0, 0.5, 2.0)],
    *[
        (
            f"leaky_relu {a}",
            (leaky_relu, a),
            lambda t, z, a=a: t.nn.functional.leaky_relu(z, a),
        )
        for a in (0.2, 1.5)
    ],
]

CASES: list[Case] = [
    # elementwise.py
    _same(primitives.exp, normal(_X), lambda t, x: t.exp(x)),
    _same(primitives.log, uniform(0.3, 3.0, _X), lambda t, x: t.log(x)),
    _same(primitives.sqrt, uniform(0.3, 3.0, _X), lambda t, x: t.sqrt(x)),
    _same(primitives.square, normal(_X), lambda t, x: t.square(x)),
    _same(primitives.abs, nonzero(_X), lambda t, x: t.abs(x)),
    _same(sign, nonzero(_X), lambda t, x: t.sign(x)),
    Case("clamp", primitives.clamp, nonzero(_X), lambda x: primitives.clamp(x, 0.1), lambda t, x: t.clamp(x, min=0.1)),
    _same(relu, nonzero(_X), lambda t, x: t.relu(x)),
    _same(relu_slope, nonzero(_X)),
    *[
        Case(
            f"leaky_relu, slope {a}",
            leaky_relu,
            nonzero(_X),
            lambda x, a=a: leaky_relu(x, a),
            lambda t, x, a=a: t.nn.functional.leaky_relu(x, a),
        )
        for a in (0.01, 0.2, 0.0, 1.5, -0.5)
    ],
    Case("leaky_relu_slope", leaky_relu_slope, nonzero(_X), lambda x: leaky_relu_slope(x, 0.2), None),
    *[
        Case(
            f"elu, alpha {a}",
            elu,
            nonzero(_X),
            lambda x, a=a: elu(x, a),
            lambda t, x, a=a: t.nn.functional.elu(x, a),
        )
        for a in (1.0, 0.5, 2.0, 0.0)
    ],
    Case("elu_slope, alpha 1.0", elu_slope, nonzero(_X), lambda y: elu_slope(y, 1.0), None),
    Case("elu_slope, alpha 0.5", elu_slope, nonzero(_X), lambda y: elu_slope(y, 0.5), None),
    _same(heaviside, nonzero(_X)),
    _same(sigmoid, normal(_X), lambda t, x: t.sigmoid(x)),
    _same(sigmoid, uniform(-30.0, 30.0, _X), lambda t, x: t.sigmoid(x), name="sigmoid, large arguments"),
    _same(sigmoid_slope, uniform(0.1, 0.9, _X), lambda t, y: y * (1 - y)),
    _same(tanh, normal(_X), lambda t, x: t.tanh(x)),
    _same(tanh_slope, uniform(-0.9, 0.9, _X), lambda t, y: 1 - y * y),
    _same(primitives.softplus, normal(_X), lambda t, x: t.nn.functional.softplus(x)),
    # shaping.py
    *[
        Case(
            f"sum_to {shape}",
            sum_to,
            normal((2, 4, 3)),
            lambda x, shape=shape: sum_to(x, shape),
            lambda t, x, shape=shape: x.sum_to_size(shape),
        )
        for shape in [(2, 4, 3), (4, 3), (2, 1, 3), (1, 3), (1,), ()]
    ],
    *[
        Case(
            f"broadcast_to, from {shape}",
            primitives.broadcast_to,
            normal(shape),
            lambda x: primitives.broadcast_to(x, (2, 4, 3)),
            lambda t, x: t.broadcast_to(x, (2, 4, 3)),
        )
        for shape in [(4, 3), (2, 1, 3), (1,), ()]
    ],
    Case(
        "reshape",
        primitives.reshape,
        normal(_X),
        lambda x: primitives.reshape(x, (2, -1)),
        lambda t, x: x.reshape(2, -1),
    ),
    _same(primitives.transpose, normal(_X), lambda t, x: x.T),
    *[
        Case(
            f"transpose, axes {axes}",
            primitives.transpose,
            normal((2, 4, 3)),
            lambda x, axes=axes: primitives.transpose(x, axes),
            lambda t, x, axes=axes: x.permute(axes),
        )
        for axes in [(0, 2, 1), (1, 2, 0), (-1, 0, 1)]
    ],
    Case("index, an operator", primitives.index, normal(_X), lambda x: x[1], lambda t, x: x[1]),
    *[
        Case(
            f"index, {name}",
            primitives.index,
            normal(_X),
            lambda x, at=at: primitives.index(x, at),
            lambda t, x, at=at: x[at],
            fancy=isinstance(at, np.ndarray),
        )
        for name, at in {
            "one number": (2, -1),
            "slices": (slice(1, None), slice(0, None, 2)),
            "a new axis and dots": (None, ..., 0),
            "rows, one of them twice": _ROWS,
            "a mask": _MASK,
        }.items()
    ],
    *[
        Case(
            f"put, {name}",
            put,
            normal(shape),
            lambda x, at=at: put(x, at, _X),
            lambda t, x, at=at: _torch_put(t, x, at, _X),
            fancy=isinstance(at, np.ndarray),
        )
        for name, at, shape in [("one row", 2, (3,)), ("a slice", slice(1, 4, 2), (2, 3)), ("a mask", _MASK, (3, 3))]
    ],
    Case(
        "put, one row twice",
        put,
        normal((3, 3)),
        lambda x: put(x, _ROWS, _X),
        lambda t, x: t.zeros(_X, dtype=x.dtype).index_put((t.from_numpy(_ROWS),), x, accumulate=True),
        fancy=True,
    ),
    *[
        Case(
            f"concatenate, axis {axis}",
            primitives.concatenate,
            normal((4, 3), (2, 3) if axis == 0 else (4, 1)),
            lambda a, b, axis=axis: primitives.concatenate([a, b], axis),
            lambda t, a, b, axis=axis: t.cat([a, b], axis),
        )
        for axis in (0, -1)
    ],
    Case(
        "concatenate, one array twice",
        primitives.concatenate,
        normal(_X),
        lambda x: primitives.concatenate([x, x * 2.0, x]),
        lambda t, x: t.cat([x, x * 2.0, x]),
    ),
    *[
        Case(
            f"{op.__name__}, axis {axis}{', kept' if keep else ''}",
            op,
            normal((2, 4, 3)),
            lambda x, op=op, axis=axis, keep=keep: op(x, axis, keep),
            lambda t, x, op=op, axis=axis, keep=keep: getattr(t, op.__name__)(x, axis, keep),
        )
        for op in (primitives.sum, primitives.mean)
        for axis, keep in [(None, False), (1, False), (-1, True), ((0, 2), False), ((0, -1), True)]
    ],
    _same(primitives.flatten, normal((2, 4, 3)), lambda t, x: t.flatten(x, 1)),
    # operators.py
    *[
        _same(op, nonzero(*shapes), lambda t, a, b, op=op: getattr(t, op.__name__)(a, b), f"{op.__name__} {shapes}")
        for op in (primitives.add, primitives.subtract, primitives.multiply, primitives.divide)
        for shapes in [((4, 3), (4, 3)), ((4, 3), (3,)), ((4, 1), (1, 3)), ((), (4, 3))]
    ],
    *[
        Case(f"{op.__name__}, a number on the {side}", op, nonzero(_X), call, lambda t, x, call=call: call(x))
        for op, side, call in [
            (primitives.add, "left", lambda x: 3.0 + x),
            (primitives.subtract, "left", lambda x: 3.0 - x),
            (primitives.subtract, "right", lambda x: x - 3.0),
            (primitives.multiply, "left", lambda x: 3.0 * x),
            (primitives.divide, "left", lambda x: 3.0 / x),
            (primitives.divide, "right", lambda x: x / 3.0),
        ]
    ],
    _same(primitives.negative, normal(_X), lambda t, x: -x),
    *[
        Case(
            f"power {exponent}",
            primitives.power,
            uniform(0.3, 2.0, _X),
            lambda x, exponent=exponent: primitives.power(x, exponent),
            lambda t, x, exponent=exponent: x**exponent,
        )
        for exponent in (2, 3.0, 0.5, -1, 1, 0)
    ],
    _same(primitives.matmul, normal((4, 3), (3, 2)), lambda t, a, b: a @ b),
    # linear.py
    *[
        _same(linear, _layer(*sizes), lambda t, *a: t.nn.functional.linear(*a), name=f"linear, {name}")
        for name, sizes in {
            "with bias": (4, 3, 2),
            "without bias": (4, 3, 2, False),
            "one number in": (4, 1, 3),
            "one number out": (4, 3, 1),
            "one row": (1, 3, 2),
        }.items()
    ],
    *[_activation_row(*row) for row in _ACTIVATIONS],
    Case(
        "linear, tanh, without bias",
        fused(linear, tanh),
        _layer(4, 3, 2, bias=False),
        lambda x, w: fused(linear, tanh)(x, w, None),
        lambda t, x, w: t.tanh(t.nn.functional.linear(x, w)),
    ),
    Case(
        "embedding, one row twice and one never",
        primitives.embedding,
        normal(_X),
        lambda w: primitives.embedding(_some_labels(w), w),
        lambda t, w: t.nn.functional.embedding(2 * t.arange(4) % 3, w),
    ),
    # convolution.py, normalization.py, pooling.py
    *_convolution_rows(),
    *_face_rows(),
    *_fused_rows(),
    *_pooled_rows(),
    *_normalization_rows(),
    *_pooling_rows(),
    # losses.py
    *_loss_rows(binary_cross_entropy, uniform(0.1, 0.9, _X)),
    *_loss_rows(binary_cross_entropy_with_logits, nonzero(_X)),
    *_class_rows(),
]

if __name__ == "__main__":
    main()
