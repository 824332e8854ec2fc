"""What + - * / ** @ [] and comparisons mean on a traced array, and their derivatives.

Each is a primitive, so a formula written with operators can be differentiated; this file hangs them on `Traced`.
Where shapes were broadcast, dx is summed back to the shape of x (`sum_to`). Read next: linear.py.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from minigan.arrays import Array
from minigan.autodiff import Traced, defvjp, primitive, stop_gradient
from minigan.primitives.elementwise import exp
from minigan.primitives.shaping import index, sum_to, transpose


@primitive
def add(x1: Array, x2: Array) -> Array:
    """x1 + x2"""
    return x1 + x2


@primitive
def subtract(x1: Array, x2: Array) -> Array:
    """x1 - x2"""
    return x1 - x2


@primitive
def multiply(x1: Array, x2: Array) -> Array:
    """x1 * x2"""
    return x1 * x2


@primitive
def divide(x1: Array, x2: Array) -> Array:
    """x1 / x2"""
    return x1 / x2


@primitive
def negative(x: Array) -> Array:
    """-x"""
    return -x


@primitive
def power(x: Array, exponent: float) -> Array:
    """x ** exponent, for a constant exponent."""
    return x**exponent


@primitive
def matmul(x1: Array, x2: Array) -> Array:
    """The matrix product (n, k) @ (k, m) -> (n, m)."""
    if x1.ndim != 2 or x2.ndim != 2 or x1.shape[1] != x2.shape[0]:
        raise ValueError(f"matmul: expected shapes (n, k) and (k, m), got {x1.shape} and {x2.shape}")
    return x1 @ x2


def _summed(formula: Callable[[Array, Array, Array], Array], wrt: int) -> Callable[..., Any]:
    """The derivative dx = formula(dy, x1, x2) for argument `wrt`, summed over what broadcasting had repeated."""

    def maker(y: Array, x1: Array, x2: Array) -> Callable[[Array], Array]:
        shape = getattr((x1, x2)[wrt], "shape", ())  # a Python number has none

        def vjp(dy: Array) -> Array:
            dx = formula(dy, x1, x2)
            return dx if dx.shape == shape else sum_to(dx, shape)

        return vjp

    return maker


defvjp(add, _summed(lambda dy, x1, x2: dy, 0), _summed(lambda dy, x1, x2: dy, 1))
defvjp(subtract, _summed(lambda dy, x1, x2: dy, 0), _summed(lambda dy, x1, x2: -dy, 1))
defvjp(multiply, _summed(lambda dy, x1, x2: dy * x2, 0), _summed(lambda dy, x1, x2: dy * x1, 1))
defvjp(divide, _summed(lambda dy, x1, x2: dy / x2, 0), _summed(lambda dy, x1, x2: -dy * (x1 / x2) / x2, 1))
defvjp(negative, lambda y, x: lambda dy: -dy)
defvjp(
    power,
    lambda y, x, exponent: lambda dy: dy * (exponent * x ** (exponent - 1) if exponent else 0.0),  # no 0 / 0 at x = 0
)
defvjp(
    matmul,
    lambda y, x1, x2: lambda dy: matmul(dy, transpose(x2)),
    lambda y, x1, x2: lambda dy: matmul(transpose(x1), dy),
)


_binary = {"add": add, "sub": subtract, "mul": multiply, "truediv": divide, "matmul": matmul}
for _name, _op in _binary.items():
    setattr(Traced, f"__{_name}__", lambda self, other, op=_op: op(self, other))
    setattr(Traced, f"__r{_name}__", lambda self, other, op=_op: op(other, self))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):  # a comparison has slope 0: it gives plain truth values
    _compare = getattr(operator, _name)
    setattr(Traced, f"__{_name}__", lambda self, other, op=_compare: op(stop_gradient(self), stop_gradient(other)))
Traced.__neg__ = negative
Traced.__pow__ = power
Traced.__rpow__ = lambda self, base: exp(self * math.log(base))
Traced.__getitem__ = index
Traced.T = property(transpose)
