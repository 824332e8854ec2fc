"""The 1-D toy: G turns uniform noise into numbers, D looks at a whole minibatch of them at once.

    G = Linear - ELU - Linear - sigmoid - Linear            one number in, one number out
    D = Linear - ELU - Linear - ELU - Linear - sigmoid      one row of numbers in, one probability out

A single number says little about a distribution; a row of N says a lot. What D reads of a row x is its `preprocess`:

    raw         x                                                            N inputs
    variances   x and (x - mean)^2                                           2 N
    diffs       x and  x - mean                                              2 N
    moments     mean, standard deviation, skewness, excess kurtosis          4
    pointwise   each number by itself: the ordinary GAN                      1, and N rows for one

`variances` and `diffs` treat the mean of the row as a constant, as the program that made this toy known does
[Nag 2017, "GANs in 50 lines of code", decorate_with_diffs]; `moments` is differentiated through.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from minigan.arrays import Array, array_module
from minigan.autodiff import defvjp, primitive, stop_gradient
from minigan.layers import ELU, Layer, Linear, Sequential, Sigmoid, Spec
from minigan.primitives import concatenate, mean, reshape, sqrt, square

Preprocess = Literal["raw", "variances", "diffs", "moments", "pointwise"]


def generator(hidden: int = 50) -> Sequential:
    """G: noise (n, 1) -> samples (n, 1), with `hidden` units in both hidden layers."""
    first: dict[str, Layer] = {"map1": Linear(1, hidden), "elu": ELU()}
    return Sequential({**first, "map2": Linear(hidden, hidden), "sigmoid": Sigmoid(), "map3": Linear(hidden, 1)})


def discriminator(
    preprocess: Preprocess = "variances", minibatch: int = 100, hidden: int = 50, logits: bool = False
) -> Sequential:
    """D: numbers (rows * minibatch, 1) -> one probability a row, (rows, 1); pointwise: one a number.

    Args:
        preprocess: what D reads of a row, see above.
        minibatch: how many numbers make a row.
        hidden: units in both hidden layers.
        logits: leave out the last sigmoid.
    """
    look = Look(preprocess, minibatch)
    layers: dict[str, Layer] = {"look": look, "map1": Linear(look.inputs, hidden), "elu1": ELU()}
    layers |= {"map2": Linear(hidden, hidden), "elu2": ELU(), "map3": Linear(hidden, 1)}
    return Sequential(layers if logits else {**layers, "sigmoid": Sigmoid()})


class Look(Layer):
    """What D reads: (rows * minibatch, 1) -> (rows, inputs)."""

    def __init__(self, preprocess: Preprocess, minibatch: int) -> None:
        self.preprocess, self.minibatch = preprocess, minibatch
        self.inputs = inputs(preprocess, minibatch)  # refuses what it does not know

    def parameters(self) -> dict[str, Spec]:
        """None."""
        return {}

    def __call__(self, p: Mapping[str, Array], x: Array, path: str = "", training: bool = True) -> Array:
        """x (rows * minibatch, 1) -> (rows, inputs)"""
        n = 1 if self.preprocess == "pointwise" else self.minibatch
        if x.ndim != 2 or x.shape[1] != 1 or x.shape[0] % n:
            raise ValueError(f"Look: expected x of shape (rows * {n}, 1), got {x.shape}")
        if self.preprocess == "pointwise":
            return x
        return _LOOKS[self.preprocess](reshape(x, (-1, self.minibatch)))


def inputs(preprocess: Preprocess, minibatch: int) -> int:
    """How many numbers D reads of one row."""
    if preprocess not in get_args(Preprocess):
        raise ValueError(f"preprocess: expected one of {', '.join(get_args(Preprocess))}, got {preprocess!r}")
    if minibatch < 1:
        raise ValueError(f"minibatch: expected at least 1, got {minibatch}")
    n = minibatch
    return {"raw": n, "variances": 2 * n, "diffs": 2 * n, "moments": 4, "pointwise": 1}[preprocess]


@primitive
def variances(x: Array) -> Array:
    """(rows, N) -> (rows, 2 N): the numbers and their squared deviations from the row's mean."""
    d = _deviations(x)
    return array_module(x).concatenate([x, d * d], axis=1)


# As the original has it, the mean is a constant to the derivative: dx = dy of x + 2 (x - mean) dy of (x - mean)^2.
defvjp(variances, lambda y, x: lambda dy: dy[:, : x.shape[1]] + 2.0 * _deviations(x) * dy[:, x.shape[1] :])


@primitive
def diffs(x: Array) -> Array:
    """(rows, N) -> (rows, 2 N): the numbers and their deviations from the row's mean."""
    return array_module(x).concatenate([x, _deviations(x)], axis=1)


defvjp(diffs, lambda y, x: lambda dy: dy[:, : x.shape[1]] + dy[:, x.shape[1] :])


def _deviations(x: Array) -> Array:
    return x - stop_gradient(x).sum(1, keepdims=True) * (1.0 / x.shape[1])


def moments(x: Array) -> Array:
    """(rows, N) -> (rows, 4): mean, standard deviation (of N, not N - 1), skewness, excess kurtosis."""
    mu = mean(x, 1, keepdims=True)
    d = x - mu
    std = sqrt(mean(square(d), 1, keepdims=True) + 1e-12)  # so that a G collapsed to one point has a slope
    z = d / std
    z2 = square(z)
    return concatenate([mu, std, mean(z2 * z, 1, keepdims=True), mean(square(z2), 1, keepdims=True) - 3.0], axis=1)


_LOOKS = {"raw": lambda x: x, "variances": variances, "diffs": diffs, "moments": moments}
