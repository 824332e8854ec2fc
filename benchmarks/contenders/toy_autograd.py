"""The toy step in HIPS autograd as its examples teach it: lists of (W, b), a loss's gradient, Adam by array.

Weights and data are float32, but autograd's derivatives of `where` and `mean` return float64: part of the
backward pass runs in double precision, and Adam has to round its moves back.
"""

from collections.abc import Sequence

import autograd.numpy as np
from autograd import value_and_grad
from autograd.tracer import getval

from benchmarks.toy import BETAS, EPSILON, LEARNING_RATE, problem

Layers = list[tuple[np.ndarray, np.ndarray]]


class Autograd:
    """Weights stored (in, out), so that a layer is `x @ W + b`."""

    def __init__(self, batch: int) -> None:
        start = problem(batch)
        self.g = layers(start.generator)
        self.d = layers(start.discriminator)
        self.adam_g, self.adam_d = Adam(self.g), Adam(self.d)
        self.batches = start.batches
        self.d_loss_and_grad, self.g_loss_and_grad = value_and_grad(d_loss), value_and_grad(g_loss)

    def step(self, index: int) -> None:
        """One move of D, one of G."""
        real, noise_d, noise_g = self.batches[index % len(self.batches)]
        fake = generator(self.g, noise_d)
        self.d_loss, gradient = self.d_loss_and_grad(self.d, real, fake)
        self.d = self.adam_d.moved(self.d, gradient)
        self.g_loss, gradient = self.g_loss_and_grad(self.g, self.d, noise_g)
        self.g = self.adam_g.moved(self.g, gradient)

    def answer(self) -> dict[str, np.ndarray]:
        """Both networks' weights and the last losses."""
        return named("G", self.g) | named("D", self.d) | {"d_loss": self.d_loss, "g_loss": self.g_loss}


def d_loss(d: Layers, real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """What D minimises."""
    return bce(discriminator(d, real), 1) + bce(discriminator(d, fake), 0)


def g_loss(g: Layers, d: Layers, noise: np.ndarray) -> np.ndarray:
    """What G minimises."""
    return bce(discriminator(d, generator(g, noise)), 1)


def generator(g: Layers, noise: np.ndarray) -> np.ndarray:
    """(N, 1) noise -> (1, N) samples."""
    (w1, b1), (w2, b2), (w3, b3) = g
    hidden = elu(np.dot(noise, w1) + b1)
    hidden = sigmoid(np.dot(hidden, w2) + b2)
    return (np.dot(hidden, w3) + b3).T


def discriminator(d: Layers, row: np.ndarray) -> np.ndarray:
    """(1, N) samples -> (1, 1) probability that they are real."""
    (w1, b1), (w2, b2), (w3, b3) = d
    hidden = elu(np.dot(variances(row), w1) + b1)
    hidden = elu(np.dot(hidden, w2) + b2)
    return sigmoid(np.dot(hidden, w3) + b3)


def variances(row: np.ndarray) -> np.ndarray:
    """(1, N) -> (1, 2N): each sample, then its squared distance from a mean that counts as constant."""
    mean = np.mean(getval(row), axis=1, keepdims=True)
    return np.concatenate([row, (row - mean) ** 2], axis=1)


def elu(x: np.ndarray) -> np.ndarray:
    """x above 0, exp(x) - 1 below."""
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def bce(p: np.ndarray, target: int) -> np.ndarray:
    """-log p for target 1, -log(1 - p) for target 0, clamped at 100 as in PyTorch."""
    return -np.mean(np.maximum(np.log(p if target else 1 - p), -100))


class Adam:
    """One pair of moments a weight array."""

    def __init__(self, network: Layers) -> None:
        self.m = [[np.zeros_like(w) for w in layer] for layer in network]
        self.v = [[np.zeros_like(w) for w in layer] for layer in network]
        self.t = 0

    def moved(self, network: Layers, gradient: Layers) -> Layers:
        """The network one step further."""
        self.t += 1
        return [
            (self._array(i, 0, w, dw), self._array(i, 1, b, db))
            for i, ((w, b), (dw, db)) in enumerate(zip(network, gradient, strict=True))
        ]

    def _array(self, i: int, j: int, w: np.ndarray, dw: np.ndarray) -> np.ndarray:
        beta1, beta2 = BETAS
        self.m[i][j] = m = beta1 * self.m[i][j] + (1 - beta1) * dw
        self.v[i][j] = v = beta2 * self.v[i][j] + (1 - beta2) * dw**2
        m_hat = m / (1 - beta1**self.t)
        v_hat = v / (1 - beta2**self.t)
        return (w - LEARNING_RATE * m_hat / (np.sqrt(v_hat) + EPSILON)).astype(w.dtype)


def layers(weights: dict[str, np.ndarray]) -> Layers:
    """PyTorch's names and shapes -> a list of (W, b)."""
    return [(weights[f"{i}.weight"].T.copy(), weights[f"{i}.bias"]) for i in (0, 2, 4)]


def named(prefix: str, network: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """A list of (W, b) -> PyTorch's names and shapes."""
    weights: dict[str, np.ndarray] = {}
    for i, (w, b) in enumerate(network):
        weights |= {f"{prefix}.{2 * i}.weight": w.T, f"{prefix}.{2 * i}.bias": b}
    return weights
