"""Samples are drawn without moving anything, ways through noise stay where noise is, and the best are the best."""

from __future__ import annotations

import numpy as np
import pytest

from minigan import BatchNorm1d, Linear, Sequential, sampling


@pytest.mark.bits
@pytest.mark.parametrize("training", [False, True])
def test_applying_a_network_leaves_its_running_statistics_alone(training: bool) -> None:
    network = Sequential(Linear(3, 4), BatchNorm1d(4))
    p, x = network.init(np.random.default_rng(0)), np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)
    before = {name: a.copy() for name, a in p.state_dict().items()}
    y = sampling.apply(network, p, x, training=training)
    for name, a in p.state_dict().items():
        np.testing.assert_array_equal(a, before[name])
    np.testing.assert_array_equal(y, network(p.copy(), x, training=training))


@pytest.mark.bits
def test_many_rows_go_through_in_parts_of_so_many() -> None:
    network = Sequential(Linear(3, 4), BatchNorm1d(4))
    p, x = network.init(np.random.default_rng(0)), np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)
    whole = sampling.apply(network, p, x)
    np.testing.assert_allclose(sampling.apply(network, p, x, rows=3), whole, rtol=1e-6)
    parts = np.concatenate([network(p.copy(), x[:4]), network(p.copy(), x[4:])])
    np.testing.assert_array_equal(sampling.apply(network, p, x, rows=4, training=True), parts)


def test_nothing_cannot_be_applied_to() -> None:
    with pytest.raises(ValueError, match=r"x: expected at least one row, got shape \(0, 3\)"):
        sampling.apply(Sequential(Linear(3, 4)), Linear(3, 4), np.zeros((0, 3), np.float32))


@pytest.mark.parametrize("rows", [1, 7, 100])
def test_picking_keeps_the_samples_with_the_highest_scores_whatever_is_drawn_at_once(rows: int) -> None:
    picked = sampling.pick(
        sample=lambda z: z * 10.0,
        score=lambda x: -np.abs(x[:, 0] - 3.0),
        noise=lambda rng, n: rng.normal(size=(n, 2)),
        rng=np.random.default_rng(0),
        candidates=40,
        keep=5,
        rows=rows,
    )
    everything = np.random.default_rng(0).normal(size=(40, 2)) * 10.0
    best = everything[np.argsort(np.abs(everything[:, 0] - 3.0))[:5]]
    np.testing.assert_array_equal(picked.samples, best)
    np.testing.assert_array_equal(picked.scores, -np.abs(best[:, 0] - 3.0))


@pytest.mark.parametrize("keep", [0, 11])
def test_more_than_all_or_less_than_one_cannot_be_kept(keep: int) -> None:
    with pytest.raises(ValueError, match=f"keep: expected between 1 and all 10 candidates, got {keep}"):
        sampling.pick(lambda z: z, lambda x: x, lambda rng, n: rng.normal(size=n), np.random.default_rng(0), 10, keep)


@pytest.mark.parametrize("between", [sampling.lerp, sampling.slerp])
def test_a_way_begins_and_ends_where_it_should(between) -> None:  # type: ignore[no-untyped-def]
    a, b = np.random.default_rng(0).normal(size=(2, 4, 10)).astype(np.float32)
    z = sampling.walk(a, b, 5, between).reshape(4, 5, 10)
    np.testing.assert_allclose(z[:, 0], a, atol=1e-6)
    np.testing.assert_allclose(z[:, -1], b, atol=1e-6)
    assert z.dtype == a.dtype


def test_a_way_of_one_step_would_not_arrive() -> None:
    with pytest.raises(ValueError, match="steps: expected at least 2, got 1"):
        sampling.walk(np.ones((2, 3)), np.ones((2, 3)), 1, sampling.lerp)


def test_a_great_circle_keeps_the_length_of_noise_and_turns_evenly() -> None:
    a, b = np.eye(2)[:1] * 3.0, np.eye(2)[1:] * 3.0
    z = sampling.walk(a, b, 4, sampling.slerp)
    angles = np.linspace(0.0, np.pi / 2, 4)
    np.testing.assert_allclose(z, 3.0 * np.stack([np.cos(angles), np.sin(angles)], 1), atol=1e-12)


def test_a_great_circle_between_equal_noises_stays_there() -> None:
    a = np.ones((1, 5))
    np.testing.assert_allclose(sampling.slerp(a, a, 0.3), a, rtol=1e-3)
