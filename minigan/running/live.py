"""A view of the training in a browser while it goes on: losses, D(x), D(G(z)), scores, and sheets of samples.

tensorboard --logdir runs
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


class Live:
    """Events for TensorBoard, written by tensorboardX.

    Args:
        folder: where they go.
        played: turns that were already played; events of later ones, from a run that was cut off, are taken back.

    Raises:
        ValueError: if tensorboardX is not installed.
    """

    def __init__(self, folder: Path, played: int) -> None:
        check_installed()
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=played + 1 if played else None)

    def record(self, record: Mapping[str, Any]) -> None:
        """The numbers of a record of log.jsonl."""
        for name, value in record.items():
            if name not in ("turn", "epoch", "batch") and value is not None:
                self._writer.add_scalar(GROUPS.get(name, f"score/{name}"), value, record["turn"])

    def picture(self, turn: int, picture: np.ndarray) -> None:
        """A sheet of samples, uint8 of shape (H, W) or (H, W, 3)."""
        self._writer.add_image("samples", picture, turn, dataformats="HW" if picture.ndim == 2 else "HWC")

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()


GROUPS = {
    "d_real": "loss/D_real",
    "d_fake": "loss/D_fake",
    "g": "loss/G",
    "on_real": "probability/D_of_real",
    "on_fake": "probability/D_of_fake",
}


def check_installed() -> None:
    """Raises ValueError if tensorboardX is not installed."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        raise ValueError(
            "tensorboard: tensorboardX is not installed: pip install tensorboardX, or minigan[tensorboard]"
        ) from None
