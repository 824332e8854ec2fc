"""A view of a training run in a browser while it goes on: losses, other notes, and sheets of samples.

    with Live(Path("runs/digits/live")) as live:
        live.record({"turn": 250, "d_loss": 1.14, "g_loss": 1.02})
        live.picture(250, sheet(samples))

and beside it `tensorboard --logdir runs`. tensorboardX knows the file format. Its SummaryWriter hands events to a
thread, and once a full disk has ended that thread, the run would wait for it for ever; so events are written here and
now.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np


def tag(name: str) -> str:
    """What TensorBoard calls a note: notes of one kind go into one group."""
    if name.endswith("_loss"):
        return f"loss/{name.removesuffix('_loss')}"
    return f"D/{name}" if name.startswith("on_") else f"note/{name}"


class Live:
    """Events for TensorBoard.

    Args:
        folder: where they go; made when there is something to write.
        played: turns that were already played. Events of later ones, from a run that was cut off, are taken back, so
            that nothing is seen twice.

    Raises:
        ValueError: if tensorboardX is not installed.
    """

    def __init__(self, folder: Path, played: int = 0) -> None:
        check_installed()
        self.folder = folder
        self._next = played + 1
        self._writer: Any = None

    def record(self, record: Mapping[str, Any]) -> None:
        """Show the numbers of a record of log.jsonl; None is not shown. Raises OSError if it cannot be written."""
        from tensorboardX import summary

        numbers = {name: x for name, x in record.items() if name not in ("turn", "epoch", "batch") and x is not None}
        self._write(record["turn"], [summary.scalar(tag(name), x) for name, x in numbers.items()])

    def picture(self, turn: int, picture: np.ndarray) -> None:
        """Show a sheet of samples, uint8 of shape (H, W) or (H, W, 3). Raises OSError if it cannot be written."""
        from tensorboardX import summary

        form = "HW" if picture.ndim == 2 else "HWC"
        self._write(turn, [summary.image("samples", picture, dataformats=form)])

    def close(self) -> None:
        """Close the file; a later event starts another."""
        if self._writer is not None:
            with suppress(OSError):  # everything in it was flushed, or is given up
                self._writer.close()
            self._writer = None

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _write(self, turn: int, summaries: list[Any]) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        try:
            if self._writer is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                # Two files of one second would have one name; files are read in the order of their names.
                self._writer = EventsWriter(str(self.folder / "events"), f".{self._next:08d}")
                start = SessionLog(status=SessionLog.START)  # "what you know of this step and later ones is void"
                self._writer.write_event(Event(wall_time=time.time(), step=self._next, session_log=start))
            for summary in summaries:
                self._writer.write_event(Event(wall_time=time.time(), step=turn, summary=summary))
            self._writer.flush()
        except OSError:
            self.close()  # with half an event in it: what follows goes into a new file
            raise
        self._next = turn + 1


def check_installed() -> None:
    """Raises ValueError if tensorboardX is not installed."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        raise ValueError(
            "tensorboard: tensorboardX is not installed: pip install tensorboardX, or minigan[tensorboard]"
        ) from None
