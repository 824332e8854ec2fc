"""Weights from one file format to another: names, shapes, dtypes and numbers stay."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from minigan.files.torch import load_pth, save_pth
from minigan.files.weights import load_weights, read_metadata, save_npz, save_weights

FORMATS = (".safetensors", ".npz", ".pth", ".pt")


@dataclass(frozen=True)
class Convert:
    """Convert weights between .safetensors, .npz and PyTorch's .pth (or .pt), by the ending of both names.

    .pth needs an installed PyTorch; it is read with weights_only, so that no code that lies in it is run.
    """

    source: tyro.conf.Positional[Path]
    """the file to read"""
    target: tyro.conf.Positional[Path]
    """the file to write"""


def convert(o: Convert) -> int:
    """Carry it out; 0."""
    check_format("target", o.target)
    if o.target.exists() and o.source.exists() and o.target.samefile(o.source):
        raise ValueError(f"target: expected another file than the source, got {o.target}")
    arrays = read_weights("source", o.source)
    if o.target.suffix.lower() == ".safetensors":
        about = read_metadata(o.source) if o.source.suffix.lower() == ".safetensors" else {}
        save_weights(o.target, arrays, {**about, "converted_from": o.source.name})
    elif o.target.suffix.lower() == ".npz":
        save_npz(o.target, arrays)
    else:
        save_pth(o.target, arrays)
    print(f"{len(arrays)} arrays, {sum(a.size for a in arrays.values()):,} numbers: {o.target}")
    return 0


def read_weights(argument: str, path: Path) -> dict[str, np.ndarray]:
    """The arrays of a weight file, by the ending of its name: in the order of a .pth, otherwise as their names count.

    Raises ValueError, naming the argument, for another ending or no such file; otherwise as load_weights and load_pth.
    """
    check_format(argument, path)
    if not path.exists():
        raise ValueError(f"{argument}: there is no {path}")
    if path.suffix.lower() in (".pth", ".pt"):
        return load_pth(path)
    arrays = load_weights(path)
    return {name: arrays[name] for name in sorted(arrays, key=counting)}


def counting(name: str) -> list[tuple[int, str]]:
    """A key that sorts main.2 before main.10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def check_format(argument: str, path: Path) -> None:
    """Raises ValueError, naming the argument, if the ending is none of FORMATS."""
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{argument}: expected a file ending in {', '.join(FORMATS)}, got {path}")
