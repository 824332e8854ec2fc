"""The DCGAN for colour images, 96x96 by default.   [Radford et al. 2016; a 5x5 kernel at stride 3 next to the pixels]

    G   noise (100, 1, 1) - 512 @ 4x4 - 256 @ 8x8 - 128 @ 16x16 - 64 @ 32x32 - 3 @ 96x96
        transposed convs: k4 s1 p0, three times k4 s2 p1, each with batch norm and ReLU; the last k5 s3 p1, tanh
    D   3 @ 96x96 - 64 @ 32x32 - 128 @ 16x16 - 256 @ 8x8 - 512 @ 4x4 - 1
        convs: k5 s3 p1, leaky ReLU 0.2; three times k4 s2 p1 with batch norm, leaky ReLU 0.2; the last k4 s1 p0

No layer has a bias: batch norm would take it away again. The layer next to the pixels decides how large images are,
and everything between is the same: k4 s2 p1 makes 64x64 of the 32x32, k3 s1 p1 leaves it at 32x32.
"""

from __future__ import annotations

from minigan.initializers import Initializer, constant, torch_uniform
from minigan.layers import (
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    Layer,
    LeakyReLU,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
    Tanh,
)

NEXT_TO_PIXELS = {96: (5, 3, 1), 64: (4, 2, 1), 32: (3, 1, 1)}
"""image size -> kernel size, stride and padding between the pixels and 32x32"""

_ONES = constant(1.0)


def generator(
    noise: int = 100,
    width: int = 64,
    weight_init: Initializer = torch_uniform,
    norm_init: Initializer = _ONES,
    size: int = 96,
) -> Sequential:
    """G: noise (N, noise) or (N, noise, 1, 1) -> images (N, 3, size, size) in (-1, 1).

    Args:
        noise: numbers a sample.
        width: channels before the last layer; 2, 4 and 8 times as many before that.
        weight_init: of the convolutions.
        norm_init: of batch norm's weights; its biases start at 0.
        size: 96, 64 or 32.
    """
    last = _next_to_pixels(size)
    up: list[Layer] = [ConvTranspose2d(noise, 8 * width, 4, bias=False, weight_init=weight_init)]
    for n in (8, 4, 2):
        up += [BatchNorm2d(n * width, weight_init=norm_init), ReLU()]
        up.append(ConvTranspose2d(n * width, n // 2 * width, 4, 2, 1, bias=False, weight_init=weight_init))
    up += [BatchNorm2d(width, weight_init=norm_init), ReLU()]
    up += [ConvTranspose2d(width, 3, *last, bias=False, weight_init=weight_init), Tanh()]
    return Sequential({"noise": Reshape(noise, 1, 1), "main": Sequential(*up)})


def discriminator(
    width: int = 64,
    logits: bool = False,
    weight_init: Initializer = torch_uniform,
    norm_init: Initializer = _ONES,
    size: int = 96,
) -> Sequential:
    """D: images (N, 3, size, size) -> one probability each, (N, 1); or a logit.

    Args:
        width: channels of the first layer; 2, 4 and 8 times as many behind it.
        logits: leave out the last sigmoid.
        weight_init: of the convolutions.
        norm_init: of batch norm's weights; its biases start at 0.
        size: 96, 64 or 32.
    """
    first = _next_to_pixels(size)
    down: list[Layer] = [Conv2d(3, width, *first, bias=False, weight_init=weight_init), LeakyReLU(0.2)]
    for n in (1, 2, 4):
        down.append(Conv2d(n * width, 2 * n * width, 4, 2, 1, bias=False, weight_init=weight_init))
        down += [BatchNorm2d(2 * n * width, weight_init=norm_init), LeakyReLU(0.2)]
    down.append(Conv2d(8 * width, 1, 4, bias=False, weight_init=weight_init))
    tail: list[Layer] = [] if logits else [Sigmoid()]
    return Sequential({"main": Sequential(*down, *tail), "score": Flatten()})


def _next_to_pixels(size: int) -> tuple[int, int, int]:
    if size not in NEXT_TO_PIXELS:
        raise ValueError(f"size: expected {', '.join(map(str, NEXT_TO_PIXELS))}, got {size}")
    return NEXT_TO_PIXELS[size]
