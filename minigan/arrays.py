"""Which library does an array belong to?  NumPy on the host, CuPy on a GPU: one code path for both.

Every primitive asks `xp = array_module(x)` and then writes `xp.exp(x)`: the array itself says where the work
is done, so there is no global switch and no `device` argument below the place where an array is born. How arrays
get to a GPU is in devices.py, which one need not read. Read next: parameters.py.
"""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np
from autograd.extend import Box, VSpace
from autograd.numpy.numpy_boxes import ArrayBox
from autograd.numpy.numpy_vspaces import ArrayVSpace

Array: TypeAlias = Any  # np.ndarray, cupy.ndarray or, while a gradient is taken, autodiff.Traced around one


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


def is_registered(array_type: type) -> bool:
    """Whether arrays of this type, or numbers, are known here."""
    return array_type in _modules


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


def _first_sight(x: Array) -> Any:
    # A CuPy array that came in by another door than devices.use_cupy(): its module is imported already.
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
