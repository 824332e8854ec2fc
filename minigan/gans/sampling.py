"""What a GAN makes of noise, without moving anything: for sheets, films, walks through noise, and for picking the best.

Sampling must not be felt by a training run that goes on. Noise comes from a generator of random numbers of its own,
and players stand `still`: their running statistics do not move.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minigan.arrays import Array, array_module, to_host
from minigan.game import Player

Noise = Callable[[np.random.Generator, int], Any]
"""(rng, n) -> what n samples start from: an array of n rows, or a tuple of such arrays, say noise and labels."""


def generated(players: Mapping[str, Player], z: Any) -> Array:
    """G(z), or G(z, y) if z is a tuple."""
    return players["G"](*z) if isinstance(z, tuple) else players["G"](z)


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn and looked at."""

    noise: Noise  # (rng, n) -> what n samples start from, on the device of the options
    picture: Callable[[np.ndarray], np.ndarray]  # samples, on the host -> uint8 of shape (H, W) or (H, W, 3)
    generate: Callable[[Mapping[str, Player], Any], Array] = generated  # (players, noise) -> samples
    count: int = 64  # samples on a sheet
    batch: int = 256  # samples drawn at once
    batch_statistics: bool = False  # whether batch norm takes the statistics of those samples, or the running ones
    way: Callable[[Array, Array, float], Array] | None = None  # as `lerp`; None where there is nothing to see on it

    def samples(self, players: Mapping[str, Player], z: Any) -> Array:
        """What players make of the noise z, `batch` samples at a time, and nothing moves.

        Where batch norm looks at the samples at hand, z gets company, always the same, that fills up the last of them.
        """
        n = len(z[0] if isinstance(z, tuple) else z)
        if n < 1:
            raise ValueError("z: expected at least one row, got none")
        missing = -n % self.batch if self.batch_statistics else 0
        if missing:
            company = self.noise(np.random.default_rng(0), missing)
            z = _each(lambda a, b: array_module(a).concatenate([a, b]), z, company)
        still = {name: player.still(training=self.batch_statistics) for name, player in players.items()}
        batches = [
            self.generate(still, _each(lambda a, i=i: a[i : i + self.batch], z))
            for i in range(0, n + missing, self.batch)
        ]
        return (batches[0] if len(batches) == 1 else array_module(batches[0]).concatenate(batches))[:n]


def _each(f: Callable[..., Array], *zs: Any) -> Any:
    """f(*zs), or f of their first parts, of their second, ... if they are tuples."""
    return tuple(f(*parts) for parts in zip(*zs, strict=True)) if isinstance(zs[0], tuple) else f(*zs)


class Picked(NamedTuple):
    """The best of many: samples (keep, ...), and D's scores of them (keep,), falling."""

    samples: Array
    scores: Array


def pick(
    sample: Callable[[Array], Array],
    score: Callable[[Array], Array],
    noise: Noise,
    rng: np.random.Generator,
    candidates: int = 512,
    keep: int = 64,
    rows: int = 256,
) -> Picked:
    """Draw many samples and keep those that D finds most real.

    Args:
        sample: noise -> samples (N, ...), as G makes them.
        score: samples -> one number each, (N,), as D gives them.
        noise, rng: what draws the noise, and from where.
        candidates: how many are drawn.
        keep: how many of them are kept, at least 1 and at most all.
        rows: how many are drawn at once; no more are held than these and the kept.

    D has seen what G does wrong and sorts out the worst; it also prefers what looks like many real ones, so the kept
    are better and less varied than G's samples are.

    Raises:
        ValueError: if keep is not between 1 and candidates.
    """
    if not 1 <= keep <= candidates:
        raise ValueError(f"keep: expected between 1 and all {candidates} candidates, got {keep}")
    samples: list[Array] = []
    scores: list[Array] = []
    for start in range(0, candidates, rows):
        x = sample(noise(rng, min(rows, candidates - start)))
        xp = array_module(x)
        both, judged = xp.concatenate([*samples, x]), xp.concatenate([*scores, score(x)])
        order = np.argsort(-to_host(judged), kind="stable")[:keep]
        samples, scores = [both[order]], [judged[order]]
    return Picked(samples[0], scores[0])


def lerp(a: Array, b: Array, t: float) -> Array:
    """(1 - t) a + t b: the straight way from a to b, for noise that is uniform on a box."""
    return (1.0 - t) * a + t * b


def slerp(a: Array, b: Array, t: float) -> Array:
    """The way from a to b along a great circle, row by row, for normal noise (N, n).   [White 2016, sec. 2.1]

    Normal noise of many dimensions lies near a sphere. The straight way leaves it: half-way its length is that of
    noise G has never seen.
    """
    xp = array_module(a)
    cosine = (a * b).sum(1, keepdims=True) / xp.sqrt((a * a).sum(1, keepdims=True) * (b * b).sum(1, keepdims=True))
    angle = xp.arccos(xp.clip(cosine, -0.9999, 0.9999))
    return (xp.sin((1.0 - t) * angle) * a + xp.sin(t * angle) * b) / xp.sin(angle)


def walk(a: Any, b: Any, steps: int, way: Callable[[Array, Array, float], Array]) -> Any:
    """From each row of a to its row of b: (N, n), (N, n) -> (N * steps, n), the steps of a row one after the other.

    Raises:
        ValueError: if there are fewer than 2 steps: the first is a, the last b.
    """
    if steps < 2:
        raise ValueError(f"steps: expected at least 2, got {steps}")
    if isinstance(a, tuple):  # what goes with the noise, say labels, stays on the way
        return walk(a[0], b[0], steps, way), *(part.repeat(steps, 0) for part in a[1:])
    xp = array_module(a)
    ways = xp.stack([way(a, b, i / (steps - 1)) for i in range(steps)], 1)  # (N, steps, n)
    return ways.reshape(-1, *a.shape[1:]).astype(a.dtype)
