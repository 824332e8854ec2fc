"""Matrix products in pieces equal the product in one, and whole products stand in where pieces are no faster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan.kernels import convolution, products
from minigan.primitives.convolution import Window
from tests.memory import examples

sizes = st.integers(1, 40)
modest = examples(100)


@pytest.fixture(scope="module", autouse=True, params=["pieces", "whole"])
def cuts(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Pieces so small that small products have many of them, or none, on any processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "_cuts", lambda: request.param == "pieces")
        patch.setattr(products, "_PIECE", 4000)
        patch.setattr(products, "_WIDTH", 16)
        patch.setattr(products, "_HEIGHT", 32)
        patch.setattr(products, "_DEPTH", 24)
        patch.setattr(products, "_SUMMED", range(8, 64))
        patch.setattr(products, "_FEW", 32)
        yield request.param == "pieces"


def matrix(draw: Any, stack: tuple[int, ...], m: int, n: int, layouts: tuple[str, ...]) -> np.ndarray:
    """Normal numbers (*stack, m, n), row-major, transposed or some columns of a wider matrix."""
    layout = draw(st.sampled_from(layouts))
    dtype = draw(st.shared(st.sampled_from([np.float32, np.float64]), key="dtype"))
    a = np.random.default_rng(draw(st.integers(0, 2**32))).normal(size=(*stack, m, n)).astype(dtype)
    if layout == "columns":
        wide = np.zeros((*stack, m, n + 3), dtype)
        wide[..., 1 : n + 1] = a
        return wide[..., 1 : n + 1]
    return a if layout == "rows" else np.ascontiguousarray(a.swapaxes(-2, -1)).swapaxes(-2, -1)


def _assert_product(out: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    tolerance = 1e-5 if a.dtype == np.float32 else 1e-13
    expected = a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=tolerance * a.shape[-1])


@given(data=st.data(), rows=st.integers(1, 400), k=st.integers(1, 80), n=sizes | st.sampled_from([16, 32, 48]))
@modest
def test_multiply_equals_the_product(data: Any, rows: int, k: int, n: int) -> None:
    stack = data.draw(st.sampled_from([(), (1,), (3,), (2, 3)]))
    a = matrix(data.draw, stack, rows, k, ("rows", "transposed", "columns"))
    b = matrix(data.draw, stack, k, n, ("rows", "transposed", "columns"))
    out = matrix(data.draw, stack, rows, n, ("rows", "columns"))
    products.multiply(a, products.panels(b), out)
    _assert_product(out, a, b)


@given(data=st.data(), k=st.integers(1, 60), first=st.integers(0, 59))
@modest
def test_some_rows_of_panels_are_panels_of_these_rows(data: Any, k: int, first: int) -> None:
    a = matrix(data.draw, (), 50, k, ("rows",))
    b = matrix(data.draw, (), 60 + k, 32, ("rows",))
    out = matrix(data.draw, (), 50, 32, ("rows",))
    products.multiply(a, products.panels(b)[:, first : first + k], out)
    _assert_product(out, a, b[first : first + k])


@given(data=st.data(), rows=st.integers(1, 400), k=st.integers(1, 80), n=sizes | st.sampled_from([16, 32, 48]))
@modest
def test_multiply_rows_equals_the_product_where_it_is_taken(cuts: bool, data: Any, rows: int, k: int, n: int) -> None:
    assert products.takes_rows(k, n) == (cuts and n in (16, 32) and 24 < k <= 31)
    a = matrix(data.draw, (), rows, k, ("rows", "transposed", "columns"))
    b = matrix(data.draw, (), k, n, ("rows", "transposed", "columns"))
    out = matrix(data.draw, (), rows, n, ("rows", "columns"))
    products.multiply_rows(a, products.panels(b), out)
    _assert_product(out, a, b)


@given(data=st.data(), rows=st.integers(1, 400), m=sizes, n=sizes | st.sampled_from([16, 32]))
@modest
def test_multiply_transposed_equals_the_product(data: Any, rows: int, m: int, n: int) -> None:
    a = matrix(data.draw, (), rows, m, ("rows", "transposed", "columns"))
    b = matrix(data.draw, (), rows, n, ("rows", "columns"))
    out = matrix(data.draw, (), m, n, ("rows", "columns"))
    products.multiply_transposed(a, b, out)
    _assert_product(out, a.T, b)


def test_multiply_transposed_cuts_large_results_into_blocks() -> None:
    rng = np.random.default_rng(0)
    a, b, out = rng.normal(size=(7, 64)), rng.normal(size=(7, 48)), np.empty((64, 48))
    products.multiply_transposed(a, b, out)
    _assert_product(out, a.T, b)


def test_panels_copy_only_what_is_cut(cuts: bool) -> None:
    weight = np.ones((32, 5), np.float32)
    assert np.shares_memory(products.panels(weight.T), weight) != cuts


@pytest.mark.parametrize(
    ("C", "O", "size", "kernel_size", "geometry"),
    [
        (3, 16, 11, 5, ((1, 1), (0, 0), (1, 1))),
        (9, 16, 9, 5, ((1, 1), (0, 0), (1, 1))),
        (3, 16, 12, 5, ((3, 3), (1, 1), (1, 1))),
        (32, 48, 8, 4, ((2, 2), (1, 1), (1, 1))),
    ],
)
def test_a_convolution_and_its_gradients_do_not_depend_on_pieces(
    C: int, O: int, size: int, kernel_size: int, geometry: Any, cuts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(3, C, size, size)), rng.normal(size=(O, C, kernel_size, kernel_size))
    dy = rng.normal(size=convolution.conv2d(x, weight, None, Window(*geometry)).shape)

    def results() -> list[np.ndarray]:
        return [
            convolution.conv2d(x, weight, None, Window(*geometry)),
            convolution.conv2d_input_grad(dy, weight, (size, size), Window(*geometry)),
            convolution.conv2d_weight_grad(x, dy, (kernel_size, kernel_size), Window(*geometry)),
        ]

    here = results()
    monkeypatch.setattr(products, "_cuts", lambda: not cuts)
    for a, b in zip(here, results(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)
