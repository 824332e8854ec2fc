"""The MLP GAN on 28x28 digits: nothing but fully connected layers.

    G = 100 - 128 - 256 - 512 - 784, leaky ReLU 0.2 between, tanh at the end: pixels in (-1, 1)
    D = 784 - 512 - 256 - 1, leaky ReLU 0.2 between, a probability (sigmoid) or a logit at the end

A batch is a matrix here, each row the 784 pixels of an image. Read next: ../gans/mnist_mlp.py, a whole GAN on a page.
"""

from __future__ import annotations

from itertools import pairwise

from minigan.layers import Layer, LeakyReLU, Linear, Sequential, Sigmoid, Tanh


def generator(noise: int = 100, widths: tuple[int, ...] = (128, 256, 512), pixels: int = 784) -> Sequential:
    """G: noise (N, noise) -> images (N, pixels) in (-1, 1)."""
    return _perceptron((noise, *widths, pixels), Tanh())


def discriminator(pixels: int = 784, widths: tuple[int, ...] = (512, 256), logits: bool = False) -> Sequential:
    """D: images (N, pixels) -> one probability each, (N, 1); or a logit."""
    return _perceptron((pixels, *widths, 1), None if logits else Sigmoid())


def _perceptron(sizes: tuple[int, ...], last: Layer | None) -> Sequential:
    layers: list[Layer] = []
    for n, m in pairwise(sizes):
        layers += [Linear(n, m), LeakyReLU(0.2)]
    return Sequential({"main": Sequential(*layers[:-1], *([last] if last else []))})
