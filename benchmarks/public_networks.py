"""Networks whose trained weights are public, layer for layer, under the names of their state_dicts.

    csinva_mlp_*     csinva/gan-vae-pretrained-pytorch 9b6401e                   an MLP GAN on MNIST
    csinva_dcgan_*   the same                                                    discriminator of a DCGAN
    digit_*          Ryhan9834/DigitDCGAN-Digit-Generation-with-DCGAN 8db36ce    generator of a DCGAN
                     Ryhan9834/Digit-Generation-WGAN-GP 2edf71e                  the same generator, and a critic
    digit_cgan_*     HayatoHongo/MNIST-Conditional-WGAN-gp aeb6f20               is told which digit to draw

The weights, all under the MIT licence, are read from .npz files that one makes of those checkpoints with PyTorch:

    np.savez(file, **{f"G/{name}": t.numpy() for name, t in torch.load(checkpoint, "cpu").items()})

minigan does not use these networks; its own are in minigan/networks/.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigan import (
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Embedding,
    LeakyReLU,
    Linear,
    Parameters,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
    Tanh,
    Upsample,
)
from minigan.arrays import Array
from minigan.files.weights import load_weights
from minigan.primitives import concatenate


class PublicNetwork(NamedTuple):
    """Where a network's weights are, the entries `part`/... of a file; and what it reads, if not images.

    noise: how many numbers, Normal(0, 1) as the authors draw them.
    conditional: whether labels come with them.
    """

    network: Sequential
    file: str
    part: str
    noise: int = 0
    conditional: bool = False

    def load(self, folder: Path) -> Parameters:
        """The network's numbers."""
        p = self.network.init(np.random.default_rng(0))
        p.load_state_dict(load_weights(folder / self.file, prefix=f"{self.part}/"))
        return p


def csinva_mlp_generator() -> Sequential:
    """Noise (N, 64) -> (N, 784)."""
    return Sequential(Linear(64, 256), ReLU(), Linear(256, 256), ReLU(), Linear(256, 784), Tanh())


def csinva_mlp_discriminator() -> Sequential:
    """(N, 784) -> probabilities (N, 1)."""
    slopes = LeakyReLU(0.2), LeakyReLU(0.2)
    return Sequential(Linear(784, 256), slopes[0], Linear(256, 256), slopes[1], Linear(256, 1), Sigmoid())


def csinva_dcgan_discriminator() -> Sequential:
    """(N, 1, 28, 28) -> probabilities (N, 1, 1, 1): 28 -> 14 -> 7 -> 3 -> 1."""
    main = Sequential(
        Conv2d(1, 64, 4, 2, 1, bias=False),
        LeakyReLU(0.2),
        Conv2d(64, 128, 4, 2, 1, bias=False),
        BatchNorm2d(128),
        LeakyReLU(0.2),
        Conv2d(128, 256, 4, 2, 1, bias=False),
        BatchNorm2d(256),
        LeakyReLU(0.2),
        Conv2d(256, 1, 4, 2, 1, bias=False),
        Sigmoid(),
    )
    return Sequential({"main": main})


def digit_generator() -> Sequential:
    """Noise (N, 64) -> (N, 1, 28, 28): 1 -> 3 -> 6 -> 13 -> 28."""

    def up(inputs: int, outputs: int, kernel: int, stride: int) -> Sequential:
        return Sequential(ConvTranspose2d(inputs, outputs, kernel, stride), BatchNorm2d(outputs), ReLU())

    last = Sequential(ConvTranspose2d(64, 1, 4, 2), Tanh())
    blocks = Sequential(up(64, 256, 3, 2), up(256, 128, 4, 1), up(128, 64, 3, 2), last)
    return Sequential({"noise": Reshape(64, 1, 1), "gen": blocks})


def digit_critic() -> Sequential:
    """(N, 1, 28, 28) -> scores (N, 1, 1, 1): 28 -> 13 -> 5 -> 1.

    Kernels and widths are those of the weights. Stride 2, the order and the slope 0.2 are inferred: the source is not
    public, and they give exactly one score.
    """

    def down(inputs: int, outputs: int) -> Sequential:
        return Sequential(Conv2d(inputs, outputs, 4, 2), BatchNorm2d(outputs), LeakyReLU(0.2))

    return Sequential({"crit": Sequential(down(1, 64), down(64, 128), Sequential(Conv2d(128, 1, 4, 2)))})


def digit_cgan_generator() -> Sequential:
    """Noise (N, 10) and labels (N,), as a pair -> (N, 1, 28, 28).

    Two batch norms have epsilon 0.8: the source means a momentum, but gives it in epsilon's place.
    """
    blocks = Sequential(
        BatchNorm2d(128),
        Upsample(2),
        Conv2d(128, 128, 3, 1, 1),
        BatchNorm2d(128, eps=0.8),
        ReLU(),
        Upsample(2),
        Conv2d(128, 64, 3, 1, 1),
        BatchNorm2d(64, eps=0.8),
        ReLU(),
        Conv2d(64, 1, 3, 1, 1),
        Tanh(),
    )
    return Sequential(
        {
            "label_emb": NoiseAndLabel(10, 10),
            "l1": Sequential(Linear(20, 128 * 7 * 7)),
            "image": Reshape(128, 7, 7),
            "conv_blocks": blocks,
        }
    )


class NoiseAndLabel(Embedding):
    """(z, labels), a pair of (N, noise) and (N,) -> (N, noise + embedding_dim)."""

    def __call__(self, p: Mapping[str, Array], x: tuple[Array, Array], path: str = "", training: bool = True) -> Array:
        """The noise and beside it the label's row."""
        z, labels = x
        return concatenate([z, super().__call__(p, labels, path, training)], axis=1)


GENERATORS: dict[str, PublicNetwork] = {
    "csinva MLP GAN": PublicNetwork(csinva_mlp_generator(), "csinva_mlp_gan.weights.npz", "G", 64),
    "Digit DCGAN": PublicNetwork(digit_generator(), "mnist_dcgan.weights.npz", "G", 64),
    "Digit WGAN-GP": PublicNetwork(digit_generator(), "mnist_wgan_gp.weights.npz", "G", 64),
    "MNIST cGAN": PublicNetwork(digit_cgan_generator(), "mnist_cgan.weights.npz", "G", 10, True),
}
SCORES: dict[str, PublicNetwork] = {
    "csinva MLP GAN": PublicNetwork(csinva_mlp_discriminator(), "csinva_mlp_gan.weights.npz", "D"),
    "csinva DCGAN": PublicNetwork(csinva_dcgan_discriminator(), "mnist_dcgan.weights.npz", "D"),
    "Digit WGAN-GP": PublicNetwork(digit_critic(), "mnist_wgan_gp.weights.npz", "C"),
}
