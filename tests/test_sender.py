"""Batches on their way to the GPU: every order of events that a GPU allows gives the same numbers.

And where a wait is left out, some order does not: the faults planted here are found by fake_streams.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minigan import arrays
from minigan.sending import RING, sender
from tests.fake_device import FakeArray, Traffic, fake_cupy, watched
from tests.fake_streams import DeviceArray, Event, Gpu, Stream

SEEDS, DRAWN = 60, 24
Send = Callable[[np.ndarray], DeviceArray]


def on(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(arrays, "use_cupy", lambda: gpu)
    return sender("cuda")


def differ(gpu: Gpu, send: Send) -> bool:
    """Whether a computation that takes its time reads other numbers than were drawn, in two shapes by turns."""
    rng = np.random.default_rng(0)
    read: list[np.ndarray] = []
    earlier = [gpu.empty((2, 3), np.float32) for _ in range(3)]  # read late, and let go of before the first array comes
    for a in earlier:
        a.numbers[...] = 7.0
        a.read(read)
    del earlier, a
    drawn = [rng.standard_normal((2, 3) if i % 3 else (4,), np.float32) for i in range(DRAWN)]
    for x in drawn:
        batch = x.copy()
        send(batch).read(read)
        batch[...] = np.nan  # the host may do with its array what it likes
    while gpu.work_once():
        pass
    expected = [np.full((2, 3), 7.0, np.float32)] * 3 + drawn
    return not all(np.array_equal(a, b) for a, b in zip(read, expected, strict=True))


def test_the_computation_reads_what_was_drawn_whatever_the_order_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []
    for seed in range(SEEDS):
        gpu = Gpu(seed)
        assert not differ(gpu, on(gpu, monkeypatch)), seed
        waits.append(gpu.waits)
    assert min(waits) < max(waits)  # so some of these GPUs kept up and some did not


def test_the_host_waits_only_where_the_ring_comes_round(monkeypatch: pytest.MonkeyPatch) -> None:
    for eager, waits in ((0.0, 1), (1.0, 0)):  # a device that does nothing until it is waited for, and one at once
        gpu = Gpu(0)
        gpu.eager = eager
        send = on(gpu, monkeypatch)
        kept = [send(np.full(3, i)) for i in range(RING)]
        assert gpu.waits == 0
        kept.append(send(np.full(3, RING)))
        kept.append(send(np.zeros(4)))  # another shape has a ring of its own
        assert gpu.waits == waits
        while gpu.work_once():
            pass
        assert [y.numbers[0] for y in kept] == [*range(RING + 1), 0]


class Careless(Event):
    """An event of which the host believes that it has happened."""

    done = property(lambda self: True)  # type: ignore[assignment]


def the_host_does_not_wait(gpu: Gpu, send: Any) -> Send:
    gpu.cuda.Event = lambda disable_timing: Careless(gpu)
    return send


def the_computation_does_not_wait(gpu: Gpu, send: Any) -> Send:
    gpu.current.wait_event = lambda event: None  # type: ignore[method-assign]
    return send


def the_copying_stream_does_not_wait(gpu: Gpu, send: Any) -> Send:
    send._copying.wait_event = lambda event: None
    return send


def the_copying_stream_waits_for_the_slot_only_when_it_is_used_again(gpu: Gpu, send: Any) -> Send:
    wait, seen = send._copying.wait_event, set()

    def wait_event(event: Event) -> None:
        if event in seen:
            wait(event)
        seen.add(event)

    send._copying.wait_event = wait_event
    return send


def straight_into_an_array_of_the_copying_stream(gpu: Gpu, _: Any) -> Send:
    copying = Stream(gpu)

    def send(x: np.ndarray) -> DeviceArray:
        computing, gpu.current = gpu.current, copying
        y = gpu.empty(x.shape, x.dtype)
        y.set(x.copy(), stream=copying)
        gpu.current = computing
        arrived = Event(gpu)
        copying.record(arrived)
        computing.wait_event(arrived)
        return y

    return send


def straight_into_an_array_of_the_computation(gpu: Gpu, _: Any) -> Send:
    copying = Stream(gpu)

    def send(x: np.ndarray) -> DeviceArray:
        y = gpu.empty(x.shape, x.dtype)
        y.set(x.copy(), stream=copying)
        arrived = Event(gpu)
        copying.record(arrived)
        gpu.current.wait_event(arrived)
        return y

    return send


@pytest.mark.parametrize(
    "plant",
    [
        the_host_does_not_wait,
        the_computation_does_not_wait,
        the_copying_stream_does_not_wait,
        the_copying_stream_waits_for_the_slot_only_when_it_is_used_again,
        straight_into_an_array_of_the_copying_stream,
        straight_into_an_array_of_the_computation,
    ],
)
def test_a_wait_that_is_left_out_is_found(plant: Callable[[Gpu, Any], Send], monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [Gpu(seed) for seed in range(SEEDS)]
    assert any(differ(gpu, plant(gpu, on(gpu, monkeypatch))) for gpu in gpus)


def test_pinned_memory_goes_back_only_when_its_copy_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(0)
    gpu.eager = 0.0
    send = on(gpu, monkeypatch)
    y = send(np.ones(3))
    copying = send._copying
    assert copying.queue
    del send
    assert not copying.queue
    assert gpu.waits == 1
    while gpu.work_once():
        pass
    np.testing.assert_array_equal(y.numbers, np.ones(3))


def test_any_layout_and_dtype_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "use_cupy", lambda: fake_cupy)
    send, x = sender("cuda"), np.arange(24).reshape(2, 3, 4)
    for given in (x, x.T, x[:, ::2], x.astype(np.float32), np.float64(3.0) * np.ones(()), x[:0]):
        with watched() as traffic:
            y = send(given)
        assert traffic == Traffic(syncs=0, host_copies=1)
        assert type(y) is FakeArray
        assert y.dtype == given.dtype
        np.testing.assert_array_equal(y.get(), given)


def test_on_the_host_there_is_nothing_to_send() -> None:
    x = np.ones(3)
    assert sender("cpu")(x) is x
    with pytest.raises(ValueError, match="device: expected 'cpu' or 'cuda', got 'gpu'"):
        sender("gpu")  # type: ignore[arg-type]
