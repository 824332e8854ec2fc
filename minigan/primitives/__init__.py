"""The operations that gradients can see through, each right above its derivative. Start with elementwise.py."""

from minigan.primitives.elementwise import (
    abs,
    clamp,
    elu,
    exp,
    leaky_relu,
    log,
    relu,
    sigmoid,
    softplus,
    sqrt,
    square,
    tanh,
)
from minigan.primitives.linear import linear
from minigan.primitives.losses import binary_cross_entropy, binary_cross_entropy_with_logits
from minigan.primitives.operators import add, divide, matmul, multiply, negative, power, subtract
from minigan.primitives.shaping import (
    broadcast_to,
    concatenate,
    flatten,
    index,
    mean,
    reshape,
    sum,
    transpose,
)

__all__ = [
    "abs",
    "add",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "broadcast_to",
    "clamp",
    "concatenate",
    "divide",
    "elu",
    "exp",
    "flatten",
    "index",
    "leaky_relu",
    "linear",
    "log",
    "matmul",
    "mean",
    "multiply",
    "negative",
    "power",
    "relu",
    "reshape",
    "sigmoid",
    "softplus",
    "sqrt",
    "square",
    "subtract",
    "sum",
    "tanh",
    "transpose",
]
