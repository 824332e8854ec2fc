"""Convolution, pooling and batch norm: their definitions, their adjoints, and kernels that equal the plain code.

PyTorch is not needed here; parity/test_convolution.py compares thousands of cases with it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minigan import kernels, value_and_grad
from minigan import primitives as P  # noqa: N812  formulas are full of it
from minigan.kernels import convolution, normalization, pool, pooled_convolution
from minigan.kernels.fusion import fused, pooled
from minigan.layers import Conv2d, MaxPool2d, ReLU, Sequential
from minigan.primitives.convolution import Window, conv2d_input_grad, conv2d_weight_grad
from minigan.primitives.elementwise import leaky_relu, relu, tanh
from minigan.primitives.pooling import share_out
from tests.memory import DTYPES, MEMORIES, array, assert_close, examples, pairs

both_codes = pytest.mark.parametrize("code", [nullcontext, kernels.plain], ids=["kernels", "plain"])
windows = st.builds(Window, stride=pairs(1, 4), padding=pairs(0, 3), dilation=pairs(1, 3))
ACTIVATIONS: dict[str, tuple[Any, ...] | None] = {
    "none": None,
    "relu": (relu,),
    "leaky_relu": (leaky_relu, 0.2),
    "leaky_relu 0": (leaky_relu, 0.0),
    "tanh": (tanh,),
}
RISING = [name for name, f in ACTIVATIONS.items() if f and f[0] in (relu, leaky_relu)]


def _with(operation: Any, f: tuple[Any, ...] | None) -> Any:
    """The operation and the activation behind it, as one node."""
    return operation if f is None else fused(operation, *f)


@pytest.fixture
def three_thread_counts() -> Iterator[Callable[[Callable[[], list[np.ndarray]]], list[list[np.ndarray]]]]:
    """A function that runs another on 1, 2 and 3 threads."""
    before = pool.get_num_threads()

    def run(work: Callable[[], list[np.ndarray]]) -> list[list[np.ndarray]]:
        results = []
        for n in (1, 2, 3):
            pool.set_num_threads(n)
            results.append(work())
        return results

    yield run
    pool.set_num_threads(before)


# Definitions


@both_codes
@given(N=st.integers(0, 2), C=st.integers(1, 3), O=st.integers(1, 3), size=pairs(1, 6), kernel=pairs(1, 3), w=windows)
@examples(60)
def test_convolution_is_the_sum_it_is_defined_as(
    code: Any, N: int, C: int, O: int, size: tuple[int, int], kernel: tuple[int, int], w: Window
) -> None:
    OH, OW = w.places(size, kernel)
    assume(min(OH, OW) >= 1)
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(N, C, *size)), rng.normal(size=(O, C, *kernel)), rng.normal(size=O)
    y = np.zeros((N, O, OH, OW)) + bias[:, None, None]
    for i, j, u, v in np.ndindex(OH, OW, *kernel):
        row, column = (a * s - p + b * d for a, b, s, p, d in zip((i, j), (u, v), *w, strict=True))
        if 0 <= row < size[0] and 0 <= column < size[1]:
            y[:, :, i, j] += x[:, :, row, column] @ weight[:, :, u, v].T
    with code():
        assert_close(P.conv2d(x, weight, bias, *w), y, np.float64)


@both_codes
@given(
    N=st.integers(0, 2),
    C=st.integers(1, 3),
    O=st.integers(1, 3),
    size=pairs(1, 5),
    kernel=pairs(1, 3),
    w=windows,
    extra=pairs(0, 3),
)
@examples(60)
def test_transposed_convolution_spreads_each_pixel(
    code: Any, N: int, C: int, O: int, size: tuple[int, int], kernel: tuple[int, int], w: Window, extra: tuple[int, int]
) -> None:
    assume(all(e < max(s, d) for e, s, d in zip(extra, w.stride, w.dilation, strict=True)))
    OH, OW = (
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, k, e, s, p, d in zip(size, kernel, extra, *w, strict=True)
    )
    assume(min(OH, OW) >= 1)
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(N, C, *size)), rng.normal(size=(C, O, *kernel)), rng.normal(size=O)
    y = np.zeros((N, O, OH, OW)) + bias[:, None, None]
    for i, j, u, v in np.ndindex(*size, *kernel):
        row, column = (a * s - p + b * d for a, b, s, p, d in zip((i, j), (u, v), *w, strict=True))
        if 0 <= row < OH and 0 <= column < OW:
            y[:, :, row, column] += x[:, :, i, j] @ weight[:, :, u, v]
    with code():
        assert_close(P.conv_transpose2d(x, weight, bias, w.stride, w.padding, extra, w.dilation), y, np.float64)


@both_codes
@given(N=st.integers(0, 2), C=st.integers(1, 4), O=st.integers(1, 4), size=pairs(1, 9), kernel=pairs(1, 4), w=windows)
@examples(60)
def test_the_three_faces_are_each_others_adjoints(
    code: Any, N: int, C: int, O: int, size: tuple[int, int], kernel: tuple[int, int], w: Window
) -> None:
    """<conv(x, w), g> = <x, input_grad(g, w)> = <w, weight_grad(x, g)>"""
    places = w.places(size, kernel)
    assume(min(places) >= 1)
    rng = np.random.default_rng(1)
    x, weight, g = (rng.normal(size=s) for s in [(N, C, *size), (O, C, *kernel), (N, O, *places)])
    with code():
        products = [
            (P.conv2d(x, weight, None, *w) * g).sum(),
            (x * conv2d_input_grad(g, weight, w, size)).sum(),
            (weight * conv2d_weight_grad(x, g, w, kernel)).sum(),
        ]
        if kernel[0] >= 2 * w.padding[0] and kernel[1] >= 2 * w.padding[1]:
            plain = w._replace(dilation=(1, 1))
            dy = rng.normal(size=(N, C, *plain.places(size, kernel)))
            if min(dy.shape[2:]) >= 1:
                a = (P.avg_pool2d(x, kernel, plain.stride, plain.padding) * dy).sum()
                np.testing.assert_allclose(a, (x * share_out(dy, kernel, plain, size)).sum(), atol=1e-11)
    np.testing.assert_allclose(products[1:], products[0], rtol=1e-11, atol=1e-11)


# Kernels equal the plain code


def _everything(loss: Callable[..., Any], arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    (_, y), gradient = value_and_grad(loss, has_aux=True)(arrays)
    return [y, *gradient.values()]


def _assert_twins(loss: Callable[..., Any], arrays: dict[str, np.ndarray], dtype: Any, scale: float = 1.0) -> None:
    fast = _everything(loss, arrays)
    with kernels.plain():
        expected = _everything(loss, arrays)
    for a, b in zip(fast, expected, strict=True):
        assert_close(a, b, dtype, scale, least=0.1)


@given(
    N=st.integers(0, 9),
    C=st.sampled_from([1, 3, 9, 32, 40]),
    O=st.sampled_from([1, 2, 16, 33]),
    size=pairs(1, 12),
    kernel=pairs(1, 4),
    w=st.one_of(windows, st.just(Window((2, 2), (1, 1), (1, 1)))),
    activation=st.sampled_from(list(ACTIVATIONS)),
    transposed=st.booleans(),
    dtype=DTYPES,
    memory=MEMORIES,
)
@examples(150)
def test_convolutions_with_an_activation_equal_the_plain_code(
    N: int,
    C: int,
    O: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    w: Window,
    activation: str,
    transposed: bool,
    dtype: Any,
    memory: str,
) -> None:
    if w == Window((2, 2), (1, 1), (1, 1)):
        kernel = (4, 4)
    assume(min(w.places(size, kernel)) >= 1)
    rng = np.random.default_rng(0)
    f = ACTIVATIONS[activation]
    arrays = {
        "x": array(rng, (N, C, *size), dtype, memory),
        "weight": array(rng, (O, C, *kernel), dtype, memory),
        "bias": array(rng, (C if transposed else O,), dtype, memory),
    }
    dy = array(rng, (N, O, *w.places(size, kernel)), dtype, memory)

    def loss(p: Any) -> Any:
        if transposed:
            y = P.conv_transpose2d(dy, p["weight"], p["bias"], w.stride, w.padding, 0, w.dilation)
            return P.sum(y * 0.5), y
        y = _with(P.conv2d, f)(p["x"], p["weight"], p["bias"], *w)
        return P.sum(y * dy), y

    if transposed:
        places = dy.shape[2:]
        assume(all((n - 1) * s + d * (k - 1) >= 2 * p for n, k, s, p, d in zip(places, kernel, *w, strict=True)))
        arrays.pop("x")
    elif f is not None and dtype == np.float32 and f != (tanh,):  # a sum may fall on either side of the kink
        z = P.conv2d(*(a.astype(np.float64) for a in arrays.values()), *w)
        assume(np.abs(z).min(initial=1.0) > 1e-5)
    _assert_twins(loss, arrays, dtype, 2.0)


@given(
    N=st.integers(0, 4),
    C=st.integers(1, 20),
    size=pairs(1, 9),
    kernel=pairs(1, 4),
    stride=pairs(1, 4),
    padding=pairs(0, 2),
    name=st.sampled_from(["max_pool2d", "avg_pool2d"]),
    ties=st.booleans(),
    dtype=DTYPES,
    memory=MEMORIES,
)
@examples(150)
def test_pooling_equals_the_plain_code(
    N: int, C: int, size: Any, kernel: Any, stride: Any, padding: Any, name: str, ties: bool, dtype: Any, memory: str
) -> None:
    assume(all(2 * p <= k <= n + 2 * p for p, k, n in zip(padding, kernel, size, strict=True)))
    rng = np.random.default_rng(0)
    x = array(rng, (N, C, *size), dtype, memory)
    dy = array(rng, (N, C, *Window(stride, padding, (1, 1)).places(size, kernel)), dtype, memory)

    def loss(p: Any) -> Any:
        y = getattr(P, name)(p["x"], kernel, stride, padding)
        return P.sum(y * dy), y

    _assert_twins(loss, {"x": np.round(x) if ties else x}, dtype)


@given(
    N=st.integers(0, 9),
    C=st.integers(1, 5),
    O=st.sampled_from([1, 2, 16, 33, 64]),
    size=pairs(2, 12),
    kernel=pairs(1, 5),
    padding=pairs(0, 2),
    activation=st.sampled_from(RISING),
    bias=st.booleans(),
    ties=st.booleans(),
    dtype=DTYPES,
    memory=MEMORIES,
)
@examples(150)
def test_pooled_convolution_equals_the_plain_code(
    N: int,
    C: int,
    O: int,
    size: Any,
    kernel: Any,
    padding: Any,
    activation: str,
    bias: bool,
    ties: bool,
    dtype: Any,
    memory: str,
) -> None:
    w, f = Window((1, 1), padding, (1, 1)), ACTIVATIONS[activation] or ()
    places = w.places(size, kernel)
    assume(min(places) >= 2)
    rng = np.random.default_rng(0)
    shapes = {"x": (N, C, *size), "weight": (O, C, *kernel), **({"bias": (O,)} if bias else {})}
    arrays = {name: array(rng, shape, dtype, memory) for name, shape in shapes.items()}
    dy = array(rng, (N, O, places[0] // 2, places[1] // 2), dtype, memory)
    if ties:
        arrays = {name: np.round(a) for name, a in arrays.items()}
    elif dtype == np.float32:  # sums may fall on either side of the kink, and of each other
        y, *_ = np.sort(_windows(P.conv2d(*(a.astype(np.float64) for a in arrays.values()), padding=padding)), axis=0)[
            ::-1
        ]
        assume(not y.size or np.abs(y).min() > 1e-5)

    def loss(p: Any) -> Any:
        y = pooled(*f)(p["x"], p["weight"], p.get("bias"), *w)
        return P.sum(y * dy), y

    _assert_twins(loss, arrays, dtype, 2.0)


def _windows(z: np.ndarray) -> np.ndarray:
    """The four taps of the 2x2 windows of z."""
    H, W = (n // 2 * 2 for n in z.shape[2:])
    return np.stack([z[:, :, ty:H:2, tx:W:2] for ty in (0, 1) for tx in (0, 1)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("N", [1, 130])
def test_a_pooled_convolution_of_many_tiles_equals_the_plain_code(N: int, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    shapes = {"x": (N, 1, 28, 28), "weight": (64, 1, 5, 5), "bias": (64,)}
    arrays = {name: rng.integers(-9, 10, shape).astype(dtype) for name, shape in shapes.items()}
    dy = rng.integers(-9, 10, (N, 64, 12, 12)).astype(dtype)

    def loss(p: Any) -> Any:
        y = pooled(relu)(p["x"], p["weight"], p["bias"])
        return P.sum(y * dy), y

    _assert_twins(loss, arrays, dtype)


@pytest.mark.parametrize(
    ("window", "pooling"),
    [
        (Window((2, 1), (0, 0), (1, 1)), (2,)),
        (Window((1, 1), (0, 0), (1, 2)), (2,)),
        (Window((1, 1), (0, 0), (1, 1)), (3,)),
        (Window((1, 1), (0, 0), (1, 1)), (2, 1)),
        (Window((1, 1), (0, 0), (1, 1)), ((2, 2), (2, 2), 1)),
    ],
)
def test_what_the_kernel_of_pooled_convolution_does_not_have_runs_apart(window: Window, pooling: Any) -> None:
    rng = np.random.default_rng(0)
    arrays = {"x": rng.normal(size=(2, 1, 9, 9)), "weight": rng.normal(size=(2, 1, 2, 2)), "bias": rng.normal(size=2)}

    network = Sequential(Conv2d(1, 2, 2, *window), ReLU(), MaxPool2d(*pooling))

    def joined(p: Any) -> Any:
        y = network({"0.weight": p["weight"], "0.bias": p["bias"]}, p["x"])
        return P.sum(P.square(y)), y

    def apart(p: Any) -> Any:
        y = P.max_pool2d(P.relu(P.conv2d(*p.values(), *window)), *pooling)
        return P.sum(P.square(y)), y

    for a, b in zip(_everything(joined, arrays), _everything(apart, arrays), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@given(
    shape=st.one_of(
        st.tuples(st.integers(2, 40), st.integers(1, 9)),
        st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(2, 6), st.integers(1, 6)),
        st.just((5, 300, 20, 20)),
    ),
    activation=st.sampled_from(list(ACTIVATIONS)),
    affine=st.booleans(),
    dtype=DTYPES,
    memory=MEMORIES,
)
@examples(100)
def test_batch_norm_equals_the_plain_code(
    shape: tuple[int, ...], activation: str, affine: bool, dtype: Any, memory: str
) -> None:
    rng, C = np.random.default_rng(0), shape[1]
    f = ACTIVATIONS[activation]
    arrays = {"x": array(rng, shape, dtype, memory)}
    if affine:
        arrays |= {"weight": array(rng, (C,), dtype), "bias": array(rng, (C,), dtype)}
    dy = array(rng, shape, dtype, memory)

    def loss(p: Any) -> Any:
        statistics = np.zeros(C, dtype), np.ones(C, dtype)
        y = _with(P.batch_norm, f)(p["x"], p.get("weight"), p.get("bias"), *statistics, eps=0.1)
        return P.sum(y * dy), (y, *statistics)

    def flattened(p: Any) -> Any:
        value, (y, *statistics) = loss(p)
        return value, P.concatenate([P.reshape(y, (-1,)), *statistics])

    if f is not None and dtype == np.float32 and f != (tanh,):
        z = P.batch_norm(*(a.astype(np.float64) for a in arrays.values()), *[None] * (5 - len(arrays)), eps=0.1)
        assume(np.abs(z).min() > 1e-5)
    _assert_twins(flattened, arrays, dtype, 10.0)


NOT_NUMBERS = [np.nan, np.inf, -np.inf]


@pytest.mark.parametrize("number", NOT_NUMBERS)
@pytest.mark.parametrize("activation", ["none", "relu", "leaky_relu", "leaky_relu 0"])
@pytest.mark.parametrize("window", [Window((1, 1), (1, 1), (1, 1)), Window((2, 1), (0, 1), (1, 2))])
def test_nan_and_infinity_pass_convolution_as_in_the_plain_code(number: float, activation: str, window: Window) -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(2, 2, 6, 6)), rng.normal(size=(3, 2, 3, 3))
    x[1, 0, 2, 3] = number
    with np.errstate(invalid="ignore"):
        y = _with(P.conv2d, ACTIVATIONS[activation])(x, weight, None, *window)
        with kernels.plain():
            expected = _with(P.conv2d, ACTIVATIONS[activation])(x, weight, None, *window)
    assert not np.isfinite(expected).all() or number == -np.inf
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("number", NOT_NUMBERS)
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
@pytest.mark.parametrize("padding", [0, 1])
def test_nan_and_infinity_pass_pooling_as_in_the_plain_code(number: float, name: str, padding: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 6))
    x[1, 0, 2, 3] = number
    x[0, 1] = number

    def loss(p: Any) -> Any:
        y = getattr(P, name)(p["x"], 2, 2, padding)
        return P.sum(y), y

    with np.errstate(invalid="ignore"):
        fast = _everything(loss, {"x": x})
        with kernels.plain():
            expected = _everything(loss, {"x": x})
    for a, b in zip(fast, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("number", NOT_NUMBERS)
@pytest.mark.parametrize("activation", RISING)
@pytest.mark.parametrize("where", ["x", "weight", "bias"])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of a worker: np.errstate holds for one thread
def test_nan_and_infinity_pass_pooled_convolution_as_in_the_plain_code(
    number: float, activation: str, where: str
) -> None:
    rng = np.random.default_rng(0)
    shapes = {"x": (3, 2, 8, 8), "weight": (4, 2, 3, 3), "bias": (4,)}
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    arrays[where].flat[5 % arrays[where].size] = number

    def loss(p: Any) -> Any:
        y = pooled(*(ACTIVATIONS[activation] or ()))(p["x"], p["weight"], p["bias"])
        return P.sum(y), y

    fast = _everything(loss, arrays)
    with kernels.plain():
        expected = _everything(loss, arrays)
    for a, b in zip(fast, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("number", NOT_NUMBERS)
def test_nan_and_infinity_pass_batch_norm_as_in_the_plain_code(number: float) -> None:
    x = np.random.default_rng(0).normal(size=(4, 3, 2, 2))
    x[1, 0, 1, 0] = number

    def loss(p: Any) -> Any:
        y = P.batch_norm(p["x"], np.ones(3), np.zeros(3), None, None)
        return P.sum(y), y

    with np.errstate(invalid="ignore"):
        fast = _everything(loss, {"x": x})
        with kernels.plain():
            expected = _everything(loss, {"x": x})
    assert np.isnan(expected[0][:, 0]).any()
    for a, b in zip(fast, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


# Many threads, one answer


def _work(seed: int = 0) -> list[np.ndarray]:
    """A network's worth of kernels on more numbers than one tile takes: values and gradients."""
    rng = np.random.default_rng(seed)
    arrays = {
        "x": array(rng, (12, 3, 32, 32), np.float32),
        "a": array(rng, (32, 3, 5, 5), np.float32),
        "b": array(rng, (32, 32, 4, 4), np.float32),
        "w": array(rng, (32,), np.float32),
    }

    def loss(p: Any) -> Any:
        y = P.max_pool2d(P.leaky_relu(P.conv2d(p["x"], p["a"], None, 1, 2)), 2)
        y = P.conv2d(y, p["b"], None, 2, 1)
        y = _with(P.batch_norm, ACTIVATIONS["leaky_relu"])(y, p["w"], p["w"], None, None)
        y = P.conv_transpose2d(y, p["b"], None, 2, 1)
        return P.mean(P.square(P.avg_pool2d(y, 2))), y

    return _everything(loss, arrays)


