"""What all GANs let one choose, and what follows from it alike: players, batches, digits.

A GAN's own Options add to these and set other defaults. An option is a field with a sentence below it, which the
command line shows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minigan.data.batches import Batches, Data
from minigan.data.digits import digits
from minigan.devices import Device, check_device
from minigan.game import Player
from minigan.optimizers import Adam, MovingAverage


@dataclass(frozen=True)
class Options:
    """What every GAN has."""

    preset: str = "default"
    """where all other options start"""
    batch: int = 64
    """samples in a batch"""
    epochs: int = 200
    """passes over the data"""
    d_lr: float = 2e-4
    """Adam's rate for D"""
    g_lr: float = 2e-4
    """Adam's rate for G"""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's betas, for both"""
    average: float = 0.0
    """decay of a moving average of G that samples are drawn from; 0: none"""
    seed: int = 0
    """same seed, same bits"""
    device: Device = "cpu"
    """where the numbers are: cpu, or cuda for an NVIDIA GPU, which needs CuPy"""

    def check(self) -> None:
        """Refuse what cannot work before any work is done: counts below 1, invalid rates, decays outside [0, 1).

        A count is a whole number or a tuple of them. Defaults are not checked.

        Raises:
            ValueError: naming the option, what was expected and what came.
            DeviceError: if the device cannot be used here.
        """
        for field in dataclasses.fields(self):
            name, value = field.name, getattr(self, field.name)
            if value == field.default or name == "seed":
                continue
            if type(value) is int and value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
            if type(field.default) is tuple and name != "betas" and (not value or min(value) < 1):
                raise ValueError(f"{name}: expected at least one number >= 1, got {value}")
            if name.endswith("lr") and not 0 < value < math.inf:
                raise ValueError(f"{name}: expected a finite number > 0, got {value}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas: expected two numbers in [0, 1), got {self.betas}")
        if not 0 <= self.average < 1:
            raise ValueError(f"average: expected a number in [0, 1), got {self.average}")
        if self.seed < 0:
            raise ValueError(f"seed: expected at least 0, got {self.seed}")
        check_device(self.device)

    def players(self, networks: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Player]:
        """A player for each network, drawn from rng in their order. Adam moves it: g_lr for G, d_lr for D."""

        def player(name: str) -> Player:
            rate = getattr(self, f"{name.lower()}_lr", None)
            if rate is None:
                raise ValueError(f"players: expected an option {name.lower()}_lr, the rate of player {name!r}")
            adam = lambda params: Adam(params, rate, self.betas)
            return Player.create(networks[name], rng, adam, getattr(self, "dtype", "float32"), self.device, name)

        return {name: player(name) for name in networks}

    def batches(self, data: Data, workers: int = 1, labels: np.ndarray | None = None) -> Batches:
        """Batches of the data, with their labels. Raises ValueError, naming the option, if the data do not fill one."""
        if self.batch > len(data):
            raise ValueError(f"batch: expected at most the {len(data)} images of the data, got {self.batch}")
        return Batches(data, self.batch, self.seed, workers=workers, labels=labels)

    def memory(self, rng: np.random.Generator, batches: Batches | None, G: Player) -> dict[str, Any]:
        """What most GANs remember beside their players: where noise comes from, the place in the data, G's average."""
        memory: dict[str, Any] = {"rng": rng}
        if batches is not None:
            memory["batches"] = batches
        if self.average:
            memory["average"] = MovingAverage(G.params, self.average)
        return memory


@dataclass(frozen=True)
class DigitOptions(Options):
    """What GANs on 28x28 digits have."""

    preset: Literal["default", "quick"] = "default"
    """where all other options start"""
    data: Literal["glyphs", "mnist", "fashion"] = "glyphs"
    """digits drawn from fonts, which need no download; MNIST; or Fashion-MNIST"""
    data_dir: Path = Path("data")
    """where MNIST and Fashion-MNIST lie, or are downloaded to"""
    images: int | None = None
    """train on so many images only"""

    def digits(self) -> np.ndarray:
        """The images, (n, 1, 28, 28) bytes. Raises ValueError or OSError if there are none."""
        return digits(self.data, self.data_dir, "train")[0][: self.images].reshape(-1, 1, 28, 28)


def plain(options: Any) -> dict[str, Any]:
    """Options as plain data, for run.json: paths as strings, tuples as lists."""

    def as_plain(value: Any) -> Any:
        if isinstance(value, Path):
            return str(value)
        return [as_plain(item) for item in value] if isinstance(value, (tuple, list)) else value

    return {field.name: as_plain(getattr(options, field.name)) for field in dataclasses.fields(options)}
