"""The image GANs, played by two libraries: what both sides of the comparison share, and minigan's side.

As in trajectories.py, both get the same first weights and the same numbers in the same order. Beside weights and Adam
moments, every buffer of batch norm is compared. The PyTorch side is torch_images.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from minigan import Adam, Player, Sequential, play
from minigan.arrays import to_host
from minigan.devices import Device, to_device
from minigan.game import Notes
from minigan.networks import conv28, dcgan, mlp
from tests.losses import OBJECTIVES, losses
from tests.trajectories import distance

ADAM = {"lr": 2e-4, "betas": (0.5, 0.999), "eps": 1e-8}
STEPS = 10
LOSSES = ("real_loss", "fake_loss", "g_loss")
KINDS = ("weights", "exp_avg", "exp_avg_sq")


class System(NamedTuple):
    """What is played: a pair of networks, by name and widths, on batches of `rows` images.

    reuse_noise: whether G moves on the noise of D's step, so that both players use one fake batch.
    g_every: G moves in each turn whose number is a multiple of this.
    """

    name: str
    noise: int
    widths: tuple[int, ...]
    image: tuple[int, ...]
    rows: int
    reuse_noise: bool = False
    g_every: int = 1

    def __str__(self) -> str:
        return f"{self.file}, {'-'.join(map(str, self.widths))}"

    @property
    def file(self) -> str:
        """The name of networks and game, for the file of the reference."""
        noise = "_reused_noise" if self.reuse_noise else ""
        return f"{self.name}{noise}{f'_g_every_{self.g_every}' if self.g_every > 1 else ''}"

    @property
    def scores(self) -> str:
        """What D puts out."""
        return "logits" if self.name == "conv28" else "probabilities"

    def networks(self) -> dict[str, Sequential]:
        """G and D, as minigan describes them."""
        if self.name == "mlp":
            pixels = self.image[0]
            return {
                "G": mlp.generator(self.noise, self.widths, pixels),
                "D": mlp.discriminator(pixels, self.widths[:0:-1]),
            }
        if self.name == "conv28":
            width, hidden = self.widths
            return {"G": conv28.generator(self.noise, 2 * width, hidden), "D": conv28.discriminator(width, hidden)}
        return {"G": dcgan.generator(self.noise, *self.widths), "D": dcgan.discriminator(*self.widths)}


class Trajectory(NamedTuple):
    """The losses (steps, [d_real, d_fake, g]), nan where G did not move; each player's (kinds, weight) and buffers
    {name: array} at the end."""

    losses: np.ndarray
    G: np.ndarray
    D: np.ndarray
    buffers: dict[str, np.ndarray]


NARROW = [
    System("mlp", 6, (5, 7, 9), (16,), 8),
    System("conv28", 6, (2, 12), (1, 28, 28), 32),
    System("dcgan", 6, (1,), (3, 96, 96), 4),
    System("mlp", 6, (5, 7, 9), (16,), 8, reuse_noise=True),
    System("dcgan", 6, (1,), (3, 96, 96), 4, g_every=2),
    System("conv28", 6, (2, 12), (1, 28, 28), 32, reuse_noise=True),
]
FULL = [
    System("mlp", 100, (128, 256, 512), (784,), 64),
    System("conv28", 96, (32, 1024), (1, 28, 28), 16),
    System("dcgan", 100, (64,), (3, 96, 96), 8),
    System("mlp", 100, (128, 256, 512), (784,), 64, reuse_noise=True),
    System("dcgan", 100, (16,), (3, 96, 96), 8, g_every=2),
    System("dcgan", 100, (16,), (3, 96, 96), 8, reuse_noise=True),
]


def start(system: System, seed: int = 2014) -> dict[str, dict[str, np.ndarray]]:
    """First weights of both players, float32 numbers: weights as wide as keeps signals alive, nothing at 0 or 1."""
    rng = np.random.default_rng(seed)

    def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if len(shape) == 1:
            return rng.uniform(0.5, 1.5, shape) if name.endswith("weight") else rng.uniform(-0.3, 0.3, shape)
        return rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))

    return {
        player: {name: drawn(name, spec.shape).astype(np.float32) for name, spec in network.parameters().items()}
        for player, network in system.networks().items()
    }


def draw(system: System, seed: int = 2018) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What each step sees: images uniform on [-1, 1), normal noise for D's step and for G's; float32 numbers.

    Where G sits out or takes D's noise again, nobody uses the noise for its step.
    """
    rng = np.random.default_rng(seed)
    for _ in range(STEPS):
        real = rng.uniform(-1.0, 1.0, (system.rows, *system.image)).astype(np.float32)
        noise = rng.normal(size=(2, system.rows, system.noise)).astype(np.float32)
        yield real, noise[0], noise[1]


