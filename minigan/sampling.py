"""What G makes of noise, without moving anything: for sheets, films, walks through noise, and for picking the best.

Sampling must not be felt by a training that goes on. Noise comes from a generator of random numbers of its own, and
batch norm's running statistics, which move whenever a batch passes in training mode, are copied first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigan.arrays import Array, array_module, to_host
from minigan.parameters import Parameters

Noise = Callable[[np.random.Generator, int], Array]
"""(rng, n) -> n rows of what G starts from."""


def apply(network: Any, params: Parameters, x: Array, rows: int = 256, training: bool = False) -> Array:
    """What the network makes of x, some rows at a time, with params and their buffers left as they are.

    Args:
        network, params: as in network(params, x).
        x: (N, ...), N >= 1.
        rows: how many go through the network at once.
        training: whether batch norm takes the statistics of those rows instead of the running ones. What comes out of a
            row then depends on the others, and more so if there are few.
    """
    if len(x) < 1:
        raise ValueError(f"x: expected at least one row, got shape {x.shape}")
    still = params.replaced(params)
    still.buffers = {name: buffer.copy() for name, buffer in params.buffers.items()}
    made = [network(still, x[i : i + rows], training=training) for i in range(0, len(x), rows)]
    return made[0] if len(made) == 1 else array_module(made[0]).concatenate(made)


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


def walk(a: Array, b: Array, steps: int, between: Callable[[Array, Array, float], Array]) -> Array:
    """From each row of a to its row of b: (N, n), (N, n) -> (N * steps, n), the steps of a row one after the other.

    Raises:
        ValueError: if there are fewer than 2 steps: the first is a, the last b.
    """
    if steps < 2:
        raise ValueError(f"steps: expected at least 2, got {steps}")
    xp = array_module(a)
    ways = xp.stack([between(a, b, i / (steps - 1)) for i in range(steps)], 1)  # (N, steps, n)
    return ways.reshape(-1, *a.shape[1:]).astype(a.dtype)
