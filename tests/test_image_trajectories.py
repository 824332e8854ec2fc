"""Trained by `play`, narrow image GANs are where PyTorch is after 10 steps: losses, weights, Adam moments, buffers.

The distance between an array and PyTorch's is max |a - b| / max |b|. PyTorch's side is stored in references/;
parity/test_image_trajectories.py holds the same at full width against the PyTorch that is installed.
"""

import contextlib

import numpy as np
import pytest

from minigan import kernels
from tests.image_trajectories import NARROW, STEPS, differences, minigan_trajectory, start
from tests.references import load_images

each_system = pytest.mark.parametrize("system", NARROW, ids=str)
with_kernels_and_without = pytest.mark.parametrize(
    "code", [contextlib.nullcontext, kernels.plain], ids=["kernels", "plain"]
)


@with_kernels_and_without
@each_system
def test_after_10_steps_in_float64_every_number_is_pytorchs_to_eight_digits(system, code):
    with code():
        got = minigan_trajectory(system)
    worst = max(differences(system, got, load_images(system)))
    assert worst.relative < 1e-8, worst


@with_kernels_and_without
@each_system
def test_after_10_steps_in_float32_every_number_is_pytorchs_float64_to_two_parts_in_a_thousand(system, code):
    with code():
        got = minigan_trajectory(system, np.float32)
    floats = [b for b in got.buffers.values() if b.dtype != np.int64]
    assert {a.dtype for a in (got.G, got.D, *floats)} == {np.dtype(np.float32)}
    worst = max(differences(system, got, load_images(system)))
    assert worst.relative < 2e-3, worst


@each_system
def test_nearly_every_number_of_both_players_moves(system):
    want, first = load_images(system), start(system)
    for name, numbers in (("G", want.G), ("D", want.D)):
        weights, exp_avg, exp_avg_sq = numbers
        before = np.concatenate([a.ravel() for a in first[name].values()])
        for moved in (weights != before, exp_avg != 0, exp_avg_sq > 0):
            assert moved.mean() > 0.8  # a ReLU that is never on keeps its weights


def test_batch_norm_counts_every_batch_once():
    """G makes images in D's step and in its own, or one batch for both; D sees real ones, generated ones, and those of
    G's step."""
    for system in NARROW:
        passes = {"G": STEPS + STEPS // system.g_every, "D": 2 * STEPS + STEPS // system.g_every}
        if system.reuse_noise:
            passes["G"] = STEPS
        counters = {k: b for k, b in load_images(system).buffers.items() if k.endswith("num_batches_tracked")}
        ours = minigan_trajectory(system).buffers
        assert all(ours[k] == b == passes[k[0]] for k, b in counters.items())
        assert (system.name == "mlp") == (not counters)


@pytest.mark.parametrize("part", ["losses", "G", "D", "buffers"])
def test_the_comparison_sees_a_change_in_the_seventh_digit_of_any_part(part):
    system = NARROW[4]
    want = load_images(system)
    changed = getattr(want, part)
    changed = {k: b * (1 + 1e-7) for k, b in changed.items()} if part == "buffers" else changed * (1 + 1e-7)
    assert max(differences(system, want._replace(**{part: changed}), want)).relative == pytest.approx(1e-7)


def test_the_comparison_sees_a_turn_in_which_only_one_library_moves_g():
    plain, every_second = (load_images(NARROW[i]) for i in (2, 4))
    for got, want in ((plain, every_second), (every_second, plain)):
        with pytest.raises(ValueError, match="expected g in turns"):
            list(differences(NARROW[2], got, want))


def test_the_comparison_refuses_other_buffers():
    system = NARROW[4]
    want = load_images(system)
    with pytest.raises(ValueError, match="expected buffers"):
        list(differences(system, want._replace(buffers={}), want))