@pytest.mark.bits
def test_any_number_of_threads_gives_the_same_bits_where_promised(three_thread_counts: Any) -> None:
    rng = np.random.default_rng(0)
    x, dy = array(rng, (40, 32, 16, 16), np.float32), array(rng, (40, 64, 8, 8), np.float32)
    x3, dy3 = array(rng, (40, 3, 30, 30), np.float32), array(rng, (40, 16, 28, 28), np.float32)
    x1, w1, dy1 = (array(rng, shape, np.float32) for shape in ((130, 1, 28, 28), (32, 1, 5, 5), (130, 32, 12, 12)))
    one = np.ones(16, np.float32)

    def work() -> list[np.ndarray]:
        return [
            conv2d_weight_grad(x, dy, Window((2, 2), (1, 1), (1, 1)), (4, 4)),
            conv2d_weight_grad(x3, dy3, Window((1, 1), (0, 0), (1, 1)), (3, 3)),
            *normalization.moments(dy3),
            *normalization.batch_norm_backward(dy3, dy3, one, one, one, 1e-5, dy3, None),
            *pooled_convolution.gradients((0, 1, 2), dy1, pooled_convolution.conv2d_max_pool2d(x1, w1)[1], x1, w1),
        ]

    first, *others = three_thread_counts(work)
    for other in others:
        for a, b in zip(first, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_any_number_of_threads_gives_the_same_network_up_to_rounding(three_thread_counts: Any) -> None:
    first, *others = three_thread_counts(_work)
    for other in others:
        for a, b in zip(first, other, strict=True):
            assert_close(a, b, np.float32)


@pytest.mark.bits
def test_threads_that_compute_at_once_do_not_mix_their_numbers() -> None:
    seeds = range(4)
    expected = [_work(seed) for seed in seeds]
    with ThreadPoolExecutor(4) as callers:
        for _ in range(2):
            for found, alone in zip(callers.map(_work, seeds), expected, strict=True):
                for a, b in zip(found, alone, strict=True):
                    np.testing.assert_array_equal(a, b)


@pytest.mark.bits
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_computes_the_same() -> None:
    expected = _work()
    child = os.fork()
    if child == 0:
        os._exit(0 if all(np.array_equal(a, b) for a, b in zip(_work(), expected, strict=True)) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_an_error_in_a_worker_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    before = pool.get_num_threads()
    pool.set_num_threads(3)
    original = convolution.patches

    def patches(*args: Any) -> Any:
        if threading.current_thread().name.startswith("minigan-"):
            raise MemoryError("in a worker")
        return original(*args)

    monkeypatch.setattr(convolution, "patches", patches)
    x, weight = np.ones((64, 8, 16, 16)), np.ones((8, 8, 3, 3))

    def often() -> None:
        for _ in range(200):  # until a worker is awake in time for a tile
            P.conv2d(x, weight)

    try:
        with pytest.raises(MemoryError, match="in a worker"):
            often()
    finally:
        pool.set_num_threads(before)
