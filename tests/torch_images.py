"""The image GANs in PyTorch, written as its users write them: modules, a criterion, zero_grad, backward, step.

They share with minigan the numbers they are fed (image_trajectories.py) and no code. D and G stay in training mode.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.image_trajectories import ADAM, System, Trajectory, draw, start


def networks(system: System) -> tuple[nn.Module, nn.Module]:
    """G and D with PyTorch's default first weights."""
    return {"mlp": _mlp, "conv28": _conv28, "dcgan": _dcgan}[system.name](system)


def _mlp(system: System) -> tuple[nn.Module, nn.Module]:
    def perceptron(*sizes: int) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for n, m in itertools.pairwise(sizes):
            layers += [nn.Linear(n, m), nn.LeakyReLU(0.2)]
        return layers[:-1]

    G = nn.Sequential(*perceptron(system.noise, *system.widths, *system.image), nn.Tanh())
    D = nn.Sequential(*perceptron(*system.image, *system.widths[:0:-1], 1), nn.Sigmoid())
    return nn.Sequential(OrderedDict(main=G)), nn.Sequential(OrderedDict(main=D))


def _conv28(system: System) -> tuple[nn.Module, nn.Module]:
    width, hidden = system.widths
    G = nn.Sequential(
        nn.Linear(system.noise, hidden),
        nn.ReLU(),
        nn.BatchNorm1d(hidden),
        nn.Linear(hidden, 7 * 7 * 4 * width),
        nn.ReLU(),
        nn.BatchNorm1d(7 * 7 * 4 * width),
        nn.Unflatten(1, (4 * width, 7, 7)),
        nn.ConvTranspose2d(4 * width, 2 * width, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(2 * width),
        nn.ConvTranspose2d(2 * width, 1, 4, stride=2, padding=1),
        nn.Tanh(),
    )
    D = nn.Sequential(
        nn.Conv2d(1, width, 5),
        nn.LeakyReLU(0.01),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(width, 2 * width, 5),
        nn.LeakyReLU(0.01),
        nn.MaxPool2d(2, 2),
        nn.Flatten(),
        nn.Linear(4 * 4 * 2 * width, hidden),
        nn.LeakyReLU(0.01),
        nn.Linear(hidden, 1),
    )
    return G, D


def _dcgan(system: System) -> tuple[nn.Module, nn.Module]:
    (w,), z = system.widths, system.noise
    G = nn.Sequential(
        nn.ConvTranspose2d(z, 8 * w, 4, 1, 0, bias=False),
        nn.BatchNorm2d(8 * w),
        nn.ReLU(True),
        nn.ConvTranspose2d(8 * w, 4 * w, 4, 2, 1, bias=False),
        nn.BatchNorm2d(4 * w),
        nn.ReLU(True),
        nn.ConvTranspose2d(4 * w, 2 * w, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * w),
        nn.ReLU(True),
        nn.ConvTranspose2d(2 * w, w, 4, 2, 1, bias=False),
        nn.BatchNorm2d(w),
        nn.ReLU(True),
        nn.ConvTranspose2d(w, 3, 5, 3, 1, bias=False),
        nn.Tanh(),
    )
    D = nn.Sequential(
        nn.Conv2d(3, w, 5, 3, 1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(w, 2 * w, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * w),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(2 * w, 4 * w, 4, 2, 1, bias=False),
        nn.BatchNorm2d(4 * w),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(4 * w, 8 * w, 4, 2, 1, bias=False),
        nn.BatchNorm2d(8 * w),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(8 * w, 1, 4, 1, 0, bias=False),
        nn.Sigmoid(),
    )
    return (
        nn.Sequential(OrderedDict(noise=nn.Unflatten(1, (z, 1, 1)), main=G)),
        nn.Sequential(OrderedDict(main=D, score=nn.Flatten())),
    )


def started(system: System, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, nn.Module]:
    """G and D with the first weights of both libraries."""
    players = networks(system)
    for player, numbers in zip(players, start(system).values(), strict=True):
        named = dict(player.named_parameters())
        assert list(named) == list(numbers)
        with torch.no_grad():
            for name, p in named.items():
                p.copy_(torch.from_numpy(numbers[name]))
        player.to(dtype)
    return players


def trajectory(system: System, dtype: torch.dtype = torch.float64) -> Trajectory:
    """The game from the first weights that both libraries share."""
    G, D = started(system, dtype)
    optimizer_g, optimizer_d = (torch.optim.Adam(player.parameters(), **ADAM) for player in (G, D))
    criterion = nn.BCEWithLogitsLoss() if system.scores == "logits" else nn.BCELoss()
    losses = []
    for number, step in enumerate(draw(system), 1):
        real, noise_d, noise_g = (torch.from_numpy(numbers).to(dtype) for numbers in step)

        optimizer_d.zero_grad()
        score = D(real)
        loss_real = criterion(score, torch.ones_like(score))
        loss_real.backward()
        fake = G(noise_d)
        score = D(fake.detach())
        loss_fake = criterion(score, torch.zeros_like(score))
        loss_fake.backward()
        optimizer_d.step()

        loss_g = torch.tensor(torch.nan)
        if number % system.g_every == 0:
            optimizer_g.zero_grad()
            score = D(fake if system.reuse_noise else G(noise_g))
            loss_g = criterion(score, torch.ones_like(score))
            loss_g.backward()
            optimizer_g.step()

        losses.append((loss_real.item(), loss_fake.item(), loss_g.item()))
    buffers = {f"{name}.{key}": b.numpy() for name, p in (("G", G), ("D", D)) for key, b in p.named_buffers()}
    return Trajectory(np.array(losses), _numbers(G, optimizer_g), _numbers(D, optimizer_d), buffers)


def _numbers(network: nn.Module, optimizer: torch.optim.Adam) -> np.ndarray:
    moments = [[optimizer.state[p][kind] for p in network.parameters()] for kind in ("exp_avg", "exp_avg_sq")]
    return np.array([_flat(network.parameters()), *map(_flat, moments)])


def _flat(tensors: Any) -> np.ndarray:
    return torch.cat([t.detach().reshape(-1) for t in tensors]).numpy()
