"""The convolution of MyGrad."""

import mygrad
import numpy as np
from mygrad.nnet.layers import conv_nd

from benchmarks.libraries import Convolution


class MyGrad(Convolution):
    """`mygrad.nnet.layers.conv_nd`."""

    def y_dx_dw(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Forwards, then back."""
        x, w = mygrad.tensor(self.x), mygrad.tensor(self.w)
        y = conv_nd(x, w, stride=1)
        y.backward(self.dy)
        return y.data, x.grad, w.grad
