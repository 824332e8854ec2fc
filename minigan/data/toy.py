"""Densities on the line that are known exactly, so that what G learned can be measured and not only looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np


@dataclass(frozen=True)
class Gaussian:
    """N(mu, sigma).

    Args:
        mu: the mean, finite.
        sigma: the standard deviation, finite and > 0.
    """

    mu: float = 4.0
    sigma: float = 1.25

    def __post_init__(self) -> None:
        if not math.isfinite(self.mu):
            raise ValueError(f"mu: expected a finite number, got {self.mu}")
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise ValueError(f"sigma: expected a finite number > 0, got {self.sigma}")

    def sample(self, rng: np.random.Generator, n: int, dtype: type = np.float32) -> np.ndarray:
        """n independent samples, shape (n, 1). One seed draws the same numbers in every dtype, up to rounding."""
        return rng.normal(self.mu, self.sigma, (n, 1)).astype(dtype)

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """log p(x), any shape."""
        return -0.5 * ((x - self.mu) / self.sigma) ** 2 - math.log(self.sigma * math.sqrt(2.0 * math.pi))

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """P(X <= x), any shape."""
        return np.vectorize(NormalDist(self.mu, self.sigma).cdf, otypes=[float])(x)

    def quantile(self, u: np.ndarray) -> np.ndarray:
        """The x with P(X <= x) = u, for u in (0, 1), any shape."""
        return np.vectorize(NormalDist(self.mu, self.sigma).inv_cdf, otypes=[float])(u)
