"""Minibatches: every row once an epoch, in an order that two integers bring back, whoever reads ahead."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan.data.batches import Batches
from tests.memory import examples

ROWS = np.arange(20.0)


class Rows:
    """Data that is no array: row i is [i, i]. `wait` is called before a row is read."""

    def __init__(self, n: int, wait=lambda i: None) -> None:
        self.n, self.wait = n, wait

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> np.ndarray:
        self.wait(i)
        return np.full(2, i, np.float32)


def data_of(kind: str, n: int):
    return np.arange(n, dtype=np.float32)[:, None].repeat(2, 1) if kind == "array" else Rows(n)


def taken(batches: Batches, k: int) -> list[list[float]]:
    return [next(batches)[:, 0].tolist() for _ in range(k)]


settings = st.fixed_dictionaries(
    {
        "batch_size": st.integers(1, 9),
        "seed": st.integers(0, 5),
        "drop_last": st.booleans(),
        "workers": st.integers(0, 3),
    }
)
kinds = st.sampled_from(["array", "rows"])


@examples(60)
@given(kinds, st.integers(9, 25), settings)
def test_an_epoch_has_every_row_once_or_leaves_less_than_a_batch(kind: str, n: int, setting: dict) -> None:
    with Batches(data_of(kind, n), **setting) as batches:
        for _ in range(3):
            rows = Counter(row for batch in taken(batches, batches.batches_per_epoch) for row in batch)
            assert set(rows.values()) == {1}
            assert n - len(rows) == (n % setting["batch_size"] if setting["drop_last"] else 0)


@examples(60)
@given(kinds, st.integers(9, 25), settings)
def test_the_order_is_that_of_seed_and_epoch(kind: str, n: int, setting: dict) -> None:
    size = setting["batch_size"]
    with Batches(data_of(kind, n), **setting) as batches:
        for epoch in range(3):
            order = np.random.default_rng([setting["seed"], epoch]).permutation(n)
            for batch in range(batches.batches_per_epoch):
                assert (batches.epoch, batches.batch) == (epoch, batch)
                expected = order[batch * size : (batch + 1) * size]
                x = next(batches)
                np.testing.assert_array_equal(x, np.stack([expected, expected], 1))
                np.testing.assert_array_equal(batches.indices, expected)
                assert x.dtype == np.float32


@examples(60)
@given(kinds, kinds, st.integers(9, 25), settings, st.integers(0, 3), st.integers(0, 40), st.integers(0, 40))
def test_a_state_goes_on_with_what_came_next_whatever_the_workers(
    kind: str, other: str, n: int, setting: dict, workers: int, k: int, elsewhere: int
) -> None:
    with Batches(data_of(kind, n), **setting) as batches:
        taken(batches, k)
        state = batches.state_dict()
        expected = taken(batches, 10)
    assert all(type(value) in (int, bool) for value in state.values())
    with Batches(data_of(other, n), **(setting | {"workers": workers})) as resumed:
        taken(resumed, elsewhere)
        resumed.load_state_dict(state)
        assert resumed.state_dict() == state
        assert taken(resumed, 10) == expected


def test_a_state_tells_what_was_handed_out_and_not_what_was_read_ahead() -> None:
    read = []
    with Batches(Rows(40, read.append), 4, workers=3) as batches:
        next(batches)
        while len(read) < 16:  # three batches ahead are read
            time.sleep(0.001)
        state = batches.state_dict()
    expected = {"seed": 0, "size": 40, "batch_size": 4, "drop_last": True, "epoch": 0, "batch": 1}
    assert state == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "state: expected seed 0, got 1"),
        ({"size": 21}, "state: expected size 20, got 21"),
        ({"batch_size": 5}, "state: expected batch_size 6, got 5"),
        ({"drop_last": False}, "state: expected drop_last True, got False"),
        ({"batch": 3}, "state: expected a batch of 3, got epoch 0, batch 3"),
        ({"batch": -1}, "state: expected a batch of 3, got epoch 0, batch -1"),
        ({"batch": 0.5}, "state: expected a batch of 3, got epoch 0, batch 0.5"),
        ({"epoch": -1}, "state: expected a batch of 3, got epoch -1, batch 0"),
        ({"more": 0}, "state: expected seed, size, batch_size, drop_last, epoch, batch, got .*more"),
    ],
)
def test_a_state_of_something_else_is_refused_and_changes_nothing(change: dict, words: str) -> None:
    batches = Batches(ROWS, 6)
    state = batches.state_dict()
    next(batches)
    with pytest.raises(ValueError, match=words):
        batches.load_state_dict(state | change)
    assert (batches.epoch, batches.batch) == (0, 1)


@pytest.mark.parametrize("workers", [0, 2])
def test_bytes_become_floats_between_minus_one_and_one_and_floats_stay(workers: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 3, 4), np.uint8)
    for data in (pixels, list(pixels)):
        batches = Batches(data, 5, workers=workers)
        x = next(batches)
        assert (x.shape, x.dtype) == ((5, 3, 4), np.float32)
        np.testing.assert_allclose(x, pixels[batches.indices] / 127.5 - 1, atol=1e-6)
        batches.close()
    floats = np.random.default_rng(0).standard_normal((12, 3))
    batches = Batches(floats, 12)
    np.testing.assert_array_equal(next(batches), floats[batches.indices].astype(np.float32))


def test_a_batch_can_be_written_to() -> None:
    for data in (ROWS.astype(np.float32), Rows(20)):
        with Batches(data, 20) as batches:
            next(batches)[:] = -1
            assert next(batches).min() == 0


@pytest.mark.parametrize(
    ("data", "setting", "words"),
    [
        (ROWS, {"batch_size": 0}, "batch_size: expected at least 1, got 0"),
        (ROWS, {"seed": -1}, "seed: expected at least 0, got -1"),
        (ROWS, {"workers": -1}, "workers: expected at least 0, got -1"),
        (ROWS, {"batch_size": 21}, "batch_size: expected at most the 20 rows of data, got 21"),
        (ROWS[:0], {}, "data: expected at least one row, got none"),
        (np.arange(20), {}, "data: expected uint8 or floats, got int64"),
    ],
)
def test_arguments_out_of_range_are_refused(data: np.ndarray, setting: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Batches(data, **({"batch_size": 4} | setting))


def test_without_drop_last_fewer_rows_than_a_batch_are_a_batch() -> None:
    batches = Batches(ROWS, 21, drop_last=False)
    assert sorted(next(batches).tolist()) == ROWS.tolist()
    assert (batches.epoch, batches.batch) == (1, 0)


# Threads --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_what_a_row_raises_comes_out_of_next_and_the_batch_stays_the_next(workers: int) -> None:
    broken = int(np.random.default_rng([0, 0]).permutation(20)[9])

    def fail(i: int) -> None:
        if i == broken:
            raise OSError(f"{i}.png: cannot be decoded")

    with Batches(Rows(20, fail), 4, workers=workers) as batches:
        taken(batches, 2)
        for _ in range(2):
            with pytest.raises(OSError, match=f"^{broken}.png: cannot be decoded"):
                next(batches)
            assert (batches.epoch, batches.batch) == (0, 2)


def test_rows_of_integers_are_refused_where_they_come_up() -> None:
    with Batches(list(np.arange(20)), 4) as batches, pytest.raises(ValueError, match="data: expected uint8 or floats"):
        next(batches)


def test_reading_ahead_stays_a_few_batches_ahead() -> None:
    read = []
    with Batches(Rows(400, read.append), 4, workers=2) as batches:
        for k in range(1, 30):
            next(batches)
            assert len(read) <= 4 * (k + 3)


def test_arrays_are_gathered_without_a_thread() -> None:
    before = threading.active_count()
    with Batches(data_of("array", 20), 4, workers=3) as batches:
        taken(batches, 9)
        assert threading.active_count() == before


def test_threads_end_with_close_and_nothing_is_handed_out_after_it() -> None:
    before = threading.active_count()
    with Batches(Rows(20), 4, workers=2) as batches:
        taken(batches, 3)
        assert threading.active_count() > before
    assert threading.active_count() == before
    with pytest.raises(ValueError, match="after close"):
        next(batches)
    batches.close()


def test_threads_end_when_nobody_holds_the_batches_any_more() -> None:
    before = set(threading.enumerate())
    batches = Batches(Rows(20), 4, workers=2)
    taken(batches, 3)
    threads, alive = set(threading.enumerate()) - before, weakref.ref(batches)
    assert threads
    del batches
    gc.collect()
    assert alive() is None
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill there ends the process")
def test_an_interrupt_while_waiting_loses_no_batch() -> None:
    go_on, first = threading.Event(), []

    def interrupt_once(i: int) -> None:
        if not first:
            first.append(i)
            time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGINT)
            assert go_on.wait(10)

    with Batches(Rows(20, interrupt_once), 4) as batches:
        with pytest.raises(KeyboardInterrupt):
            next(batches)
        go_on.set()
        assert (batches.epoch, batches.batch) == (0, 0)
        assert taken(batches, 12) == taken(Batches(data_of("array", 20), 4), 12)


def test_a_program_ends_while_batches_are_read_ahead() -> None:
    program = (
        "from tests.data.test_batches import *\n"
        "batches = Batches(Rows(400, lambda i: time.sleep(0.001)), 4, workers=3)\n"
        "next(batches)\n"
        "raise KeyboardInterrupt\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], timeout=60, capture_output=True, text=True, check=False)
    assert ended.stderr.strip().endswith("KeyboardInterrupt"), ended.stderr
