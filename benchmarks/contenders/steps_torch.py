"""The training step of every system in PyTorch, eager: as one usually writes it, and tuned for a CPU."""

from collections import OrderedDict
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from benchmarks.systems import BETAS, EPSILON, LEARNING_RATE, LOGITS, Batch, answer, problem


class Torch:
    """Two `nn.Sequential`s, two `torch.optim.Adam`s; D sees the real images, then the fake ones."""

    fused: bool | None = None
    device = "cpu"

    def __init__(self, system: str, batch: int, width: int = 64, size: int = 96) -> None:
        start = problem(system, batch, width, size)
        self.bce = binary_cross_entropy_with_logits if LOGITS[system] else binary_cross_entropy
        self.generator, self.discriminator = self.networks(system, width)
        for network, numbers in ((self.generator, start.generator), (self.discriminator, start.discriminator)):
            network.to(self.device)
            network.load_state_dict({name: torch.from_numpy(a) for name, a in numbers.state_dict().items()})
        self.adam_g, self.adam_d = (
            torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, betas=BETAS, eps=EPSILON, fused=self.fused)
            for network in (self.generator, self.discriminator)
        )
        self.batches = [self.tensors(batch) for batch in start.batches]
        self.d_loss = self.g_loss = torch.zeros(())
        self.G, self.D = self.generator, self.discriminator  # what is called; here the same

    def networks(self, system: str, width: int) -> tuple[nn.Module, nn.Module]:
        """G and D."""
        return networks(system, width)

    def tensors(self, batch: Batch) -> list[Tensor]:
        """What a step is fed."""
        return [torch.from_numpy(array).to(self.device) for array in batch]

    def step(self, index: int) -> None:
        """One move of D, one of G."""
        real, noise_d, noise_g = self.batches[index % len(self.batches)]

        fake = self.G(noise_d).detach()
        self.adam_d.zero_grad()
        on_real, on_fake = self.D(real), self.D(fake)
        self.d_loss = self.bce(on_real, torch.ones_like(on_real)) + self.bce(on_fake, torch.zeros_like(on_fake))
        self.d_loss.backward()
        self.adam_d.step()

        self.adam_g.zero_grad()
        on_fake = self.D(self.G(noise_g))
        self.g_loss = self.bce(on_fake, torch.ones_like(on_fake))
        self.g_loss.backward()  # also finds gradients of D's weights, which the next zero_grad throws away
        self.adam_g.step()

    def answer(self) -> dict[str, np.ndarray]:
        """Both networks' numbers and the last losses."""
        g, d = (
            {name: t.cpu().numpy() for name, t in network.state_dict().items()}
            for network in (self.generator, self.discriminator)
        )
        return answer(g, d, self.d_loss.item(), self.g_loss.item())


class Tuned(Torch):
    """What PyTorch's guides advise for speed, and what a GAN allows besides.

    Weights, images and all between in channels-last memory, Adam in one fused kernel, no graph behind the fake images
    of D's step, no gradients of D's weights in G's step, one pass of D over real and fake images where no batch norm
    forbids it. With an environment that keeps freed memory in the process: see `KEEP_MEMORY` in `steps.py`.
    """

    fused = True

    def __init__(self, system: str, batch: int, width: int = 64, size: int = 96) -> None:
        super().__init__(system, batch, width, size)
        self.d_weights = list(self.discriminator.parameters())
        self.one_pass = not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self.discriminator.modules())

    def networks(self, system: str, width: int) -> tuple[nn.Module, nn.Module]:
        """G and D, their kernels in channels-last memory."""
        return channels_last(*super().networks(system, width))

    def tensors(self, batch: Batch) -> list[Tensor]:
        """What a step is fed: converted beforehand, as if the data came so."""
        return [t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t for t in super().tensors(batch)]

    def step(self, index: int) -> None:
        """One move of D, one of G."""
        real, noise_d, noise_g = self.batches[index % len(self.batches)]

        with torch.no_grad():
            fake = self.G(noise_d)
        self.adam_d.zero_grad(set_to_none=True)
        if self.one_pass:
            on_real, on_fake = self.D(torch.cat([real, fake])).chunk(2)
        else:
            on_real, on_fake = self.D(real), self.D(fake)
        self.d_loss = self.bce(on_real, torch.ones_like(on_real)) + self.bce(on_fake, torch.zeros_like(on_fake))
        self.d_loss.backward()
        self.adam_d.step()

        for weight in self.d_weights:
            weight.requires_grad_(False)
        self.adam_g.zero_grad(set_to_none=True)
        on_fake = self.D(self.G(noise_g))
        self.g_loss = self.bce(on_fake, torch.ones_like(on_fake))
        self.g_loss.backward()
        self.adam_g.step()
        for weight in self.d_weights:
            weight.requires_grad_(True)


