"""The training step of every system in PyTorch with both networks through torch.compile, and tuned besides.

It needs a C++ compiler, and minutes before the first step. What is compiled belongs to a module, so the modules are
made once in the life of the process; each build only loads the first weights into them again.
"""

from functools import cache

import torch
from torch import nn

from benchmarks.contenders.steps_torch import Tuned, channels_last, networks

try:
    torch.compile(nn.Linear(2, 2))(torch.zeros(2, 2))
except Exception as reason:
    # The harness leaves out what cannot be imported.
    raise ImportError(f"torch.compile does not work here: {str(reason).strip().splitlines()[0]}") from reason


class Compiled(Tuned):
    """`Tuned`, with compiled networks."""

    def __init__(self, system: str, batch: int, width: int = 64, size: int = 96) -> None:
        super().__init__(system, batch, width, size)
        self.G, self.D = compiled(self.generator), compiled(self.discriminator)

    def networks(self, system: str, width: int) -> tuple[nn.Module, nn.Module]:
        """G and D, the same two each time."""
        G, D = made_once(system, width)
        G.zero_grad()
        D.zero_grad()
        return G, D


@cache
def made_once(system: str, width: int) -> tuple[nn.Module, nn.Module]:
    """G and D in channels-last memory."""
    return channels_last(*networks(system, width))


@cache
def compiled(network: nn.Module) -> nn.Module:
    """The network compiled."""
    module: nn.Module = torch.compile(network)  # type: ignore[assignment]
    return module
