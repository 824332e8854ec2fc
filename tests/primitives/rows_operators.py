"""Rows of primitives/operators.py."""

from __future__ import annotations

from minigan import primitives
from tests.primitives.case import Case, X, nonzero, normal, same, uniform

ROWS: list[Case] = [
    *[
        same(op, nonzero(*shapes), lambda t, a, b, op=op: getattr(t, op.__name__)(a, b), f"{op.__name__} {shapes}")
        for op in (primitives.add, primitives.subtract, primitives.multiply, primitives.divide)
        for shapes in [((4, 3), (4, 3)), ((4, 3), (3,)), ((4, 1), (1, 3)), ((), (4, 3))]
    ],
    *[
        Case(f"{op.__name__}, a number on the {side}", op, nonzero(X), call, lambda t, x, call=call: call(x))
        for op, side, call in [
            (primitives.add, "left", lambda x: 3.0 + x),
            (primitives.subtract, "left", lambda x: 3.0 - x),
            (primitives.subtract, "right", lambda x: x - 3.0),
            (primitives.multiply, "left", lambda x: 3.0 * x),
            (primitives.divide, "left", lambda x: 3.0 / x),
            (primitives.divide, "right", lambda x: x / 3.0),
        ]
    ],
    same(primitives.negative, normal(X), lambda t, x: -x),
    *[
        Case(
            f"power {exponent}",
            primitives.power,
            uniform(0.3, 2.0, X),
            lambda x, exponent=exponent: primitives.power(x, exponent),
            lambda t, x, exponent=exponent: x**exponent,
        )
        for exponent in (2, 3.0, 0.5, -1, 1, 0)
    ],
    same(primitives.matmul, normal((4, 3), (3, 2)), lambda t, a, b: a @ b),
]
