"""The moving average is Adam's bias-corrected mean of where the source has been."""

from __future__ import annotations

import numpy as np
import pytest

from minigan import MovingAverage, Parameters


def test_the_average_is_the_weighted_mean_of_all_positions_so_far() -> None:
    rng, decay = np.random.default_rng(0), 0.9
    p = Parameters({"w": np.zeros(3)})
    average, positions = MovingAverage(p, decay), []
    for t in range(1, 30):
        p.flat[...] = rng.normal(size=3)
        positions.append(p.flat.copy())
        average.update()
        weights = decay ** np.arange(t - 1, -1, -1.0)
        np.testing.assert_allclose(average.params["w"], weights @ np.array(positions) / weights.sum(), rtol=1e-12)


def test_decay_zero_is_a_plain_copy() -> None:
    p = Parameters({"w": np.ones(3, np.float32)})
    average = MovingAverage(p, 0.0)
    p.flat *= 7.0
    average.update()
    np.testing.assert_array_equal(average.params.flat, p.flat)
    assert not np.shares_memory(average.params.flat, p.flat)


def test_buffers_are_copied() -> None:
    p = Parameters({"w": np.ones(3)}, {"running_mean": np.zeros(2)})
    average = MovingAverage(p, 0.5)
    p.buffers["running_mean"][...] = 4.0
    average.update()
    np.testing.assert_array_equal(average.params.buffers["running_mean"], [4.0, 4.0])
    assert average.params.buffers["running_mean"] is not p.buffers["running_mean"]


@pytest.mark.bits
def test_an_average_goes_on_where_another_stopped() -> None:
    rng = np.random.default_rng(0)
    p = Parameters({"w": np.zeros(3)}, {"running_mean": np.zeros(2)})
    whole, half = MovingAverage(p, 0.9), MovingAverage(p, 0.9)
    for t in range(6):
        p.flat[...], p.buffers["running_mean"][...] = rng.normal(size=3), rng.normal(size=2)
        whole.update()
        half.update()
        if t == 2:
            state = half.state_dict()
            half = MovingAverage(p, 0.9)
            half.load_state_dict(state)
    for name, a in whole.params.state_dict().items():
        np.testing.assert_array_equal(half.params.state_dict()[name], a)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_outside_its_range_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=r"decay: expected a number in \[0, 1\)"):
        MovingAverage(Parameters({"w": np.ones(1)}), decay)
