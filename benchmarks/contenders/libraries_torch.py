"""The convolution in PyTorch, eager."""

import numpy as np
import torch
from torch.nn.functional import conv2d

from benchmarks.libraries import Convolution


class Torch(Convolution):
    """On ordinary (NCHW) memory."""

    def __init__(self, batch: int) -> None:
        super().__init__(batch)
        self.tensors = [torch.from_numpy(a).requires_grad_() for a in (self.x, self.w)]
        self.slope = torch.from_numpy(self.dy)

    def y_dx_dw(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Forwards, then back."""
        x, w = self.tensors
        y = conv2d(x, w)
        dx, dw = torch.autograd.grad(y, self.tensors, self.slope)
        return y.detach().numpy(), dx.numpy(), dw.numpy()
