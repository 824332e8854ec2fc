"""Fetch a file once: under another name until it is whole and its SHA-256 is right."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import HTTPError

from tqdm import tqdm

TIMEOUT = 30.0  # seconds without a byte
CHUNK = 2**16


class DownloadError(OSError):
    """A file could not be fetched, or was not what it should be. The message names the address and the reason."""


def download(url: str, path: Path, sha256: str) -> None:
    """Fetch `url` to `path`, whose folder is made if need be, behind a progress bar if stderr is a terminal.

    The file appears under its name only when it is whole and right; whatever goes wrong, nothing is left behind.

    Raises:
        DownloadError: if there is no network, the server refuses, stalls or breaks off, or the SHA-256 is another one.
        OSError: if nothing can be written there.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            try:
                got, size = _fetch(url, file, path.name)
            except (OSError, HTTPException) as error:
                if isinstance(error, HTTPError):
                    error.close()  # it holds the answer, and with it the connection
                raise DownloadError(f"{url}: {str(error) or type(error).__name__}") from None
        if got != sha256:
            raise DownloadError(f"{url}: expected a file of SHA-256 {sha256}, got {size} bytes of {got}")
        part.chmod(0o644)  # as an ordinary file; mkstemp's are for their owner alone
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
        for folder in made:  # from the innermost; one that has become good for something is not empty
            with suppress(OSError):
                folder.rmdir()


def _fetch(url: str, file: IO[bytes], title: str) -> tuple[str, int]:
    """Write what `url` gives to file; its SHA-256 and number of bytes."""
    digest, size = hashlib.sha256(), 0
    with (
        urllib.request.urlopen(url, timeout=TIMEOUT) as response,
        tqdm(total=response.length, desc=title, unit="B", unit_scale=True, leave=False, disable=None) as bar,
    ):
        while chunk := response.read(CHUNK):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            bar.update(len(chunk))
    return digest.hexdigest(), size
