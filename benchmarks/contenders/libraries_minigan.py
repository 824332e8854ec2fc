"""The convolution in minigan, with and without kernels."""

import numpy as np

from benchmarks.libraries import Convolution
from minigan import kernels, value_and_grad
from minigan.arrays import Array
from minigan.primitives import conv2d, sum


def loss(xw: dict[str, Array], dy: Array) -> tuple[Array, Array]:
    """A scalar whose slope in y is dy, and y."""
    y = conv2d(xw["x"], xw["w"])
    return sum(y * dy), y


class Minigan(Convolution):
    """On ordinary memory: what is turned to channels-last is turned within the step."""

    def y_dx_dw(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Forwards, then back."""
        (_, y), slope = value_and_grad(loss, has_aux=True)({"x": self.x, "w": self.w}, self.dy)
        return y, slope["x"], slope["w"]


class Plain(Minigan):
    """Without kernels: only the code in `minigan/primitives/` runs."""

    def y_dx_dw(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Forwards, then back."""
        with kernels.plain():
            return super().y_dx_dw()
