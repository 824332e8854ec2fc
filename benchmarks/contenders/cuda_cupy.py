"""What every contender on CuPy has: a clock whose marks the GPU sets, its memory, and TF32 or not."""

from itertools import pairwise
from typing import Any

from minigan.arrays import Device, DeviceError, set_precision, use_cupy

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


class OnGpu:
    """To be inherited before a contender of minigan's."""

    device: Device = "cuda"
    tf32 = False
    clock = Clock

    def __init__(self, **arguments: Any) -> None:
        set_precision("cuda", self.tf32)
        super().__init__(**arguments)

    def device_memory(self) -> dict[str, int]:
        """What CuPy's pool has taken; it gives nothing back, so that is the most. It does not note what arrays held."""
        return {"gpu_pool": cupy.get_default_memory_pool().total_bytes()}
