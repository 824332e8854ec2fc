"""The training step of every system in PyTorch on a GPU, tuned and through torch.compile."""

from benchmarks.contenders.cuda_torch import OnGpu
from benchmarks.contenders.steps_torch_compile import Compiled


class CudaCompiled(OnGpu, Compiled):
    """Both networks compiled."""
