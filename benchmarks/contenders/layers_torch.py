"""One layer in PyTorch, with images in ordinary (NCHW) and in channels-last memory."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.contenders.layers_minigan import numbers, slope


class Torch:
    """A step is one operation; what is not asked for is not computed either."""

    memory = torch.contiguous_format

    def __init__(
        self,
        batch: int,
        name: str,
        kind: str,
        channels: int,
        outputs: int,
        size: int,
        kernel: int,
        stride: int,
        padding: int,
        operation: str,
    ) -> None:
        layers: dict[str, Callable[[], nn.Module]] = {
            "linear": lambda: nn.Linear(channels, outputs),
            "conv": lambda: nn.Conv2d(channels, outputs, kernel, stride, padding),
            "transposed": lambda: nn.ConvTranspose2d(channels, outputs, kernel, stride, padding),
            "norm": lambda: (nn.BatchNorm1d if size == 1 else nn.BatchNorm2d)(channels),
            "pool": lambda: nn.MaxPool2d(kernel, stride, padding),
        }
        layer = layers[kind]()
        given = numbers(kind, batch, channels, outputs, size, kernel)
        x = self.laid_out(given.pop("x")).requires_grad_(operation == "input")
        layer.load_state_dict({key: torch.from_numpy(array) for key, array in given.items()}, strict=False)
        layer.to(memory_format=self.memory).requires_grad_(False)  # type: ignore[call-overload]
        self.result = torch.zeros(1)
        if operation == "forward":
            self.operation: Callable[[], Tensor] = lambda: layer(x)
            return
        wanted = x
        if operation == "weight":
            assert isinstance(layer.weight, Tensor)
            wanted = layer.weight.requires_grad_(True)
        y = layer(x)
        dy = self.laid_out(slope(y))
        self.operation = lambda: torch.autograd.grad(y, wanted, dy, retain_graph=True)[0]

    def laid_out(self, x: np.ndarray) -> Tensor:
        """x in this contender's memory order."""
        t = torch.from_numpy(x)
        return t.contiguous(memory_format=self.memory) if t.ndim == 4 else t

    def step(self, index: int) -> None:
        """The operation, once."""
        self.result = self.operation()

    def answer(self) -> dict[str, np.ndarray]:
        """What it gave; nothing before the first step."""
        return {"result": self.result.detach().numpy()}


class ChannelsLast(Torch):
    """Images and kernels in channels-last memory."""

    memory = torch.channels_last
