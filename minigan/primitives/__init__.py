"""The operations that gradients can see through, each right above its derivative. Start with elementwise.py."""

from minigan.primitives.convolution import conv2d, conv_transpose2d
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
from minigan.primitives.linear import embedding, linear
from minigan.primitives.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    log_softmax,
    softmax,
)
from minigan.primitives.normalization import batch_norm
from minigan.primitives.operators import add, divide, matmul, multiply, negative, power, subtract
from minigan.primitives.pooling import avg_pool2d, max_pool2d, pad, upsample
from minigan.primitives.shaping import broadcast_to, concatenate, flatten, index, mean, reshape, sum, transpose

__all__ = [
    "abs",
    "add",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "broadcast_to",
    "clamp",
    "concatenate",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "divide",
    "elu",
    "embedding",
    "exp",
    "flatten",
    "index",
    "leaky_relu",
    "linear",
    "log",
    "log_softmax",
    "matmul",
    "max_pool2d",
    "mean",
    "multiply",
    "negative",
    "pad",
    "power",
    "relu",
    "reshape",
    "sigmoid",
    "softmax",
    "softplus",
    "sqrt",
    "square",
    "subtract",
    "sum",
    "tanh",
    "transpose",
    "upsample",
]
