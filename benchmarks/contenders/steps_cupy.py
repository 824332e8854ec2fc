"""The training step of every system in minigan on a GPU: CuPy's arrays in the definitions that a reader reads."""

from itertools import pairwise
from typing import Any

from benchmarks.contenders.steps_minigan import Minigan
from minigan.devices import Device, DeviceError, use_cupy

try:
    cupy = use_cupy()
except DeviceError as reason:
    # The harness leaves out what cannot be imported.
    raise ImportError(str(reason)) from reason


class Clock:
    """CUDA events between the steps. An event's time is when the GPU comes to it, so Python may be ahead or behind."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def mark(self) -> None:
        """When all is done that has been asked for."""
        self.events.append(cupy.cuda.get_current_stream().record(cupy.cuda.Event()))

    def seconds(self) -> list[float]:
        """Between one mark and the next; waits for the last."""
        self.events[-1].synchronize()
        return [cupy.cuda.get_elapsed_time(a, b) / 1000 for a, b in pairwise(self.events)]


class Cupy(Minigan):
    """The same turn of the same game."""

    device: Device = "cuda"
    clock = Clock

    def device_memory(self) -> dict[str, int]:
        """What CuPy's pool has taken; it gives nothing back, so that is the most. It does not note what arrays held."""
        return {"gpu_pool": cupy.get_default_memory_pool().total_bytes()}
