"""How far generated images are from the data, cheaply enough to be asked during a training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigan.data.batches import Data
from minigan.metrics.images import frechet_distance

SAMPLES, CELLS = 1000, 4


def frechet_of_pixels(images: Data) -> Callable[[np.ndarray], float]:
    """samples (N, C, H, W) -> the Frechet distance of their coarse pixels from those of the data; smaller is better.

    Every image is shrunk to 4x4 cells, each the mean of its pixels: light and colour, roughly placed. It tells noise
    from shapes and a collapsed G from a varied one, not a good digit from a bad one; for that a classifier is needed.

    Args:
        images: the data, (C, H, W) each, bytes or floats in [-1, 1]; up to 1000, evenly spaced, are looked at, when the
            first score is asked for.
    """
    real: list[np.ndarray] = []

    def score(samples: np.ndarray) -> float:
        if not real:
            chosen = np.linspace(0, len(images) - 1, min(SAMPLES, len(images))).astype(int)
            real.append(coarse(np.stack([images[i] for i in chosen])))
        return frechet_distance(coarse(samples.reshape(len(samples), *images[0].shape)), real[0])

    return score


def coarse(images: np.ndarray) -> np.ndarray:
    """(N, C, H, W), bytes or floats in [-1, 1] -> (N, C * 16), the means of 4x4 cells, in [-1, 1]."""
    if images.dtype == np.uint8:
        images = images / 127.5 - 1.0
    N, C, H, W = images.shape
    return images.reshape(N, C, CELLS, H // CELLS, CELLS, W // CELLS).mean((3, 5)).reshape(N, -1)
