"""Which library does an array belong to?  NumPy on the host, CuPy on a GPU: one code path for both.

Every primitive asks `xp = array_module(x)` and then writes `xp.exp(x)`: the array itself says where the work
is done, so there is no global switch and no `device` argument below the place where an array is born. This is the
only file that knows CuPy. Read next: parameters.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, Literal, TypeAlias

import numpy as np
from autograd.extend import Box, VSpace
from autograd.numpy.numpy_boxes import ArrayBox
from autograd.numpy.numpy_vspaces import ArrayVSpace

Array: TypeAlias = Any  # np.ndarray, cupy.ndarray or, while a gradient is taken, autodiff.Traced around one
Device: TypeAlias = Literal["cpu", "cuda"]


class DeviceError(RuntimeError):
    """The device that was asked for cannot be used; in one line, why, and what helps."""


_modules: dict[type, Any] = dict.fromkeys((np.ndarray, np.float64, np.float32, np.float16, float, int, bool), np)


def array_module(x: Array) -> Any:
    """The module whose functions work on x: numpy or cupy.

    Raises TypeError if x is no array of either.
    """
    try:
        return _modules[type(x)]
    except KeyError:
        return _first_sight(x)


def register_array_type(array_type: type, module: Any) -> None:
    """Make arrays of `array_type` differentiable, with the functions of `module` (which has NumPy's names)."""
    _modules[array_type] = module
    if array_type not in Box.type_mappings:
        ArrayBox.register(array_type)  # autograd.grad knows it too, as far as autograd's own operators go
        VSpace.register(array_type, lambda value: _DeviceVSpace(value, module))


def use_cupy() -> ModuleType:
    """Import CuPy, register its arrays and return it.

    Raises DeviceError if CuPy is not installed or finds no usable GPU.
    """
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(
            f"device 'cuda' needs CuPy: pip install 'minigan[cuda12]' or 'minigan[cuda13]' ({error})"
        ) from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(f"device 'cuda' needs an NVIDIA GPU and driver; CuPy says: {error}") from None
    if count == 0:
        raise DeviceError("device 'cuda' needs an NVIDIA GPU; CuPy finds none")
    if cupy.ndarray not in _modules:
        register_array_type(cupy.ndarray, cupy)
    return cupy


def check_device(device: Device) -> None:
    """Refuse a device that is none, by ValueError, and one that cannot be used here, by DeviceError."""
    if device not in ("cpu", "cuda"):
        raise ValueError(f"device: expected 'cpu' or 'cuda', got {device!r}")
    if device == "cuda":
        use_cupy()


def to_device(x: Array, device: Device = "cpu") -> Array:
    """x on `device`: 'cpu' gives a NumPy array, 'cuda' a CuPy array. No copy if it is there already.

    Raises as check_device.
    """
    if device == "cpu":
        return to_host(x)
    check_device(device)
    return use_cupy().asarray(x)


def to_device_of(like: Array, x: Array) -> Array:
    """x, an array of any library, on the device of `like`: what files hold, on its way into a live array."""
    xp = array_module(like)
    if isinstance(x, xp.ndarray):
        return x
    host = to_host(x) if type(x) in _modules else np.asarray(x)
    return host if xp is np else xp.asarray(host)


def to_host(x: Array) -> np.ndarray:
    """x as a NumPy array; lists and numbers too. A CuPy array is copied, which waits for the GPU."""
    if isinstance(x, list | tuple) or array_module(x) is np:
        return np.asarray(x)
    return x.get()


def on_host(x: Array) -> bool:
    """Whether the numbers of x can be read without waiting for a GPU."""
    return array_module(x) is np


def finite(x: Array) -> bool:
    """Whether every number of the array is: no NaN, no infinity."""
    return bool(array_module(x).isfinite(x).all())


def mixed_devices(arguments: Mapping[str, Any]) -> str | None:
    """In words, which of some arguments are on the host and which on a GPU, and how to move them; None if all agree.

    Args:
        arguments: name -> an array, a list or tuple of arrays, or anything else. Plain numbers are at home everywhere.
    """
    on: dict[str, list[str]] = {"cpu": [], "cuda": []}
    for name, a in arguments.items():
        for full_name, item in _items(name, a):
            if isinstance(item, np.ndarray):
                on["cpu"].append(full_name)
            elif type(item) in _modules and _modules[type(item)] is not np:
                on["cuda"].append(full_name)
    if not (on["cpu"] and on["cuda"]):
        return None
    cpu, cuda = ", ".join(on["cpu"]), ", ".join(on["cuda"])
    return (
        f"expected all arrays on one device, got {cpu} on 'cpu' and {cuda} on 'cuda'; "
        f"minigan.to_device({on['cpu'][0]}, 'cuda') moves an array, and Parameters have a method .to_device('cuda')"
    )


def _items(name: str, a: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(a, (list, tuple)):
        yield from ((f"{name}[{i}]", item) for i, item in enumerate(a))
    else:
        yield name, a


def _first_sight(x: Array) -> Any:
    # A CuPy array that came in by another door than use_cupy(): its module is imported already.
    if type(x).__module__.split(".")[0] == "cupy":
        cupy = sys.modules["cupy"]
        register_array_type(cupy.ndarray, cupy)
        return cupy
    if isinstance(x, (np.ndarray, np.generic)):
        return np
    raise TypeError(f"expected a NumPy or CuPy array, got {type(x).__name__}")


class _DeviceVSpace(ArrayVSpace):
    """What HIPS autograd asks of a vector space, answered on the array's own device."""

    def __init__(self, value: Array, module: Any) -> None:
        self.shape, self.dtype, self.module = value.shape, value.dtype, module

    def zeros(self) -> Array:
        return self.module.zeros(self.shape, dtype=self.dtype)

    def ones(self) -> Array:
        return self.module.ones(self.shape, dtype=self.dtype)

    def _inner_prod(self, x: Array, y: Array) -> Array:
        return (x * y).sum()
