"""Trained by `play`, the toy GAN at full width is where the installed PyTorch is: losses, weights and Adam moments.

The distance is that of tests/test_trajectories.py. `python -m tests.parity.worst` prints the largest.
"""

import contextlib
from functools import lru_cache

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from minigan import kernels
from tests import torch_toy
from tests.references import load_trajectory
from tests.trajectories import FULL, KEPT, KEPT_32, SMALL, STEPS, STEPS_32, differences, minigan_trajectory

each_full_game = pytest.mark.parametrize("game", FULL, ids=str)
with_kernels_and_without = pytest.mark.parametrize(
    "code", [contextlib.nullcontext, kernels.plain], ids=["kernels", "plain"]
)


@lru_cache(maxsize=2)
def pytorch(game, steps, kept, dtype):
    return torch_toy.trajectory(game, torch_toy.start(game), steps, kept, dtype)


@pytest.mark.slow
@with_kernels_and_without
@each_full_game
def test_after_200_steps_in_float64_every_number_is_pytorchs_to_nine_digits(game, code):
    with code():
        got = minigan_trajectory(game, torch_toy.start(game), STEPS, KEPT)
    worst = max(differences(game, got, pytorch(game, STEPS, KEPT, torch.float64)))
    assert worst.relative < 1e-9, worst


@with_kernels_and_without
@each_full_game
def test_after_50_steps_in_float32_every_number_is_pytorchs_to_three_digits(game, code):
    with code():
        got = minigan_trajectory(game, torch_toy.start(game), STEPS_32, KEPT_32, np.float32)
    worst = max(differences(game, got, pytorch(game, STEPS_32, KEPT_32, torch.float32)))
    assert worst.relative < 1e-3, worst


@pytest.mark.parametrize("game", SMALL, ids=str)
def test_the_stored_references_are_what_pytorch_gives(game):
    start, stored = load_trajectory(game)
    for name, flat in torch_toy.start(game).items():
        np.testing.assert_array_equal(start[name], flat)
    worst = max(differences(game, torch_toy.trajectory(game, start, STEPS, KEPT), stored))
    assert worst.relative < 1e-10, worst


def test_both_libraries_name_the_weights_alike_and_in_one_order():
    for game in SMALL:
        for theirs, ours in zip(torch_toy.networks(game), game.networks().values(), strict=True):
            shapes = {name: tuple(p.shape) for name, p in theirs.named_parameters()}
            assert list(shapes.items()) == [(name, spec.shape) for name, spec in ours.parameters().items()]
