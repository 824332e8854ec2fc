"""PyTorch's answers, stored by make.py, so that the default test run compares with PyTorch without having it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests import image_trajectories
from tests.trajectories import Game, Trajectory

FOLDER = Path(__file__).parent


def load(name: str) -> dict[str, np.ndarray]:
    """All arrays of FOLDER/name.npz."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return dict(arrays)


def load_trajectory(game: Game) -> tuple[dict[str, np.ndarray], Trajectory]:
    """The first weights of a game of trajectories.SMALL, {"G": ..., "D": ...}, and its trajectory in float64."""
    arrays = load(f"trajectories_{game.preprocess}")
    parts = {part: arrays[key(game, part)] for part in Trajectory._fields}
    start = {name: arrays[f"start {name}"] for name in "GD"}
    return start, Trajectory(**parts | {"at": tuple(parts["at"].tolist())})


def load_images(system: image_trajectories.System) -> image_trajectories.Trajectory:
    """The trajectory of a system of image_trajectories.NARROW in float64."""
    arrays = load(f"images_{system.file}")
    parts = {part: arrays.pop(part) for part in ("losses", "G", "D")}
    return image_trajectories.Trajectory(**parts, buffers=arrays)


def key(game: Game, part: str) -> str:
    """Where one part of a game's trajectory is in trajectories_<preprocess>.npz."""
    return f"{game.objective}, on {game.scores}: {part}"
