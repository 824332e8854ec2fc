"""Write PyTorch's answers next to this file:  python -m tests.references.make   (needs torch==2.13.0)

    trajectories_<preprocess>.npz   first weights; losses, weights and Adam moments of 200 steps, for each objective
    images_<system>.npz             losses of 10 steps of a narrow image GAN; weights, moments and buffers after them
    optimizers.npz                  where the parameters are after each of 100 steps, for each optimizer and setting

parity/ compares them with the PyTorch that is installed.
"""

from __future__ import annotations

import numpy as np
import torch

from tests import image_trajectories, optimizer_paths, torch_images, torch_optimizers, torch_toy
from tests.references import FOLDER, key
from tests.trajectories import KEPT, PREPROCESSES, SMALL, STEPS, Trajectory

TORCH = "2.13.0"


def main() -> None:
    """Write all files and say how large they are."""
    if torch.__version__.split("+")[0] != TORCH:
        raise SystemExit(f"the references are PyTorch {TORCH}'s; this is {torch.__version__}")
    for preprocess in PREPROCESSES:
        write(f"trajectories_{preprocess}", trajectories(preprocess))
    for system in image_trajectories.NARROW:
        write(f"images_{system.file}", images(system))
    write(
        "optimizers", {str(case): torch_optimizers.path(case, optimizer_paths.SMALL) for case in optimizer_paths.CASES}
    )


def trajectories(preprocess: str) -> dict[str, np.ndarray]:
    """The small games with this preprocess. They start from the same weights, whatever the objective."""
    arrays = {}
    for game in SMALL:
        if game.preprocess == preprocess:
            start = torch_toy.start(game)
            arrays |= {f"start {name}": flat for name, flat in start.items()}
            kept = torch_toy.trajectory(game, start, STEPS, KEPT)
            arrays |= {key(game, part): getattr(kept, part) for part in Trajectory._fields}
    return arrays


def images(system: image_trajectories.System) -> dict[str, np.ndarray]:
    """A narrow image GAN. Its first weights are drawn by NumPy and need no storing."""
    trajectory = torch_images.trajectory(system)
    return {part: getattr(trajectory, part) for part in ("losses", "G", "D")} | trajectory.buffers


def write(name: str, arrays: dict[str, np.ndarray]) -> None:
    """One file, the same bytes for the same numbers."""
    path = FOLDER / f"{name}.npz"
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
