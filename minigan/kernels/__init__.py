"""How NumPy arrays are computed with fast. Nothing here is needed to understand minigan, and nothing imports it.

The reader reads primitives/, the machine runs kernels/: each stands in for an operation from outside (faster.py), and
tests hold each equal to the definition. `plain()` switches them all off:

    with minigan.kernels.plain():
        ...                       # only what you read in primitives/ runs

    backend.py        which kernel stands in for what: the whole interface
    fusion.py         two or three layers as one

    dense.py          fully connected layers
    elementwise.py    activations and their slopes
    convolution.py    conv2d and its two gradients, in tiles of patches (patches.py)
    input_gradient.py phases, gathers and scatters
    winograd.py       batches of small images: convolution as a product of polynomials
    k4s2.py           kernel 4, stride 2 with 9 multiplications for 16
    products.py       matrix products in pieces, where BLAS is fastest
    normalization.py  batch norm in two passes
    pooling.py        max-pooling
    pooled_convolution.py  a convolution of few channels, activation and max-pooling as one
    adam.py           the optimizer's step
    pool.py           worker threads that share tiles
    weights.py        what was computed from a weight, kept until it moves
    scratch.py        buffers that outlive a call
    layout.py         NCHW outside, NHWC inside
"""

from minigan.faster import plain
from minigan.kernels import backend, fusion

__all__ = ["backend", "fusion", "plain"]
