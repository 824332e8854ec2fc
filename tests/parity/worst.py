"""How far apart minigan and PyTorch are at the worst of all compared numbers:  python -m tests.parity.worst

A row is a kind of game, the worst of its four objectives (probabilities or logits, non-saturating or saturating), with
kernels and without. Distances are those of tests/test_trajectories.py, at full width: 50 hidden units.
"""

from __future__ import annotations

import contextlib

import numpy as np
import torch

from minigan import kernels
from tests import torch_toy
from tests.trajectories import FULL, KEPT, KEPT_32, STEPS, STEPS_32, Game, differences, minigan_trajectory

KINDS = list(dict.fromkeys((game.preprocess, game.rows) for game in FULL))


def main() -> None:
    """Print the tables."""
    print(f"Largest relative difference from PyTorch {torch.__version__}: any loss, weight or Adam moment.")
    print(f"float64: {STEPS} steps, kept at {KEPT}; float32: {STEPS_32} steps, kept at {KEPT_32}.\n")
    line("", "float64", "float32", "float32", "float32")
    line("", "minigan -", "minigan -", "minigan -", "PyTorch -")
    line("rows x numbers", "PyTorch", "PyTorch", "float64", "float64")
    table = np.array([np.max([distances(game) for game in same(kind)], axis=0) for kind in KINDS])
    for kind, row in zip(KINDS, table, strict=True):
        line(f"{kind[0]} {kind[1]} x 100", *row)
    line("all", *table.max(axis=0))

    print("\n`moments` from PyTorch's own first weights, float64, by step. Rounding errors grow, in PyTorch too:")
    print("its rows are its distance from itself, its first weights moved by one unit in the last place.\n")
    line("step", *KEPT)
    for kind in [kind for kind in KINDS if kind[0] == "moments"]:
        ours, itself = np.max([sensitivity(game) for game in same(kind)], axis=0)
        line(f"minigan   {kind[1]} x 100", *ours)
        line(f"PyTorch   {kind[1]} x 100", *itself)


def same(kind: tuple[str, int]) -> list[Game]:
    """The full games of a kind."""
    return [game for game in FULL if (game.preprocess, game.rows) == kind]


def distances(game: Game) -> tuple[float, ...]:
    """The columns of the first table."""
    start = torch_toy.start(game)
    long = torch_toy.trajectory(game, start, STEPS, KEPT)
    short = torch_toy.trajectory(game, start, STEPS_32, KEPT_32, torch.float32)
    pairs = [(short, long)]
    for code in (contextlib.nullcontext, kernels.plain):
        with code():
            ours_long = minigan_trajectory(game, start, STEPS, KEPT)
            ours_short = minigan_trajectory(game, start, STEPS_32, KEPT_32, np.float32)
        pairs += [(ours_long, long), (ours_short, short), (ours_short, long)]
    itself, *rest = (max(differences(game, a, b)).relative for a, b in pairs)
    return *np.reshape(rest, (2, 3)).max(axis=0), itself


def sensitivity(game: Game) -> np.ndarray:
    """By kept step, how far minigan is from PyTorch, and PyTorch from PyTorch started next door."""
    start = {name: flat.astype(np.float64) for name, flat in torch_toy.start(game, spread=False).items()}
    rng = np.random.default_rng(0)
    next_door = {name: np.nextafter(flat, rng.choice([-9.0, 9.0], flat.shape)) for name, flat in start.items()}
    want = torch_toy.trajectory(game, start, STEPS, KEPT)
    others = minigan_trajectory(game, start, STEPS, KEPT), torch_toy.trajectory(game, next_door, STEPS, KEPT)
    return np.array(
        [
            [max(d for d in differences(game, other, want) if d.step == step).relative for step in KEPT]
            for other in others
        ]
    )


def line(name: str, *cells: object) -> None:
    """One row of a table."""
    print(f"{name:<20}", *(f"{c:>12.1e}" if isinstance(c, float) else f"{c:>12}" for c in cells))


if __name__ == "__main__":
    main()
