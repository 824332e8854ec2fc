"""Every primitive that PyTorch has too gives PyTorch's values, gradients and gradients of gradients.

The rows and the scalar whose derivatives are compared are those of tests/gradient_table.py. Corners, where finite
differences say nothing, follow one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from minigan import kernels, primitives, value_and_grad
from minigan.primitives.losses import binary_cross_entropy, binary_cross_entropy_with_logits
from tests.gradient_table import CASES, Case, derivatives, drawn

torch = pytest.importorskip("torch")
functional = torch.nn.functional

with_a_twin = pytest.mark.parametrize("case", [case for case in CASES if case.torch is not None], ids=repr)


@with_a_twin
def test_values_and_both_derivatives_equal_pytorchs(case: Case) -> None:
    inputs, u, v = drawn(case)
    xs = [torch.tensor(x, requires_grad=True) for x in inputs]
    y = case.torch(torch, *xs)
    loss = ((y * torch.tensor(u)) ** 2).sum() * 0.5
    first = torch.autograd.grad(loss, xs, create_graph=True)
    along_v = sum((dx * torch.tensor(a)).sum() for dx, a in zip(first, v, strict=True))
    constant = not along_v.requires_grad
    second = [torch.zeros_like(x) for x in xs] if constant else torch.autograd.grad(along_v, xs)

    for code in (kernels.plain, nullcontext):
        with code():
            found = derivatives(case, inputs, u, v)
        for a, b in zip((found.y, *found.first), (y, *first), strict=True):
            np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-12, atol=1e-13)
        for a, b in zip(found.second, second, strict=True):  # PyTorch's second derivative of BCE has a 1e-12 in it
            np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-9, atol=1e-13)


ONE = np.array([1])
CORNERS: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[float]]] = {
    "abs": (primitives.abs, torch.abs, [0.0]),
    "relu": (primitives.relu, torch.relu, [0.0, np.inf, -np.inf]),
    "leaky_relu": (
        lambda x: primitives.leaky_relu(x, 0.2),
        lambda x: functional.leaky_relu(x, 0.2),
        [0.0, 1e30, -1e30],
    ),
    "elu": (primitives.elu, functional.elu, [0.0, 200.0, -200.0, np.inf, -np.inf]),
    "elu 0.5": (lambda x: primitives.elu(x, 0.5), lambda x: functional.elu(x, 0.5), [0.0, 200.0, -200.0]),
    "sigmoid": (primitives.sigmoid, torch.sigmoid, [0.0, 200.0, -200.0, np.inf, -np.inf]),
    "tanh": (primitives.tanh, torch.tanh, [0.0, 200.0, -200.0, np.inf, -np.inf]),
    "softplus": (primitives.softplus, functional.softplus, [0.0, 15.0, 200.0, -200.0]),
    "log-loss on a probability, target 1": (
        lambda x: binary_cross_entropy(x, 1.0),
        lambda x: functional.binary_cross_entropy(x, torch.ones_like(x)),
        [0.0, 1e-45, 1e-30, 1.0],
    ),
    "log-loss on a probability, target 0": (
        lambda x: binary_cross_entropy(x, 0.0),
        lambda x: functional.binary_cross_entropy(x, torch.zeros_like(x)),
        [0.0, 1.0 - 2.0**-24, 1.0],
    ),
    "log-loss on a probability, target 0.9": (
        lambda x: binary_cross_entropy(x, 0.9),
        lambda x: functional.binary_cross_entropy(x, torch.full_like(x, 0.9)),
        [0.0, 1.0],
    ),
    "log-loss on a logit": (
        lambda x: binary_cross_entropy_with_logits(x, 1.0),
        lambda x: functional.binary_cross_entropy_with_logits(x, torch.ones_like(x)),
        [0.0, 200.0, -200.0, 1e30, -1e30],
    ),
    "log-loss on the logits of one class of two": (
        lambda x: primitives.cross_entropy(primitives.reshape(primitives.concatenate([x, x * 0.0]), (1, 2)), ONE),
        lambda x: functional.cross_entropy(torch.stack([x, x * 0.0], 1), torch.from_numpy(ONE)),
        [0.0, 200.0, -200.0, 1e30, -1e30],
    ),
}


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name, (_, _, numbers) in CORNERS.items() for number in numbers]
)
def test_corners_and_extremes_are_pytorchs_in_float32(name: str, number: float) -> None:
    ours, theirs, _ = CORNERS[name]
    x = torch.tensor([number], dtype=torch.float32, requires_grad=True)
    expected = theirs(x).sum()
    (slope,) = torch.autograd.grad(expected, x)
    value, gradient = value_and_grad(lambda x: primitives.sum(ours(x)))(np.array([number], np.float32))
    np.testing.assert_allclose(value, expected.item(), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(gradient, slope.numpy(), rtol=1e-6, atol=1e-7)
