"""Batches and noise on their way to the GPU: on a stream of their own, beside what it computes.

    send = sender("cuda")
    x = send(batch)                    # at once; the numbers arrive before anything that is asked of x

A training draws on the host and hands over some arrays in every turn. On the stream of the computation each would cross
the bus while the GPU stands still. Read beside training.py; docs/decisions.md says what it costs.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigan import arrays
from minigan.arrays import Array, Device, check_device, to_host

RING = 4
"""Arrays of one shape that may be on their way to the GPU at once."""


def sender(device: Device) -> Callable[[np.ndarray], Array]:
    """A function that brings host arrays to `device` one after another, as a training draws them.

    To the GPU they travel beside what it computes, and neither the host nor the computation waits for more than it
    must: see `_Sender`. The numbers are those of to_device.

    Raises as check_device.
    """
    check_device(device)
    return _Sender(arrays.use_cupy()) if device == "cuda" else to_host


class _Slot(NamedTuple):
    """A place in the ring: memory on both sides of the bus, and what has happened to it."""

    pinned: np.ndarray  # host memory that the GPU reads by itself, while Python goes on
    staged: Array
    arrived: Any  # event: pinned has been copied to staged, and may be overwritten
    taken: Any  # event: staged has been copied on, and may be overwritten


class _Sender:
    """Copies host arrays to the GPU on a stream of its own, and hands out arrays of the current, computing stream.

        host       pinned <- x
        copying    wait for taken;    staged <- pinned;   record arrived
        computing  wait for arrived;  y <- staged;        record taken

    The two streams wait for each other on the device. The host waits only where the ring has come round: when it is
    RING arrays of one shape ahead of the copies. Nothing is drawn before its turn, since Python runs ahead of the GPU
    as it is; so the order of drawing, and with it the state that a checkpoint saves, is the same as on the host.

    Why not copy straight into y? When Python lets go of an array, CuPy's pool may give its memory to the next one at
    once. That is right as long as one stream does all the work, in order. A second stream would write into memory
    that the first has yet to read. So the copying stream writes into memory that the ring keeps, and y belongs to
    the computing stream alone: allocated, written, read and freed in its order.
    """

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._copying = cupy.cuda.Stream(non_blocking=True)  # others and the default stream wait for one another
        self._rings: dict[tuple[Any, ...], deque[_Slot]] = {}
        # Pinned memory is pooled as well, and must not go back while it is being copied.
        weakref.finalize(self, self._copying.synchronize).atexit = False

    def __call__(self, x: np.ndarray) -> Array:
        computing = self._cupy.cuda.get_current_stream()
        ring = self._rings.setdefault((x.shape, x.dtype), deque())
        slot = ring.popleft() if len(ring) == RING else self._slot(x, computing)
        ring.append(slot)
        if not slot.arrived.done:
            slot.arrived.synchronize()
        slot.pinned[...] = x

        self._copying.wait_event(slot.taken)
        slot.staged.set(slot.pinned, stream=self._copying)
        self._copying.record(slot.arrived)

        computing.wait_event(slot.arrived)
        y = slot.staged.copy()
        computing.record(slot.taken)
        return y

    def _slot(self, x: np.ndarray, computing: Any) -> _Slot:
        cuda = self._cupy.cuda
        pinned = np.ndarray(x.shape, x.dtype, buffer=cuda.alloc_pinned_memory(x.nbytes))
        staged = self._cupy.empty(x.shape, x.dtype)
        arrived, taken = (cuda.Event(disable_timing=True) for _ in range(2))
        computing.record(taken)  # staged may lie in memory of an array that the computing stream has yet to read
        return _Slot(pinned, staged, arrived, taken)
