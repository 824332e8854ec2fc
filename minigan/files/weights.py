"""Weights as files: safetensors under PyTorch's state_dict names; .npz, in which public weights come, can be read.

    save_weights("G.safetensors", g, {"network": repr(G)})
    g.load_state_dict(load_weights("G.safetensors"))

A file appears under its name when all of it is on the disk, or not at all. What is read is checked, and whatever is
wrong with it is one kind of error, CheckpointError, that names the file and the defect. Nothing is ever unpickled.
Read next: checkpoint.py.
"""

from __future__ import annotations

import io
import json
import math
import os
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.lib import format as npy

from minigan.arrays import Array, to_host
from minigan.parameters import Parameters


class CheckpointError(ValueError):
    """A file or folder that cannot be read or written; says which and why."""


@contextmanager
def refusing(what: str, errors: type[Exception] | tuple[type[Exception], ...] = OSError) -> Iterator[None]:
    """While it is entered, these errors become a CheckpointError: `what`, a colon, and what they say."""
    try:
        yield
    except CheckpointError:
        raise
    except errors as error:
        raise CheckpointError(f"{what}: {error}") from error


def save_weights(
    path: str | os.PathLike[str], params: Mapping[str, Array], metadata: Mapping[str, str] | None = None
) -> None:
    """Write arrays into a safetensors file, which any reader of the format can load, PyTorch's included.

    Args:
        path: the file; an older one is replaced.
        params: Parameters (their buffers are written too) or name -> array, of float16/32/64, integers or bool, on any
            device. The same arrays always make the same bytes.
        metadata: where the weights come from, as strings. minigan's version is added under "minigan".

    Raises:
        TypeError, ValueError: for what the format cannot hold, by name, before anything is written.
        CheckpointError: if the file cannot be written (no space, no permission). An older file is left as it was.
    """
    replace_file(Path(path), weights_to_bytes(params, metadata))


def save_npz(path: str | os.PathLike[str], params: Mapping[str, Array]) -> None:
    """Write arrays into an .npz file, for NumPy and whoever reads its format; all else as in save_weights."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:  # numpy.savez would note the time
        for name, a in (params.state_dict() if isinstance(params, Parameters) else params).items():
            about = zipfile.ZipInfo(f"{name}.npy")
            if about.filename != f"{name}.npy":
                raise ValueError(f"name of an array: .npz has no place for {name!r}")
            with archive.open(about, "w", force_zip64=True) as member:
                npy.write_array(member, storable(name, a), allow_pickle=False)
    replace_file(Path(path), stream.getvalue())


def load_weights(path: str | os.PathLike[str], prefix: str = "") -> dict[str, np.ndarray]:
    """Read the arrays of a safetensors or .npz file.

    Args:
        path: the file; a name that ends in .npz is read as NumPy's archive, any other as safetensors.
        prefix: take only the names that start so, and take it off them: "G/" for one net of several.

    Returns:
        name -> array, writable, dtype and shape as stored, in no particular order: hand them to load_state_dict.

    Raises:
        CheckpointError: if there is no such file, or anything in it is broken.
    """
    path = Path(path)
    data = read_file(path)
    arrays = _from_npz(data, path) if path.suffix == ".npz" else weights_from_bytes(data, path)
    named = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
    if prefix and not named:
        raise CheckpointError(f"{path}: no name starts with {prefix!r}; there are {', '.join(sorted(arrays))}")
    return named


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The strings that save_weights was given, and minigan's version. Raises CheckpointError if it is no such file."""
    with refusing(f"{path}: not a safetensors file", Exception), safetensors.safe_open(path, framework="np") as f:
        return f.metadata() or {}


