"""What every contender in PyTorch on a GPU has: a clock whose marks the GPU sets, its memory, and float32."""

from itertools import pairwise
from typing import Any

import torch

if not torch.cuda.is_available():
    # The harness leaves out what cannot be imported.
    raise ImportError("this PyTorch finds no GPU")


class Clock:
    """CUDA events between the steps."""

    def __init__(self) -> None:
        self.events: list[torch.cuda.Event] = []

    def mark(self) -> None:
        """When all is done that has been asked for."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self.events.append(event)

    def seconds(self) -> list[float]:
        """Between one mark and the next; waits for the last."""
        self.events[-1].synchronize()
        return [a.elapsed_time(b) / 1000 for a, b in pairwise(self.events)]


class OnGpu:
    """To be inherited before a contender in PyTorch. cuDNN tries its algorithms out and keeps the fastest."""

    device = "cuda"
    clock = Clock

    def __init__(self, **arguments: Any) -> None:
        # By itself PyTorch multiplies matrices in float32, but cuts off factors of convolutions after 10 bits.
        torch.backends.fp32_precision = "ieee"  # type: ignore[attr-defined]  # not in its stubs
        torch.backends.cudnn.benchmark = True
        super().__init__(**arguments)

    def device_memory(self) -> dict[str, int]:
        """The most that PyTorch's pool had taken, and the most that tensors held of it."""
        return {"gpu_pool": torch.cuda.max_memory_reserved(), "gpu_allocated": torch.cuda.max_memory_allocated()}
