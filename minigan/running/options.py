"""How a training run goes. What the system is, and every number in it, is in the system's own options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

KEPT = ("log_every", "sample_every", "checkpoint_every", "keep", "best", "gif", "tensorboard")
"""options that a run goes on with when it is resumed"""


@dataclass(frozen=True)
class Run:
    """Where a training run leaves what it makes, and how often. None of it changes a number."""

    output: Path = Path("run")
    """the folder for log, samples, weights and checkpoints; new or empty, or with --resume that of an earlier run"""
    resume: bool = False
    """go on with the run in that folder; its options need not be given again"""
    stop_after: int | None = None
    """stop after this turn, to go on some other time"""
    log_every: int | None = None
    """turns between two lines of the log, the end of each epoch aside; as the system has it"""
    sample_every: int | None = None
    """turns between two sheets of samples; as the system has it"""
    checkpoint_every: int | None = None
    """turns between two checkpoints; one an epoch, and every 500 turns where there are no epochs"""
    keep: int = 3
    """how many of the newest checkpoints are kept"""
    best: str | None = None
    """also keep the checkpoint with the lowest score of this name: frechet; of the toy: ks, wasserstein1"""
    gif: bool = True
    """make a film of the sheets at the end"""
    tensorboard: bool = False
    """write a live view for TensorBoard, into the folder's `live`; needs tensorboardX"""
    progress: bool = True
    """show a progress bar, if the output is a terminal"""

    def check(self) -> None:
        """Refuse counts that cannot be. Raises ValueError, naming the option, what was expected and what came."""
        for name in ("stop_after", "log_every", "sample_every", "checkpoint_every", "keep"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
