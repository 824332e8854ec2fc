"""The convolutional GAN on 28x28 digits.   [after Stanford's CS231n, the exercise on GANs]

    G   uniform noise (96) - fc 1024 - fc 7*7*128 - transposed conv 64 @ 14x14 - transposed conv 1 @ 28x28, tanh
        ReLU and then batch norm in between
    D   conv 32 - max-pool - conv 64 - max-pool - fc 1024 - fc 1, a logit; leaky ReLU 0.01 in between

As in the exercise, G's batch norm always takes the statistics of the batch at hand, when samples are drawn too: one
digit comes out a little different in other company.
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
from minigan.networks import conv28
from minigan.objectives import non_saturating_with_logits
from minigan.optimizers import Adam
from minigan.sampling import lerp
from minigan.sending import sender
from minigan.sheets import sheet
from minigan.systems.noise import box_noise
from minigan.systems.scores import frechet_of_pixels
from minigan.systems.system import Game, Show, System, batches_of, check, follow
from minigan.training import Player


@dataclass(frozen=True)
class Options:
    """A convolutional GAN on 28x28 digits."""

    preset: Literal["default", "quick"] = "default"
    """where all other options start"""
    data: Literal["glyphs", "mnist", "fashion"] = "glyphs"
    """digits drawn from fonts, which need no download; MNIST; or Fashion-MNIST"""
    data_dir: Path = Path("data")
    """where MNIST and Fashion-MNIST lie, or are downloaded to"""
    images: int | None = None
    """train on so many images only"""
    batch: int = 128
    """images in a batch"""
    noise: int = 96
    """numbers that G starts from"""
    width: int = 64
    """channels of G before the last layer; twice as many one before; D has half as many and as many"""
    hidden: int = 1024
    """units of G's first layer and of D's last but one"""
    epochs: int = 10
    """passes over the data"""
    d_lr: float = 1e-3
    """Adam's rate for D"""
    g_lr: float = 1e-3
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
    "quick": Options(preset="quick", images=1280, batch=64, width=16, hidden=128, epochs=6),
}


def networks(o: Options) -> tuple[Sequential, Sequential]:
    """G and D."""
    G = conv28.generator(o.noise, o.width, o.hidden, eps=1e-3)
    return G, conv28.discriminator(max(1, o.width // 2), o.hidden)


def show(o: Options) -> Show:
    """How samples are drawn and looked at."""
    return Show(
        noise=lambda rng, n: to_device(box_noise(rng, n, o.noise), o.device),
        rows=128,
        training=True,
        sheet=16,
        picture=lambda x: sheet(x, columns=4, scale=4),
        between=lerp,
    )


def build(o: Options) -> System:
    """The system, its data loaded. Raises ValueError or OSError for options that cannot work."""
    check(o, counts=("images", "batch", "noise", "width", "hidden", "epochs"), rates=("d_lr", "g_lr"))
    rng, send = np.random.default_rng(o.seed), sender(o.device)

    images, _ = digits(o.data, o.data_dir, "train")
    images = images[: o.images].reshape(-1, 1, 28, 28)
    batches = batches_of(images, o)

    G, D = networks(o)
    g, d = G.init(rng, device=o.device), D.init(rng, device=o.device)

    return System(
        name="mnist_conv",
        options=o,
        free=frozenset({"data_dir", "device", "epochs", "tf32"}),
        G=Player(G, g, Adam(g, o.g_lr, o.betas)),
        D=Player(D, d, Adam(d, o.d_lr, o.betas)),
        objective=non_saturating_with_logits,
        draw_real=lambda: send(next(batches)),
        draw_noise=lambda: send(box_noise(rng, o.batch, o.noise)),
        rng=rng,
        batches=batches,
        game=Game(o.epochs * batches.batches_per_epoch),
        average=follow(g, o.average),
        show=show(o),
        scores={"frechet": frechet_of_pixels(images)},
        epoch=batches.batches_per_epoch,
        log_every=50,
        sample_every=min(250, batches.batches_per_epoch),
        line=line,
    )


def line(record: Mapping[str, Any]) -> str:
    """Iter: i, D: .., G: .., counted from 1"""
    return f"Iter: {record['turn']}, D: {record['d_real'] + record['d_fake']:.4g}, G: {record['g']:.4g}"
