"""Samples are drawn without moving anything, ways through noise stay where noise is, and the best are the best."""

from __future__ import annotations

import numpy as np
import pytest

from minigan import SGD, BatchNorm1d, Linear, Player, Sequential
from minigan.gans import sampling
from minigan.gans.sampling import Sampling


def noise(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=(n, 3)).astype(np.float32)


def small(rows: int = 256, batch_statistics: bool = False) -> tuple[dict[str, Player], Sampling]:
    """A G with batch norm, and how its samples are drawn."""
    G = Player.create(Sequential(Linear(3, 4), BatchNorm1d(4)), np.random.default_rng(0), SGD, name="G")
    G(noise(np.random.default_rng(2), 9))  # so that the running statistics are some
    picture = lambda x: x.astype(np.uint8)
    return {"G": G}, Sampling(noise, picture, batch=rows, batch_statistics=batch_statistics)


Z = noise(np.random.default_rng(1), 7)


@pytest.mark.parametrize("batch_statistics", [False, True])
def test_drawing_samples_leaves_running_statistics_alone(batch_statistics: bool) -> None:
    players, look = small(7, batch_statistics)
    G = players["G"]
    before = {name: a.copy() for name, a in G.params.state_dict().items()}
    y = look.samples(players, Z)
    for name, a in G.params.state_dict().items():
        np.testing.assert_array_equal(a, before[name])
    np.testing.assert_array_equal(y, G.network(G.params.copy(), Z, training=batch_statistics))


def test_many_samples_are_drawn_so_many_at_once() -> None:
    players, look = small(3)
    whole = players["G"].still()(Z)
    np.testing.assert_allclose(look.samples(players, Z), whole, rtol=1e-6)


def test_where_batch_norm_looks_at_the_samples_the_last_of_them_get_company_that_is_always_the_same() -> None:
    players, look = small(4, batch_statistics=True)
    company = noise(np.random.default_rng(0), 1)
    G = players["G"]
    parts = [G(z, record=False) for z in (Z[:4], np.concatenate([Z[4:], company]))]
    np.testing.assert_array_equal(look.samples(players, Z), np.concatenate(parts)[:7])


def test_nothing_cannot_be_drawn() -> None:
    players, look = small()
    with pytest.raises(ValueError, match=r"z: expected at least one row, got none"):
        look.samples(players, Z[:0])


class Labelled:
    """Twice the noise, plus the label."""

    def __call__(self, p, x, path="", training=True):  # type: ignore[no-untyped-def]
        z, y = x
        return 2.0 * z + y[:, None]


@pytest.mark.parametrize("batch_statistics", [False, True])
def test_noise_may_come_with_labels(batch_statistics: bool) -> None:
    params = Sequential(Linear(1, 1)).init(np.random.default_rng(0))
    both = lambda rng, n: (noise(rng, n), rng.integers(0, 10, n))
    look = Sampling(both, lambda x: x, batch=3, batch_statistics=batch_statistics)
    z, y = both(np.random.default_rng(1), 7)
    got = look.samples({"G": Player(Labelled(), params, None)}, (z, y))
    np.testing.assert_array_equal(got, 2.0 * z + y[:, None])


def test_samples_may_be_made_otherwise_than_by_g() -> None:
    players, _ = small()
    look = Sampling(noise, lambda x: x, generate=lambda players, z: players["G"]["0"](z) * 2.0)
    np.testing.assert_array_equal(look.samples(players, Z), 2.0 * players["G"]["0"](Z))


def test_on_a_way_labels_stay_what_they_were() -> None:
    (a, b), y = np.random.default_rng(0).normal(size=(2, 2, 3)), np.array([4, 7])
    z, told = sampling.walk((a, y), (b, y[::-1]), 5, sampling.lerp)
    np.testing.assert_array_equal(z, sampling.walk(a, b, 5, sampling.lerp))
    np.testing.assert_array_equal(told, [4] * 5 + [7] * 5)


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
