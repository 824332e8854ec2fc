"""Rows of primitives/shaping.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan import primitives
from minigan.primitives.shaping import put, sum_to
from tests.primitives.case import Case, X, normal, same


def _torch_put(t: Any, x: Any, at: Any, shape: tuple[int, ...]) -> Any:
    y = t.zeros(shape, dtype=x.dtype)
    y[at] = x
    return y


_ROWS = np.array([2, 0, 2])


_MASK = np.array([True, False, True, True])


ROWS: list[Case] = [
    *[
        Case(
            f"sum_to {shape}",
            sum_to,
            normal((2, 4, 3)),
            lambda x, shape=shape: sum_to(x, shape),
            lambda t, x, shape=shape: x.sum_to_size(shape),
        )
        for shape in [(2, 4, 3), (4, 3), (2, 1, 3), (1, 3), (1,), ()]
    ],
    *[
        Case(
            f"broadcast_to, from {shape}",
            primitives.broadcast_to,
            normal(shape),
            lambda x: primitives.broadcast_to(x, (2, 4, 3)),
            lambda t, x: t.broadcast_to(x, (2, 4, 3)),
        )
        for shape in [(4, 3), (2, 1, 3), (1,), ()]
    ],
    Case(
        "reshape",
        primitives.reshape,
        normal(X),
        lambda x: primitives.reshape(x, (2, -1)),
        lambda t, x: x.reshape(2, -1),
    ),
    same(primitives.transpose, normal(X), lambda t, x: x.T),
    *[
        Case(
            f"transpose, axes {axes}",
            primitives.transpose,
            normal((2, 4, 3)),
            lambda x, axes=axes: primitives.transpose(x, axes),
            lambda t, x, axes=axes: x.permute(axes),
        )
        for axes in [(0, 2, 1), (1, 2, 0), (-1, 0, 1)]
    ],
    Case("index, an operator", primitives.index, normal(X), lambda x: x[1], lambda t, x: x[1]),
    *[
        Case(
            f"index, {name}",
            primitives.index,
            normal(X),
            lambda x, at=at: primitives.index(x, at),
            lambda t, x, at=at: x[at],
            fancy=isinstance(at, np.ndarray),
        )
        for name, at in {
            "one number": (2, -1),
            "slices": (slice(1, None), slice(0, None, 2)),
            "a new axis and dots": (None, ..., 0),
            "rows, one of them twice": _ROWS,
            "a mask": _MASK,
        }.items()
    ],
    *[
        Case(
            f"put, {name}",
            put,
            normal(shape),
            lambda x, at=at: put(x, at, X),
            lambda t, x, at=at: _torch_put(t, x, at, X),
            fancy=isinstance(at, np.ndarray),
        )
        for name, at, shape in [("one row", 2, (3,)), ("a slice", slice(1, 4, 2), (2, 3)), ("a mask", _MASK, (3, 3))]
    ],
    Case(
        "put, one row twice",
        put,
        normal((3, 3)),
        lambda x: put(x, _ROWS, X),
        lambda t, x: t.zeros(X, dtype=x.dtype).index_put((t.from_numpy(_ROWS),), x, accumulate=True),
        fancy=True,
    ),
    *[
        Case(
            f"concatenate, axis {axis}",
            primitives.concatenate,
            normal((4, 3), (2, 3) if axis == 0 else (4, 1)),
            lambda a, b, axis=axis: primitives.concatenate([a, b], axis),
            lambda t, a, b, axis=axis: t.cat([a, b], axis),
        )
        for axis in (0, -1)
    ],
    Case(
        "concatenate, one array twice",
        primitives.concatenate,
        normal(X),
        lambda x: primitives.concatenate([x, x * 2.0, x]),
        lambda t, x: t.cat([x, x * 2.0, x]),
    ),
    *[
        Case(
            f"{op.__name__}, axis {axis}{', kept' if keep else ''}",
            op,
            normal((2, 4, 3)),
            lambda x, op=op, axis=axis, keep=keep: op(x, axis, keep),
            lambda t, x, op=op, axis=axis, keep=keep: getattr(t, op.__name__)(x, axis, keep),
        )
        for op in (primitives.sum, primitives.mean)
        for axis, keep in [(None, False), (1, False), (-1, True), ((0, 2), False), ((0, -1), True)]
    ],
    same(primitives.flatten, normal((2, 4, 3)), lambda t, x: t.flatten(x, 1)),
]
