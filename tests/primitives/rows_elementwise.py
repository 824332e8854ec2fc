"""Rows of primitives/elementwise.py."""

from __future__ import annotations

from minigan import primitives
from minigan.primitives.elementwise import (
    elu,
    elu_slope,
    heaviside,
    leaky_relu,
    leaky_relu_slope,
    relu,
    relu_slope,
    sigmoid,
    sigmoid_slope,
    sign,
    tanh,
    tanh_slope,
)
from tests.primitives.case import Case, X, nonzero, normal, same, uniform

ROWS: list[Case] = [
    same(primitives.exp, normal(X), lambda t, x: t.exp(x)),
    same(primitives.log, uniform(0.3, 3.0, X), lambda t, x: t.log(x)),
    same(primitives.sqrt, uniform(0.3, 3.0, X), lambda t, x: t.sqrt(x)),
    same(primitives.square, normal(X), lambda t, x: t.square(x)),
    same(primitives.abs, nonzero(X), lambda t, x: t.abs(x)),
    same(sign, nonzero(X), lambda t, x: t.sign(x)),
    Case("clamp", primitives.clamp, nonzero(X), lambda x: primitives.clamp(x, 0.1), lambda t, x: t.clamp(x, min=0.1)),
    same(relu, nonzero(X), lambda t, x: t.relu(x)),
    same(relu_slope, nonzero(X)),
    *[
        Case(
            f"leaky_relu, slope {a}",
            leaky_relu,
            nonzero(X),
            lambda x, a=a: leaky_relu(x, a),
            lambda t, x, a=a: t.nn.functional.leaky_relu(x, a),
        )
        for a in (0.01, 0.2, 0.0, 1.5, -0.5)
    ],
    Case("leaky_relu_slope", leaky_relu_slope, nonzero(X), lambda x: leaky_relu_slope(x, 0.2), None),
    *[
        Case(f"elu, alpha {a}", elu, nonzero(X), lambda x, a=a: elu(x, a), lambda t, x, a=a: t.nn.functional.elu(x, a))
        for a in (1.0, 0.5, 2.0, 0.0)
    ],
    Case("elu_slope, alpha 1.0", elu_slope, nonzero(X), lambda y: elu_slope(y, 1.0), None),
    Case("elu_slope, alpha 0.5", elu_slope, nonzero(X), lambda y: elu_slope(y, 0.5), None),
    same(heaviside, nonzero(X)),
    same(sigmoid, normal(X), lambda t, x: t.sigmoid(x)),
    same(sigmoid, uniform(-30.0, 30.0, X), lambda t, x: t.sigmoid(x), name="sigmoid, large arguments"),
    same(sigmoid_slope, uniform(0.1, 0.9, X), lambda t, y: y * (1 - y)),
    same(tanh, normal(X), lambda t, x: t.tanh(x)),
    same(tanh_slope, uniform(-0.9, 0.9, X), lambda t, y: 1 - y * y),
    same(primitives.softplus, normal(X), lambda t, x: t.nn.functional.softplus(x)),
]
