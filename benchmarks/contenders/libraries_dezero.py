"""The convolution of DeZero."""

import numpy as np

from benchmarks.libraries import Convolution

# DeZero was written for NumPy before 1.24 and reads, while it is imported, a name that NumPy dropped then.
if not hasattr(np, "int"):
    setattr(np, "int", int)  # noqa: B010  written out, it looks like a use of what NumPy dropped

import dezero
import dezero.functions


class DeZero(Convolution):
    """`dezero.functions.conv2d`."""

    def y_dx_dw(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Forwards, then back."""
        x, w = dezero.Variable(self.x), dezero.Variable(self.w)
        y = dezero.functions.conv2d(x, w)
        y.grad = dezero.Variable(self.dy)
        y.backward()
        return y.data, x.grad.data, w.grad.data
