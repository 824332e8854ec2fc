"""Rows of primitives/linear.py."""

from __future__ import annotations

from minigan import primitives
from minigan.primitives.linear import linear
from tests.primitives.case import Case, X, layer, normal, same, some_labels

ROWS: list[Case] = [
    *[
        same(linear, layer(*sizes), lambda t, *a: t.nn.functional.linear(*a), name=f"linear, {name}")
        for name, sizes in {
            "with bias": (4, 3, 2),
            "without bias": (4, 3, 2, False),
            "one number in": (4, 1, 3),
            "one number out": (4, 3, 1),
            "one row": (1, 3, 2),
        }.items()
    ],
    Case(
        "embedding, one row twice and one never",
        primitives.embedding,
        normal(X),
        lambda w: primitives.embedding(some_labels(w), w),
        lambda t, w: t.nn.functional.embedding(2 * t.arange(4) % 3, w),
    ),
]
