"""The toy game in PyTorch, written as its users write it: modules, a criterion, zero_grad, backward, step.

It shares with minigan the numbers it is fed (trajectories.py) and no code.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from torch import Tensor, nn

from tests.trajectories import ADAM, Game, Trajectory, draw

torch.set_num_threads(1)  # layers this small lose by being shared out

INPUTS = {"raw": lambda n: n, "variances": lambda n: 2 * n, "diffs": lambda n: 2 * n, "moments": lambda n: 4}


class Look(nn.Module):
    """What D reads of a row."""

    def __init__(self, preprocess: str, minibatch: int) -> None:
        super().__init__()
        self.preprocess, self.minibatch = preprocess, minibatch

    def forward(self, samples: Tensor) -> Tensor:
        if self.preprocess == "pointwise":
            return samples
        x = samples.view(-1, self.minibatch)
        mean = x.mean(dim=1, keepdim=True)
        if self.preprocess == "raw":
            return x
        if self.preprocess == "variances":
            return torch.cat([x, (x - mean.detach()) ** 2], dim=1)
        if self.preprocess == "diffs":
            return torch.cat([x, x - mean.detach()], dim=1)
        d = x - mean
        std = torch.sqrt(torch.mean(d**2, dim=1, keepdim=True) + 1e-12)
        z = d / std
        skewness = torch.mean(z**3, dim=1, keepdim=True)
        kurtosis = torch.mean(z**4, dim=1, keepdim=True) - 3.0
        return torch.cat([mean, std, skewness, kurtosis], dim=1)


def networks(game: Game) -> tuple[nn.Sequential, nn.Sequential]:
    """G and D with PyTorch's default first weights."""
    h = game.hidden
    G = nn.Sequential(
        OrderedDict(
            map1=nn.Linear(1, h), elu=nn.ELU(), map2=nn.Linear(h, h), sigmoid=nn.Sigmoid(), map3=nn.Linear(h, 1)
        )
    )
    inputs = 1 if game.preprocess == "pointwise" else INPUTS[game.preprocess](game.minibatch)
    D = nn.Sequential(
        OrderedDict(
            look=Look(game.preprocess, game.minibatch),
            map1=nn.Linear(inputs, h),
            elu1=nn.ELU(),
            map2=nn.Linear(h, h),
            elu2=nn.ELU(),
            map3=nn.Linear(h, 1),
        )
    )
    if game.scores == "probabilities":
        D.append(nn.Sigmoid())
    return G, D


def start(game: Game, spread: bool = True, seed: int = 2014) -> dict[str, np.ndarray]:
    """The flat first weights of both players, float32: PyTorch's defaults, then G spread out.

    As PyTorch starts it, G's outputs nearly coincide, and skewness and kurtosis of nearly equal numbers blow up any
    rounding error: PyTorch, its first weights moved by one unit in the last place, is a percent away from itself after
    100 steps of `moments` (parity/worst.py prints it). With a steeper G two libraries can go together.
    """
    torch.manual_seed(seed)
    G, D = networks(game)
    if spread:
        with torch.no_grad():
            G.map1.weight *= 8
            G.map1.bias *= 8
            G.map3.weight *= 4
    return {"G": _flat(G.parameters()), "D": _flat(D.parameters())}


def trajectory(
    game: Game, first: dict[str, np.ndarray], steps: int, at: tuple[int, ...], dtype: torch.dtype = torch.float64
) -> Trajectory:
    """The game from the flat weights first["G"] and first["D"]."""
    G, D = networks(game)
    for name, network in (("G", G), ("D", D)):
        nn.utils.vector_to_parameters(torch.tensor(first[name]), network.parameters())
        network.to(dtype)
    optimizer_g = torch.optim.Adam(G.parameters(), **ADAM)
    optimizer_d = torch.optim.Adam(D.parameters(), **ADAM)
    criterion = nn.BCELoss() if game.scores == "probabilities" else nn.BCEWithLogitsLoss()
    draws = [torch.from_numpy(numbers).to(dtype) for numbers in draw(game, steps)]
    losses, kept_g, kept_d = [], [], []

    for step, (real, noise_d, noise_g) in enumerate(zip(*draws, strict=True), 1):
        optimizer_d.zero_grad()
        score = D(real)
        loss_real = criterion(score, torch.ones_like(score))
        loss_real.backward()
        score = D(G(noise_d).detach())
        loss_fake = criterion(score, torch.zeros_like(score))
        loss_fake.backward()
        optimizer_d.step()

        optimizer_g.zero_grad()
        score = D(G(noise_g))
        if game.objective == "non-saturating":
            loss_g = criterion(score, torch.ones_like(score))
        else:
            loss_g = -criterion(score, torch.zeros_like(score))
        loss_g.backward()
        optimizer_g.step()

        losses.append((loss_real.item(), loss_fake.item(), loss_g.item()))
        if step in at:
            kept_g.append(_numbers(G, optimizer_g))
            kept_d.append(_numbers(D, optimizer_d))
    return Trajectory(at, np.array(losses), np.array(kept_g), np.array(kept_d))


def _numbers(network: nn.Module, optimizer: torch.optim.Adam) -> list[np.ndarray]:
    moments = [[optimizer.state[p][kind] for p in network.parameters()] for kind in ("exp_avg", "exp_avg_sq")]
    return [_flat(network.parameters()), *map(_flat, moments)]


def _flat(tensors) -> np.ndarray:
    return torch.cat([t.detach().reshape(-1) for t in tensors]).numpy()
