"""The convolutional GAN on 28x28 digits.

    G   noise - fc 1024, ReLU, BN - fc 7*7*128, ReLU, BN - transposed conv 64, ReLU, BN - transposed conv 1, tanh
    D   conv 32, leaky 0.01, max-pool 2 - conv 64, leaky 0.01, max-pool 2 - fc 1024, leaky 0.01 - fc 1, a logit

Transposed convs are k4 s2 p1 (7 -> 14 -> 28), convs k5 (28 -> 24, pooled 12 -> 8, pooled 4). G normalises after the
ReLU, not before, as its source has it.
"""

from __future__ import annotations

from minigan.layers import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    LeakyReLU,
    Linear,
    MaxPool2d,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
)


def generator(noise: int = 96, width: int = 64, hidden: int = 1024, eps: float = 1e-5) -> Sequential:
    """G: noise (N, noise) -> images (N, 1, 28, 28) in (-1, 1).

    Args:
        noise: numbers a sample.
        width: channels before the last layer; the one before has twice as many.
        hidden: units of the first layer.
        eps: of batch norm.
    """
    return Sequential(
        *(Linear(noise, hidden), ReLU(), BatchNorm1d(hidden, eps=eps)),
        *(Linear(hidden, 7 * 7 * 2 * width), ReLU(), BatchNorm1d(7 * 7 * 2 * width, eps=eps)),
        Reshape(2 * width, 7, 7),
        *(ConvTranspose2d(2 * width, width, 4, stride=2, padding=1), ReLU(), BatchNorm2d(width, eps=eps)),
        *(ConvTranspose2d(width, 1, 4, stride=2, padding=1), Tanh()),
    )


def discriminator(width: int = 32, hidden: int = 1024) -> Sequential:
    """D: images (N, 1, 28, 28) -> one logit each, (N, 1).

    Args:
        width: channels of the first convolution; the second has twice as many.
        hidden: units of the layer before the last.
    """
    return Sequential(
        *(Conv2d(1, width, 5), LeakyReLU(0.01), MaxPool2d(2)),
        *(Conv2d(width, 2 * width, 5), LeakyReLU(0.01), MaxPool2d(2)),
        *(Flatten(), Linear(4 * 4 * 2 * width, hidden), LeakyReLU(0.01)),
        Linear(hidden, 1),
    )
