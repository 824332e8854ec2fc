"""A training run on disk, so that it can go on: the players, their optimizers, the generators' states, the counters.

    checkpoints = Checkpoints("runs/toy", keep=3)
    checkpoints.save(step, {"G": g, "D": d, "G_adam": adam.state_dict(), "rng": rng.bit_generator.state})
    step, state = checkpoints.latest()

One checkpoint is one folder: a safetensors file for each entry of the state that has arrays (G.safetensors is an
ordinary weight file), state.json for the rest, and manifest.json with the size and SHA-256 of both and of itself. A
change to any bit of any of them is found on loading. The folder is written under another name, brought to the disk,
and then renamed: a run that is killed leaves the old checkpoint or the new one, never half of one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from minigan.arrays import Array, finite
from minigan.files.weights import (
    CheckpointError,
    read_file,
    refusing,
    storable,
    sync_folder,
    weights_from_bytes,
    weights_to_bytes,
    write_file,
)
from minigan.parameters import Parameters

FORMAT = 1
NAME = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"
MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)  # of JSON that is not minigan's
STEP = r"(step-([0-9]{8}|[1-9][0-9]{8,}))"

State = dict[str, Any]


def save(directory: str | os.PathLike[str], state: State, score: float | None = None) -> None:
    """Write `state` as one checkpoint.

    Args:
        directory: the folder to make; if it is there, and is a sound checkpoint and nothing else, it is replaced.
        state: dicts with string keys, lists, arrays, numbers, strings, bools and None, nested. NumPy's scalars become
            Python's, Parameters become their state_dict, arrays of a device come to the host. The names at the top
            become names of files. The same state always makes the same bytes.
        score: of this state, lower is better; kept in the manifest. One that is not finite counts as none.

    Raises:
        TypeError, ValueError: for what cannot be stored, by its place in the state, before anything is written.
        CheckpointError: if the folder cannot be written or is something else. What was there before stays.
    """
    directory = Path(directory).absolute()
    contents = _contents(state, score)
    if os.path.exists(directory) and not _is_sound(directory):
        raise CheckpointError(f"{directory}: exists already and is no sound checkpoint, so it is not replaced")
    _put(directory, contents)


def check_state(state: State) -> None:
    """Raise TypeError or ValueError, by its place in the state, for what could not be stored; nothing is written."""
    _contents(state, None)


def load(directory: str | os.PathLike[str]) -> State:
    """Read a checkpoint after checking every byte of it.

    Returns:
        The state as it was saved, dtypes and shapes included; arrays are on the host, keys are sorted.

    Raises:
        CheckpointError: if there is none, or a file is damaged, missing or not of the checkpoint; says which.
    """
    directory = _place(Path(directory).absolute())
    contents = _verified(directory)
    plain = contents.pop("state.json", b"")
    arrays = {name: weights_from_bytes(data, directory / name) for name, data in contents.items()}
    with refusing(f"{directory}: whole, but not written by minigan", MALFORMED):
        return {key: _decoded(value, arrays.get(f"{key}.safetensors", {})) for key, value in json.loads(plain).items()}


def first_non_finite(state: Any) -> str | None:
    """The place of the first float array in a state that has a NaN or an infinity, as "G/main.0.weight", or None.

    A loop asks this before it saves, so that the last good checkpoint is not pushed out by bad ones.
    """
    return next((place for place, a in arrays_in(state) if a.dtype.kind == "f" and not finite(a)), None)


def arrays_in(value: Any, place: str = "") -> Iterator[tuple[str, Array]]:
    """(place, array) for every array of a state, as ("G/main.0.weight", ...)."""
    if isinstance(value, Parameters):
        value = value.state_dict()
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from arrays_in(item, f"{place}/{key}" if place else str(key))
    elif hasattr(value, "dtype"):
        yield place, value


class Checkpoints:
    """The checkpoints of one run, in folders step-00001234 inside `folder`.

    Args:
        folder: made by the first save. One run at a time writes into it.
        keep: how many of the newest stay, >= 1. The best one stays as well, if scores are given.
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int = 3) -> None:
        if keep < 1:
            raise ValueError(f"keep: expected at least 1, got {keep}")
        self.folder, self.keep = Path(folder).absolute(), keep

    def save(self, step: int, state: State, score: float | None = None) -> None:
        """Write the checkpoint of `step`, then remove those that are neither among the newest nor the best.

        Args:
            step: >= 0. A checkpoint of the same step is replaced.
            state, score: as for `minigan.files.checkpoint.save`.

        Raises:
            TypeError, ValueError: for what cannot be stored, before anything is written.
            CheckpointError: if the disk is full, a permission missing or the like: all earlier checkpoints stay. Also
                if there is a sound one of a later step: `latest` would go on from that one, not from this.
        """
        if step < 0:
            raise ValueError(f"step: expected at least 0, got {step}")
        contents = _contents(state, score)
        for later in self.steps():
            if later > step and _is_sound(_place(self._path(later))):
                raise CheckpointError(
                    f"{self.folder}: step {step} would come after {self._path(later).name}, which is later: "
                    "continue from that one, remove it, or save into another folder"
                )
        for name in self._names():  # what killed saves left behind
            if match := re.fullmatch(rf"\.{STEP}\.(tmp|old)", name):
                with refusing(f"{self.folder / name}: could not be cleared away"):
                    _settle(self.folder / match[1])
        _put(self._path(step), contents)
        self._prune([s for s in self.steps() if s <= step])

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, sound or not, in ascending order."""
        matches = (re.fullmatch(rf"{STEP}|\.{STEP}\.old", name) for name in self._names())
        return sorted({int(match[2] or match[4]) for match in matches if match})

    def latest(self) -> tuple[int, State] | None:
        """(step, state) of the newest sound checkpoint, or None. Damaged ones are skipped with a RuntimeWarning."""
        return self._first_sound(reversed(self.steps()))

    def best(self) -> tuple[int, State] | None:
        """(step, state) of the sound checkpoint with the lowest score, or None. Damaged ones as in `latest`."""
        return self._first_sound(self._ranked(self.steps(), _skip))

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _names(self) -> list[str]:
        with refusing(f"{self.folder}: could not be read"):
            try:
                return os.listdir(self.folder)
            except FileNotFoundError:
                return []

    def _first_sound(self, steps: Iterable[int]) -> tuple[int, State] | None:
        for step in steps:
            try:
                return step, load(self._path(step))
            except CheckpointError as error:
                _skip(error)
        return None

    def _ranked(self, steps: list[int], on_damage: Callable[[CheckpointError], None]) -> list[int]:
        """Those of `steps` that have a score, best first; the earlier of two alike."""
        scores = {}
        for step in steps:
            try:
                score = _manifest_of(_place(self._path(step)))["score"]
            except CheckpointError as error:
                on_damage(error)
            else:
                if score is not None:
                    scores[step] = score
        return sorted(scores, key=lambda step: (scores[step], step))

    def _prune(self, steps: list[int]) -> None:
        best = self._ranked(steps, lambda error: None)[:1]  # a damaged one is nobody's best; `latest` warns of it
        for step in steps[: -self.keep]:
            if step not in best:
                path, rubbish = self._path(step), _beside(self._path(step), "tmp")
                with refusing(f"{path}: is no longer needed, but could not be removed"):
                    os.rename(path, rubbish)  # first: a kill while it is removed leaves no damaged checkpoint
                    shutil.rmtree(rubbish)


def _contents(state: State, score: float | None) -> dict[str, bytes]:
    """The files of a checkpoint: name -> content, the manifest last."""
    if type(state) is not dict:
        raise TypeError(f"state: expected a dict, got {type(state).__name__}")
    plain, files = {}, {}
    for key in sorted(state, key=str):
        if not isinstance(key, str) or not re.fullmatch(NAME, key):
            raise ValueError(f"state: expected names made of letters, digits, '_', '-' and '.', got {key!r}")
        arrays: dict[str, np.ndarray] = {}
        plain[key] = _encoded(state[key], (key,), arrays)
        if arrays:
            files[f"{key}.safetensors"] = weights_to_bytes(arrays)
    if len({name.casefold() for name in files}) < len(files):
        raise ValueError(f"state: some file systems do not tell upper from lower case in {', '.join(files)}")
    files["state.json"] = _json(plain)
    score = None if score is None or not math.isfinite(score) else float(score)
    body = {"format": FORMAT, "files": {name: _description(data) for name, data in files.items()}, "score": score}
    return {**files, "manifest.json": _signed(body)}


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"


def _description(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _signed(body: Mapping[str, Any]) -> bytes:
    return _json({**body, "sha256": hashlib.sha256(_json(body)).hexdigest()})


# In state.json an array is {"$array": its name in the entry's safetensors file} and a float that JSON does not have is
# {"$float": "nan"}; a "$" that starts a key of the state is doubled.


def _encoded(value: Any, place: tuple[str, ...], arrays: dict[str, np.ndarray]) -> Any:
    """`value` for state.json; its arrays are put into `arrays`."""
    if len(place) > 100:
        raise ValueError(f"state {'/'.join(place[:5])}/...: nested more than 100 deep, or in a circle")
    if isinstance(value, Parameters):
        value = value.state_dict()
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if type(value) is list:
        return [_encoded(item, (*place, str(i)), arrays) for i, item in enumerate(value)]
    if type(value) is dict:
        if wrong := [key for key in value if type(key) is not str]:
            raise TypeError(f"state {'/'.join(place)}: expected strings as keys, got {wrong[0]!r}")
        doubled = lambda key: f"${key}" if key.startswith("$") else key
        return {doubled(key): _encoded(item, (*place, key), arrays) for key, item in value.items()}
    if hasattr(value, "dtype"):
        # G's "main.0.weight" keeps its name; deeper ones are joined by "/" (RFC 6901, so that no two are alike).
        name = "/".join(part.replace("~", "~0").replace("/", "~1") for part in place[1:]) or place[0]
        arrays[name] = storable(f"state {'/'.join(place)}", value)
        return {"$array": name}
    raise TypeError(
        f"state {'/'.join(place)}: expected dicts, lists, arrays, numbers, strings or None, got {type(value).__name__}"
    )


def _decoded(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_decoded(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"$array"}:
        return arrays[value["$array"]]
    if value.keys() == {"$float"}:
        return float(value["$float"])
    return {key.removeprefix("$"): _decoded(item, arrays) for key, item in value.items()}


def _verified(directory: Path) -> dict[str, bytes]:
    """The files of a checkpoint but for the manifest, name -> content, each as the manifest says."""
    listed = _manifest_of(directory)["files"]
    with refusing(f"{directory}: could not be read"):
        present = set(os.listdir(directory)) - {"manifest.json"}
    for name in sorted(present ^ listed.keys()):
        defect = "is missing" if name in listed else "does not belong to the checkpoint"
        raise CheckpointError(f"{directory / name}: {defect}")
    contents = {}
    for name in sorted(present):
        contents[name] = read_file(directory / name)
        if _description(contents[name]) != listed[name]:
            raise CheckpointError(f"{directory / name}: damaged: its size or SHA-256 is not what the manifest says")
    return contents


def _manifest_of(directory: Path) -> dict[str, Any]:
    path = directory / "manifest.json"
    data = read_file(path)
    try:
        body = json.loads(data)
        body.pop("sha256")
        sound = _signed(body) == data
    except MALFORMED:
        sound = False
    if not sound:
        raise CheckpointError(f"{path}: damaged: its content does not have the SHA-256 that it names")
    if body.get("format") != FORMAT:
        raise CheckpointError(f"{path}: expected format {FORMAT}, got {body.get('format')}")
    if not isinstance(body.get("files"), dict) or not isinstance(body.get("score", ""), float | None):
        raise CheckpointError(f"{path}: whole, but not written by minigan")
    return body


def _is_sound(directory: Path) -> bool:
    try:
        _verified(directory)
    except CheckpointError:
        return False
    return True


def _skip(error: CheckpointError) -> None:
    warnings.warn(f"checkpoint skipped: {error}", RuntimeWarning, stacklevel=4)


def _put(directory: Path, contents: Mapping[str, bytes]) -> None:
    """Make the folder, whole or not at all."""
    temporary, old = _beside(directory, "tmp"), _beside(directory, "old")
    with refusing(f"{directory}: could not be written"):
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            _settle(directory)
            temporary.mkdir()
            for name, data in contents.items():
                write_file(temporary / name, data)
            sync_folder(temporary)
            if os.path.exists(directory):  # no system call swaps two folders: for a moment the old one has another name
                os.rename(directory, old)
            os.rename(temporary, directory)
            sync_folder(directory.parent)
            _settle(directory)
        except BaseException:
            with suppress(OSError):
                _settle(directory)
            raise


def _settle(directory: Path) -> None:
    """Finish or undo what a save of this folder, killed, left beside it."""
    if (old := _place(directory)) != directory:
        os.rename(old, directory)
    for rest in (_beside(directory, "tmp"), _beside(directory, "old")):
        if os.path.exists(rest):
            shutil.rmtree(rest)


def _place(directory: Path) -> Path:
    """Where the checkpoint lies: under the other name if a save was killed between its two renames."""
    old = _beside(directory, "old")
    return old if os.path.exists(old) and not os.path.exists(directory) else directory


def _beside(directory: Path, suffix: str) -> Path:
    return directory.with_name(f".{directory.name}.{suffix}")