def networks(system: str, width: int) -> tuple[nn.Module, nn.Module]:
    """G and D of a system, with the names of minigan's state_dicts."""
    match system:
        case "mlp":
            return mlp()
        case "conv28":
            return conv28()
        case "dcgan":
            return dcgan(width)
    raise ValueError(f"system: expected mlp, conv28 or dcgan, got {system!r}")


def mlp() -> tuple[nn.Module, nn.Module]:
    """100 - 128 - 256 - 512 - 784 and 784 - 512 - 256 - 1."""

    def perceptron(sizes: tuple[int, ...], last: nn.Module) -> nn.Module:
        layers: list[nn.Module] = []
        for n, m in pairwise(sizes):
            layers += [nn.Linear(n, m), nn.LeakyReLU(0.2)]
        return main(*layers[:-1], last)

    return perceptron((100, 128, 256, 512, 784), nn.Tanh()), perceptron((784, 512, 256, 1), nn.Sigmoid())


def conv28() -> tuple[nn.Module, nn.Module]:
    """The convolutional GAN on 28x28 digits."""
    G = nn.Sequential(
        nn.Linear(96, 1024),
        nn.ReLU(),
        nn.BatchNorm1d(1024),
        nn.Linear(1024, 7 * 7 * 128),
        nn.ReLU(),
        nn.BatchNorm1d(7 * 7 * 128),
        nn.Unflatten(1, (128, 7, 7)),
        nn.ConvTranspose2d(128, 64, 4, 2, 1),
        nn.ReLU(),
        nn.BatchNorm2d(64),
        nn.ConvTranspose2d(64, 1, 4, 2, 1),
        nn.Tanh(),
    )
    D = nn.Sequential(
        nn.Conv2d(1, 32, 5),
        nn.LeakyReLU(0.01),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5),
        nn.LeakyReLU(0.01),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 4 * 64, 1024),
        nn.LeakyReLU(0.01),
        nn.Linear(1024, 1),
    )
    return G, D


def dcgan(width: int) -> tuple[nn.Module, nn.Module]:
    """The DCGAN for 96x96 images."""
    up: list[nn.Module] = [nn.ConvTranspose2d(100, 8 * width, 4, bias=False)]
    for n in (8, 4, 2):
        up += [nn.BatchNorm2d(n * width), nn.ReLU(inplace=True)]
        up.append(nn.ConvTranspose2d(n * width, n // 2 * width, 4, 2, 1, bias=False))
    up += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    up += [nn.ConvTranspose2d(width, 3, 5, 3, 1, bias=False), nn.Tanh()]

    down: list[nn.Module] = [nn.Conv2d(3, width, 5, 3, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    for n in (1, 2, 4):
        down.append(nn.Conv2d(n * width, 2 * n * width, 4, 2, 1, bias=False))
        down += [nn.BatchNorm2d(2 * n * width), nn.LeakyReLU(0.2, inplace=True)]
    down += [nn.Conv2d(8 * width, 1, 4, bias=False), nn.Sigmoid(), nn.Flatten()]
    return main(*up), main(*down)


def main(*layers: nn.Module) -> nn.Module:
    """Layers under the name `main`."""
    return nn.Sequential(OrderedDict(main=nn.Sequential(*layers)))


def channels_last(*players: nn.Module) -> tuple[nn.Module, nn.Module]:
    """G and D, their kernels in channels-last memory."""
    G, D = (network.to(memory_format=torch.channels_last) for network in players)  # type: ignore[call-overload]
    return G, D
