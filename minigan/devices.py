"""How arrays get to a GPU and back: `--device cuda`, and what is said where there is none.

Only places where arrays are born ask for a device: initial weights, batches, noise. Everything else goes by the arrays
themselves (arrays.py). This is the only file that imports CuPy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, Literal, TypeAlias

import numpy as np

from minigan.arrays import Array, is_registered, on_host, register_array_type, to_host

Device: TypeAlias = Literal["cpu", "cuda"]


class DeviceError(RuntimeError):
    """The device that was asked for cannot be used; in one line, why, and what helps."""


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
    if not is_registered(cupy.ndarray):
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
            elif is_registered(type(item)) and not on_host(item):
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
