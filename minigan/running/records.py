"""log.jsonl: what is worth knowing of a turn, one JSON object a line.

    {"turn": 250, "epoch": 1, "batch": 250, "d_real": 0.61, "d_fake": 0.53, "g": 1.02, "on_real": 0.58, "on_fake": 0.4}
    {"turn": 468, "frechet": 0.132}

There is no clock in it, so that a run that was interrupted leaves the same file as one that was not.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigan.objectives import Objective
from minigan.training import Turn
from minigan.weights_files import CheckpointError


def record_of(turn: Turn, objective: Objective, epoch: int) -> dict[str, Any]:
    """The record of a turn: its losses, and D(x) and D(G(z)) as on_real and on_fake; None for what did not happen.

    Args:
        turn: as played.
        objective: what reads D's scores as probabilities.
        epoch: turns in an epoch; epochs and batches count from 1.
    """
    numbers = {"d_real": turn.d_real, "d_fake": turn.d_fake, "g": turn.g}
    for name in ("on_real", "on_fake"):
        scores = getattr(turn, name)
        numbers[name] = math.nan if scores is None else float(objective.probability(scores).mean())
    place = {"turn": turn.number, "epoch": (turn.number - 1) // epoch + 1, "batch": (turn.number - 1) % epoch + 1}
    return {**place, **{name: None if math.isnan(x) else float(f"{x:.6g}") for name, x in numbers.items()}}


class Log:
    """log.jsonl, written so that nothing is lost while the disk is full. It is open while it is entered.

    Args:
        path: the file.
        length: bytes of it that are kept; what an earlier run wrote behind them is cut off.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        self.path, self._length, self._pending = path, length, b""

    def __enter__(self) -> Log:
        self._file = self.path.open("r+b" if self.path.exists() else "w+b", buffering=0)
        self._file.truncate(min(self._length, os.fstat(self._file.fileno()).st_size))
        self._file.seek(0, os.SEEK_END)
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a line. Raises OSError if it cannot be written now; the next call tries again."""
        self._pending += json.dumps(record).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Write what is left. Raises OSError."""
        while self._pending:
            self._pending = self._pending[self._file.write(self._pending) :]

    def sync(self) -> None:
        """Write what is left and wait until it is on the disk. Raises OSError."""
        self.flush()
        os.fsync(self._file.fileno())

    @property
    def length(self) -> int:
        """Bytes of the file once everything is written."""
        return self._file.tell() + len(self._pending)


def read_records(path: Path) -> list[dict[str, Any]]:
    """All records of a log. Raises CheckpointError, naming the line, if there are other things in it; OSError."""
    records = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise CheckpointError(f"{path}: line {number} is no record: {error}") from error
    return records
