"""The training step of every system in PyTorch on a GPU, eager: as usually written and tuned, in both precisions."""

from benchmarks.contenders.cuda_torch import OnGpu
from benchmarks.contenders.steps_torch import Torch, Tuned


class Cuda(OnGpu, Torch):
    """In float32."""


class Tf32(Cuda):
    """Products and convolutions in TF32."""

    tf32 = True


class CudaTuned(OnGpu, Tuned):
    """Channels-last memory, fused Adam, nothing computed that is thrown away; in float32."""


class TunedTf32(CudaTuned):
    """The same in TF32."""

    tf32 = True
