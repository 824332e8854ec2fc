"""Two generators, there and back, with a pool of old samples.   [Zhu et al. 2017, eq. 2-3; the pool: Shrivastava 2017]

    python -m minigan train docs/own_gan/two_generators.py
    python -m minigan sample runs/two_generators --gan docs/own_gan/two_generators.py

There are points on a circle, a, and points on a line, b, and nobody says which belongs to which. One player G has two
networks: G["ab"] moves points from a to b, G["ba"] back, and a point that went there and back should be where it was.
D has two as well. It is shown points of a pool of earlier ones, so that it does not forget what G did before. The pool
is memory: a run that is resumed in the middle has the same pool.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minigan import LeakyReLU, Linear, Sequential
from minigan.gans import Options as Base
from minigan.gans import Sampling, System
from minigan.primitives import abs, mean, square


@dataclass(frozen=True)
class Options(Base):
    """Two generators on points of a plane."""

    turns: int = 1500
    """how long the game is"""
    d_lr: float = 1e-3
    """Adam's rate for D"""
    g_lr: float = 1e-3
    """Adam's rate for G"""
    pool: int = 50
    """batches of old samples that are kept"""


class Pool:
    """The last few batches. `swap` keeps the one that is handed in and hands out one of those that are kept."""

    def __init__(self, size, shape, rng):
        self.kept, self.filled, self.rng = np.zeros((size, *shape), np.float32), 0, rng

    def swap(self, x):
        place = self.filled if self.filled < len(self.kept) else int(self.rng.integers(2 * len(self.kept)))
        if self.filled < len(self.kept):
            self.kept[place], self.filled = x, self.filled + 1
            return x
        if place >= len(self.kept):  # half of the time D sees what G made just now
            return x
        old = self.kept[place].copy()
        self.kept[place] = x
        return old

    def state_dict(self):
        return {"kept": self.kept.copy(), "filled": self.filled}

    def load_state_dict(self, state):
        self.kept[...], self.filled = state["kept"], state["filled"]


def circle(rng, n):
    angle = rng.uniform(0.0, 2.0 * np.pi, n)
    return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


def line(rng, n):
    t = rng.uniform(-1.5, 1.5, n)
    return np.stack([t, 0.5 * t], 1).astype(np.float32)


def networks(o):
    mlp = lambda m: Sequential(Linear(2, 32), LeakyReLU(0.2), Linear(32, 32), LeakyReLU(0.2), Linear(32, m))
    return {"G": {"ab": mlp(2), "ba": mlp(2)}, "D": {"a": mlp(1), "b": mlp(1)}}


def picture(x):
    """Samples (n, 2) as black dots on a white square, (240, 240)."""
    counted = np.histogram2d(-x[:, 1], x[:, 0], bins=80, range=[[-2, 2], [-2, 2]])[0]
    return np.where(counted > 0, 0, 255).astype(np.uint8).repeat(3, 0).repeat(3, 1)


def sampling(o):
    return Sampling(circle, picture, generate=lambda players, a: players["G"]["ab"](a), count=1000, batch=1000)


def d_loss(D, a, b, fake_a, fake_b):
    of = lambda name, real, fake: mean(square(D[name](real) - 1.0)) + mean(square(D[name](fake)))
    return of("a", a, fake_a) + of("b", b, fake_b)


def g_loss(G, D, a, b):
    fake_b, fake_a = G["ab"](a), G["ba"](b)
    fooled = mean(square(D["b"](fake_b) - 1.0)) + mean(square(D["a"](fake_a) - 1.0))
    back = mean(abs(G["ba"](fake_b) - a)) + mean(abs(G["ab"](fake_a) - b))
    return fooled + 10.0 * back, {"back": back}


def build(o):
    rng = np.random.default_rng(o.seed)
    players = o.players(networks(o), rng)
    G, D = players["G"], players["D"]
    pools = {name: Pool(o.pool, (o.batch, 2), rng) for name in ("pool_a", "pool_b")}

    def turn(number):
        a, b = circle(rng, o.batch), line(rng, o.batch)
        notes = G.move(g_loss, D, a, b)
        old_a, old_b = pools["pool_a"].swap(G["ba"](b)), pools["pool_b"].swap(G["ab"](a))
        return notes | D.move(d_loss, a, b, old_a, old_b)

    memory = {**o.memory(rng, None, G), **pools}
    return System("two_generators", o, players, turn, o.turns, sampling(o), memory, sample_every=250)
