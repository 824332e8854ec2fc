"""Pictures of a run. Sheets always show the same noise, so that one sees it change its face."""

from __future__ import annotations

import numpy as np
from PIL import Image

from minigan.arrays import to_host
from minigan.gans.sampling import walk
from minigan.gans.system import System
from minigan.pictures import figures
from minigan.pictures.sheets import save_gif, save_picture, sheet
from minigan.running.folder import Folder
from minigan.running.records import read_records

FRAMES = 120  # of the film, at most
WALKS, STEPS = 6, 10


class Sheets:
    """Samples of a system for the eye and for scores, always of the same noise, drawn apart from its training run."""

    def __init__(self, system: System) -> None:
        self.system, self.sampling = system, system.sampling
        self._noise = self.sampling.noise(self._rng(1), self.sampling.count)

    def sheet(self) -> np.ndarray:
        """The fixed noise, as it looks now."""
        return self.sampling.picture(to_host(self.system.samples(self._noise)))

    def walk(self) -> np.ndarray | None:
        """Ways from one noise to another, each a row of the picture; None where there is nothing to see."""
        if self.sampling.way is None:
            return None
        rng = self._rng(2)
        z = walk(self.sampling.noise(rng, WALKS), self.sampling.noise(rng, WALKS), STEPS, self.sampling.way)
        images = images_of(to_host(self.system.samples(z)))
        return None if images is None else sheet(images, columns=STEPS, scale=2)

    def score(self, name: str, samples: int = 1000) -> float:
        """How far samples are from the data."""
        z = self.sampling.noise(self._rng(3), samples)
        return self.system.scores[name](to_host(self.system.samples(z)))

    def _rng(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng([getattr(self.system.options, "seed", 0), purpose])


def images_of(samples: np.ndarray) -> np.ndarray | None:
    """Samples of any system as images (N, C, H, W): rows of 784 pixels are 28x28. None if they are plain numbers."""
    if samples.ndim == 4:
        return samples
    return samples.reshape(-1, 1, 28, 28) if samples.shape[1] == 784 else None


def draw_the_end(system: System, sheets: Sheets, folder: Folder, gif: bool) -> None:
    """The pictures of a whole run. Raises OSError."""
    save_picture(folder.path / "samples.png", sheets.sheet())
    ways = sheets.walk()
    if ways is not None:
        save_picture(folder.path / "walk.png", ways)
    records = read_records(folder.log)
    if records:
        figures.run_figure(records).savefig(folder.path / "curves.png", dpi=110)
    paths = folder.sheets()
    if gif and paths:
        chosen = np.unique(np.linspace(0, len(paths) - 1, min(FRAMES, len(paths))).astype(int))
        frames = []
        for i in chosen:
            with Image.open(paths[i]) as image:
                frames.append(np.asarray(image))
        save_gif(folder.path / "training.gif", frames)
