"""The walks of optimizer_paths.py with PyTorch's own optimizers."""

from __future__ import annotations

import numpy as np
import torch

from tests.optimizer_paths import Case, numbers, rate


def path(case: Case, size: int, dtype: torch.dtype = torch.float64) -> np.ndarray:
    """Where the parameters are after each step, (STEPS, size)."""
    start, gradients = (torch.tensor(a, dtype=dtype) for a in numbers(size))
    p = torch.nn.Parameter(start)
    optimizer = getattr(torch.optim, case.optimizer)([p], **case.settings)
    walked = []
    for step, g in enumerate(gradients):
        optimizer.param_groups[0]["lr"] = rate(step, case.settings["lr"])
        p.grad = g
        optimizer.step()
        walked.append(p.detach().numpy().copy())
    return np.array(walked)
