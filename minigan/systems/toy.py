"""Numbers from a Gaussian: the GAN that can be watched while it learns. examples/toy_gaussian.py tells its story.

    G   uniform noise - 32 - 32 - a number
    D   a number - 32 - 32 - a probability

Three steps of D for one of G, rates that fall to 0, and samples drawn from a moving average of G.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minigan import metrics
from minigan.arrays import Device, to_device
from minigan.data.toy import Gaussian, uniform_noise
from minigan.layers import Sequential
from minigan.networks import toy
from minigan.objectives import non_saturating
from minigan.optimizers import Adam, linear_decay
from minigan.sending import sender
from minigan.systems.system import Game, Show, System, check, follow
from minigan.training import Player


@dataclass(frozen=True)
class Options:
    """A GAN on a one-dimensional Gaussian."""

    preset: Literal["default", "quick"] = "default"
    """where all other options start"""
    mu: float = 4.0
    """mean of the real data"""
    sigma: float = 1.25
    """standard deviation of the real data, > 0"""
    batch: int = 256
    """samples in a batch"""
    hidden: int = 32
    """units in each hidden layer"""
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
    average: float = 0.998
    """decay of the moving average of G that samples are drawn from; 0: none"""
    seed: int = 0
    """same seed, same bits"""
    device: Device = "cpu"
    """where the numbers are: cpu, or cuda for an NVIDIA GPU, which needs CuPy"""
    tf32: bool = False
    """let the GPU round the factors of matrix products to TF32: faster, less exact"""


PRESETS = {
    "default": Options(),
    "quick": Options(preset="quick", batch=64, epochs=600),
}


def networks(o: Options) -> tuple[Sequential, Sequential]:
    """G and D."""
    return toy.generator(o.hidden), toy.discriminator("pointwise", hidden=o.hidden)


def show(o: Options) -> Show:
    """How samples are drawn and looked at."""
    data = Gaussian(o.mu, o.sigma)
    return Show(
        noise=lambda rng, n: to_device(uniform_noise(rng, n), o.device),
        rows=10_000,
        training=False,
        sheet=4000,
        picture=lambda x: histogram(x, data),
    )


def build(o: Options) -> System:
    """The system. Raises ValueError for options that cannot work."""
    check(o, counts=("batch", "hidden", "epochs", "d_steps", "g_steps"), rates=("d_lr", "g_lr"))
    rng, data, send = np.random.default_rng(o.seed), Gaussian(o.mu, o.sigma), sender(o.device)
    G, D = networks(o)
    g, d = G.init(rng, device=o.device), D.init(rng, device=o.device)
    return System(
        name="toy",
        options=o,
        # Not the epochs: the rates fall along the whole game, and a longer one is another from the start.
        free=frozenset({"device", "tf32"}),
        G=Player(G, g, Adam(g, o.g_lr, o.betas)),
        D=Player(D, d, Adam(d, o.d_lr, o.betas)),
        objective=non_saturating,
        draw_real=lambda: send(data.sample(rng, o.batch)),
        draw_noise=lambda: send(uniform_noise(rng, o.batch)),
        rng=rng,
        batches=None,
        game=Game(o.epochs, d_steps=o.d_steps, g_steps=o.g_steps, schedule=linear_decay),
        average=follow(g, o.average),
        show=show(o),
        scores={
            "ks": lambda x: metrics.ks_distance(x, data.cdf),
            "wasserstein1": lambda x: metrics.wasserstein1(x, data.quantile),
        },
        epoch=1,
        log_every=250,
        sample_every=100,
        line=line,
    )


def line(record: Mapping[str, Any]) -> str:
    """turn: D: loss on real/loss on fake G: loss"""
    return f"{record['turn']}: D: {record['d_real']:.4f}/{record['d_fake']:.4f} G: {record['g']:.4f}"


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
