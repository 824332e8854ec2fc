"""A player's numbers: a dict from PyTorch state_dict names to arrays, all of them views of one flat vector.

    g = G.init(rng)          # Parameters
    g["map1.weight"]         # one array, shaped as PyTorch shapes it
    g.flat                   # all of them in a row: what the optimizer moves, in a handful of whole-vector operations
    g.buffers                # numbers that ride along without being trained (running statistics of batch norm)

Read next: autodiff.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minigan.arrays import Array, array_module, to_device_of
from minigan.devices import Device, to_device


class Parameters(dict[str, Array]):
    """Named arrays of one float dtype on one device, stored in one contiguous vector.

    Args:
        arrays: name -> array. Their numbers are copied into a new flat vector.
        buffers: name -> array; kept as they are.

    Attributes:
        flat: the vector, shape (total size,). The arrays are views of it: write to either and both change.
            None while the values are being traced by a gradient.
        buffers: a plain dict.

    Raises:
        TypeError: if the arrays are not all of one float dtype.
    """

    __slots__ = ("buffers", "flat")

    flat: Array
    buffers: dict[str, Array]

    def __init__(self, arrays: Mapping[str, Array], buffers: Mapping[str, Array] | None = None) -> None:
        super().__init__()
        dtype = next(iter(arrays.values())).dtype if arrays else np.dtype(np.float32)
        for name, a in arrays.items():
            if a.dtype != dtype or dtype.kind != "f":
                raise TypeError(f"Parameters: expected float arrays of one dtype, got {a.dtype} for {name!r}")
        self._lay_out(arrays, dtype)
        self.buffers = dict(buffers or {})

    @classmethod
    def gathered(cls, arrays: Mapping[str, Array]) -> Parameters:
        """Parameters(arrays) without the checks, for arrays that are known to pass them: a gradient, each step."""
        gathered = cls.__new__(cls)
        gathered._lay_out(arrays, next(iter(arrays.values())).dtype)
        gathered.buffers = {}
        return gathered

    @classmethod
    def joined(cls, parts: Mapping[str, Parameters]) -> Parameters:
        """Several networks' numbers as one player's: "ab" and "0.weight" make "ab.0.weight".

        The numbers are copied into a flat vector of their own, so one optimizer moves all of them.
        """
        return cls(
            {f"{part}.{name}": a for part, params in parts.items() for name, a in params.items()},
            {f"{part}.{name}": b for part, params in parts.items() for name, b in params.buffers.items()},
        )

    def _lay_out(self, arrays: Mapping[str, Array], dtype: Any) -> None:
        xp = array_module(next(iter(arrays.values()))) if arrays else np
        flat = xp.concatenate(list(arrays.values()), axis=None) if arrays else np.zeros(0, dtype)
        start, put = 0, super().__setitem__
        for name, a in arrays.items():
            stop = start + a.size
            put(name, flat[start:stop].reshape(a.shape))
            start = stop
        self.flat = flat

    def __setitem__(self, name: str, value: Array) -> None:
        """Write `value`, from any device, into the existing array `name`; a new name or another shape is refused."""
        if name not in self:
            raise KeyError(f"no parameter named {name!r}; there are {', '.join(self)}")
        if value.shape != self[name].shape:
            raise ValueError(f"parameter {name!r}: expected shape {self[name].shape}, got {value.shape}")
        self[name][...] = to_device_of(self[name], value)

    def update(self, *others: Any, **named: Any) -> None:
        """Write each value into the array of its name."""
        for name, value in dict(*others, **named).items():
            self[name] = value

    def __ior__(self, other: Any) -> Parameters:  # type: ignore[override,misc]
        self.update(other)
        return self

    def setdefault(self, name: str, default: Any = None) -> Array:
        """self[name]; a new name is refused."""
        return self[name]

    def _fixed(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Parameters: names are fixed; make new Parameters of the arrays to keep")

    __delitem__ = pop = popitem = clear = _fixed

    def replaced(self, values: Mapping[str, Any]) -> Parameters:
        """The same names and buffers around other values, which may be traced: such a dict has no flat vector."""
        other = Parameters.__new__(Parameters)
        dict.update(other, values)
        other.flat = None
        other.buffers = self.buffers
        return other

    def with_own_buffers(self) -> Parameters:
        """The same numbers, and copies of the buffers, which then may move unseen. Not to be written to."""
        other = self.replaced(self)
        other.buffers = {name: b.copy() for name, b in self.buffers.items()}
        return other

    def copy(self) -> Parameters:
        """Numbers of its own, buffers included."""
        return Parameters(self, {name: a.copy() for name, a in self.buffers.items()})

    def astype(self, dtype: Any) -> Parameters:
        """A copy in another float dtype; integer buffers (counters) keep theirs."""
        buffers = {k: b.astype(dtype) if b.dtype.kind == "f" else b.copy() for k, b in self.buffers.items()}
        return Parameters({name: a.astype(dtype) for name, a in self.items()}, buffers)

    def to_device(self, device: Device) -> Parameters:
        """A copy on another device."""
        buffers = {name: to_device(b.copy(), device) for name, b in self.buffers.items()}
        return Parameters({name: to_device(a, device) for name, a in self.items()}, buffers)

    def state_dict(self) -> dict[str, Array]:
        """Parameters and buffers under their PyTorch names, as one plain dict of the live arrays (no copies)."""
        return {**self, **self.buffers}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Copy numbers in, key for key, from any device. All is checked before anything is written.

        Raises:
            KeyError: if a name is missing or unknown.
            ValueError: if a shape differs.
            TypeError: if a dtype is not real.
        """
        own = self.state_dict()
        missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or unknown:
            raise KeyError(f"state_dict does not fit: missing {missing}, unknown {unknown}")
        for name, a in own.items():
            if a.shape != state[name].shape:
                raise ValueError(f"state_dict {name!r}: expected shape {a.shape}, got {state[name].shape}")
            if np.dtype(str(state[name].dtype).removeprefix("torch.")).kind not in "fiu":
                raise TypeError(f"state_dict {name!r}: expected real numbers, got dtype {state[name].dtype}")
        for name, a in own.items():
            a[...] = to_device_of(a, state[name])

    def __reduce__(self) -> tuple[Any, ...]:
        return Parameters, (dict(self), self.buffers)  # copy and pickle rebuild the flat vector and its views
