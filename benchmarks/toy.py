"""The toy suite: one training step of the 1-D Gaussian GAN, which is so small that overhead is most of it.

    G: (N, 1) uniform noise -> Linear(1, 50), ELU, Linear(50, 50), sigmoid, Linear(50, 1) -> (N, 1) samples
    D: (1, N) samples -> variances -> Linear(2N, 50), ELU, Linear(50, 50), ELU, Linear(50, 1), sigmoid
       -> (1, 1) probability that they are real

D reads a whole minibatch as one row and sees, beside each sample x, its (x - mean)^2; the mean counts as a
constant when the gradient is taken. A step is one move of each player:

    D minimises bce(D(real), 1) + bce(D(fake), 0), where the fake samples are constants,
    G minimises bce(D(G(z)), 1) on fresh noise z,

and each is moved by its own Adam (learning rate 2e-4, betas 0.9 and 0.999, epsilon 1e-8 added to the root).
Weights, samples and noise are drawn here, once, so that every file under `contenders/` starts from the same
numbers and is fed the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from benchmarks.harness import Case, Restarted

HIDDEN = 50
LEARNING_RATE = 2e-4
BETAS = (0.9, 0.999)
EPSILON = 1e-8
BATCHES_IN_CYCLE = 64


@dataclass(frozen=True)
class Toy(Restarted):
    """Training step of the 1-D Gaussian GAN."""

    batch: tuple[int, ...] = (100, 500)
    """Samples in a minibatch."""
    repeats: int = 5
    starts: int = 4

    def cases(self) -> Sequence[Case]:
        """One a batch size."""
        return [
            Case(
                name=f"toy, batch {batch}",
                arguments={"batch": batch},
                contenders={
                    "numpy": "benchmarks.contenders.toy_numpy:HandWritten",
                    "minigan": "benchmarks.contenders.toy_minigan:Minigan",
                    "minigan-plain": "benchmarks.contenders.toy_minigan:Plain",
                    "torch-tuned": "benchmarks.contenders.toy_torch:Tuned",
                    "torch-fused": "benchmarks.contenders.toy_torch:fused",
                    "torch": "benchmarks.contenders.toy_torch:Torch",
                    "autograd": "benchmarks.contenders.toy_autograd:Autograd",
                },
                dtype="float32",
                # Adam's first steps move each weight by about the learning rate whatever the size of its
                # gradient, so ten take it some 2e-3 away; rounding may cost a thousandth of that.
                tolerance=2e-6,
            )
            for batch in self.batch
        ]


class Batch(NamedTuple):
    """What one training step consumes."""

    real: np.ndarray
    """(1, N) samples of the data."""
    noise_d: np.ndarray
    """(N, 1) noise for the fake samples of the D step."""
    noise_g: np.ndarray
    """(N, 1) noise for the G step."""


class Problem(NamedTuple):
    """Where every contender starts, and what it is fed: step i gets `batches[i % len(batches)]`."""

    generator: dict[str, np.ndarray]
    discriminator: dict[str, np.ndarray]
    batches: list[Batch]


def problem(batch: int) -> Problem:
    """The toy with `batch` samples in a minibatch."""
    rng = np.random.default_rng(0)

    def linears(*sizes: int) -> dict[str, np.ndarray]:
        weights = {}
        for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            bound = fan_in**-0.5  # PyTorch's default
            weights[f"{2 * layer}.weight"] = rng.uniform(-bound, bound, (fan_out, fan_in)).astype(np.float32)
            weights[f"{2 * layer}.bias"] = rng.uniform(-bound, bound, fan_out).astype(np.float32)
        return weights

    return Problem(
        generator=linears(1, HIDDEN, HIDDEN, 1),
        discriminator=linears(2 * batch, HIDDEN, HIDDEN, 1),
        batches=[
            Batch(
                real=rng.normal(4.0, 1.25, (1, batch)).astype(np.float32),
                noise_d=rng.random((batch, 1), dtype=np.float32),
                noise_g=rng.random((batch, 1), dtype=np.float32),
            )
            for _ in range(BATCHES_IN_CYCLE)
        ],
    )
