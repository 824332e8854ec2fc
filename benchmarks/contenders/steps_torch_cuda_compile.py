"""The training step of every system in PyTorch on a GPU, tuned and through torch.compile, in both precisions."""

from benchmarks.contenders.cuda_torch import OnGpu
from benchmarks.contenders.steps_torch_compile import Compiled


class CudaCompiled(OnGpu, Compiled):
    """In float32."""


class CompiledTf32(CudaCompiled):
    """In TF32."""

    tf32 = True
