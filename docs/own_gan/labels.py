"""Digits by label: G is told which digit to draw, and D which it is shown.   [Mirza & Osindero 2014, sec. 3.2]

python -m minigan train docs/own_gan/labels.py
python -m minigan sample runs/labels --gan docs/own_gan/labels.py --n 50 --columns 10
"""

from dataclasses import dataclass

import numpy as np

from minigan import LeakyReLU, Linear, Sequential, Tanh, gans
from minigan.data.digits import digits
from minigan.objectives import non_saturating_with_logits as objective
from minigan.pictures.sheets import sheet
from minigan.primitives import concatenate


@dataclass(frozen=True)
class Options(gans.Options):
    epochs: int = 20
    """passes over the data"""


def networks(o):
    hidden = lambda n: [Linear(n, 128), LeakyReLU(0.2), Linear(128, 128), LeakyReLU(0.2)]
    return {"G": Sequential(*hidden(42), Linear(128, 784), Tanh()), "D": Sequential(*hidden(794), Linear(128, 1))}


def noise(rng, y):  # 32 numbers, and the label: louder than each of them
    return np.concatenate([rng.standard_normal((len(y), 32), np.float32), 4.0 * np.eye(10, dtype=np.float32)[y]], 1)


def sampling(o):
    picture = lambda x: sheet(x.reshape(-1, 1, 28, 28), columns=10, scale=2)
    return gans.Sampling(lambda rng, n: noise(rng, np.arange(n) % 10), picture, count=50)


def labelled(x, z):  # the label once more, as loud as the 784 pixels beside it, else D hardly hears it
    return concatenate([x, 7.0 * z[:, 32:]], 1)


def d_loss(D, x, fake, z):
    return objective.d_loss(D(labelled(x, z)), D(labelled(fake, z)))


def g_loss(G, D, z):
    return objective.g_loss(D(labelled(G(z), z)))


def build(o):
    rng, (images, labels) = np.random.default_rng(o.seed), digits("glyphs")
    batches, players = o.batches(images.reshape(-1, 784), labels=labels), o.players(networks(o), rng)
    G, D, n = players["G"], players["D"], batches.batches_per_epoch

    def turn(number):
        x, y = next(batches)
        z = noise(rng, y)
        return D.move(d_loss, x, G(z), z) | G.move(g_loss, D, z)

    return gans.System("labels", o, players, turn, o.epochs * n, sampling(o), o.memory(rng, batches, G), epoch=n)
