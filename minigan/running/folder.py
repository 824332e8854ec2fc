"""What lies where in the folder of a run.

    run.json                  which system, with which options, and how it is run
    log.jsonl                 a line of numbers now and then
    samples/turn-00000250.png sheets of samples, always of the same noise
    weights/                  netg.safetensors and netd.safetensors at the end; netg_3 of epoch 3; netg_average
    checkpoints/              what it takes to go on
    live/                     for TensorBoard, if wanted
    curves.png  samples.png  walk.png  training.gif     at the end

A run is known by its run.json; everything else may be missing.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from minigan.files.weights import read_file, refusing, replace_file

GONE = {"tf32"}
"""Options that earlier versions had and wrote into run.json; none of them changed more than rounding."""


class Folder:
    """The paths in a run's folder.

    Attributes:
        path: the folder itself.
        about, log, checkpoints, live: run.json, log.jsonl, checkpoints and live in it.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.about, self.log = path, path / "run.json", path / "log.jsonl"
        self.checkpoints, self.live = path / "checkpoints", path / "live"

    def samples(self, turn: int) -> Path:
        """The sheet of a turn."""
        return self.path / "samples" / f"turn-{turn:08d}.png"

    def sheets(self) -> list[Path]:
        """All sheets there are, in order."""
        return sorted((self.path / "samples").glob("turn-*.png"))

    def weights(self, name: str, epoch: int | None = None) -> Path:
        """Of netg, netd or netg_average, at the end or of an epoch."""
        return self.path / "weights" / f"{name}{'' if epoch is None else f'_{epoch}'}.safetensors"

    def check(self, resume: bool) -> None:
        """Refuse a folder that cannot be used; nothing is made yet.

        Raises:
            ValueError: if it holds something already and resume is not set, or no run and it is.
            OSError: if nothing can be written there.
        """
        if resume and not self.about.exists():
            raise ValueError(f"resume: there is no run in {self.path}")
        try:
            if not resume and self.path.exists() and any(self.path.iterdir()):
                kept = {path for path in self.path.rglob("*") if path.is_file() and path.stat().st_size}
                if kept != {self.about}:  # alone it is of a run that ended before anything of it was kept
                    raise ValueError(
                        f"output: {self.path} is not empty; choose another folder, or --resume what is in it"
                    )
            there = next(path for path in (self.path, *self.path.absolute().parents) if path.exists())
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as error:
            raise OSError(f"output: cannot write into {self.path}: {error.strerror}") from None


def write_about(folder: Folder, about: dict[str, Any]) -> None:
    """Write run.json: "system", "options" as plain data, and how it is run. Raises CheckpointError if that fails."""
    replace_file(folder.about, json.dumps(about, indent=1).encode() + b"\n")


def read_about(folder: Folder) -> dict[str, Any]:
    """Read run.json. Raises CheckpointError if there is none, or it does not describe a run."""
    data = read_file(folder.about)
    with refusing(f"{folder.about}: does not describe a run", (ValueError, KeyError, TypeError, RecursionError)):
        about = json.loads(data)
        if not isinstance(about["system"], str) or not isinstance(about["options"], dict):
            raise TypeError("expected a system and its options")
    return about


def options_from(kind: type, saved: dict[str, Any]) -> Any:
    """Options of this kind from plain data. Raises ValueError for unknown names and values of other types."""
    hints = get_type_hints(kind)
    saved = {name: value for name, value in saved.items() if name not in GONE}
    unknown = sorted(saved.keys() - hints.keys())
    if unknown:
        raise ValueError(f"run.json: unknown options {', '.join(unknown)}")
    values = {name: _as_hinted(value, hints[name]) for name, value in saved.items()}
    for name, value in values.items():
        try:
            check_type(value, hints[name], collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
        except TypeCheckError:
            expected = getattr(hints[name], "__name__", str(hints[name]))
            raise ValueError(f"run.json: {name}: expected {expected}, got {value!r}") from None
    return kind(**values)


def _as_hinted(value: Any, hint: Any) -> Any:
    """What JSON made of an option, as it was: a path for a string, a tuple for a list."""
    origin, inner = get_origin(hint), get_args(hint)
    if isinstance(value, list):
        items = [_as_hinted(item, inner[0] if inner else Any) for item in value]
        return items if list in (hint, origin) else tuple(items)
    return Path(value) if isinstance(value, str) and Path in (hint, *inner) else value
