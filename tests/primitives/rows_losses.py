"""Rows of primitives/losses.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigan import primitives
from minigan.primitives.losses import binary_cross_entropy, binary_cross_entropy_with_logits, cross_entropy, log_softmax
from tests.primitives.case import Case, Inputs, X, nonzero, normal, some_labels, uniform


def _loss_rows(op: Callable[..., Any], inputs: Inputs) -> list[Case]:
    """A loss with each reduction and the targets that take different paths through it."""

    def torch_loss(t: Any, x: Any, target: Any, reduction: str) -> Any:
        target = t.full_like(x, target) if isinstance(target, float) else target
        return getattr(t.nn.functional, op.__name__)(x, target, reduction=reduction)

    rows = [
        Case(
            f"{op.__name__}, target {target}, {reduction}",
            op,
            inputs,
            lambda x, target=target, reduction=reduction: op(x, target, reduction),
            lambda t, x, target=target, reduction=reduction: torch_loss(t, x, target, reduction),
        )
        for target in (0.0, 1.0, 0.9)
        for reduction in ("mean", "sum", "none")
    ]
    both = lambda rng: (*inputs(rng), rng.uniform(0.1, 0.9, inputs(rng)[0].shape))
    return [*rows, Case(f"{op.__name__}, target traced too", op, both, op, lambda t, x, y: torch_loss(t, x, y, "mean"))]


def _class_rows() -> list[Case]:
    """The loss on many classes with each reduction, and the logarithms and probabilities it is made of."""
    return [
        *[
            Case(
                f"cross_entropy, {reduction}",
                cross_entropy,
                normal(X),
                lambda x, reduction=reduction: cross_entropy(x, some_labels(x), reduction),
                lambda t, x, reduction=reduction: t.nn.functional.cross_entropy(
                    x, 2 * t.arange(4) % 3, reduction=reduction
                ),
            )
            for reduction in ("mean", "sum", "none")
        ],
        *[
            Case(
                f"{op.__name__}, axis {axis}",
                op,
                normal((4, 2, 3)),
                lambda x, op=op, axis=axis: op(x, axis),
                lambda t, x, op=op, axis=axis: getattr(t, op.__name__)(x, axis),
            )
            for op in (log_softmax, primitives.softmax)
            for axis in (-1, 1)
        ],
    ]


ROWS: list[Case] = [
    *_loss_rows(binary_cross_entropy, uniform(0.1, 0.9, X)),
    *_loss_rows(binary_cross_entropy_with_logits, nonzero(X)),
    *_class_rows(),
]
