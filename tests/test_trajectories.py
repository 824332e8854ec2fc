"""Trained by `play`, the toy GAN is where PyTorch is: every loss, weight and Adam moment, at steps 1, 10, 50, 100, 200.

The distance between an array and PyTorch's is max |a - b| / max |b|, taken over that array alone (one weight or bias or
one of its moments at one step, or one loss over the steps since the last of these). PyTorch's side is stored in
references/; parity/test_trajectories.py holds the same for larger networks against the PyTorch that is installed.
"""

import contextlib

import numpy as np
import pytest

from minigan import kernels
from tests.references import load_trajectory
from tests.trajectories import KEPT, KEPT_32, SMALL, STEPS, STEPS_32, differences, minigan_trajectory

each_small_game = pytest.mark.parametrize("game", SMALL, ids=str)
with_kernels_and_without = pytest.mark.parametrize(
    "code", [contextlib.nullcontext, kernels.plain], ids=["kernels", "plain"]
)


@with_kernels_and_without
@each_small_game
def test_after_200_steps_in_float64_every_number_is_pytorchs_to_nine_digits(game, code):
    start, want = load_trajectory(game)
    with code():
        got = minigan_trajectory(game, start, STEPS, KEPT)
    worst = max(differences(game, got, want))
    assert worst.relative < 1e-9, worst


@with_kernels_and_without
@each_small_game
def test_after_50_steps_in_float32_every_number_is_pytorchs_float64_to_three_digits(game, code):
    start, want = load_trajectory(game)
    with code():
        got = minigan_trajectory(game, start, STEPS_32, KEPT_32, np.float32)
    assert got.G.dtype == got.D.dtype == np.float32
    worst = max(differences(game, got, want))
    assert worst.relative < 1e-3, worst


@each_small_game
def test_every_number_of_both_players_moves(game):
    start, want = load_trajectory(game)
    for name, numbers in (("G", want.G), ("D", want.D)):
        weights, exp_avg, exp_avg_sq = numbers[-1]
        assert (weights != start[name]).all()
        assert (exp_avg != 0).all()
        assert (exp_avg_sq > 0).all()


@pytest.mark.parametrize("part", ["losses", "G", "D"])
def test_the_comparison_sees_a_change_in_the_eighth_digit_of_any_part(part):
    _, want = load_trajectory(SMALL[0])
    changed = getattr(want, part).copy()
    largest = np.unravel_index(np.abs(changed).argmax(), changed.shape)
    changed[largest] *= 1 + 1e-8
    assert max(differences(SMALL[0], want._replace(**{part: changed}), want)).relative == pytest.approx(1e-8)


def test_the_comparison_never_takes_nan_for_a_small_difference():
    _, want = load_trajectory(SMALL[0])
    losses = want.losses.copy()
    losses[7, 1] = np.nan
    assert max(differences(SMALL[0], want._replace(losses=losses), want)).relative == np.inf
