"""A walk for two libraries: the optimizers, settings and gradients whose paths are compared, and minigan's side.

The gradients are fixed beforehand and do not depend on where the walk is. The rate falls to a third half way.
The PyTorch side is torch_optimizers.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigan import SGD, Adam, Parameters, RMSprop

STEPS = 100
SMALL, FULL = 5, 10_000  # how many parameters walk
CLASSES = {"Adam": Adam, "SGD": SGD, "RMSprop": RMSprop}


class Case(NamedTuple):
    """An optimizer, by the name it has in both libraries, and its settings, which have the same names too."""

    optimizer: str
    settings: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.optimizer}({', '.join(f'{name}={value}' for name, value in self.settings.items())})"

    def make(self, params: Parameters) -> Any:
        """minigan's optimizer."""
        return CLASSES[self.optimizer](params, **self.settings)


CASES = [
    Case("Adam", {"lr": 1e-2}),
    Case("Adam", {"lr": 2e-4, "betas": (0.5, 0.999)}),
    Case("Adam", {"lr": 1e-2, "betas": (0.0, 0.9)}),
    Case("Adam", {"lr": 1e-2, "betas": (0.9, 0.0), "eps": 1.0}),
    Case("Adam", {"lr": 1e-2, "betas": (0.0, 0.0), "eps": 1e-3}),
    Case("Adam", {"lr": 1e-2, "weight_decay": 0.1}),
    Case("SGD", {"lr": 1e-2}),
    Case("SGD", {"lr": 1e-2, "momentum": 0.9}),
    Case("SGD", {"lr": 1e-2, "momentum": 0.9, "dampening": 0.5}),
    Case("SGD", {"lr": 1e-2, "momentum": 0.9, "nesterov": True}),
    Case("SGD", {"lr": 1e-2, "weight_decay": 0.1}),
    Case("SGD", {"lr": 1e-2, "momentum": 0.5, "dampening": 0.1, "weight_decay": 0.1}),
    Case("RMSprop", {"lr": 1e-2}),
    Case("RMSprop", {"lr": 1e-3, "alpha": 0.9, "eps": 1e-3}),
    Case("RMSprop", {"lr": 1e-3, "momentum": 0.9}),
    Case("RMSprop", {"lr": 1e-2, "centered": True}),
    Case("RMSprop", {"lr": 1e-2, "weight_decay": 0.1}),
    Case("RMSprop", {"lr": 1e-3, "momentum": 0.5, "centered": True, "weight_decay": 0.1}),
]


def numbers(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The start (size,) and the gradients (STEPS, size): float64 numbers that float32 can hold too.

    The gradients' sizes are those of seven decades, from 10 down to 1e-5, and one in eight is zero.
    """
    rng = np.random.default_rng(1847)
    u = rng.random((1 + 3 * STEPS, size), dtype=np.float32)
    start, signed, decade, kept = 2 * u[0] - 1, 2 * u[1::3] - 1, u[2::3], u[3::3] > 1 / 8
    decades = np.array([10, 1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5], np.float32)
    gradients = signed * decades[(7 * decade).astype(int)] * kept
    return start.astype(np.float64), gradients.astype(np.float64)


def rate(step: int, lr: float) -> float:
    """The rate of step 0, 1, ..., STEPS - 1."""
    return lr if step < STEPS // 2 else lr / 3


def path(case: Case, size: int, dtype: Any = np.float64) -> np.ndarray:
    """Where the parameters are after each step, (STEPS, size)."""
    start, gradients = numbers(size)
    params = Parameters({"p": start.astype(dtype)})
    optimizer = case.make(params)
    path = []
    for step, g in enumerate(gradients.astype(dtype)):
        optimizer.lr = rate(step, case.settings["lr"])
        optimizer.step(Parameters({"p": g}))
        path.append(params.flat.copy())
    return np.array(path)


def worst(got: np.ndarray, want: np.ndarray) -> float:
    """The largest max |got - want| / max |want| of a step; infinite if anything is not a number."""
    if got.shape != want.shape or not (np.isfinite(got).all() and np.isfinite(want).all()):
        return float("inf")
    return float((np.abs(got - want).max(axis=1) / np.abs(want).max(axis=1)).max())
