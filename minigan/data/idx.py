"""IDX files, the format of MNIST and its kin: a short header, then the numbers, row by row, high byte first.

    0, 0, type code, number of dimensions | the dimensions, four bytes each | the numbers

A file is data from elsewhere and may be anything. Nothing is allocated before the header has been held against the
size of the file, so that neither a header that lies nor a gzip bomb costs more than its reader allowed.
Read next: digits.py.
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np

DTYPES = {
    code: np.dtype(name) for code, name in [(8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")]
}
MAX_DIMENSIONS = 32
MAX_EXPANSION = 1032  # DEFLATE's best: two bits stand for a run of 258 bytes
GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 2**20


class IDXError(ValueError):
    """A file that is no IDX file, or a damaged one. The message names the file, what was expected and what came."""


def read_idx(file: str | Path | BinaryIO, max_bytes: int = 2**32) -> np.ndarray:
    """The array in an IDX file, gzipped or not (its first bytes decide, not its name).

    Args:
        file: a path, or a seekable binary file, which is read from its beginning and stays open.
        max_bytes: refuse arrays larger than this.

    Returns:
        An array of the file's shape and type (uint8, int8, int16, int32, float32 or float64) in the machine's byte
        order. At most 1 MB is held beside it.

    Raises:
        IDXError: if magic, type code, dimensions or length are wrong, or the gzip stream is damaged.
        OSError: if the file cannot be opened or read.
    """
    name = str(file) if isinstance(file, (str, Path)) else str(getattr(file, "name", "IDX file"))
    with open(file, "rb") if isinstance(file, (str, Path)) else nullcontext(file) as raw:
        size = raw.seek(0, io.SEEK_END)
        raw.seek(0)
        zipped = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        try:
            return _read(gzip.GzipFile(fileobj=raw) if zipped else raw, name, size, zipped, max_bytes)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise IDXError(f"{name}: damaged gzip stream: {error}") from None


def _read(stream: BinaryIO | gzip.GzipFile, name: str, size: int, zipped: bool, max_bytes: int) -> np.ndarray:
    """The array in a stream of IDX, whose file has `size` bytes."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise IDXError(f"{name}: expected an IDX file, which begins with two zero bytes, got {magic[:2].hex(' ')!r}")
    code, ndim = magic[2], magic[3]
    if code not in DTYPES:
        raise IDXError(f"{name}: expected a type code of {', '.join(map(hex, DTYPES))}, got {code:#x}")
    if not 1 <= ndim <= MAX_DIMENSIONS:
        raise IDXError(f"{name}: expected 1 to {MAX_DIMENSIONS} dimensions, got {ndim}")
    dimensions = stream.read(4 * ndim)
    if len(dimensions) < 4 * ndim:
        raise IDXError(f"{name}: expected {ndim} dimensions of 4 bytes, got {len(dimensions)} bytes")
    shape = tuple(np.frombuffer(dimensions, ">u4").tolist())  # Python's integers: their product cannot overflow

    dtype, header = DTYPES[code], 4 + 4 * ndim
    expected = math.prod(shape) * dtype.itemsize
    if math.prod(n or 1 for n in shape) * dtype.itemsize > max_bytes:  # NumPy's limit disregards zeros as well
        raise IDXError(f"{name}: expected at most {max_bytes} bytes (max_bytes), got a header that says {shape}")
    if not zipped and size != header + expected:
        raise IDXError(f"{name}: expected {header + expected} bytes for shape {shape}, got {size}")
    if zipped and header + expected > size * MAX_EXPANSION:
        raise IDXError(f"{name}: expected {expected} bytes for shape {shape}, which {size} gzipped bytes cannot hold")

    x = np.empty(shape, dtype)
    rest = x.reshape(-1).view(np.uint8).data
    while rest:
        chunk = stream.read(min(CHUNK, len(rest)))
        if not chunk:
            raise IDXError(f"{name}: expected {expected} bytes for shape {shape}, got {expected - len(rest)}")
        rest[: len(chunk)] = chunk
        rest = rest[len(chunk) :]
    if stream.read(1):  # which also makes gzip compare its checksum
        raise IDXError(f"{name}: expected {expected} bytes for shape {shape}, got more")
    return x if x.dtype.isnative else x.byteswap(inplace=True).view(dtype.newbyteorder("="))
