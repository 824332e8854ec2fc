"""One layer in minigan on a GPU, and the large matrix product that gives the GPU's peak, in both precisions."""

from typing import Any

import numpy as np

from benchmarks.contenders.cuda_cupy import OnGpu, cupy
from benchmarks.contenders.layers_minigan import Minigan
from minigan import kernels, to_device


class Cupy(OnGpu, Minigan):
    """In float32, on ordinary memory."""

    def laid_out(self, x: np.ndarray) -> Any:
        """On the GPU, as it is."""
        return to_device(x, "cuda")


class Tf32(Cupy):
    """Products in TF32."""

    tf32 = True


class Kernels(Cupy):
    """Through minigan/kernels/gpu/, in float32."""

    def backend(self) -> Any:
        """The kernels."""
        return kernels.on_gpu()


class KernelsTf32(Kernels):
    """Products in TF32."""

    tf32 = True


class Product:
    """A matrix product of 8192 x 8192 x 8192 in float32."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self.a, self.b = (to_device(generator.standard_normal((8192, 8192), np.float32), "cuda") for _ in range(2))
        self.c = cupy.empty_like(self.a)

    def step(self, index: int) -> None:
        """The product, once."""
        cupy.matmul(self.a, self.b, out=self.c)

    def answer(self) -> dict[str, np.ndarray]:
        """The product."""
        return {"c": self.c.get()}


class Peak(OnGpu, Product):
    """In float32."""


class PeakTf32(Peak):
    """In TF32."""

    tf32 = True
