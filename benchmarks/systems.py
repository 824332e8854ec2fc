"""The systems that are larger than the toy, as problems: networks, first weights, and what each step is fed.

    mlp      28x28 digits in 784 numbers, fully connected layers; D gives a probability
    conv28   28x28 digits, convolutions, max-pool, batch norm in G; D gives a logit
    dcgan    96x96 colour images, the DCGAN, batch norm in G and D; D gives a probability

A step is one move of each player, in float32:

    D minimises bce(D(real), 1) + bce(D(fake), 0), where the fake images are constants,
    G minimises bce(D(G(z)), 1) on fresh noise z,

each moved by its own Adam (learning rate 2e-4, betas 0.5 and 0.999, epsilon 1e-3 added to the root: much more than
usual, at the same cost, so that weights whose gradients are little but rounding stay where contenders can be compared).
Where D has batch norm, the real and the fake images go through it apart. Images and noise are drawn here, once: drawing
is not part of a step. Speed does not depend on what is in the images, so they are noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from minigan import Parameters, Sequential
from minigan.networks import conv28, dcgan, mlp

LEARNING_RATE = 2e-4
BETAS = (0.5, 0.999)
EPSILON = 1e-3
BATCHES_IN_CYCLE = 2
LOGITS = {"mlp": False, "conv28": True, "dcgan": False}


class Batch(NamedTuple):
    """What one training step consumes."""

    real: np.ndarray
    """(N, 784) or (N, C, H, W) images in (-1, 1)."""
    noise_d: np.ndarray
    """(N, noise) or (N, noise, h, w), for the fake images of the D step."""
    noise_g: np.ndarray
    """The same for the G step."""


class Problem(NamedTuple):
    """Where every contender starts, and what it is fed: step i gets `batches[i % len(batches)]`."""

    generator: Parameters
    discriminator: Parameters
    batches: list[Batch]


def networks(system: str, width: int = 64) -> tuple[Sequential, Sequential]:
    """G and D as minigan has them; `width` is the DCGAN's number of channels next to the pixels."""
    if system == "mlp":
        return mlp.generator(), mlp.discriminator()
    if system == "conv28":
        return conv28.generator(), conv28.discriminator()
    # Without the layer that makes one pixel of the noise: a map of noise makes larger images, see `noise_map`.
    return Sequential({"main": dcgan.generator(width=width).layers["main"]}), dcgan.discriminator(width)


def problem(system: str, batch: int, width: int = 64, size: int = 96) -> Problem:
    """A system with `batch` images in a minibatch; the DCGAN also with another width and other images."""
    rng = np.random.default_rng(0)
    G, D = networks(system, width)

    def drawn() -> Batch:
        if system == "dcgan":
            images: tuple[int, ...] = (batch, 3, size, size)
            noise = rng.standard_normal((2, batch, 100, noise_map(size), noise_map(size)), np.float32)
        else:
            images = (batch, 784) if system == "mlp" else (batch, 1, 28, 28)
            noise = 2 * rng.random((2, batch, 100 if system == "mlp" else 96), np.float32) - 1
        return Batch(2 * rng.random(images, np.float32) - 1, *noise)

    return Problem(G.init(rng), D.init(rng), [drawn() for _ in range(BATCHES_IN_CYCLE)])


def noise_map(size: int) -> int:
    """h, where the DCGAN makes images (size, size) of noise (h, h): 96 of 1, 120 of 2, 144 of 3, ..."""
    h, rest = divmod(size, 24)
    if rest or h < 4:
        raise ValueError(f"size: expected 96, 120, 144, ..., got {size}")
    return h - 3


def answer(
    generator: Mapping[str, np.ndarray], discriminator: Mapping[str, np.ndarray], d_loss: float, g_loss: float
) -> dict[str, np.ndarray]:
    """What contenders are compared by: weights, running statistics and the last losses (0 before the first step)."""
    return {
        **{f"G.{name}": array for name, array in generator.items()},
        **{f"D.{name}": array for name, array in discriminator.items()},
        "d_loss": np.array(d_loss),
        "g_loss": np.array(g_loss),
    }
