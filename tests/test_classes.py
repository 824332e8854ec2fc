"""Many classes: the loss and the embedding at their limits, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan import Embedding, Sequential, grad
from minigan import primitives as P  # noqa: N812  formulas are full of it

X = np.zeros((2, 3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("large", [0.0, 1e4, -1e4, 1e30])
def test_log_softmax_neither_overflows_nor_loses_the_small_ones(dtype: type, large: float) -> None:
    y = P.log_softmax(np.array([[large, large, large - 1e5 * (large > 1e5)]], dtype))
    np.testing.assert_allclose(y, np.full((1, 3), -math.log(3.0)), rtol=1e-6)
    x = np.array([[0.0, 300.0]], dtype)
    np.testing.assert_allclose(P.log_softmax(x), [[-300.0, 0.0]])
    np.testing.assert_array_equal(np.isfinite(grad(lambda x: P.cross_entropy(x, np.array([0])))(x)), True)


@given(st.integers(0, 2**32 - 1), st.floats(-1e3, 1e3))
def test_softmax_adds_up_to_one_and_does_not_see_a_shift(seed: int, shift: float) -> None:
    x = 10.0 * np.random.default_rng(seed).normal(size=(3, 5))
    p = P.softmax(x)
    np.testing.assert_allclose(p.sum(1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(P.softmax(x + shift), p, rtol=1e-9)


def test_no_opinion_costs_log_of_the_number_of_classes_and_certainty_costs_nothing() -> None:
    assert P.cross_entropy(X, np.array([0, 2])) == pytest.approx(math.log(3.0))
    assert P.cross_entropy(1e3 * np.eye(3), np.arange(3)) == 0.0


def test_two_classes_cost_what_binary_cross_entropy_says() -> None:
    x, t = np.random.default_rng(0).normal(size=(6, 1)), np.array([0, 1, 1, 0, 0, 1])
    expected = P.binary_cross_entropy_with_logits(x, t[:, None].astype(float), "none")[:, 0]
    both = np.concatenate([np.zeros_like(x), x], axis=1)
    np.testing.assert_allclose(P.cross_entropy(both, t, "none"), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("x", "t", "error", "message"),
    [
        (X[0], np.array([0]), ValueError, r"expected input of shape \(N, C\) with N, C >= 1, got \(3,\)"),
        (X[:0], np.zeros(0, int), ValueError, r"got \(0, 3\)"),
        (X, np.array([[0], [1]]), ValueError, r"expected target of shape \(2,\), got \(2, 1\)"),
        (X, np.array([0.0, 1.0]), TypeError, "expected target to be integers, got dtype float64"),
        (X, np.array([0, 3]), ValueError, r"expected target in \[0, 3\), got 0 to 3"),
        (X, np.array([-1, 1]), ValueError, r"expected target in \[0, 3\), got -1 to 1"),
    ],
)
def test_the_loss_refuses_labels_that_do_not_fit(
    x: np.ndarray, t: np.ndarray, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^cross_entropy: .*{message}"):
        P.cross_entropy(x, t)


def test_the_loss_refuses_an_unknown_reduction() -> None:
    with pytest.raises(ValueError, match=r"^cross_entropy: expected reduction 'mean', 'sum' or 'none', got 'avg'"):
        P.cross_entropy(X, np.array([0, 1]), "avg")  # type: ignore[arg-type]


def test_an_embedding_gives_each_label_its_row_and_its_gradient_back() -> None:
    network = Sequential({"label": Embedding(3, 2)})
    p = network.init(np.random.default_rng(0), np.float64)
    labels = np.array([2, 0, 2])
    np.testing.assert_array_equal(network(p, labels), p["label.weight"][labels])
    dy = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    gradient = grad(lambda p: P.sum(network(p, labels) * dy))(p)
    np.testing.assert_array_equal(gradient["label.weight"], [[3.0, 4.0], [0.0, 0.0], [6.0, 8.0]])


def test_an_embedding_refuses_what_is_no_label() -> None:
    network = Sequential(Embedding(3, 2))
    p = network.init(np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"^embedding: expected input in \[0, 3\), got 0 to 3"):
        network(p, np.array([0, 3]))
    with pytest.raises(TypeError, match=r"^embedding: expected input to be integers, got dtype float64"):
        network(p, np.array([0.0]))
    with pytest.raises(ValueError, match=r"^Embedding: expected num_embeddings >= 1, got 0"):
        Embedding(0, 2)
