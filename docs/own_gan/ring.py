"""WGAN-GP on a ring of eight Gaussians.   [Gulrajani et al. 2017, alg. 1]

    python -m minigan train docs/own_gan/ring.py
    python -m minigan sample runs/ring --gan docs/own_gan/ring.py

D is a critic: it gives any number, and its mean on real samples less that on generated ones is to be as large as its
slope of 1 allows. That slope is asked for by a penalty, which is written down as the paper has it: a gradient inside of
a loss that a gradient is taken of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minigan import Adam, Linear, Player, ReLU, Sequential, grad
from minigan.gans import Sampling, System
from minigan.primitives import mean, sqrt, square, sum


@dataclass(frozen=True)
class Options:
    """WGAN-GP on a ring of eight Gaussians."""

    turns: int = 2000
    """how long the game is"""
    batch: int = 128
    """samples in a batch"""
    seed: int = 0
    """same seed, same bits"""


def networks(o):
    hidden = lambda: (Linear(2, 64), ReLU(), Linear(64, 64), ReLU(), Linear(64, 64), ReLU())
    return {"G": Sequential(*hidden(), Linear(64, 2)), "D": Sequential(*hidden(), Linear(64, 1))}


def ring(rng, n):
    angle = rng.integers(0, 8, n) * (np.pi / 4)
    centres = 2.0 * np.stack([np.cos(angle), np.sin(angle)], 1)
    return (centres + rng.normal(0.0, 0.1, (n, 2))).astype(np.float32)


def noise(rng, n):
    return rng.standard_normal((n, 2), np.float32)


def picture(x):
    """Samples (n, 2) as black dots on a white square, (240, 240)."""
    counted = np.histogram2d(-x[:, 1], x[:, 0], bins=80, range=[[-3, 3], [-3, 3]])[0]
    return np.where(counted > 0, 0, 255).astype(np.uint8).repeat(3, 0).repeat(3, 1)


def sampling(o):
    return Sampling(noise, picture, count=1000, batch=1000)


def d_loss(D, x, fake, u):
    between = u * x + (1.0 - u) * fake
    slope = grad(lambda x: sum(D(x)))(between)  # (N, 2), each row D's slope there
    penalty = mean(square(sqrt(sum(square(slope), 1) + 1e-12) - 1.0))
    return mean(D(fake)) - mean(D(x)) + 10.0 * penalty, {"penalty": penalty}


def g_loss(G, D, z):
    return -mean(D(G(z)))


def build(o):
    rng = np.random.default_rng(o.seed)
    adam = lambda params: Adam(params, lr=2e-3, betas=(0.0, 0.9))
    players = {name: Player.create(network, rng, adam, name=name) for name, network in networks(o).items()}
    G, D = players["G"], players["D"]

    def turn(n):
        notes = {}
        for _ in range(5):
            x, u = ring(rng, o.batch), rng.random((o.batch, 1), np.float32)
            notes |= D.move(d_loss, x, G(noise(rng, o.batch)), u)
        return notes | G.move(g_loss, D, noise(rng, o.batch))

    return System("ring", o, players, turn, o.turns, sampling(o), memory={"rng": rng}, sample_every=250)
