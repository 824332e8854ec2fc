"""Streams, events, pinned memory and CuPy's memory pool without a GPU: all happens as early, and as late, as it may.

`Gpu` stands for the module cupy where `sending.py` uses it. What a stream is asked for is put into its queue. A
random scheduler takes from the queues whenever the host calls: any number of operations, in any order that streams and
events allow. Memory that Python lets go of serves the next array of the stream that it was allocated on, at once,
whatever is still in the queues: as CuPy's pool does it.

A sender that forgets to wait for something gives wrong numbers for some seeds.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np


class Gpu:
    """cupy, with a host that counts its waits."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.eager = self.rng.random()  # how much is done between two calls of the host
        self.waits = 0
        self.streams: list[Stream] = []
        self.current = Stream(self)
        self.cuda = SimpleNamespace(
            Stream=lambda non_blocking: Stream(self),
            Event=lambda disable_timing: Event(self),
            get_current_stream=lambda: self.current,
            alloc_pinned_memory=bytearray,
        )

    def empty(self, shape: tuple[int, ...], dtype: Any) -> DeviceArray:
        """An array in memory of the current stream, with whatever was in it."""
        return DeviceArray(self, shape, np.dtype(dtype))

    def work(self) -> None:
        """What the device happens to do meanwhile."""
        while self.rng.random() < self.eager and self.work_once():
            pass

    def work_once(self) -> bool:
        """One operation of any stream that is not waiting; False if there is none."""
        ready = [stream for stream in self.streams if stream.queue and stream.queue[0][0].done]
        if ready:
            _, operation = self.rng.choice(np.array(ready, object)).queue.popleft()
            operation()
        return bool(ready)


class Ticket:
    """Whether that for which an event was last recorded is done."""

    def __init__(self, done: bool) -> None:
        self.done = done


class Event:
    """An event; before it is recorded there is nothing to wait for."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu, self.ticket = gpu, Ticket(True)

    @property
    def done(self) -> bool:
        """Whether it has happened."""
        self.gpu.work()
        return self.ticket.done

    def synchronize(self) -> None:
        """The host waits until it has happened."""
        self.gpu.waits += 1
        while not self.ticket.done:
            assert self.gpu.work_once(), "the host waits for what never comes"


class Stream:
    """A queue of operations, each with the ticket it waits for."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self.queue: deque[tuple[Ticket, Callable[[], Any]]] = deque()
        self.free: list[np.ndarray] = []
        gpu.streams.append(self)

    def ask(self, operation: Callable[[], Any], after: Ticket | None = None) -> None:
        """Do something some time."""
        self.queue.append((after or Ticket(True), operation))
        self.gpu.work()

    def record(self, event: Event) -> None:
        """The event happens when all that was asked for so far is done."""
        ticket = event.ticket = Ticket(False)
        self.ask(lambda: setattr(ticket, "done", True))

    def wait_event(self, event: Event) -> None:
        """Nothing that is asked for later is done before the event, as it was recorded last."""
        self.ask(lambda: None, after=event.ticket)

    def synchronize(self) -> None:
        """The host waits until all is done."""
        self.gpu.waits += 1
        while self.queue:
            assert self.gpu.work_once(), "the host waits for what never comes"


class DeviceArray:
    """An array on the device."""

    def __init__(self, gpu: Gpu, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.gpu, self.shape, self.dtype = gpu, shape, dtype
        pool, size = gpu.current.free, int(np.prod(shape)) * dtype.itemsize
        fitting = [i for i, block in enumerate(pool) if block.nbytes == size]
        block = pool.pop(fitting[-1]) if fitting else np.full(size, 255, np.uint8)
        self.numbers = np.ndarray(shape, dtype, buffer=block)
        weakref.finalize(self, pool.append, block)

    def set(self, arr: np.ndarray, stream: Stream) -> None:
        """Copy from the host, some time."""
        numbers = self.numbers
        stream.ask(lambda: np.copyto(numbers, arr))

    def copy(self) -> DeviceArray:
        """A copy, made by the current stream some time."""
        y = DeviceArray(self.gpu, self.shape, self.dtype)
        there, here = y.numbers, self.numbers
        self.gpu.current.ask(lambda: np.copyto(there, here))
        return y

    def read(self, into: list[np.ndarray]) -> None:
        """What a computation does with it, some time; the array itself may be gone by then."""
        numbers = self.numbers
        self.gpu.current.ask(lambda: into.append(numbers.copy()))
