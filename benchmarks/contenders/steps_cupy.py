"""The training step of every system in minigan on a GPU: the plain code, with CuPy's arrays."""

from benchmarks.contenders.cuda_cupy import OnGpu
from benchmarks.contenders.steps_minigan import Minigan


class Cupy(OnGpu, Minigan):
    """In float32."""


class Tf32(Cupy):
    """Products in TF32."""

    tf32 = True
