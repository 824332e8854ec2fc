"""Matrix products in pieces equal the product in one, whatever the processor has pieces for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigan.kernels import products

sizes = st.integers(1, 40)
modest = settings(max_examples=100, deadline=None, derandomize=True)


@pytest.fixture(scope="module", autouse=True)
def small_pieces() -> Any:
    """Pieces of so few multiplications that small products have many of them, on any processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "_limit", lambda: 4000)
        patch.setattr(products, "_MIN_TERMS", 8)
        yield


@st.composite
def factors(draw: Any, rows: Any, terms: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a (M, K), b (K, N) and out (M, N), each row-major, transposed or some columns of a wider matrix."""
    M, K, N = draw(rows), draw(terms), draw(sizes)
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def matrix(m: int, n: int) -> np.ndarray:
        layout = draw(st.sampled_from(["rows", "transposed", "columns"]))
        a = rng.normal(size=(m, n)).astype(dtype)
        if layout == "columns":
            wide = np.zeros((m, n + 3), dtype)
            wide[:, 1 : n + 1] = a
            return wide[:, 1 : n + 1]
        return a if layout == "rows" else np.asfortranarray(a)

    return matrix(M, K), matrix(K, N), matrix(M, N)


def _assert_product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    tolerance = 1e-5 if a.dtype == np.float32 else 1e-13
    np.testing.assert_allclose(out, a @ b, rtol=tolerance, atol=tolerance * a.shape[1])


@given(factors=factors(st.integers(1, 400), sizes))
@modest
def test_multiply_equals_the_product(factors: tuple[np.ndarray, ...]) -> None:
    a, b, out = factors
    products.multiply(a, b, out)
    _assert_product(a, b, out)
    out[...] = 0
    products.multiply(a, products.row_major(b), out)
    _assert_product(a, b, out)


@given(factors=factors(sizes, st.integers(1, 400)))
@modest
def test_sum_products_equals_the_product(factors: tuple[np.ndarray, ...]) -> None:
    a, b, out = factors
    products.sum_products(a, b, out)
    _assert_product(a, b, out)


def test_whole_products_where_small_ones_are_no_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_limit", lambda: 0)
    a, b, out = np.ones((100, 5)), np.ones((7, 5)).T, np.empty((100, 7))
    assert products.row_major(b) is b
    for product in (products.multiply, products.sum_products):
        out[...] = 0
        product(a, b, out)
        np.testing.assert_array_equal(out, 5.0)
