"""Where weights start: functions (rng, shape, fan_in, fan_out) -> array.

fan_in and fan_out are how many numbers flow into and out of one unit; for a layer without a bias of its own size they
come from its weight. Numbers are drawn in float64 and rounded by the caller, so one seed gives one network in every
dtype. Read next: layers.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Initializer = Callable[[np.random.Generator, tuple[int, ...], int, int], np.ndarray]


def torch_uniform(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> np.ndarray:
    """Uniform on +-1/sqrt(fan_in): what PyTorch gives weights and biases of Linear and Conv by default.

    (torch.nn.Linear.reset_parameters: kaiming_uniform with a = sqrt(5), which comes to the same.)
    """
    bound = 1.0 / math.sqrt(fan_in) if fan_in else 0.0
    return rng.uniform(-bound, bound, shape)


def normal(mean: float = 0.0, std: float = 0.02) -> Initializer:
    """Normal(mean, std); the default 0.02 is DCGAN's [Radford et al. 2016, sec. 4]."""
    return lambda rng, shape, fan_in, fan_out: rng.normal(mean, std, shape)


def xavier_uniform(gain: float = 1.0) -> Initializer:
    """Uniform on +-gain * sqrt(6 / (fan_in + fan_out)).   [Glorot & Bengio 2010, eq. 16]"""

    def initializer(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> np.ndarray:
        bound = gain * math.sqrt(6.0 / (fan_in + fan_out))
        return rng.uniform(-bound, bound, shape)

    return initializer


def xavier_normal(gain: float = 1.0) -> Initializer:
    """Normal(0, gain * sqrt(2 / (fan_in + fan_out))).   [Glorot & Bengio 2010, eq. 12]"""
    return lambda rng, shape, fan_in, fan_out: rng.normal(0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)), shape)


def constant(value: float) -> Initializer:
    """Every number the same: constant(0.0) for biases."""
    return lambda rng, shape, fan_in, fan_out: np.full(shape, value)
