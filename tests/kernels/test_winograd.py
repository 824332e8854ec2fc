"""Convolutions by evaluating and interpolating: the matrices multiply polynomials, results equal the plain code's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minigan import kernels, primitives
from minigan.kernels import convolution, pool, winograd
from minigan.kernels.elementwise import activation
from minigan.primitives.convolution import Pair, Window, conv2d_input_grad, conv2d_weight_grad
from minigan.primitives.elementwise import tanh
from tests.memory import DTYPES, MEMORIES, array, assert_close, examples, pairs

ONE = (1, 1)


def check(
    N: int, C: int, O: int, size: Pair, kernel: Pair, stride: Pair, padding: Pair, dtype: Any, memory: str, seed: int
) -> None:
    """All three products against the plain code in float64, and the forward one with bias and activation."""
    window = Window(stride, padding, ONE)
    assert winograd.plan(N, C, O, size, kernel, window, np.dtype(dtype)) is not None
    rng = np.random.default_rng(seed)
    x, w = array(rng, (N, C, *size), dtype, memory), array(rng, (O, C, *kernel), dtype, memory)
    dy = array(rng, (N, O, *window.places(size, kernel)), dtype, memory)
    b, c = array(rng, (O,), dtype), array(rng, (C,), dtype)
    exact_x, exact_w, exact_dy = (a.astype(np.float64) for a in (x, w, dy))
    with kernels.plain():
        y = primitives.conv2d(exact_x, exact_w, None, stride, padding)
        dx = conv2d_input_grad(exact_dy, exact_w, window, size)
        dw = conv2d_weight_grad(exact_x, exact_dy, window, kernel)
    assert_close(convolution.conv2d(x, w, None, window), y, dtype)
    assert_close(convolution.conv2d_input_grad(dy, w, size, window), dx, dtype)
    assert_close(convolution.conv2d_weight_grad(x, dy, kernel, window), dw, dtype)
    y, dx = np.tanh(y + b[:, None, None]), np.tanh(dx + c[:, None, None])
    assert_close(convolution.conv2d(x, w, b, window, activation(tanh)), y, dtype, 2)
    assert_close(convolution.conv2d_input_grad(dy, w, size, window, c, activation(tanh)), dx, dtype, 2)


@given(
    N=st.integers(32, 50),
    C=st.sampled_from([32, 35, 64]),
    O=st.sampled_from([32, 33, 64]),
    size=pairs(2, 16),
    kernel=pairs(2, 6),
    stride=pairs(1, 2),
    padding=pairs(0, 3),
    dtype=DTYPES,
    memory=MEMORIES,
    seed=st.integers(0, 2**32),
)
@examples(40)
def test_any_window_equals_the_plain_code(
    N: int, C: int, O: int, size: Pair, kernel: Pair, stride: Pair, padding: Pair, dtype: Any, memory: str, seed: int
) -> None:
    window = Window(stride, padding, ONE)
    assume(min(window.places(size, kernel)) >= 1)
    assume(winograd.plan(N, C, O, size, kernel, window, np.dtype(dtype)) is not None)
    check(N, C, O, size, kernel, stride, padding, dtype, memory, seed)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("N", "C", "O", "size", "kernel", "stride", "padding"),
    [
        (128, 32, 64, (12, 12), (5, 5), (1, 1), (0, 0)),
        (64, 64, 128, (14, 14), (4, 4), (2, 2), (1, 1)),
        (48, 32, 64, (24, 24), (4, 4), (2, 2), (1, 1)),
        (33, 40, 33, (8, 6), (3, 5), (1, 1), (1, 2)),
        (32, 32, 32, (13, 8), (5, 3), (2, 1), (1, 1)),
    ],
)
def test_many_tiles_and_rounds_equal_the_plain_code(
    N: int, C: int, O: int, size: Pair, kernel: Pair, stride: Pair, padding: Pair, dtype: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(winograd, "_ROUND_BYTES", 1 << 21)
    monkeypatch.setattr(winograd, "_TILE_BYTES", 1 << 20)
    check(N, C, O, size, kernel, stride, padding, dtype, "last", 0)


@pytest.mark.parametrize(("m", "r"), [(2, 2), (3, 2), (4, 2), (2, 3), (3, 3), (4, 3), (2, 5), (4, 5), (2, 7)])
def test_values_at_the_points_multiply_polynomials(m: int, r: int) -> None:
    axis = winograd.Axis(m, m, m + r - 1, r, 1, 0, np.dtype(np.float64))
    rng = np.random.default_rng(0)
    dy, w, x = rng.normal(size=m), rng.normal(size=r), rng.normal(size=m + r - 1)
    np.testing.assert_allclose(axis.B.T @ ((axis.A.T @ dy) * (axis.G @ w)), np.convolve(dy, w), atol=1e-13)
    np.testing.assert_allclose(axis.A @ ((axis.B @ x) * (axis.G @ w)), np.correlate(x, w), atol=1e-13)
    np.testing.assert_allclose(axis.G.T @ ((axis.A.T @ dy) * (axis.B @ x)), np.correlate(x, dy), atol=1e-13)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "points", "bound"),
    [(4, 2, 1, 3, 8e-7), (6, 4, 2, 3, 8e-7), (14, 4, 2, 4, 1.5e-6), (12, 3, 1, 5, 1.5e-6), (12, 5, 1, 7, 4e-6)],
)
def test_float32_loses_little(size: int, kernel: int, stride: int, points: int, bound: float) -> None:
    """Errors by norm against float64; the plain sum's are 1e-7 to 3e-7."""
    N, C, O, padding = 32, 64, 64, stride - 1
    window = Window((stride, stride), (padding, padding), ONE)
    plan = winograd.plan(N, C, O, (size, size), (kernel, kernel), window, np.dtype(np.float32))
    assert plan is not None
    assert plan.vertical.q == points + 1
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(N, C, size, size)), rng.normal(size=(O, C, kernel, kernel))
    dy = rng.normal(size=(N, O, *plan.outputs))
    x, w, dy = (a.astype(np.float32).astype(np.float64) for a in (x, w, dy))

    def products(dtype: Any) -> list[np.ndarray]:
        a, b, g = (array.astype(dtype) for array in (x, w, dy))
        return [
            convolution.conv2d(a, b, None, window),
            convolution.conv2d_input_grad(g, b, (size, size), window),
            convolution.conv2d_weight_grad(a, g, (kernel, kernel), window),
        ]

    for rounded, exact in zip(products(np.float32), products(np.float64), strict=True):
        assert np.linalg.norm(rounded - exact) <= bound * np.linalg.norm(exact)


