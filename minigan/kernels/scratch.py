"""Aligned memory, and buffers that outlive a call.

numpy's own arrays start 16 bytes past a cache line when they are large, so every vector store straddles two
lines and simple passes take twice as long: `empty` starts on a line.

A fresh large array costs a page fault for every page that is first touched. A kernel that needs the same
temporary at every step asks for it here by name and finds last step's memory, still mapped and perhaps still
in the cache. Each thread has its own buffers, so a tile's body can use them without asking anyone.

Large results come and go in the same sizes step after step. The memory of one that dies is kept on a shelf for the
next of its size, where the C library would hand it back to the system and fetch it again, zeroed page by page.
"""

from __future__ import annotations

import ctypes
import math
import threading
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

Array = np.ndarray
_ALIGNMENT = 64  # bytes: one cache line, and the widest vector register
_SHELVED = 1 << 18  # bytes: smaller blocks the C library keeps by itself
_SHELF = 1 << 30  # bytes on the shelf; one more, and it is cleared, so that sizes out of use do not stay


def scratch(name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """An uninitialised array of this shape. This thread's next request for the name overwrites it."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    try:
        buffers: dict[str, Array] = _thread.buffers
    except AttributeError:
        buffers = _thread.buffers = {}
    buffer = buffers.get(name)
    if buffer is None or buffer.nbytes < size:
        buffer = buffers[name] = _aligned(size)
    return np.ndarray(shape, dtype, buffer.data)


def zeros(name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Such an array of zeros."""
    array = scratch(name, shape, dtype)
    array[...] = 0
    return array


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """np.empty on a cache line."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < _SHELVED:
        return np.ndarray(shape, dtype, _aligned(size).data)
    lease = _lease(size).from_buffer(block := _shelf.take(size))
    lease.block = block
    return np.ndarray(shape, dtype, lease)


def empty_like(x: Array) -> Array:
    """np.empty_like on a cache line, with the order of x's axes in memory."""
    order = memory_order(x)
    inverse = sorted(range(x.ndim), key=order.__getitem__)
    return empty(tuple(x.shape[axis] for axis in order), x.dtype).transpose(inverse)


def constant(value: float, size: int, dtype: DTypeLike) -> Array:
    """A shared read-only vector of one value: some ufuncs are slower with a number than with an array."""
    key = value, np.dtype(dtype)
    vector = _constants.get(key)
    if vector is None or vector.size < size:
        vector = empty((size,), dtype)
        vector[...] = value
        vector.flags.writeable = False
        _constants[key] = vector
    return vector[:size]


def constant_like(x: Array, value: float) -> Array:
    """Such a constant in the shape of x, and in the order of its memory if x is contiguous."""
    vector = constant(value, x.size, x.dtype)
    return vector.reshape(x.shape) if x.flags.c_contiguous else vector.reshape(x.T.shape).T


def memory_order(x: Array) -> list[int]:
    """The axes of x, the one with the longest stride first."""
    return sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))


def _aligned(size: int) -> Array:
    raw = np.empty(size + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + max(size, 1)]


class _Shelf:
    """Blocks of memory that nobody uses, by their size."""

    def __init__(self) -> None:
        self.blocks: dict[int, list[Array]] = {}
        self.bytes, self.limit = 0, _SHELF  # threads may race for bytes: it is only a guide

    def take(self, size: int) -> Array:
        """A block of this size from the shelf, or else the next larger one, up to twice the size, or else a new one.

        Arrays of different sizes are seldom all alive at once: to lend one the other's memory saves an eighth of it.
        """
        for n in [size] if self.blocks.get(size) else sorted(n for n in tuple(self.blocks) if size < n <= 2 * size):
            try:
                block = self.blocks[n].pop()
            except (KeyError, IndexError):  # there is none; or there was, and another thread was faster
                continue
            self.bytes -= n
            return block
        return _aligned(size)

    def put(self, block: Array) -> None:
        """Keep the block for the next that asks for its size."""
        if self.bytes + block.nbytes > self.limit:
            self.blocks.clear()
            self.bytes = 0
        self.blocks.setdefault(block.nbytes, []).append(block)
        self.bytes += block.nbytes


@cache
def _lease(size: int) -> Any:
    """A type of objects that lend a block of this size to arrays.

    It is no array itself: numpy would shorten the chain x.base.base and let go of the lease while x lives.
    """
    shelf = _shelf  # at interpreter exit this outlives the module's names

    class Lease(ctypes.c_char * size):  # type: ignore[misc]
        block: Array

        def __del__(self) -> None:  # the last array on it is gone
            shelf.put(self.block)

    return Lease


_shelf = _Shelf()
_constants: dict[tuple[float, np.dtype], Array] = {}
_thread = threading.local()
