"""A GPU's work without a GPU: cupy.RawModule for the fake device, its CUDA source compiled for the CPU.

    with emulated():
        ...                                 # arrays of `on_device` run through minigan/kernels/gpu/

What CuPy would compile and be given is what is compiled and given here: the same source, the same options, the same
grid and arguments, each refused where it is not what the kernel's parameter takes. `fake_cupy.empty` gives memory full
of NaN (-1 in whole numbers) between two fences, and a launch that touched a fence fails.

What it cannot say: how fast anything is, whether NVIDIA's compiler rounds as g++ does, whether cuBLAS is used right.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from tests.fake_device import FakeArray, fake_cupy

COMPILER = shutil.which("g++") or shutil.which("c++") or shutil.which("clang++")

_HEADER = Path(__file__).with_name("cuda_on_cpu.h")
_FENCE = 64  # numbers


@contextmanager
def emulated() -> Iterator[None]:
    """Give fake arrays what the kernels on a GPU need; skips the test where there is no C++ compiler."""
    if COMPILER is None:
        pytest.skip("no C++ compiler (g++, c++, clang++) to emulate CUDA with")
    with patch.multiple(fake_cupy, create=True, RawModule=RawModule, empty=_fenced):
        yield


def on_device(x: Any) -> FakeArray:
    """x in its own layout between fences: what is read past its ends, or from gaps within, is NaN."""
    x = np.asarray(x)
    low, high = np.lib.array_utils.byte_bounds(x)
    memory = _fenced((high - low) // x.itemsize, x.dtype)._numbers
    y = np.ndarray(x.shape, x.dtype, memory, x.ctypes.data - low if x.size else 0, x.strides if x.size else None)
    y[...] = x
    return FakeArray(y)


class RawModule:
    """As cupy.RawModule is used: CUDA source by keyword, options as a tuple, functions by name."""

    def __init__(self, *, code: str, options: tuple[str, ...] = ()) -> None:
        assert isinstance(options, tuple)
        self._library = _library(code, options)

    def get_function(self, name: str) -> Callable[..., None]:
        """The kernel: (grid, block, arguments) -> None."""
        description = (ctypes.c_int * 64)()
        getattr(self._library, f"describe_{name}")(description)
        parameters, run = list(description[1 : 1 + description[0]]), getattr(self._library, f"launch_{name}")

        def function(grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
            assert isinstance(grid, tuple)
            assert isinstance(block, tuple)
            (blocks,), (threads,) = grid, block
            assert 0 < blocks < 2**31
            assert 0 < threads <= 1024
            values = [_value(a, parameter) for a, parameter in zip(args, parameters, strict=True)]
            run(blocks, threads, (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values)))
            for a in args:
                _check_fence(a)

        return function


def _value(a: Any, parameter: int) -> Any:
    """The argument in memory; `parameter` is its size, and 256 more if it is an address."""
    if isinstance(a, FakeArray):
        assert parameter == 256 + 8, "an array for a number"
        return ctypes.c_void_p(a._numbers.ctypes.data)
    if not isinstance(a, np.generic):
        raise TypeError(f"Unsupported type {type(a)}")
    assert parameter == a.itemsize, f"{a!r} for a parameter of {parameter} bytes"
    return (ctypes.c_char * a.itemsize).from_buffer_copy(a.tobytes())


@cache
def _library(code: str, options: tuple[str, ...]) -> ctypes.CDLL:
    names = re.findall(r"^KERNEL (\w+)\(", code, re.MULTILINE)
    entries = "".join(
        f'extern "C" void launch_{k}(unsigned blocks, unsigned size, void **a) {{launch({k}, blocks, size, a);}}\n'
        f'extern "C" void describe_{k}(int *out) {{describe({k}, out);}}\n'
        for k in names
    )
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "kernels.cpp"), Path(folder, "kernels.so")
        source.write_text(f'#include "{_HEADER}"\n{code}\n{entries}')
        command = [str(COMPILER), "-std=c++17", "-O2", "-fwrapv", "-shared", "-fPIC", *options]
        subprocess.run([*command, str(source), "-o", str(library)], check=True)
        return ctypes.CDLL(str(library))


class _Fenced(np.ndarray):
    """Memory with a fence at both ends; numpy keeps it as the base of its views because it is no plain array."""


def _fenced(shape: Any, dtype: Any = float) -> FakeArray:
    shape = (shape,) if isinstance(shape, int) else shape
    size = int(np.prod(shape))
    memory = np.ndarray.__new__(_Fenced, size + 2 * _FENCE, dtype)
    memory.view(np.uint8)[...] = 0xFF  # NaN, or -1
    inside = memory[_FENCE : _FENCE + size].view(np.ndarray)
    return FakeArray(inside.reshape(shape))


def _check_fence(a: Any) -> None:
    base = a._numbers if isinstance(a, FakeArray) else a
    while isinstance(base.base, np.ndarray):
        base = base.base
    if isinstance(base, _Fenced):
        whole = base.view(np.uint8, np.ndarray)
        fence = _FENCE * base.itemsize
        assert (whole[:fence] == 0xFF).all()
        assert (whole[-fence:] == 0xFF).all()
