"""A run that does nothing but save, for test_checkpoint.py to kill. Its own file, so that it starts fast."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from minigan.files.checkpoint import Checkpoints


def state_at(step: int) -> dict[str, Any]:
    """What the run saves at a step: every part of it says which step it is of."""
    return {"G": {"w": np.full((50, 20), step), "b": np.full(3, step)}, "D": {"w": np.full(7, step)}, "step": step}


def save_until_killed(folder: Path, saved: Connection) -> None:
    """Go on from the latest checkpoint and save each step, every third one twice; send each when it is saved."""
    checkpoints = Checkpoints(folder, keep=2)
    found = checkpoints.latest()
    step = 0 if found is None else found[0]
    saved.send(step)
    while True:
        step += 1
        for _ in range(2 if step % 3 == 0 else 1):
            checkpoints.save(step, state_at(step))
        saved.send(step)
