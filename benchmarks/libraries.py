"""The libraries suite: one convolution, forwards and backwards, in other libraries on NumPy.

The second convolution of the 28x28 GAN's D: x (N, 32, 12, 12), w (64, 32, 5, 5), y (N, 64, 8, 8), stride 1, no padding,
no bias, which all of them offer. A step computes y, and from a given dy both dx and dw. A library that is not
installed is left out; `pip install dezero mygrad` gets them. HIPS autograd's own is in autograd.scipy.signal.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.harness import Case, Restarted


@dataclass(frozen=True)
class Libraries(Restarted):
    """One convolution, forwards and backwards, in minigan and other libraries on NumPy."""

    batch: tuple[int, ...] = (32,)
    """Images in a minibatch."""
    repeats: int = 10
    steps: int = 5
    warm_up: int = 1
    agreement_steps: int = 1
    threads: tuple[int, ...] = (2,)

    def cases(self) -> Sequence[Case]:
        """One a batch size."""
        module = "benchmarks.contenders.libraries"
        return [
            Case(
                name=f"convolution, batch {batch}",
                arguments={"batch": batch},
                contenders={
                    "minigan": f"{module}_minigan:Minigan",
                    "minigan-plain": f"{module}_minigan:Plain",
                    "torch": f"{module}_torch:Torch",
                    "autograd": f"{module}_autograd:Autograd",
                    "dezero": f"{module}_dezero:DeZero",
                    "mygrad": f"{module}_mygrad:MyGrad",
                },
                dtype="float32",
                tolerance=1e-4,  # of the result's own rms: sums of up to 2048 products in float32
                distance="share",
            )
            for batch in self.batch
        ]


def problem(batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, w and dy."""
    rng = np.random.default_rng(0)
    x, w, dy = (rng.standard_normal(s, np.float32) for s in [(batch, 32, 12, 12), (64, 32, 5, 5), (batch, 64, 8, 8)])
    return x, w, dy


class Convolution:
    """What the contenders share: a step that keeps y, dx and dw for the comparison."""

    def __init__(self, batch: int) -> None:
        self.x, self.w, self.dy = problem(batch)
        self.results = (np.zeros_like(self.dy), np.zeros_like(self.x), np.zeros_like(self.w))

    def step(self, index: int) -> None:
        """Forwards and backwards, once."""
        self.results = self.y_dx_dw()

    def y_dx_dw(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The work itself."""
        raise NotImplementedError

    def answer(self) -> dict[str, np.ndarray]:
        """Zeros before the first step."""
        return dict(zip(("y", "dx", "dw"), self.results, strict=True))
