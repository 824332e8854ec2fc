"""PyTorch's own weight files, read and written with the help of an installed PyTorch.

    save_weights("G.safetensors", load_pth("netG.pth"))     # once; from then on nothing needs PyTorch

Only this file imports PyTorch.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np

from minigan.arrays import Array
from minigan.files.weights import CheckpointError, read_file, refusing, replace_file, storable
from minigan.parameters import Parameters


def load_pth(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a file that `torch.save(network.state_dict(), path)` wrote; no code that lies in it is run.

    Returns:
        name -> array, dtype and shape as stored, in the file's order.

    Raises:
        RuntimeError: if PyTorch is not installed.
        CheckpointError: if there is no such file, it is broken, or it holds anything but tensors that NumPy can hold.
    """
    torch = _torch()
    path = Path(path)
    data = read_file(path)
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"{path}: PyTorch cannot read it: {str(error).partition(chr(10))[0]}") from error
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path}: expected a state_dict, got {type(state).__name__}")
    arrays = {}
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise CheckpointError(f"{path}: expected a tensor, got {type(tensor).__name__} for {name!r}")
        with refusing(f"{path}: NumPy cannot hold {name!r} ({tensor.dtype})", (RuntimeError, TypeError)):
            arrays[name] = np.array(tensor.detach().numpy())
    return arrays


def save_pth(path: str | os.PathLike[str], params: Mapping[str, Array]) -> None:
    """Write arrays for `network.load_state_dict(torch.load(path))`.

    Args:
        path: the file; an older one is replaced when the new one is complete.
        params: Parameters (their buffers are written too) or name -> array, on any device.

    Raises:
        RuntimeError: if PyTorch is not installed.
        TypeError: if an array is not of float16/32/64, integers or bool.
        CheckpointError: if the file cannot be written.
    """
    torch = _torch()
    arrays = params.state_dict() if isinstance(params, Parameters) else params
    stream = io.BytesIO()
    torch.save({name: torch.tensor(storable(name, a)) for name, a in arrays.items()}, stream)
    replace_file(Path(path), stream.getvalue())


def _torch() -> ModuleType:
    try:
        import torch
    except ImportError as error:
        raise RuntimeError(f".pth files need PyTorch: pip install torch ({error})") from None
    return torch
