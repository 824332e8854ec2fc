"""One layer in PyTorch on a GPU, with images in ordinary (NCHW) and in channels-last memory, in both precisions."""

from benchmarks.contenders.cuda_torch import OnGpu
from benchmarks.contenders.layers_torch import ChannelsLast, Torch


class Cuda(OnGpu, Torch):
    """In float32."""


class Tf32(Cuda):
    """In TF32."""

    tf32 = True


class CudaChannelsLast(OnGpu, ChannelsLast):
    """Channels-last, in float32."""


class ChannelsLastTf32(CudaChannelsLast):
    """Channels-last, in TF32."""

    tf32 = True
