"""Minibatches without end, in an order that two integers describe.

    batches = Batches(images, batch_size=64, seed=0)
    x = next(batches)

    batches = Batches(images, batch_size=64, seed=0, labels=labels)
    x, y = next(batches)

Epoch e goes through the data in the order `default_rng([seed, e]).permutation(n)`: so to resume a run bit for bit, it
is enough to know epoch and batch, and nothing about how many batches were read ahead, or by how many threads.
"""

from __future__ import annotations

import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np


class Data(Protocol):
    """What batches are made of: rows of one shape, uint8 or floats."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: Any, /) -> np.ndarray: ...


class Batches:
    """An endless iterator: each batch float32 of shape (batch_size, *row shape); of uint8 pixels, scaled to [-1, 1].

    An array is gathered on the spot, which takes less time than to ask another thread for it. Anything else, such as
    an ImageFolder, is read by threads a few batches ahead, so that training need not wait for files.

    Args:
        data: an array whose first axis counts the rows, or anything with len(data) and data[i]. The shape of a row is
            the data's own: for an MLP, images.reshape(-1, 784); for convolutions, images[:, None].
        batch_size: rows a batch, at least 1.
        seed: of the order, at least 0.
        drop_last: leave out the rows of each epoch that do not fill a batch; otherwise the epoch ends on a smaller one.
        workers: threads that read ahead; 0 reads when asked. Batches do not depend on it.
        labels: (len(data),) integers; each batch is then a pair, the rows and their labels.

    Attributes:
        epoch, batch: of the next batch, both from 0.
        batches_per_epoch: how many there are.
        indices: rows of data in the last batch, say to look up their labels; None before the first.

    Raises:
        TypeError: if the labels are not integers.
        ValueError: if an argument is out of range, data is empty or neither uint8 nor floats, holds less than a batch
            while drop_last is set, or there is not one label for each row.
    """

    def __init__(
        self,
        data: Data,
        batch_size: int,
        seed: int = 0,
        drop_last: bool = True,
        workers: int = 1,
        labels: np.ndarray | None = None,
    ) -> None:
        for name, value, least in [("batch_size", batch_size, 1), ("seed", seed, 0), ("workers", workers, 0)]:
            if value < least:
                raise ValueError(f"{name}: expected at least {least}, got {value}")
        if isinstance(data, np.ndarray):
            _check_dtype(data)
        if (n := len(data)) == 0:
            raise ValueError("data: expected at least one row, got none")
        if drop_last and batch_size > n:
            raise ValueError(f"batch_size: expected at most the {n} rows of data, got {batch_size}; or drop_last=False")
        if labels is not None and labels.shape != (n,):
            raise ValueError(f"labels: expected one for each of the {n} rows of data, got shape {labels.shape}")
        if labels is not None and labels.dtype.kind not in "iu":
            raise TypeError(f"labels: expected integers, got {labels.dtype}")
        self.data, self.batch_size, self.seed, self.labels = data, batch_size, seed, labels
        self._setting = {"seed": seed, "size": n, "batch_size": batch_size, "drop_last": drop_last}
        self.batches_per_epoch = n // batch_size if drop_last else -(-n // batch_size)
        self.indices: np.ndarray | None = None
        self._position = 0  # batches handed out since the beginning
        self._order_of, self._order = -1, np.empty(0, np.intp)

        self._closed = False
        self._ahead: dict[int, tuple[np.ndarray, Future[np.ndarray]]] = {}  # position -> rows, batch to be
        self._lead = 0 if isinstance(data, np.ndarray) or workers == 0 else workers + 1
        self._pool = ThreadPoolExecutor(max(workers, 1), "batches")  # starts no thread before it is given work
        weakref.finalize(self, self._pool.shutdown, wait=False, cancel_futures=True)

    @property
    def epoch(self) -> int:
        return self._position // self.batches_per_epoch

    @property
    def batch(self) -> int:
        return self._position % self.batches_per_epoch

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> Any:
        """The next batch: an array, or with labels a pair of arrays.

        Raises:
            ValueError: after close().
            Exception: whatever reading a row raised, in whichever thread. That batch stays the next one.
        """
        if self._closed:
            raise ValueError("batches: expected to be open, got asked after close()")
        if self._lead:
            self._read_ahead()
            rows, future = self._ahead[self._position]
            x = future.result()
        else:
            rows = self._rows(self._position)
            x = _gather(self.data, rows)
        self.indices = rows
        self._ahead.pop(self._position, None)
        self._position += 1
        self._read_ahead()
        return x if self.labels is None else (x, self.labels[rows].astype(np.int64))

    def state_dict(self) -> dict[str, int]:
        """Where we are: epoch and batch, and what they mean something for (seed, size, batch_size, drop_last)."""
        return self._setting | {"epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from `state`, with the batches that came next when it was taken.

        Raises:
            ValueError: if it is of another seed, size, batch_size or drop_last, or no state; then nothing changes.
        """
        if set(state) != set(self.state_dict()):
            raise ValueError(f"state: expected {', '.join(self.state_dict())}, got {', '.join(map(str, state))}")
        for name, own in self._setting.items():
            if state[name] != own:
                raise ValueError(f"state: expected {name} {own}, got {state[name]}")
        epoch, batch = state["epoch"], state["batch"]
        whole = isinstance(epoch, int) and isinstance(batch, int)
        if not whole or epoch < 0 or not 0 <= batch < self.batches_per_epoch:
            raise ValueError(f"state: expected a batch of {self.batches_per_epoch}, got epoch {epoch}, batch {batch}")
        for _, future in self._ahead.values():
            future.cancel()
        self._ahead.clear()
        self._position = epoch * self.batches_per_epoch + batch

    def close(self) -> None:
        """Stop the threads, after the rows that they are at. Also happens by itself when nobody holds this any more."""
        self._closed = True
        self._ahead.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _rows(self, position: int) -> np.ndarray:
        epoch, batch = divmod(position, self.batches_per_epoch)
        if epoch != self._order_of:
            self._order = np.random.default_rng([self.seed, epoch]).permutation(len(self.data))
            self._order_of = epoch
        return self._order[batch * self.batch_size : (batch + 1) * self.batch_size]

    def _read_ahead(self) -> None:
        for position in range(self._position, self._position + self._lead):
            if position not in self._ahead:
                rows = self._rows(position)
                future = self._pool.submit(_gather, self.data, rows)  # nothing of self: it may be collected meanwhile
                self._ahead[position] = (rows, future)


def _gather(data: Data, rows: np.ndarray) -> np.ndarray:
    x = data[rows] if isinstance(data, np.ndarray) else np.stack([data[i] for i in rows.tolist()])
    _check_dtype(x)
    return to_floats(x) if x.dtype == np.uint8 else x.astype(np.float32, copy=False)


def _check_dtype(data: np.ndarray) -> None:
    if data.dtype != np.uint8 and not np.issubdtype(data.dtype, np.floating):
        raise ValueError(f"data: expected uint8 or floats, got {data.dtype}")


def to_floats(pixels: np.ndarray) -> np.ndarray:
    """x / 127.5 - 1 for uint8 of any shape: float32 in [-1, 1], with 0 at -1 and 255 at 1 exactly."""
    x = np.divide(pixels, np.float32(127.5), dtype=np.float32)
    x -= 1
    return x
