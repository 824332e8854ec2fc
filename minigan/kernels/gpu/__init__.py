"""Kernels for arrays on a GPU, where the plain code of primitives/ would be many short launches. Off by default.

They have been compiled by NVIDIA's compiler and their source has been emulated on the CPU, where tests hold each of
them to its plain twin. They have never run on a GPU; how fast they are is not known. To try them:

    with minigan.kernels.on_gpu():          or the environment variable MINIGAN_CUPY_KERNELS=1
        ...

    kernels.cu       the CUDA source: one formula a kernel
    launch.py        compiles it when it is first needed, and launches
    convolution.py   im2col and col2im around matrix products, in tiles of images
    elementwise.py   bias and activation in one pass, slopes, binary cross-entropy
    normalization.py batch norm
    pooling.py       max pooling
    adam.py          the optimizer's step

Matrix products and sums stay those of the array module `xp` that each function is handed. Nothing here waits for the
GPU or moves numbers. Arrays are float32 or float64, all of one dtype, in any layout; results are contiguous.
"""

from minigan.kernels.gpu.adam import adam_step
from minigan.kernels.gpu.convolution import conv2d, conv2d_input_grad, conv2d_weight_grad
from minigan.kernels.gpu.elementwise import (
    LEAKY_RELU,
    NO_ACTIVATION,
    Code,
    activate,
    bias_activation,
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_slope,
    coded,
    times_slope,
)
from minigan.kernels.gpu.normalization import batch_norm, batch_norm_backward
from minigan.kernels.gpu.pooling import max_taps, pick, spread

__all__ = [
    "LEAKY_RELU",
    "NO_ACTIVATION",
    "Code",
    "activate",
    "adam_step",
    "batch_norm",
    "batch_norm_backward",
    "bias_activation",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_slope",
    "coded",
    "conv2d",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "max_taps",
    "pick",
    "spread",
    "times_slope",
]
