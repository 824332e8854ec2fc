"""Functions of one number, applied to each, and their slopes.

For y = f(x) the derivative is dx = dy * f'(x). Where f'(x) can be read off y (sigmoid: y (1 - y)), it is: then x need
not be kept. Each slope is a primitive of its own and has its own derivative, so that a gradient of a gradient
(gradient penalties) needs no further rule. A comparison such as x > 0 has slope zero and simply carries no derivative.
Read next: shaping.py.
"""

from __future__ import annotations

import numpy as np

from minigan.arrays import Array, array_module
from minigan.autodiff import defvjp, primitive


@primitive
def exp(x: Array) -> Array:
    """e^x"""
    return array_module(x).exp(x)


defvjp(exp, lambda y, x: lambda dy: dy * y)


@primitive
def log(x: Array) -> Array:
    """The natural logarithm, for x > 0."""
    return array_module(x).log(x)


defvjp(log, lambda y, x: lambda dy: dy / x)


@primitive
def sqrt(x: Array) -> Array:
    """The square root; its slope at 0 is infinite."""
    return array_module(x).sqrt(x)


defvjp(sqrt, lambda y, x: lambda dy: dy * 0.5 / y)


@primitive
def square(x: Array) -> Array:
    """x^2"""
    return x * x


defvjp(square, lambda y, x: lambda dy: dy * (2.0 * x))


@primitive
def abs(x: Array) -> Array:
    """|x|; its slope at 0 is 0."""
    return array_module(x).abs(x)


defvjp(abs, lambda y, x: lambda dy: dy * sign(x))


@primitive
def sign(x: Array) -> Array:
    """-1, 0 or 1."""
    return array_module(x).sign(x)


defvjp(sign, lambda y, x: lambda dy: dy * 0.0)


@primitive
def clamp(x: Array, min: float) -> Array:
    """x where x > min, else min."""
    return array_module(x).maximum(x, min)


defvjp(clamp, lambda y, x, min: lambda dy: dy * heaviside(x - min))


@primitive
def relu(x: Array) -> Array:
    """x where x > 0, else 0.   [Nair & Hinton 2010]"""
    return array_module(x).maximum(x, 0.0)


@primitive
def relu_slope(y: Array) -> Array:
    """1 where y > 0, else 0: the slope at 0 is 0, as PyTorch has it."""
    return (y > 0).astype(y.dtype)


defvjp(relu, lambda y, x: lambda dy: dy * relu_slope(y))
defvjp(relu_slope, lambda s, y: lambda ds: ds * 0.0)


@primitive
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """x where x > 0, else negative_slope * x.   [Maas et al. 2013, eq. 3]"""
    return array_module(x).where(x > 0, x, negative_slope * x)


@primitive
def leaky_relu_slope(x: Array, negative_slope: float = 0.01) -> Array:
    """1 where x > 0, else negative_slope. Read off x, not y: with a negative slope y > 0 on both sides."""
    xp = array_module(x)
    return xp.where(x > 0, xp.ones((), x.dtype), xp.full((), negative_slope, x.dtype))


defvjp(leaky_relu, lambda y, x, negative_slope=0.01: lambda dy: dy * leaky_relu_slope(x, negative_slope))
defvjp(leaky_relu_slope, lambda s, x, negative_slope=0.01: lambda ds: ds * 0.0)


@primitive
def elu(x: Array, alpha: float = 1.0) -> Array:
    """x where x > 0, else alpha * (exp(x) - 1), for alpha >= 0.   [Clevert et al. 2016, eq. 15]"""
    xp = array_module(x)
    return xp.where(x > 0, x, alpha * xp.expm1(xp.minimum(x, 0.0)))  # minimum: expm1 cannot overflow


@primitive
def elu_slope(y: Array, alpha: float = 1.0) -> Array:
    """1 where y > 0, else y + alpha (= alpha * exp(x))."""
    xp = array_module(y)
    return xp.where(y > 0, xp.ones((), y.dtype), y + alpha)


defvjp(elu, lambda y, x, alpha=1.0: lambda dy: dy * elu_slope(y, alpha))
defvjp(elu_slope, lambda s, y, alpha=1.0: lambda ds: ds * heaviside(-y))  # the branch y <= 0 rises by 1


@primitive
def heaviside(x: Array) -> Array:
    """1 where x >= 0, else 0."""
    return (x >= 0).astype(x.dtype)


defvjp(heaviside, lambda y, x: lambda dy: dy * 0.0)


@primitive
def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), in (0, 1)."""
    with np.errstate(over="ignore"):  # exp(-x) = inf gives 0, which is right, and is PyTorch's answer too
        return 1.0 / (1.0 + array_module(x).exp(-x))


@primitive
def sigmoid_slope(y: Array) -> Array:
    """y (1 - y)"""
    return y * (1.0 - y)


defvjp(sigmoid, lambda y, x: lambda dy: dy * sigmoid_slope(y))
defvjp(sigmoid_slope, lambda s, y: lambda ds: ds * (1.0 - 2.0 * y))


@primitive
def tanh(x: Array) -> Array:
    """(e^x - e^-x) / (e^x + e^-x), in (-1, 1)."""
    return array_module(x).tanh(x)


@primitive
def tanh_slope(y: Array) -> Array:
    """1 - y^2"""
    return 1.0 - y * y


defvjp(tanh, lambda y, x: lambda dy: dy * tanh_slope(y))
defvjp(tanh_slope, lambda s, y: lambda ds: ds * (-2.0 * y))


@primitive
def softplus(x: Array) -> Array:
    """log(1 + exp(x)), written max(x, 0) + log(1 + exp(-|x|)) so that nothing overflows."""
    xp = array_module(x)
    return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-xp.abs(x)))


defvjp(softplus, lambda y, x: lambda dy: dy * sigmoid(x))
