"""The MLP GAN on 28x28 digits: fully connected layers and nothing else.

    G   normal noise (100) - 128 - 256 - 512 - 784 pixels      leaky ReLU 0.2 between, tanh at the end
    D   784 - 512 - 256 - a probability                        leaky ReLU 0.2 between, sigmoid at the end

In each turn D and then G takes a step of Adam on the same noise.   [after Linder-Noren's PyTorch-GAN, gan.py, where the
loss of D is half of ours, which Adam does not feel]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minigan.arrays import Array
from minigan.data.noise import normal_noise
from minigan.devices import to_device
from minigan.game import Notes, Player
from minigan.gans.options import DigitOptions
from minigan.gans.sampling import Sampling, slerp
from minigan.gans.system import System
from minigan.layers import Sequential
from minigan.metrics.images import frechet_of_pixels
from minigan.networks import mlp
from minigan.objectives import non_saturating
from minigan.pictures.sheets import sheet
from minigan.primitives import concatenate


@dataclass(frozen=True)
class Options(DigitOptions):
    """An MLP GAN on 28x28 digits."""

    noise: int = 100
    """numbers that G starts from"""
    widths: tuple[int, ...] = (128, 256, 512)
    """units of G's hidden layers; D has the same backwards, but for the first"""


QUICK = Options(preset="quick", images=6400, noise=32, widths=(64, 128, 256), epochs=9, d_lr=5e-4, g_lr=5e-4)
PRESETS = {"default": Options(), "quick": QUICK}


def networks(o: Options) -> dict[str, Sequential]:
    """G and D."""
    return {"G": mlp.generator(o.noise, o.widths), "D": mlp.discriminator(widths=o.widths[:0:-1])}


def sampling(o: Options) -> Sampling:
    """How samples are drawn and looked at."""
    noise = lambda rng, n: to_device(normal_noise(rng, n, o.noise), o.device)
    picture = lambda x: sheet(x.reshape(-1, 1, 28, 28), columns=5, scale=4)
    return Sampling(noise, picture, count=25, way=slerp)


def d_loss(D: Player, x: Array, fake: Array) -> tuple[Array, Notes]:
    scores = D(concatenate([x, fake]))  # both in one pass: no row of this D feels another
    on_real, on_fake = scores[: len(x)], scores[len(x) :]
    return non_saturating.d_loss(on_real, on_fake), {"on_real": on_real, "on_fake": on_fake}


def g_loss(G: Player, D: Player, z: Array) -> Array:
    return non_saturating.g_loss(D(G(z)))


def build(o: Options) -> System:
    """The GAN, its data loaded. Raises ValueError or OSError for options that cannot work."""
    o.check()
    rng, images, look = np.random.default_rng(o.seed), o.digits(), sampling(o)
    batches = o.batches(images.reshape(-1, 784))
    players = o.players(networks(o), rng)
    G, D, n = players["G"], players["D"], batches.batches_per_epoch

    def turn(number: int) -> Notes:
        x, z = to_device(next(batches), o.device), look.noise(rng, o.batch)
        return D.move(d_loss, x, G(z)) | G.move(g_loss, D, z)

    system = System("mnist_mlp", o, players, turn, o.epochs * n, look, o.memory(rng, batches, G), epoch=n)
    return system._replace(scores={"frechet": frechet_of_pixels(images)}, sample_every=min(400, n))
