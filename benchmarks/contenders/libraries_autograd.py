"""The convolution of HIPS autograd: `autograd.scipy.signal.convolve`."""

import numpy as np
from autograd.builtins import tuple as traced_tuple
from autograd.core import make_vjp
from autograd.scipy.signal import convolve

from benchmarks.libraries import Convolution


class Autograd(Convolution):
    """A convolution in the mathematical sense: it meets the kernel from behind, so w goes in turned round."""

    def y_dx_dw(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Forwards, then back."""
        vjp, y = make_vjp(
            lambda xw: convolve(xw[0], xw[1], axes=([2, 3], [2, 3]), dot_axes=([1], [1]), mode="valid"),
            traced_tuple((self.x, self.w[:, :, ::-1, ::-1])),
        )
        dx, dw = vjp(self.dy)
        return y, dx, dw[:, :, ::-1, ::-1]
