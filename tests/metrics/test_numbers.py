"""Metrics against SciPy and against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from minigan.data.noise import uniform_noise
from minigan.data.toy import Gaussian
from minigan.metrics.numbers import ks_distance, moments, wasserstein1

SAMPLES = np.random.default_rng(0).gamma(3.0, 1.5, 2000)
GAUSSIAN = Gaussian(4.0, 1.25)


def test_moments_equal_scipys() -> None:
    m = moments(SAMPLES)
    expected = (SAMPLES.mean(), SAMPLES.std(), stats.skew(SAMPLES), stats.kurtosis(SAMPLES))
    np.testing.assert_allclose(m, expected, rtol=1e-12)


def test_moments_of_equal_samples_have_no_shape() -> None:
    m = moments(np.full((5, 1), 3.0))
    assert (m.mean, m.std) == (3.0, 0.0)
    assert math.isnan(m.skewness)
    assert math.isnan(m.kurtosis)


def test_ks_distance_equals_scipys() -> None:
    expected = stats.kstest(SAMPLES, stats.norm(4.0, 1.25).cdf).statistic
    assert ks_distance(SAMPLES, GAUSSIAN.cdf) == pytest.approx(expected, abs=1e-12)


def test_ks_distance_of_one_point_in_the_middle_is_one_half() -> None:
    assert ks_distance(np.array([4.0]), GAUSSIAN.cdf) == pytest.approx(0.5)


def test_wasserstein1_of_a_shifted_gaussian_is_the_shift() -> None:
    u = (np.arange(4000) + 0.5) / 4000
    assert wasserstein1(GAUSSIAN.quantile(u) + 0.3, GAUSSIAN.quantile) == pytest.approx(0.3, abs=1e-9)


def test_wasserstein1_is_near_scipys_against_a_large_sample_of_quantiles() -> None:
    fine = GAUSSIAN.quantile((np.arange(200_000) + 0.5) / 200_000)
    assert wasserstein1(SAMPLES, GAUSSIAN.quantile) == pytest.approx(
        stats.wasserstein_distance(SAMPLES, fine), abs=2e-3
    )


@pytest.mark.parametrize(("samples", "message"), [(np.zeros(0), "at least one"), (np.array([1.0, np.nan]), "finite")])
def test_samples_that_say_nothing_are_refused(samples: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        moments(samples)


def test_the_gaussians_density_and_distribution_equal_scipys() -> None:
    x, reference = np.linspace(-2.0, 10.0, 25), stats.norm(4.0, 1.25)
    np.testing.assert_allclose(GAUSSIAN.log_density(x), reference.logpdf(x), rtol=1e-12)
    np.testing.assert_allclose(GAUSSIAN.cdf(x), reference.cdf(x), rtol=1e-9)
    np.testing.assert_allclose(GAUSSIAN.quantile(reference.cdf(x)), x, rtol=1e-6)


def test_one_seed_draws_the_same_numbers_in_both_dtypes() -> None:
    draw = [GAUSSIAN.sample(np.random.default_rng(3), 50, dtype) for dtype in (np.float32, np.float64)]
    assert draw[0].dtype == np.float32
    np.testing.assert_array_equal(draw[0], draw[1].astype(np.float32))
    assert uniform_noise(np.random.default_rng(3), 7).shape == (7, 1)


@pytest.mark.parametrize(
    ("mu", "sigma", "name"), [(math.nan, 1.0, "mu"), (0.0, 0.0, "sigma"), (0.0, math.inf, "sigma")]
)
def test_a_gaussian_that_is_none_is_refused_by_name(mu: float, sigma: float, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        Gaussian(mu, sigma)