@pytest.mark.parametrize(
    "changed",
    [
        {"N": 31},
        {"C": 31},
        {"O": 31},
        {"input_size": (40, 12)},
        {"kernel_size": (5, 1)},
        {"kernel_size": (4, 5)},
        {"kernel_size": (8, 5)},
        {"window": Window(ONE, (0, 0), (1, 2))},
        {"window": Window((2, 2), (0, 0), ONE)},
        {"C": 512, "O": 512},
    ],
)
def test_what_would_not_gain_or_does_not_fit_is_left_to_others(changed: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {
        "N": 32,
        "C": 32,
        "O": 32,
        "input_size": (12, 12),
        "kernel_size": (5, 5),
        "window": Window(ONE, (0, 0), ONE),
        "dtype": np.dtype(np.float32),
    }
    assert winograd.plan(**arguments) is not None
    assert winograd.plan(**(arguments | changed)) is None


@pytest.mark.bits
def test_any_number_of_threads_gives_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    x, dy = array(rng, (50, 32, 12, 12), np.float32), array(rng, (50, 64, 8, 8), np.float32)
    w = array(rng, (64, 32, 5, 5), np.float32)
    assert winograd.plan(50, 32, 64, (12, 12), (5, 5), Window(ONE, (0, 0), ONE), x.dtype) is not None
    before, results = pool.get_num_threads(), []
    try:
        for n in (1, 2, 3):
            pool.set_num_threads(n)
            y, dx = convolution.conv2d(x, w), convolution.conv2d_input_grad(dy, w, (12, 12), Window())
            results.append((y, dx, convolution.conv2d_weight_grad(x, dy, (5, 5))))
    finally:
        pool.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_blas_wakes_no_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """After one product they would spin for a tenth of a second, on the cores that the pool needs."""
    rng = np.random.default_rng(0)
    x, dy = array(rng, (32, 32, 12, 12), np.float32), array(rng, (32, 64, 8, 8), np.float32)
    w = array(rng, (64, 32, 5, 5), np.float32)
    matmul, held = np.matmul, []

    def watched(*args: Any, **kwargs: Any) -> Any:
        held.append(pool._holders > 0)
        return matmul(*args, **kwargs)

    monkeypatch.setattr(np, "matmul", watched)
    convolution.conv2d(x, w)
    convolution.conv2d_input_grad(dy, w, (12, 12), Window())
    convolution.conv2d_weight_grad(x, dy, (5, 5))
    assert held
    assert all(held)
