"""The toy step in PyTorch, eager: as one usually writes it, with the fused Adam, and tuned."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy

from benchmarks.toy import BETAS, EPSILON, HIDDEN, LEARNING_RATE, problem


class Torch:
    """Two `nn.Sequential`s, two `torch.optim.Adam`s."""

    def __init__(self, batch: int, fused: bool | None = None) -> None:
        start = problem(batch)
        self.generator = nn.Sequential(
            nn.Linear(1, HIDDEN), nn.ELU(), nn.Linear(HIDDEN, HIDDEN), nn.Sigmoid(), nn.Linear(HIDDEN, 1)
        )
        self.discriminator = nn.Sequential(
            nn.Linear(2 * batch, HIDDEN),
            nn.ELU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ELU(),
            nn.Linear(HIDDEN, 1),
            nn.Sigmoid(),
        )
        for network, weights in ((self.generator, start.generator), (self.discriminator, start.discriminator)):
            network.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
        self.adam_g, self.adam_d = (
            torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, betas=BETAS, eps=EPSILON, fused=fused)
            for network in (self.generator, self.discriminator)
        )
        self.batches = [[torch.from_numpy(array) for array in arrays] for arrays in start.batches]
        self.one, self.zero = torch.ones(1, 1), torch.zeros(1, 1)

    def step(self, index: int) -> None:
        """One move of D, one of G."""
        real, noise_d, noise_g = self.batches[index % len(self.batches)]

        with torch.no_grad():
            fake = self.generator(noise_d).T
        self.adam_d.zero_grad()
        self.d_loss = self.discriminator_loss(real, fake)
        self.d_loss.backward()
        self.adam_d.step()

        self.adam_g.zero_grad()
        self.g_loss = binary_cross_entropy(self.discriminator(variances(self.generator(noise_g).T)), self.one)
        self.generator_backward()
        self.adam_g.step()

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """What D minimises, from two passes."""
        on_real = binary_cross_entropy(self.discriminator(variances(real)), self.one)
        return on_real + binary_cross_entropy(self.discriminator(variances(fake)), self.zero)

    def generator_backward(self) -> None:
        """Also finds gradients of D's weights, which the next zero_grad throws away."""
        self.g_loss.backward()

    def answer(self) -> dict[str, np.ndarray]:
        """Both networks' weights and the last losses."""
        return {
            **{f"G.{name}": w.detach().numpy() for name, w in self.generator.named_parameters()},
            **{f"D.{name}": w.detach().numpy() for name, w in self.discriminator.named_parameters()},
            "d_loss": self.d_loss.detach().numpy(),
            "g_loss": self.g_loss.detach().numpy(),
        }


def fused(batch: int) -> Torch:
    """Adam in one kernel a network instead of some ten a weight array."""
    return Torch(batch, fused=True)


class Tuned(Torch):
    """Fused Adam, one pass of D over the real and the fake row, no gradients that are thrown away."""

    def __init__(self, batch: int) -> None:
        super().__init__(batch, fused=True)
        self.one_then_zero = torch.cat([self.one, self.zero])
        self.g_weights = list(self.generator.parameters())

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """What D minimises, from one pass."""
        p = self.discriminator(variances(torch.cat([real, fake])))
        return binary_cross_entropy(p, self.one_then_zero, reduction="sum")

    def generator_backward(self) -> None:
        """Finds gradients of G's weights only."""
        self.g_loss.backward(inputs=self.g_weights)


def variances(row: Tensor) -> Tensor:
    """(1, N) -> (1, 2N): each sample, then its squared distance from a mean that counts as constant."""
    mean = row.detach().mean(dim=1, keepdim=True)
    return torch.cat([row, (row - mean).square()], dim=1)
