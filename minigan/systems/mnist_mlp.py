"""The MLP GAN on 28x28 digits: fully connected layers and nothing else.

    G   normal noise (100) - 128 - 256 - 512 - 784 pixels      leaky ReLU 0.2 between, tanh at the end
    D   784 - 512 - 256 - a probability                        leaky ReLU 0.2 between, sigmoid at the end

In each turn D and then G takes a step of Adam on the same batch of fake images.   [after Linder-Noren's PyTorch-GAN,
gan.py, where the loss of D is half of ours, which Adam does not feel]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minigan.arrays import Device, to_device
from minigan.data.digits import digits
from minigan.layers import Sequential
from minigan.networks import mlp
from minigan.objectives import non_saturating
from minigan.optimizers import Adam
from minigan.sampling import slerp
from minigan.sending import sender
from minigan.sheets import sheet
from minigan.systems.noise import normal_noise
from minigan.systems.scores import frechet_of_pixels
from minigan.systems.system import Game, Show, System, batches_of, check, follow
from minigan.training import Player


@dataclass(frozen=True)
class Options:
    """An MLP GAN on 28x28 digits."""

    preset: Literal["default", "quick"] = "default"
    """where all other options start"""
    data: Literal["glyphs", "mnist", "fashion"] = "glyphs"
    """digits drawn from fonts, which need no download; MNIST; or Fashion-MNIST"""
    data_dir: Path = Path("data")
    """where MNIST and Fashion-MNIST lie, or are downloaded to"""
    images: int | None = None
    """train on so many images only"""
    batch: int = 64
    """images in a batch"""
    noise: int = 100
    """numbers that G starts from"""
    widths: tuple[int, ...] = (128, 256, 512)
    """units of G's hidden layers; D has the same backwards, but for the first"""
    epochs: int = 200
    """passes over the data"""
    d_lr: float = 2e-4
    """Adam's rate for D"""
    g_lr: float = 2e-4
    """Adam's rate for G"""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's betas, for both"""
    average: float = 0.0
    """decay of a moving average of G that samples are drawn from; 0: none"""
    seed: int = 0
    """same seed, same bits"""
    device: Device = "cpu"
    """where the numbers are: cpu, or cuda for an NVIDIA GPU, which needs CuPy"""
    tf32: bool = False
    """let the GPU round the factors of matrix products to TF32: faster, less exact"""


PRESETS = {
    "default": Options(),
    "quick": Options(preset="quick", images=6400, noise=32, widths=(64, 128, 256), epochs=9, d_lr=5e-4, g_lr=5e-4),
}


def networks(o: Options) -> tuple[Sequential, Sequential]:
    """G and D."""
    return mlp.generator(o.noise, o.widths), mlp.discriminator(widths=o.widths[:0:-1])


def show(o: Options) -> Show:
    """How samples are drawn and looked at."""
    return Show(
        noise=lambda rng, n: to_device(normal_noise(rng, n, o.noise), o.device),
        rows=256,
        training=False,
        sheet=25,
        picture=lambda x: sheet(x.reshape(-1, 1, 28, 28), columns=5, scale=4),
        between=slerp,
    )


def build(o: Options) -> System:
    """The system, its data loaded. Raises ValueError or OSError for options that cannot work."""
    check(o, counts=("images", "batch", "noise", "epochs"), rates=("d_lr", "g_lr"))
    if not o.widths or min(o.widths) < 1:
        raise ValueError(f"widths: expected at least one number >= 1, got {o.widths}")
    rng, send = np.random.default_rng(o.seed), sender(o.device)

    images, _ = digits(o.data, o.data_dir, "train")
    images = images[: o.images].reshape(-1, 1, 28, 28)
    batches = batches_of(images.reshape(-1, 784), o)

    G, D = networks(o)
    g, d = G.init(rng, device=o.device), D.init(rng, device=o.device)

    return System(
        name="mnist_mlp",
        options=o,
        free=frozenset({"data_dir", "device", "epochs", "tf32"}),
        G=Player(G, g, Adam(g, o.g_lr, o.betas)),
        D=Player(D, d, Adam(d, o.d_lr, o.betas)),
        objective=non_saturating,
        draw_real=lambda: send(next(batches)),
        draw_noise=lambda: send(normal_noise(rng, o.batch, o.noise)),
        rng=rng,
        batches=batches,
        game=Game(o.epochs * batches.batches_per_epoch, reuse_noise=True),
        average=follow(g, o.average),
        show=show(o),
        scores={"frechet": frechet_of_pixels(images)},
        epoch=batches.batches_per_epoch,
        log_every=100,
        sample_every=min(400, batches.batches_per_epoch),
        line=lambda record: line(record, o.epochs, batches.batches_per_epoch),
    )


def line(record: Mapping[str, Any], epochs: int, batches: int) -> str:
    """[Epoch e/E] [Batch b/B] [D loss: half of ours, as the original has it] [G loss: ..], counted from 1"""
    return (
        f"[Epoch {record['epoch']}/{epochs}] [Batch {record['batch']}/{batches}] "
        f"[D loss: {(record['d_real'] + record['d_fake']) / 2:f}] [G loss: {record['g']:f}]"
    )
