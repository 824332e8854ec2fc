"""How the NumPy backend computes the heavy primitives fast. Nothing here is needed to understand minigan.

The reader reads primitives/, the machine runs kernels/: a primitive hands its plain NumPy arrays over where a kernel
exists (`takes`), and tests hold each kernel equal to the plain code it stands in for. `plain()` switches them all off:

    with minigan.kernels.plain():
        ...                       # only what you read in primitives/ runs

    dense.py          fully connected layers
    elementwise.py    activations and their slopes, in chunks
    convolution.py    conv2d and its two gradients, in tiles of patches (patches.py, geometry.py)
    input_gradient.py phases, gathers and scatters
    winograd.py       batches of small images: convolution as a product of polynomials
    k4s2.py           kernel 4, stride 2 with 9 multiplications for 16
    products.py       matrix products in pieces, where BLAS is fastest
    normalization.py  batch norm in two passes
    pooling.py        max and average pooling
    pooled_convolution.py  a convolution of few channels, activation and max-pooling as one
    adam.py           the optimizer's step
    pool.py           worker threads that share tiles
    weights.py        what was computed from a weight, kept until it moves
    scratch.py        buffers that outlive a call
    layout.py         NCHW outside, NHWC inside

For arrays on a GPU, gpu/ has kernels behind the same switch and one of their own (`takes_gpu`, `on_gpu`): they have
never run on a GPU, so they are off until they are asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import numpy as np

from minigan.kernels.pool import SingleThreadedBLAS
from minigan.kernels.weights import standing_still

_switched_on = True
_on_gpu_too = os.environ.get("MINIGAN_CUPY_KERNELS") == "1"
_NOTHING = nullcontext()


def takes(*arrays: Any) -> bool:
    """Whether kernels may work on these: switched on, and every one a NumPy array, not traced, not on a GPU."""
    if not _switched_on:
        return False
    for a in arrays:  # noqa: SIM110  all(...) costs three times as much, and this runs at every operation
        if type(a) is not np.ndarray:
            return False
    return True


def takes_gpu(*arrays: Any) -> bool:
    """Whether the kernels in gpu/ may work on these: asked for, every one on a GPU, of one float dtype, not traced."""
    if not (_on_gpu_too and _switched_on):
        return False
    for a in arrays:
        if not hasattr(type(a), "__cuda_array_interface__"):
            return False
        if a.dtype != arrays[0].dtype or a.dtype.char not in "fd":
            return False
    return True


def one_gradient(pooled: bool) -> AbstractContextManager[Any]:
    """Around the work for one gradient, in which no parameter is written to.

    Args:
        pooled: whether that work is mostly convolutions, which run on the worker pool. BLAS is then held to one thread
            throughout: its own threads, once woken by one matrix product, spin for a while and take the pool's cores.
            Networks of matrix products alone leave it to BLAS to share them out, which costs less than the pool does.
    """
    if not (pooled and _switched_on):
        return _NOTHING
    stack = ExitStack()
    stack.enter_context(SingleThreadedBLAS())
    stack.enter_context(standing_still())
    return stack


@contextmanager
def on_gpu() -> Iterator[None]:
    """Run arrays on a GPU through the kernels in gpu/, inside this context and in every thread.

    The environment variable MINIGAN_CUPY_KERNELS=1, set before minigan is imported, does so for the whole process.
    """
    global _on_gpu_too
    before, _on_gpu_too = _on_gpu_too, True
    try:
        yield
    finally:
        _on_gpu_too = before


@contextmanager
def plain() -> Iterator[None]:
    """Run the plain code of primitives/ only, inside this context and in every thread."""
    global _switched_on
    before, _switched_on = _switched_on, False
    try:
        yield
    finally:
        _switched_on = before
