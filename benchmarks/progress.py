"""What a run had learned by when: corners of some of its sheets side by side, as one picture.

    python -m benchmarks.progress runs/dcgan --turns 260 1040 3120 --output progress.png

All sheets of a run show the same noise, so each place of the picture is one sample over time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from minigan.pictures.sheets import save_picture
from minigan.running.folder import Folder


@dataclass(frozen=True)
class Progress:
    """Corners of a run's sheets, side by side."""

    run: tyro.conf.Positional[Path]
    """its folder"""
    turns: tuple[int, ...]
    """of which turns"""
    output: Path
    """where the picture goes"""
    images: int = 4
    """samples along a corner's side"""
    side: int = 96
    """pixels along a sample's side"""
    border: int = 2
    """pixels between samples"""
    gap: int = 12
    """white pixels between corners"""


def main(o: Progress) -> None:
    """Cut, lay side by side and write."""
    size = o.images * (o.side + o.border) + o.border
    corners = []
    for turn in o.turns:
        with Image.open(Folder(o.run).samples(turn)) as sheet:
            if min(sheet.size) < size:
                raise SystemExit(f"images: expected at most what the sheet of turn {turn} has, got {o.images}")
            corners.append(np.asarray(sheet.convert("RGB"))[:size, :size])
    gap = np.full((size, o.gap, 3), 255, np.uint8)
    between = [part for corner in corners for part in (corner, gap)]
    save_picture(o.output, np.concatenate(between[:-1], axis=1))


if __name__ == "__main__":
    main(tyro.cli(Progress, description=__doc__))
