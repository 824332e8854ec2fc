"""What a checkpoint, a weight file or a run holds, and whether it is whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from minigan.commands.convert import counting, read_weights
from minigan.files.checkpoint import Checkpoints, arrays_in, load
from minigan.files.weights import CheckpointError, read_metadata
from minigan.running.folder import Folder, read_about


@dataclass(frozen=True)
class Inspect:
    """Show what a checkpoint, a weight file or a run holds: names, shapes, numbers, where it comes from.

    Every byte of a checkpoint is checked. The exit status is 1 if anything is damaged.
    """

    path: tyro.conf.Positional[Path]
    """a checkpoint's folder, a weight file (.safetensors, .npz, .pth), or a run's folder"""


def inspect(o: Inspect) -> int:
    """Carry it out; 0 if all is whole, 1 if something is damaged."""
    if not o.path.exists():
        raise ValueError(f"path: there is no {o.path}")
    try:
        if not o.path.is_dir():
            arrays = read_weights("path", o.path)
            print(o.path)
            if o.path.suffix.lower() == ".safetensors":
                for name, text in sorted(read_metadata(o.path).items()):
                    print(f"  {name}: {text}")
            show_arrays(arrays)
        elif Folder(o.path).about.exists():
            return show_run(o.path)
        elif any((o.path / name).exists() for name in ("manifest.json", "state.json")):
            show_checkpoint(o.path)
        else:
            raise ValueError(f"path: expected the folder of a run or of a checkpoint, got {o.path}")
    except CheckpointError as error:
        print(f"damaged: {error}", file=sys.stderr)
        return 1
    return 0


def show_checkpoint(path: Path) -> None:
    """A checkpoint's folder. Raises CheckpointError."""
    state = load(path)
    print(f"{path}\n  whole: every file is as the manifest says")
    score = json.loads((path / "manifest.json").read_bytes())["score"]
    if score is not None:
        print(f"  score: {score:g}")
    for entry, value in state.items():
        if (plain := without_arrays(value)) is not None:
            print(f"  {entry}: {json.dumps(plain)}")
    show_arrays(dict(sorted(arrays_in(state), key=lambda named: counting(named[0]))))


def show_run(path: Path) -> int:
    """A run's folder: each of its checkpoints, the newest whole one in full. Returns the exit status."""
    about, checkpoints = read_about(Folder(path)), Checkpoints(Folder(path).checkpoints)
    print(f"{path}: a run of {about['system']}")
    for name, value in about["options"].items():
        print(f"  {name}: {value}")
    folders, whole = [checkpoints.folder / f"step-{step:08d}" for step in checkpoints.steps()], []
    for folder in folders:
        try:
            load(folder)
            whole.append(folder)
        except CheckpointError as error:
            print(f"damaged: {error}", file=sys.stderr)
    print(f"  {len(whole)} of {len(folders)} checkpoints whole: {', '.join(folder.name for folder in whole)}")
    if whole:
        show_checkpoint(whole[-1])
    return 0 if whole == folders else 1


def show_arrays(arrays: Mapping[str, np.ndarray]) -> None:
    """A line for each: name, dtype, shape, how many numbers; least, mean and largest of the finite; and the totals."""
    width = max(map(len, arrays), default=0)
    print(f"  {'':<{width}}  {'dtype':<8} {'shape':<18} {'numbers':>11}  {'least':>11} {'mean':>11} {'largest':>11}")
    for name, a in arrays.items():
        finite = a[np.isfinite(a)]
        numbers = [finite.min(), finite.mean(dtype=np.float64), finite.max()] if finite.size else []
        about = " ".join([f"{x:>11.4g}" for x in numbers])
        if finite.size < a.size:
            about += f"{'  ' if numbers else ''}{a.size - finite.size} not finite"
        print(f"  {name:<{width}}  {a.dtype!s:<8} {a.shape!s:<18} {a.size:>11,}  {about}")
    count, size = sum(a.size for a in arrays.values()), sum(a.nbytes for a in arrays.values())
    print(f"  {len(arrays)} arrays, {count:,} numbers, {size:,} bytes")


def without_arrays(value: Any) -> Any:
    """A state's plain data, without the arrays and what holds nothing else; None if nothing is left."""
    if isinstance(value, np.ndarray):
        return None
    if isinstance(value, dict):
        return {key: left for key, item in value.items() if (left := without_arrays(item)) is not None} or None
    return value
