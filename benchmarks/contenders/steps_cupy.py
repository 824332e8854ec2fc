"""The training step of every system in minigan on a GPU: CuPy's arrays in the plain code, and in minigan's kernels."""

from benchmarks.contenders.cuda_cupy import OnGpu
from benchmarks.contenders.steps_minigan import Minigan
from minigan import kernels


class Cupy(OnGpu, Minigan):
    """In float32."""


class Tf32(Cupy):
    """Products in TF32."""

    tf32 = True


class Kernels(Cupy):
    """Through minigan/kernels/gpu/, in float32."""

    def step(self, index: int) -> None:
        """One move of D, one of G."""
        with kernels.on_gpu():
            super().step(index)


class KernelsTf32(Kernels):
    """Products in TF32."""

    tf32 = True