def weights_to_bytes(params: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> bytes:
    """The content of the file that save_weights writes; arguments and refusals are its own."""
    arrays = params.state_dict() if isinstance(params, Parameters) else params
    # Not an import: the package's root stands above this file.
    strings = {"minigan": sys.modules["minigan"].__version__, **(metadata or {})}
    for key, text in strings.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(f"metadata: expected strings, got {key!r}: {text!r}")
    for name in arrays:
        if not isinstance(name, str):
            raise TypeError(f"name of an array: expected a string, got {name!r}")
        if name == "__metadata__" or name != name.encode(errors="ignore").decode():
            raise ValueError(f"name of an array: safetensors has no place for {name!r}")
    data = safetensors.numpy.save({name: storable(name, a) for name, a in arrays.items()}, strings)
    # safetensors writes its metadata in the random order of a hash map; sorted, the same weights are the same bytes.
    n = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:n]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the numbers start at a multiple of 8
    return b"".join([len(header).to_bytes(8, "little"), header, memoryview(data)[n:]])


def weights_from_bytes(data: bytes, path: Path) -> dict[str, np.ndarray]:
    """The arrays in the content of a safetensors file; `path` is for the error, which is CheckpointError."""
    with refusing(f"{path}: not a safetensors file", Exception):  # the library's errors, and NumPy's for some shapes
        try:
            arrays = safetensors.numpy.load(data)
        except KeyError as error:
            raise CheckpointError(
                f"{path}: holds numbers of type {error.args[0]}, which NumPy does not have"
            ) from error
    _check_bools(arrays, path)
    return arrays


def storable(name: str, a: Array) -> np.ndarray:
    """a as a file can hold it: on the host, dense and in rows, in this machine's byte order.

    Raises TypeError, with its name, if it is no array or not of real numbers or bool.
    """
    try:
        host = to_host(a)
    except TypeError as error:
        raise TypeError(f"{name!r}: {error}") from None
    if host.dtype.kind not in "fiub" or host.dtype.itemsize > 8:
        raise TypeError(f"{name!r}: expected float16/32/64, integers or bool, got dtype {host.dtype}")
    # safetensors writes the wrong numbers for a strided view, without a word; ascontiguousarray turns () into (1,).
    return np.asarray(host, dtype=host.dtype.newbyteorder("="), order="C")


def read_file(path: Path) -> bytes:
    """All of an ordinary file. Raises CheckpointError."""
    with refusing(f"{path}: could not be read"):
        if not path.is_file():
            raise CheckpointError(f"{path}: there is no such file")
        return path.read_bytes()


def replace_file(path: Path, data: bytes) -> None:
    """Make `data` the content of a file, all of it or nothing. Raises CheckpointError; then the file is as it was."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with refusing(f"{path}: could not be written"):
            write_file(temporary, data)
            os.replace(temporary, path)
            sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_file(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk. Raises OSError."""
    if os.name == "nt":  # a folder cannot be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _from_npz(data: bytes, path: Path) -> dict[str, np.ndarray]:
    # numpy.load would set aside whatever memory a broken header asks for; here the header has to agree with the file.
    refused = refusing(f"{path}: not a file of arrays in NumPy's .npz format", Exception)  # zipfile's, zlib's, NumPy's
    with refused, zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > 100 * len(data):
            raise ValueError("its content is more than 100 times as large as the file")
        arrays = {member.filename.removesuffix(".npy"): _from_npy(archive.read(member)) for member in members}
    _check_bools(arrays, path)
    return arrays


def _from_npy(data: bytes) -> np.ndarray:
    stream = io.BytesIO(data)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(stream)
    if version not in readers:
        raise ValueError(f"unknown version {version}")
    shape, by_columns, dtype = readers[version](stream)
    if dtype.kind not in "fiub":
        raise ValueError(f"expected numbers, got dtype {dtype}")
    if math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
        raise ValueError(f"{len(data) - stream.tell()} bytes for shape {shape} and dtype {dtype}")
    a = np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape, order="F" if by_columns else "C")
    return a.astype(dtype.newbyteorder("="), order="C")


def _check_bools(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    for name, a in arrays.items():
        if a.dtype == bool and a.view(np.uint8).max(initial=0) > 1:
            raise CheckpointError(f"{path}: {name!r} is of bool, but holds bytes other than 0 and 1")