def minigan_trajectory(system: System, dtype: Any = np.float64, device: Device = "cpu") -> Trajectory:
    """The game as `play` plays it."""
    first = start(system)
    G, D = (_player(network, first[name], dtype, device) for name, network in system.networks().items())
    batches = [[to_device(a.astype(dtype), device) for a in step] for step in draw(system)]
    objective = OBJECTIVES[system.scores, "non-saturating"]
    d_loss, g_loss = losses(objective, together=system.name != "dcgan")  # whose D has batch norm

    def turn(number: int) -> Notes:
        x, z_d, z_g = batches[number - 1]
        notes = D.move(d_loss, x, G(z_d, record=not system.reuse_noise))  # else this batch passes G again below
        if number % system.g_every == 0:
            notes |= G.move(g_loss, D, z_d if system.reuse_noise else z_g)
        return notes

    noted = np.array([[t.get(name, np.nan) for name in LOSSES] for t in play(turn, STEPS)])
    buffers = {f"{name}.{key}": to_host(b) for name, p in (("G", G), ("D", D)) for key, b in p.params.buffers.items()}
    return Trajectory(noted, _numbers(G), _numbers(D), buffers)


class Difference(NamedTuple):
    """The distance between two arrays; the largest of several is max(differences)."""

    relative: float
    what: str


def differences(system: System, got: Trajectory, want: Trajectory) -> Iterator[Difference]:
    """How far got is from want: each loss over the steps, each weight, each of its moments, each buffer."""
    for j, name in enumerate(("d_real", "d_fake", "g")):
        ours, theirs = got.losses[:, j], want.losses[:, j]
        moved = ~np.isnan(theirs)
        if np.isnan(ours[moved]).any() or not np.isnan(ours[~moved]).all():
            raise ValueError(f"expected {name} in turns {np.flatnonzero(moved) + 1}, got {ours}")
        yield Difference(distance(ours[moved], theirs[moved]), f"loss {name}")
    for player, network in system.networks().items():
        specs = network.parameters()
        cuts = np.cumsum([np.prod(spec.shape) for spec in specs.values()])[:-1]
        for j, kind in enumerate(KINDS):
            ours, theirs = (np.split(getattr(side, player)[j], cuts) for side in (got, want))
            for name, a, b in zip(specs, ours, theirs, strict=True):
                yield Difference(distance(a, b), f"{kind} of {player}'s {name}")
    if got.buffers.keys() != want.buffers.keys():
        raise ValueError(f"expected buffers {sorted(want.buffers)}, got {sorted(got.buffers)}")
    for name, b in want.buffers.items():
        yield Difference(distance(got.buffers[name], b), f"buffer {name}")


def _player(network: Sequential, first: dict[str, np.ndarray], dtype: Any, device: Device) -> Player:
    params = network.init(np.random.default_rng(0), dtype=dtype, device=device)
    params.update(first)
    return Player(network, params, Adam(params, **ADAM))


def _numbers(player: Player) -> np.ndarray:
    return np.array([to_host(a) for a in (player.params.flat, player.optimizer.exp_avg, player.optimizer.exp_avg_sq)])
