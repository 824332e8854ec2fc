"""Metrics of images against closed forms, SciPy and planted faults."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg, spatial, stats

from minigan.metrics.images import (
    confident_share,
    copied_share,
    frechet_distance,
    kl_divergence,
    label_shares,
    modes_covered,
    nearest,
)

EVEN = np.full(10, 0.1)


def _with_moments(rng: np.random.Generator, mean: np.ndarray, root: np.ndarray, n: int = 50) -> np.ndarray:
    """n samples whose mean is exactly `mean` and whose covariance is exactly root root^T."""
    z = rng.normal(size=(n, len(mean)))
    z -= z.mean(0)
    white = z @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T))).T
    return mean + white @ root.T


def test_equal_covariances_leave_the_distance_of_the_means() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(3, 3))
    x, y = (_with_moments(rng, np.array(mean), root) for mean in ([0.0, 0.0, 0.0], [1.0, -2.0, 2.0]))
    assert frechet_distance(x, y) == pytest.approx(9.0, rel=1e-12)


def test_axes_of_their_own_leave_the_differences_of_standard_deviations() -> None:
    rng = np.random.default_rng(0)
    x, y = (_with_moments(rng, np.zeros(3), np.diag(std)) for std in ([1.0, 2.0, 3.0], [2.0, 2.0, 0.5]))
    assert frechet_distance(x, y) == pytest.approx(1.0 + 0.0 + 6.25, rel=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_any_covariances_give_what_scipys_matrix_square_root_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(n, 4)) @ rng.normal(size=(4, 4)) + rng.normal(size=4) for n in (30, 50))
    S, T = np.cov(x.T), np.cov(y.T)
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(S + T - 2.0 * np.real(linalg.sqrtm(S @ T)))
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert frechet_distance(y, x) == pytest.approx(frechet_distance(x, y), rel=1e-9)


@pytest.mark.parametrize("n", [5, 200])
def test_features_that_never_fire_and_too_few_samples_lose_no_digits(n: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 12)) * (np.arange(12) < 8)
    assert 0.0 <= frechet_distance(x, x[::-1]) < 1e-12
    assert frechet_distance(x, x + 3.0 * (np.arange(12) == 11)) == pytest.approx(9.0, rel=1e-12)
    assert frechet_distance(x, 2.0 * x) == pytest.approx(np.sum(x.mean(0) ** 2) + np.var(x, 0, ddof=1).sum(), rel=1e-12)


def test_the_distance_is_computed_in_float64_whatever_comes() -> None:
    x = np.random.default_rng(0).normal(1e3, 1.0, (100, 3)).astype(np.float32)
    assert frechet_distance(x, x + np.float32(1.0)) == pytest.approx(3.0, rel=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((5, 2)), np.zeros((5, 3)), "expected as many features in y as in x, 2, got 3"),
        (np.zeros((1, 2)), np.zeros((5, 2)), r"expected x of shape \(N, F\), N >= 2, got \(1, 2\)"),
        (np.zeros((5, 2)), np.zeros(5), r"expected y of shape \(N, F\), N >= 2, got \(5,\)"),
        (np.full((2, 2), np.nan), np.zeros((5, 2)), "expected finite x, got 4 that are not"),
    ],
)
def test_features_that_say_nothing_are_refused(x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=f"^frechet_distance: {message}"):
        frechet_distance(x, y)


def test_shares_count_labels_and_classes_that_never_come() -> None:
    np.testing.assert_array_equal(label_shares(np.array([3, 1, 1, 1]), 5), [0.0, 0.75, 0.0, 0.25, 0.0])


@pytest.mark.parametrize(
    "labels", [np.array([0.0]), np.array([3]), np.array([-1]), np.zeros(0, int), np.array([[1]])], ids=repr
)
def test_labels_that_are_none_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"^labels: expected integers"):
        label_shares(labels, 3)


def test_kl_of_equal_shares_is_nothing_and_of_one_class_is_the_log_of_their_number() -> None:
    assert kl_divergence(EVEN, EVEN) == 0.0
    assert kl_divergence(np.eye(10)[3], EVEN) == pytest.approx(math.log(10.0))
    assert kl_divergence(np.array([0.5, 0.5]), np.array([0.25, 0.75])) == pytest.approx(0.5 * math.log(4.0 / 3.0))


def test_kl_equals_scipys() -> None:
    p, q = np.random.default_rng(0).dirichlet(np.ones(10), 2)
    assert kl_divergence(p, q) == pytest.approx(stats.entropy(p, q), rel=1e-12)


def test_a_class_that_the_real_images_lack_makes_kl_infinite() -> None:
    assert kl_divergence(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == math.inf


@pytest.mark.parametrize("p", [[0.5, 0.6], [1.5, -0.5], [[1.0]], [np.nan, 1.0]], ids=repr)
def test_shares_that_are_none_are_refused(p: Any) -> None:
    with pytest.raises(ValueError, match=r"^p: expected shares"):
        kl_divergence(np.array(p), np.full(2, 0.5))
    with pytest.raises(ValueError, match=r"^p: expected shares"):
        modes_covered(np.array(p))


def test_a_mode_counts_from_a_tenth_of_an_even_share() -> None:
    p = np.array([0.01, 0.0099, 0.0, 0.9801])
    assert modes_covered(p, least=0.04) == 2
    assert modes_covered(p) == 1
    assert modes_covered(EVEN) == 10
    assert modes_covered(np.eye(10)[0]) == 1


def test_an_image_is_confident_from_the_threshold_on() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.05, 0.95], [0.5, 0.5]])
    assert confident_share(probabilities) == 0.5
    assert confident_share(probabilities, 0.5) == 1.0
    with pytest.raises(ValueError, match=r"^probabilities: expected shape"):
        confident_share(probabilities[0])


def test_the_nearest_image_is_scipys() -> None:
    rng = np.random.default_rng(0)
    images, training = rng.uniform(size=(40, 1, 5, 5)), rng.uniform(size=(70, 1, 5, 5))
    pairs = spatial.distance.cdist(images.reshape(40, -1), training.reshape(70, -1))
    found = nearest(images, training)
    np.testing.assert_array_equal(found.row, pairs.argmin(1))
    np.testing.assert_allclose(found.distance, pairs.min(1), rtol=1e-6)


@pytest.mark.bits
def test_blocks_change_nothing() -> None:
    rng = np.random.default_rng(0)
    images, training = rng.uniform(size=(17, 3)), rng.uniform(size=(20, 3))
    expected = nearest(images, training)
    for block in (1, 50, 20 * 17):
        for a, b in zip(nearest(images, training, block), expected, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.bits
def test_a_copy_is_at_distance_zero_and_counts_as_copied() -> None:
    rng = np.random.default_rng(0)
    training, held_out, honest = (rng.uniform(size=(300, 30)).astype(np.float32) for _ in range(3))
    usual = nearest(held_out, training).distance
    copies = nearest(training[50:150] + rng.normal(0.0, 0.01, (100, 30)), training)
    np.testing.assert_array_equal(copies.row, np.arange(50, 150))
    assert nearest(training, training).distance.max() == 0.0
    assert copied_share(copies.distance, usual) == 1.0
    assert copied_share(nearest(honest, training).distance, usual) < 0.05
    half = np.concatenate([copies.distance, nearest(honest[:100], training).distance])
    assert copied_share(half, usual) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("images", "training"), [((0, 4), (3, 4)), ((3, 4), (0, 4)), ((3, 4), (3, 5))])
def test_images_that_cannot_be_compared_are_refused(images: tuple[int, int], training: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"^nearest: expected images of one shape"):
        nearest(np.zeros(images), np.zeros(training))


def test_distances_that_say_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one distance"):
        copied_share(np.zeros(0), np.ones(3))
    with pytest.raises(ValueError, match=r"^quantile: expected a number in \(0, 1\), got 1.0"):
        copied_share(np.ones(3), np.ones(3), 1.0)
