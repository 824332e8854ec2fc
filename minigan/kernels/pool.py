"""A pool of worker threads for tiles of NumPy work.

NumPy and BLAS release the interpreter lock while they compute, so plain threads use all cores.
`parallel_for(n, body)` calls body(0) ... body(n - 1), each once, in no particular order: whoever is free, the
caller included, takes the next number from a shared counter, which balances uneven tiles by itself.

BLAS has threads of its own that would fight with ours (they spin for a while after every product), so it is
held to one thread while the pool works. `SingleThreadedBLAS()` holds it for longer, say for a whole
training step.

numpy copies an operand to a buffer before it computes with it, if its runs of memory are shorter than about half
the buffer. At 8192 numbers, the default, nearly every strided operand is copied, at three times the cost: bodies run
with a smaller buffer.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Sequence
from functools import cache
from queue import SimpleQueue
from typing import TypeVar

import numpy as np
from threadpoolctl import LibController, ThreadpoolController

Part = TypeVar("Part")
_BUFFER = 1024  # numbers; fewer are slower for runs of less than 100


def parallel_for(n_tiles: int, body: Callable[[int], object]) -> None:
    """Call body(tile) for every tile in range(n_tiles); the first exception of any of them is raised here.

    A call from inside a body runs on the spot, in order. Several threads may call at once; they share the
    workers.
    """
    with SingleThreadedBLAS(), np.errstate():
        np.setbufsize(_BUFFER)
        if n_tiles <= 1 or _num_threads == 1 or getattr(_thread, "inside", False):
            for tile in range(n_tiles):
                body(tile)
            return
        job = _Job(n_tiles, body)
        queue = _workers()
        for _ in range(min(_num_threads, n_tiles) - 1):
            queue.put(job)
        _thread.inside = True
        try:
            job.work()
        finally:
            _thread.inside = False
        job.done.acquire()
        if job.error is not None:
            raise job.error


def for_each(parts: Sequence[Part], body: Callable[[Part], object]) -> None:
    """body(part) for every part, as parallel_for."""
    parallel_for(len(parts), lambda i: body(parts[i]))


def cut(n: int, n_parts: int) -> list[slice]:
    """n things cut into parts that are as even as they come."""
    return [slice(i * n // n_parts, (i + 1) * n // n_parts) for i in range(n_parts)]


def chunks(n: int, size: int) -> list[slice]:
    """n things in parts of this size; what is left is the last."""
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]


def set_num_threads(n: int) -> None:
    """Let parallel_for use n threads, the caller's included."""
    global _num_threads, _queue
    if n < 1:
        raise ValueError(f"n: expected at least 1 thread, got {n}")
    with _lock:
        if _queue is not None:
            for _ in range(_num_threads - 1):
                _queue.put(None)
            _queue = None
        _num_threads = n


def get_num_threads() -> int:
    """How many threads parallel_for uses, the caller's included; at first one for each core we may use."""
    return _num_threads


class SingleThreadedBLAS:
    """A context in which BLAS uses one thread. It nests, across threads too; the last one out restores."""

    def __enter__(self) -> None:
        global _holders, _saved
        depth = getattr(_thread, "depth", 0)
        if depth == 0:
            with _lock:
                if _holders == 0:
                    _saved = [library.get_num_threads() for library in _blas_libraries()]
                    _set_blas_threads([1] * len(_saved))
                _holders += 1
        _thread.depth = depth + 1

    def __exit__(self, *error: object) -> None:
        global _holders
        _thread.depth -= 1
        if _thread.depth == 0:
            with _lock:
                _holders -= 1
                if _holders == 0:
                    _set_blas_threads(_saved)


def blas_is_held() -> bool:
    """Whether this thread holds BLAS to one thread: then large products had better be shared by the pool."""
    return getattr(_thread, "depth", 0) > 0


def blas_architectures() -> set[str]:
    """The processors that the loaded BLAS libraries chose their kernels for, in their own words."""
    return {getattr(library, "architecture", None) or "unknown" for library in _blas_libraries()}


class _Job:
    """The tiles of one parallel_for. A worker that wakes late finds no tile left; nobody waits for it."""

    def __init__(self, n_tiles: int, body: Callable[[int], object]) -> None:
        self.n_tiles = n_tiles
        self.body = body
        self.tickets = itertools.count()  # next() is atomic
        self.finished = 0
        self.lock = threading.Lock()
        self.done = threading.Lock()
        self.done.acquire()
        self.error: BaseException | None = None

    def work(self) -> None:
        finished = 0
        while (tile := next(self.tickets)) < self.n_tiles:
            try:
                if self.error is None:
                    self.body(tile)
            except BaseException as error:
                self.error = error
            finished += 1
        with self.lock:
            self.finished += finished
            if finished and self.finished == self.n_tiles:
                self.done.release()


def _workers() -> SimpleQueue[_Job | None]:
    """The queue that the workers read; they are started when first needed."""
    global _queue
    if _queue is None:
        with _lock:
            if _queue is None:
                queue: SimpleQueue[_Job | None] = SimpleQueue()
                for i in range(_num_threads - 1):
                    threading.Thread(target=_serve, args=(queue,), name=f"minigan-{i + 1}", daemon=True).start()
                _queue = queue
    return _queue


def _serve(queue: SimpleQueue[_Job | None]) -> None:
    _thread.inside = True
    np.setbufsize(_BUFFER)
    while (job := queue.get()) is not None:
        job.work()
        del job  # else a sleeping worker would keep the last job's arrays alive


@cache
def _blas_libraries() -> list[LibController]:
    return ThreadpoolController().select(user_api="blas").lib_controllers  # milliseconds: once is enough


def _set_blas_threads(numbers: list[int]) -> None:
    """threadpoolctl 3.8 heeds one thread only, but the last one out need not be the first one in."""
    for library, saved, n in zip(_blas_libraries(), _saved, numbers, strict=True):
        if saved != 1:
            release = getattr(library, "clear_controlling_thread", lambda force: None)
            release(force=True)
            library.set_num_threads(n)
            release(force=True)


def _after_fork() -> None:
    """Only the forking thread lives on in the child: no workers, and nobody else's hold on BLAS."""
    global _queue, _lock, _holders
    _queue = None
    _lock = threading.Lock()
    others_held, _holders = _holders > 0, int(blas_is_held())
    if others_held and _holders == 0:
        _set_blas_threads(_saved)


def _default_num_threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_num_threads = _default_num_threads()
_queue: SimpleQueue[_Job | None] | None = None
_lock = threading.Lock()
_thread = threading.local()
_holders = 0
_saved: list[int] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
