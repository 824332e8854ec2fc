"""The training step of every system in PyTorch on a GPU, eager: as one usually writes it, and tuned."""

from benchmarks.contenders.cuda_torch import OnGpu
from benchmarks.contenders.steps_torch import Torch, Tuned


class Cuda(OnGpu, Torch):
    """As one usually writes it."""


class CudaTuned(OnGpu, Tuned):
    """Channels-last memory, fused Adam, nothing computed that is thrown away."""
