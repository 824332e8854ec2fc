"""The toy step in NumPy with both backward passes written by hand: the floor for whatever builds on NumPy.

It does what a careful person would do without contorting the code: the real and the fake row go through D
together, a layer's slope is found from its output, gradients are written straight into one flat vector a
network, and Adam works on that vector in place. Products are `dot`, not `@`, which takes several times as
long where one of the two has a single column.

Letters: z noise, x samples, f features, a and h a layer before and after its activation, p the probability;
da is the gradient of the loss by a.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from benchmarks.toy import BETAS, EPSILON, LEARNING_RATE, problem

Array = np.ndarray


class HandWritten:
    """Two players, one flat vector each."""

    def __init__(self, batch: int) -> None:
        start = problem(batch)
        self.g, self.d = Player(start.generator), Player(start.discriminator)
        self.batches = start.batches
        self.real_then_fake = np.array([[1], [0]], np.float32)
        self.real = self.real_then_fake[:1]

    def step(self, index: int) -> None:
        """One move of D, one of G."""
        real, noise_d, noise_g = self.batches[index % len(self.batches)]

        fake = generate(self.g, noise_d)
        seen = discriminate(self.d, np.concatenate([real, fake.x.T]))
        self.d_loss, dp = bce(seen.p, self.real_then_fake)
        discriminator_weight_gradients(self.d, seen, dp)
        self.d.adam()

        fake = generate(self.g, noise_g)
        seen = discriminate(self.d, fake.x.T)
        self.g_loss, dp = bce(seen.p, self.real)
        dx = discriminator_input_gradient(self.d, seen, dp)
        generator_weight_gradients(self.g, fake, dx.T)
        self.g.adam()

    def answer(self) -> dict[str, Array]:
        """Both networks' weights and the last losses."""
        return {
            **{f"G.{name}": w for name, w in self.g.weights.items()},
            **{f"D.{name}": w for name, w in self.d.weights.items()},
            "d_loss": np.array(self.d_loss),
            "g_loss": np.array(self.g_loss),
        }


class Fake(NamedTuple):
    """A pass through G."""

    z: Array
    h1: Array
    h2: Array
    x: Array


class Seen(NamedTuple):
    """A pass through D; `centred` is x - mean."""

    centred: Array
    f: Array
    h1: Array
    h2: Array
    p: Array


def generate(g: Player, z: Array) -> Fake:
    """(N, 1) noise -> (N, 1) samples."""
    h1 = elu(g.linear(0, z))
    h2 = sigmoid(g.linear(1, h1))
    return Fake(z, h1, h2, g.linear(2, h2))


def discriminate(d: Player, x: Array) -> Seen:
    """(R, N) rows of samples -> (R, 1) probabilities that they are real."""
    centred = x - x.mean(axis=1, keepdims=True)
    f = np.concatenate([x, centred * centred], axis=1)  # (R, N) -> (R, 2N)
    h1 = elu(d.linear(0, f))
    h2 = elu(d.linear(1, h1))
    return Seen(centred, f, h1, h2, probability(d.linear(2, h2)))


def generator_weight_gradients(g: Player, fake: Fake, dx: Array) -> None:
    """Leave them in `g.gradient`."""
    g.learn(2, fake.h2, dx)
    da2 = dx.dot(g.w[2])
    da2 *= sigmoid_slope(fake.h2)
    g.learn(1, fake.h1, da2)
    da1 = da2.dot(g.w[1])
    da1 *= elu_slope(fake.h1)
    g.learn(0, fake.z, da1)


def discriminator_weight_gradients(d: Player, seen: Seen, dp: Array) -> None:
    """Leave them in `d.gradient`."""
    da1, da2, da3 = discriminator_backward(d, seen, dp)
    d.learn(2, seen.h2, da3)
    d.learn(1, seen.h1, da2)
    d.learn(0, seen.f, da1)


def discriminator_input_gradient(d: Player, seen: Seen, dp: Array) -> Array:
    """The gradient by D's rows x, for which no weight gradient is needed."""
    da1, _, _ = discriminator_backward(d, seen, dp)
    df = da1.dot(d.w[0])
    n = seen.centred.shape[1]
    dx: Array = df[:, :n] + 2.0 * seen.centred * df[:, n:]
    return dx


