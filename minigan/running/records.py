"""log.jsonl: what is worth knowing of a turn, one JSON object a line.

    {"turn": 250, "epoch": 1, "batch": 250, "d_loss": 1.14, "on_real": 0.58, "on_fake": 0.4, "g_loss": 1.02}
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

from minigan.files.weights import refusing
from minigan.game import Turn


def record_of(turn: Turn, epoch: int | None) -> dict[str, Any]:
    """The record of a turn: its place and its notes; None for a note that is not finite.

    Args:
        turn: as played.
        epoch: turns in an epoch; epochs and batches count from 1. None where there are none.
    """
    place = {"turn": turn.number}
    if epoch:
        place |= {"epoch": (turn.number - 1) // epoch + 1, "batch": (turn.number - 1) % epoch + 1}
    return {**place, **{name: rounded(x) for name, x in turn.items()}, **place}


def rounded(x: float) -> Any:
    """x to six digits; None if it is not finite."""
    return float(f"{x:.6g}") if math.isfinite(x) else None


PLACE = ("turn", "epoch", "batch")
"""what a record says of when; everything else is a note"""


def one_line(record: Mapping[str, Any]) -> str:
    """A record as a line of the log and of the bar: epoch 3, batch 5: d_loss 1.38, g_loss 0.69"""
    place = ", ".join(f"{name} {record[name]}" for name in (PLACE[1:] if "epoch" in record else PLACE[:1]))
    return f"{place}: {notes_line(record)}"


def notes_line(record: Mapping[str, Any]) -> str:
    """The notes alone: d_loss 1.38, g_loss 0.69"""
    notes = {name: x for name, x in record.items() if name not in PLACE}
    return ", ".join(f"{name} {'-' if x is None else format(x, '.4g')}" for name, x in notes.items())


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
        with refusing(f"{path}: line {number} is no record", ValueError):
            records.append(json.loads(line))
    return records
