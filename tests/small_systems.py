"""The four systems, small enough to be trained in a moment, and what a run of theirs leaves behind."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

from minigan import gans
from minigan.data.digits import digits
from minigan.gans import GANS, dcgan, mnist_conv, mnist_mlp, toy
from minigan.gans.system import System

SMALL: dict[str, Any] = {  # 6 turns an epoch, but for the toy
    "toy": toy.Options(batch=16, hidden=4, epochs=24),
    "mnist_mlp": mnist_mlp.Options(images=50, batch=8, noise=5, widths=(6, 7), epochs=4),
    "mnist_conv": mnist_conv.Options(images=50, batch=8, noise=5, width=2, hidden=8, epochs=4),
    "dcgan": dcgan.Options(image_size=32, batch=8, noise=5, width=2, epochs=4, g_every=2, average=0.9),
}
TURNS = 24
every_system = pytest.mark.parametrize("name", SMALL)


def draw_images(folder: Path, n: int = 50) -> Path:
    """A folder of n small pictures: discs of random colours in random places."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:36, :40]
    for i in range(n):
        centre, radius, colours = rng.uniform(10, 26, 2), rng.uniform(5, 12), rng.integers(0, 256, (2, 3))
        inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
        Image.fromarray(np.where(inside[:, :, None], *colours).astype(np.uint8)).save(folder / f"{i:04d}.png")
    return folder


def options(name: str, tmp_path: Path, **changes: Any) -> Any:
    """The small options of a system, its images drawn if it needs some."""
    if name == "dcgan":
        images = tmp_path / "images"
        changes["data"] = images if images.exists() else draw_images(images)
    return replace(SMALL[name], **changes)


def build(name: str, tmp_path: Path, **changes: Any) -> System:
    """A small system."""
    with patch.object(gans.options, "digits", _digits):
        return GANS[name].build(options(name, tmp_path, **changes))


_digits = functools.cache(digits)


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder: path -> content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def numbers(system: System) -> dict[str, np.ndarray]:
    """All that a system's turns move, as arrays."""
    moved = {
        f"{who}.{name}": a for who, player in system.players.items() for name, a in player.params.state_dict().items()
    }
    moved |= {f"{who}.{kind}": getattr(p.optimizer, kind) for who, p in system.players.items() for kind in MOMENTS}
    for average in system.averages().values():
        moved |= {f"average.{name}": a for name, a in average.params.state_dict().items()}
    return moved


MOMENTS = ("exp_avg", "exp_avg_sq")