def discriminator_backward(d: Player, seen: Seen, dp: Array) -> tuple[Array, Array, Array]:
    """Gradients by a1, a2 and a3, from which the gradients by weights and by inputs both follow."""
    da3 = dp * sigmoid_slope(seen.p)
    da2 = da3.dot(d.w[2]) * elu_slope(seen.h2)
    da1 = da2.dot(d.w[1]) * elu_slope(seen.h1)
    return da1, da2, da3


def elu(a: Array) -> Array:
    """a above 0, exp(a) - 1 below, which is never less than a; much faster than `np.where`."""
    h: Array = np.minimum(a, 0.0)
    np.expm1(h, out=h)
    np.maximum(a, h, out=h)
    return h


def elu_slope(h: Array) -> Array:
    """1 above 0, exp(a) = h + 1 below."""
    slope: Array = np.minimum(h, 0.0)
    slope += 1.0
    return slope


def probability(a: Array) -> Array:
    """The sigmoid as it is defined: a logarithm will be taken, so values near 0 have to be right."""
    with np.errstate(over="ignore"):  # 1 / inf = 0 is the answer
        p: Array = 1.0 / (1.0 + np.exp(-a))
    return p


def sigmoid(a: Array) -> Array:
    """The sigmoid as (1 + tanh(a / 2)) / 2: faster, for where an error of 6e-8 does not matter."""
    h: Array = 0.5 * a
    np.tanh(h, out=h)
    h *= 0.5
    h += 0.5
    return h


def sigmoid_slope(h: Array) -> Array:
    """h (1 - h)."""
    slope: Array = 1.0 - h
    slope *= h
    return slope


def bce(p: Array, target: Array) -> tuple[float, Array]:
    """Binary cross-entropy summed over rows, and its gradient by p, with PyTorch's clamps on both."""
    # A target is 0 or 1, so each row has one logarithm: of the probability that D gave to the truth.
    truth = np.abs((target - 1.0) + p)
    with np.errstate(divide="ignore"):  # log 0 is clamped
        loss = -float(np.maximum(np.log(truth), -100.0).sum())
    return loss, (p - target) / np.maximum(p * (1.0 - p), 1e-12)


class Player:
    """One network's weights, their gradient and Adam's moments: flat, with views of each layer's share."""

    def __init__(self, start: dict[str, Array]) -> None:
        self.flat = np.concatenate([array.ravel() for array in start.values()])
        self.gradient, self.m, self.v, self.scratch = (np.zeros_like(self.flat) for _ in range(4))
        self.weights = views(self.flat, start)
        gradients = views(self.gradient, start)
        self.w, self.b = list(self.weights.values())[::2], list(self.weights.values())[1::2]
        self.dw, self.db = list(gradients.values())[::2], list(gradients.values())[1::2]
        self.t = 0

    def linear(self, layer: int, x: Array) -> Array:
        """x W' + b."""
        a: Array = x.dot(self.w[layer].T)
        a += self.b[layer]
        return a

    def learn(self, layer: int, x: Array, da: Array) -> None:
        """The gradients by W and b of a layer that read x and whose output has gradient da."""
        np.dot(da.T, x, out=self.dw[layer])
        np.dot(np.ones(len(da), da.dtype), da, out=self.db[layer])  # BLAS adds columns faster than np.sum

    def adam(self) -> None:
        """w -= lr * m_hat / (sqrt(v_hat) + eps).

        m and v are kept without their factors (1 - beta), and the bias corrections are single numbers: all
        these constants meet in the step size and in epsilon instead of costing a pass over the vector each.
        """
        beta1, beta2 = BETAS
        self.t += 1
        root = sqrt((1 - beta2**self.t) / (1 - beta2))  # sqrt(v_hat) = sqrt(v) / root
        size = LEARNING_RATE * (1 - beta1) / (1 - beta1**self.t) * root

        self.m *= beta1
        self.m += self.gradient
        self.v *= beta2
        np.square(self.gradient, out=self.scratch)
        self.v += self.scratch
        np.sqrt(self.v, out=self.scratch)
        self.scratch += EPSILON * root
        np.divide(self.m, self.scratch, out=self.scratch)
        self.scratch *= size
        self.flat -= self.scratch


def views(flat: Array, like: dict[str, Array]) -> dict[str, Array]:
    """Consecutive pieces of `flat` in the names and shapes of `like`."""
    pieces = np.split(flat, np.cumsum([array.size for array in like.values()])[:-1])
    return {name: piece.reshape(like[name].shape) for name, piece in zip(like, pieces, strict=True)}
