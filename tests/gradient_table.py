"""One row for every primitive: how it is called, on which inputs, and which function of PyTorch it equals.

    python -m tests.gradient_table        # the worst error of each primitive's first and second derivative

To hold a new primitive to all the tests that walk this table, add a row to the file that stands beside its tests
(primitives/rows_NAME.py); primitives/case.py says what a row is.
Derivatives are taken of one scalar for all rows, L = sum((u y)^2) / 2 with fixed weights u: its second derivative sees
the curvature of y and how the derivative handles its own argument dy. They are compared with central differences of
eighth order, whose error is far below that of a formula gone wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minigan
from minigan import kernels, primitives
from tests.kernels import rows_fusion
from tests.primitives import (
    rows_convolution,
    rows_elementwise,
    rows_linear,
    rows_losses,
    rows_normalization,
    rows_operators,
    rows_pooling,
    rows_shaping,
)
from tests.primitives.case import Arrays, Case

CASES: list[Case] = [
    *rows_elementwise.ROWS,
    *rows_shaping.ROWS,
    *rows_operators.ROWS,
    *rows_linear.ROWS,
    *rows_convolution.ROWS,
    *rows_normalization.ROWS,
    *rows_pooling.ROWS,
    *rows_losses.ROWS,
    *rows_fusion.ROWS,
]


class Derivatives(NamedTuple):
    """y, the gradient of L, and the gradient of the gradient's product with fixed weights v."""

    y: Any
    first: Arrays
    second: Arrays


def derivatives(case: Case, inputs: Arrays, u: Any, v: Arrays) -> Derivatives:
    """What minigan says."""
    xs, vs = _named(inputs), _named(v)
    first = minigan.grad(lambda xs: _scalar(case, xs, u))

    def along_v(xs: dict[str, Any]) -> Any:
        dx = first(xs)
        return _total([primitives.sum(dx[name] * vs[name]) for name in xs])

    return Derivatives(case.call(*inputs), tuple(first(xs).values()), tuple(minigan.grad(along_v)(xs).values()))


def drawn(case: Case, dtype: Any = np.float64, seed: int = 0) -> tuple[Arrays, np.ndarray, Arrays]:
    """Inputs of a row, and weights u and v for `derivatives`."""
    rng = np.random.default_rng(seed)
    inputs = case.inputs(rng)
    u = rng.uniform(0.5, 1.5, np.shape(case.call(*inputs)))
    v = tuple(rng.uniform(-1.0, 1.0, x.shape) for x in inputs)
    return tuple(x.astype(dtype) for x in inputs), np.asarray(u, dtype), tuple(np.asarray(a, dtype) for a in v)


def differences(case: Case, inputs: Arrays, u: np.ndarray, v: Arrays, h: float = 2e-3) -> tuple[Arrays, Arrays]:
    """What central differences say about the first derivative, and about the second from the first."""
    sizes = np.cumsum([0, *(x.size for x in inputs)])
    theta, direction = _flat(inputs), _flat(v)

    def cut(t: np.ndarray) -> Arrays:
        return tuple(t[a:b].reshape(x.shape) for a, b, x in zip(sizes, sizes[1:], inputs, strict=False))

    def loss(t: np.ndarray) -> Any:
        return _scalar(case, _named(cut(t)), u)

    def gradient(t: np.ndarray) -> np.ndarray:
        return _flat(tuple(minigan.grad(lambda xs: _scalar(case, xs, u))(_named(cut(t))).values()))

    first = np.array([central_difference(loss, theta, e, h) for e in np.eye(theta.size)])
    return cut(first), cut(central_difference(gradient, theta, direction, h))


def central_difference(f: Callable[[np.ndarray], Any], x: np.ndarray, along: np.ndarray, h: float = 2e-3) -> Any:
    """The derivative of f at x along a direction, from 8 values, with an error of order h^8."""
    weights = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
    return sum(w * (f(x + k * h * along) - f(x - k * h * along)) for k, w in enumerate(weights, 1)) / h


class Errors(NamedTuple):
    """The largest differences from central differences, relative to the largest number in those."""

    op: str
    first: float
    second: float


def worst_errors() -> list[Errors]:
    """The worst of each op's rows, with kernels and without."""
    worst: dict[str, Errors] = {}
    for case in CASES:
        inputs, u, v = drawn(case)
        with kernels.plain():
            first, second = differences(case, inputs, u, v)
            found = [derivatives(case, inputs, u, v)]
        found.append(derivatives(case, inputs, u, v))
        op = case.op.__name__
        worst[op] = Errors(
            op,
            max([worst[op].first if op in worst else 0.0, *(_error(d.first, first) for d in found)]),
            max([worst[op].second if op in worst else 0.0, *(_error(d.second, second) for d in found)]),
        )
    return sorted(worst.values())


def main() -> None:
    """Print the worst errors, a line an op."""
    errors = worst_errors()
    width = max(len(e.op) for e in errors)
    print(f"{'primitive':{width}}  first derivative  second derivative")
    for e in [*errors, Errors("worst", max(e.first for e in errors), max(e.second for e in errors))]:
        print(f"{e.op:{width}}  {e.first:16.1e}  {e.second:17.1e}")


def _scalar(case: Case, xs: dict[str, Any], u: Any) -> Any:
    return primitives.sum(primitives.square(case.call(*xs.values()) * u)) * 0.5


def _error(found: Arrays, expected: Arrays) -> float:
    a, b = _flat(found), _flat(expected)
    largest = np.abs(b).max()
    return float(np.abs(a - b).max() / (largest if largest > 1e-9 else 1.0))


def _named(arrays: Arrays) -> dict[str, Any]:
    return {str(i): a for i, a in enumerate(arrays)}


def _flat(arrays: Arrays) -> np.ndarray:
    return np.concatenate([np.ravel(a) for a in arrays])


def _total(terms: list[Any]) -> Any:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


if __name__ == "__main__":
    main()
