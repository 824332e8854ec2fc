"""How close are generated samples to the real distribution?  In one dimension this has exact answers.

    moments         mean, std, skewness, excess kurtosis     what the eye sees of a histogram
    ks_distance     sup |F_n(x) - F(x)|                      the largest error of the distribution function
    wasserstein1    integral |F_n(x) - F(x)| dx              how far the samples have to be carried, on average

KS is blind to how far off the misplaced mass is, Wasserstein-1 is not; together they tell a wrong shape from a few
strays. Everything is computed in float64 on the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Moments(NamedTuple):
    """Mean, standard deviation (of n, not n - 1), skewness and excess kurtosis (0 for a Gaussian)."""

    mean: float
    std: float
    skewness: float
    kurtosis: float


def moments(x: np.ndarray) -> Moments:
    """The first four moments of samples of any shape; skewness and kurtosis are NaN if all are equal."""
    x = _samples(x)
    d = x - x.mean()
    std = float(np.sqrt(np.mean(d**2)))
    if std == 0.0:
        return Moments(float(x.mean()), 0.0, float("nan"), float("nan"))
    z = d / std
    return Moments(float(x.mean()), std, float(np.mean(z**3)), float(np.mean(z**4) - 3.0))


def ks_distance(x: np.ndarray, cdf: Callable[[np.ndarray], np.ndarray]) -> float:
    """sup |F_n - F| between the samples and the distribution function `cdf`, in [0, 1].   [Kolmogorov 1933]

    F_n jumps at each sample, so the supremum is taken just before and just after each jump.
    """
    F = cdf(np.sort(_samples(x)))
    n = len(F)
    return float(max(np.max(np.arange(1, n + 1) / n - F), np.max(F - np.arange(n) / n)))


def wasserstein1(x: np.ndarray, quantile: Callable[[np.ndarray], np.ndarray]) -> float:
    """The mean |x_(i) - F^-1((i - 1/2) / n)|: sorted samples against the quantiles they stand for, >= 0.

    This is the midpoint rule for the integral of |F_n^-1 - F^-1|, which is Wasserstein-1 in one dimension.
    """
    x = np.sort(_samples(x))
    return float(np.mean(np.abs(x - quantile((np.arange(len(x)) + 0.5) / len(x)))))


def _samples(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, dtype=np.float64).reshape(-1)
    if x.size == 0:
        raise ValueError("samples: expected at least one, got none")
    if not np.isfinite(x).all():
        raise ValueError(f"samples: expected finite numbers, got {np.count_nonzero(~np.isfinite(x))} that are not")
    return x
