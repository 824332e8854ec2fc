"""The convolutional GAN on 28x28 digits.   [after Stanford's CS231n, the exercise on GANs]

    G   uniform noise (96) - fc 1024 - fc 7*7*128 - transposed conv 64 @ 14x14 - transposed conv 1 @ 28x28, tanh
        ReLU and then batch norm in between
    D   conv 32 - max-pool - conv 64 - max-pool - fc 1024 - fc 1, a logit; leaky ReLU 0.01 in between

As in the exercise, G's batch norm always takes the statistics of the batch at hand, when samples are drawn too: one
digit comes out a little different in other company.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minigan.arrays import Array
from minigan.autodiff import stop_gradient
from minigan.data.noise import box_noise
from minigan.devices import to_device
from minigan.game import Notes, Player
from minigan.gans.options import DigitOptions
from minigan.gans.sampling import Sampling, lerp
from minigan.gans.system import System
from minigan.layers import Sequential
from minigan.metrics.images import frechet_of_pixels
from minigan.networks import conv28
from minigan.objectives import non_saturating_with_logits as objective
from minigan.pictures.sheets import sheet
from minigan.primitives import concatenate


@dataclass(frozen=True)
class Options(DigitOptions):
    """A convolutional GAN on 28x28 digits."""

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


QUICK = Options(preset="quick", images=1280, batch=64, width=16, hidden=128, epochs=6)
PRESETS = {"default": Options(), "quick": QUICK}


def networks(o: Options) -> dict[str, Sequential]:
    """G and D."""
    G = conv28.generator(o.noise, o.width, o.hidden, eps=1e-3)
    return {"G": G, "D": conv28.discriminator(max(1, o.width // 2), o.hidden)}


def sampling(o: Options) -> Sampling:
    """How samples are drawn and looked at."""
    noise = lambda rng, n: to_device(box_noise(rng, n, o.noise), o.device)
    picture = lambda x: sheet(x, columns=4, scale=4)
    return Sampling(noise, picture, count=16, batch=128, batch_statistics=True, way=lerp)


def d_loss(D: Player, x: Array, fake: Array) -> tuple[Array, Notes]:
    scores = D(concatenate([x, fake]))  # both in one pass: no image of this D feels another
    p = objective.probability(stop_gradient(scores))
    return objective.d_loss(scores[: len(x)], scores[len(x) :]), {"on_real": p[: len(x)], "on_fake": p[len(x) :]}


def g_loss(G: Player, D: Player, z: Array) -> Array:
    return objective.g_loss(D(G(z)))


def build(o: Options) -> System:
    """The GAN, its data loaded. Raises ValueError or OSError for options that cannot work."""
    o.check()
    rng, images, look = np.random.default_rng(o.seed), o.digits(), sampling(o)
    batches = o.batches(images)
    players = o.players(networks(o), rng)
    G, D, n = players["G"], players["D"], batches.batches_per_epoch

    def turn(number: int) -> Notes:
        x = to_device(next(batches), o.device)
        notes = D.move(d_loss, x, G(look.noise(rng, o.batch)))
        return notes | G.move(g_loss, D, look.noise(rng, o.batch))

    system = System("mnist_conv", o, players, turn, o.epochs * n, look, o.memory(rng, batches, G), epoch=n)
    return system._replace(scores={"frechet": frechet_of_pixels(images)}, log_every=50, sample_every=min(250, n))
