"""Numbers from a Gaussian: the GAN that can be watched while it learns. examples/toy_gaussian.py tells its story.

    G   uniform noise - 32 - 32 - a number
    D   a number - 32 - 32 - a probability

Three steps of D for one of G, rates that fall to 0, and samples drawn from a moving average of G.   [The preset
`original` is the program of D. Nag, 2017, that made this toy known: fragile, kept as history.]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minigan import metrics, optimizers
from minigan.arrays import Array
from minigan.autodiff import stop_gradient
from minigan.data.noise import uniform_noise
from minigan.data.toy import Gaussian
from minigan.devices import to_device
from minigan.game import Notes, Player
from minigan.gans.options import Options as Base
from minigan.gans.sampling import Sampling
from minigan.gans.system import System
from minigan.layers import Sequential
from minigan.networks import toy
from minigan.primitives import binary_cross_entropy, binary_cross_entropy_with_logits, concatenate, sigmoid


@dataclass(frozen=True)
class Options(Base):
    """A GAN on a one-dimensional Gaussian."""

    preset: Literal["default", "quick", "original"] = "default"
    """where all other options start"""
    mu: float = 4.0
    """mean of the real data"""
    sigma: float = 1.25
    """standard deviation of the real data, > 0"""
    preprocess: toy.Preprocess = "pointwise"
    """what D reads of a row of samples"""
    rows: int = 1
    """rows in a batch"""
    batch: int = 256
    """samples in a row"""
    hidden: int = 32
    """units in each hidden layer"""
    objective: Literal["non-saturating", "saturating"] = "non-saturating"
    """what G minimises: -log D(G(z)), or log(1 - D(G(z)))"""
    logits: bool = False
    """let D end in a logit instead of a probability"""
    epochs: int = 2500
    """turns of the game"""
    d_steps: int = 3
    """steps of D in a turn"""
    g_steps: int = 1
    """steps of G in a turn"""
    d_lr: float = 1e-2
    """Adam's rate for D, at the start"""
    g_lr: float = 5e-3
    """Adam's rate for G, at the start"""
    betas: tuple[float, float] = (0.5, 0.99)
    """Adam's betas, for both"""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """how the rates fall over the epochs"""
    average: float = 0.998
    """decay of the moving average of G that samples are drawn from; 0: none"""
    dtype: Literal["float32", "float64"] = "float32"
    """precision of everything"""


PRESETS = {
    "default": Options(),
    "quick": Options(preset="quick", batch=64, epochs=600),
    "original": Options(
        preset="original",
        preprocess="variances",
        batch=100,
        hidden=50,
        epochs=30_000,
        d_steps=1,
        d_lr=2e-4,
        g_lr=2e-4,
        betas=(0.9, 0.999),
        schedule="constant",
        average=0.0,
    ),
}
SCHEDULES = {"constant": optimizers.constant, "linear": optimizers.linear_decay, "cosine": optimizers.cosine_decay}


def networks(o: Options) -> dict[str, Sequential]:
    """G and D."""
    return {"G": toy.generator(o.hidden), "D": toy.discriminator(o.preprocess, o.batch, o.hidden, o.logits)}


def sampling(o: Options) -> Sampling:
    """How samples are drawn and looked at."""
    noise = lambda rng, n: to_device(uniform_noise(rng, n, np.dtype(o.dtype).type), o.device)
    data = Gaussian(o.mu, o.sigma)
    return Sampling(noise, lambda x: histogram(x, data), count=4000, batch=10_000)


def build(o: Options) -> System:
    """The GAN. Raises ValueError for options that cannot work."""
    o.check()
    rng, data, look = np.random.default_rng(o.seed), Gaussian(o.mu, o.sigma), sampling(o)
    players = o.players(networks(o), rng)
    G, D, count, dtype = players["G"], players["D"], o.rows * o.batch, np.dtype(o.dtype).type
    entropy = binary_cross_entropy_with_logits if o.logits else binary_cross_entropy
    p = lambda scores: sigmoid(stop_gradient(scores)) if o.logits else scores

    def d_loss(D: Player, x: Array, fake: Array) -> tuple[Array, Notes]:
        scores = D(concatenate([x, fake]))  # both in one pass: no row of this D feels another
        on_real, on_fake = scores[: len(scores) // 2], scores[len(scores) // 2 :]
        real, fake = entropy(on_real, 1.0), entropy(on_fake, 0.0)
        return real + fake, {"real_loss": real, "fake_loss": fake, "on_real": p(on_real), "on_fake": p(on_fake)}

    def g_loss(G: Player, D: Player, z: Array) -> Array:
        on_fake = D(G(z))
        return -entropy(on_fake, 0.0) if o.objective == "saturating" else entropy(on_fake, 1.0)

    def turn(number: int) -> Notes:
        notes: Notes = {}
        progress = SCHEDULES[o.schedule]((number - 1) / o.epochs)
        D.optimizer.lr, G.optimizer.lr = o.d_lr * progress, o.g_lr * progress
        for _ in range(o.d_steps):
            x = to_device(data.sample(rng, count, dtype), o.device)
            notes |= D.move(d_loss, x, G(look.noise(rng, count)))
        for _ in range(o.g_steps):
            notes |= G.move(g_loss, D, look.noise(rng, count))
        return notes

    system = System("toy", o, players, turn, o.epochs, look, o.memory(rng, None, G))
    return system._replace(
        may_change=frozenset({"device"}),  # not the epochs: the rates fall along the whole game
        scores={
            "ks": lambda x: metrics.ks_distance(x, data.cdf),
            "wasserstein1": lambda x: metrics.wasserstein1(x, data.quantile),
        },
        log_every=250,
        line=line,
    )


def line(record: Mapping[str, Any]) -> str:
    """turn: D: loss on real/loss on fake G: loss"""
    return f"{record['turn']}: D: {record['real_loss']:.4f}/{record['fake_loss']:.4f} G: {record['g_loss']:.4f}"


def histogram(x: np.ndarray, data: Gaussian, height: int = 120, scale: int = 2) -> np.ndarray:
    """Samples (n, 1) as bars under the density of the data, a white picture (scale * height, scale * 160, 3)."""
    edges = np.linspace(data.mu - 4 * data.sigma, data.mu + 4 * data.sigma, 161)
    density = np.exp(data.log_density((edges[:-1] + edges[1:]) / 2))
    counted = np.histogram(x, edges[::4])[0] / (len(x) * (edges[4] - edges[0]))
    level = (height - 0.5 - np.arange(height))[:, None] / height * 1.35 * density.max()  # of a row's middle

    picture = np.full((height, 160, 3), 255, np.uint8)
    picture[level < np.repeat(counted, 4)] = (231, 111, 81)
    picture[np.abs(level - density) < 0.02 * density.max()] = 0
    return picture.repeat(scale, 0).repeat(scale, 1)
