"""Sequences of tokens: a choice has no slope, so G moves by a policy gradient.   [Yu et al. 2017, eq. 4]

    python -m minigan train docs/own_gan/tokens.py
    python -m minigan sample runs/tokens --gan docs/own_gan/tokens.py

The data are sequences of eight tokens out of four that count up, 2 3 0 1 2 3 0 1, from any start. G is a policy: from
the token before, the probabilities of the next. Its choices are rolled out before the step, D says how real they look,
and that is the reward: G raises the probability of choices that did better than the mean.   [Williams 1992, eq. 8]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minigan import LeakyReLU, Linear, Sequential
from minigan.gans import Options as Base
from minigan.gans import Sampling, System
from minigan.objectives import non_saturating_with_logits as objective
from minigan.primitives import cross_entropy, mean, sigmoid, softmax

TOKENS, LENGTH = 4, 8


@dataclass(frozen=True)
class Options(Base):
    """A GAN of token sequences."""

    turns: int = 1500
    """how long the game is"""
    d_lr: float = 1e-3
    """Adam's rate for D"""
    g_lr: float = 3e-3
    """Adam's rate for G"""


def networks(o):
    G = Sequential(Linear(TOKENS + 1, 32), LeakyReLU(0.2), Linear(32, TOKENS))  # one more token: the start
    D = Sequential(Linear(TOKENS * LENGTH, 64), LeakyReLU(0.2), Linear(64, 1))
    return {"G": G, "D": D}


def counting(rng, n):
    return (rng.integers(0, TOKENS, (n, 1)) + np.arange(LENGTH)) % TOKENS


def one_hot(tokens, count=TOKENS):
    return np.eye(count, dtype=np.float32)[tokens]


def rolled_out(G, u):
    """Sequences (n, LENGTH) chosen by G's probabilities, with a uniform number u for each choice."""
    before, tokens = np.full(len(u), TOKENS), []
    for t in range(u.shape[1]):
        p = softmax(G(one_hot(before, TOKENS + 1)))
        before = (u[:, t, None] > p.cumsum(1)[:, :-1]).sum(1)
        tokens.append(before)
    return np.stack(tokens, 1)


def noise(rng, n):
    return rng.random((n, LENGTH), np.float32)


def sampling(o):
    shades = lambda tokens: (tokens * (255 // (TOKENS - 1))).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    return Sampling(noise, shades, generate=lambda players, u: rolled_out(players["G"], u), count=16)


def d_loss(D, x, fake):
    on_real, on_fake = (D(one_hot(tokens).reshape(len(tokens), -1)) for tokens in (x, fake))
    return objective.d_loss(on_real, on_fake)


def policy_loss(G, tokens, rewards):
    before = np.concatenate([np.full((len(tokens), 1), TOKENS), tokens[:, :-1]], 1)
    surprise = cross_entropy(G(one_hot(before.reshape(-1), TOKENS + 1)), tokens.reshape(-1), "none")
    return mean(surprise * np.repeat(rewards - rewards.mean(), LENGTH))


def build(o):
    rng = np.random.default_rng(o.seed)
    players = o.players(networks(o), rng)
    G, D = players["G"], players["D"]

    def turn(number):
        fake = rolled_out(G, noise(rng, o.batch))
        notes = D.move(d_loss, counting(rng, o.batch), fake)
        tokens = rolled_out(G, noise(rng, o.batch))
        rewards = sigmoid(D(one_hot(tokens).reshape(len(tokens), -1)))[:, 0]
        right = (np.diff(tokens) % TOKENS == 1).mean()
        return notes | G.move(policy_loss, tokens, rewards) | {"reward": rewards, "counted_right": right}

    return System("tokens", o, players, turn, o.turns, sampling(o), o.memory(rng, None, G), sample_every=250)
