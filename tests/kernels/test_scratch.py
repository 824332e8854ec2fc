"""Memory that kernels reuse: nobody gets what somebody else still holds, and everything starts on a cache line."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from minigan.kernels.scratch import _Shelf, constant, empty, empty_like, scratch

SHAPES = [(0,), (), (5, 7), (3, 40_000), (2, 3, 300, 400), (1 << 20,)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
VIEWS: dict[str, Callable[[np.ndarray], Any]] = {
    "the array": lambda x: x,
    "a slice": lambda x: x[1:],
    "a transpose": lambda x: x.T,
    "a slice of a reshaped transpose": lambda x: x.T.reshape(-1, 2)[:, 1],
    "a memoryview": lambda x: np.asarray(memoryview(x)),
}


@every_shape
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_start_on_a_cache_line_and_are_written_to(shape: tuple[int, ...], dtype: Any) -> None:
    for x in (empty(shape, dtype), scratch("test", shape, dtype), empty_like(np.zeros(shape, dtype))):
        assert (x.shape, x.dtype) == (shape, dtype)
        assert x.size == 0 or x.ctypes.data % 64 == 0
        x[...] = 1.0
        assert (x == 1.0).all()


@pytest.mark.parametrize("held", VIEWS)
@pytest.mark.parametrize("size", [1000, 1 << 17, 1 << 20])
def test_memory_that_is_held_by_a_view_is_not_given_out_again(held: str, size: int) -> None:
    first = empty((2, size), np.float32)
    first[...] = 7.0
    view = VIEWS[held](first)
    del first
    others = [empty((2, size), np.float32) for _ in range(3)]
    for i, other in enumerate(others):
        other[...] = i
    assert not any(np.shares_memory(a, b) for i, a in enumerate(others) for b in [view, *others[:i]])
    assert (view == 7.0).all()


def test_a_block_from_the_shelf_serves_its_size_and_down_to_half_of_it_and_one_array_at_a_time() -> None:
    shelf = _Shelf()
    block = shelf.take(1000)
    for asked, the_same in [(1000, True), (700, True), (500, True), (499, False), (1001, False)]:
        shelf.put(block)
        taken = shelf.take(asked)
        assert (taken is block) is the_same, asked
        assert shelf.bytes == (0 if the_same else 1000)
        assert taken.nbytes >= asked
        if not the_same:
            assert shelf.take(1000) is block
    shelf.put(block)
    shelf.put(smaller := shelf.take(1500)[:800])
    assert shelf.take(700) is smaller
    assert shelf.take(700) is block
    assert shelf.take(700) is not block
    assert shelf.bytes == 0


def test_threads_get_scratch_of_their_own() -> None:
    mine = scratch("shared name", (1000,), np.float32)
    with ThreadPoolExecutor(1) as pool:
        theirs = pool.submit(scratch, "shared name", (1000,), np.float32).result()
        assert not np.shares_memory(mine, theirs)


def test_scratch_is_reused_and_grows() -> None:
    a = scratch("reuse", (100,), np.float32)
    assert np.shares_memory(a, scratch("reuse", (5, 10), np.float64))
    assert scratch("reuse", (1000,), np.float64).shape == (1000,)


def test_a_constant_vector_is_shared_and_cannot_be_written_to() -> None:
    long, short = constant(0.25, 1 << 19, np.float32), constant(0.25, 10, np.float32)
    others = [empty((1 << 19,), np.float32) for _ in range(2)]
    for other in others:
        other[...] = 1.0
    assert (long == 0.25).all()
    assert np.shares_memory(long, short)
    with pytest.raises(ValueError, match="read-only"):
        short[0] = 1.0


def test_results_keep_the_order_of_axes_in_memory() -> None:
    x = np.zeros((2, 5, 3, 4), np.float32).transpose(0, 3, 1, 2)
    assert empty_like(x).strides == x.strides
