"""Fetch a file once: it appears under its name when it is whole and its SHA-256 is right."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from tqdm import tqdm

TIMEOUT = 30.0  # seconds without a byte
CHUNK = 2**16
MOST = 2**28  # bytes; the largest file of digits.py has 26 million


class DownloadError(OSError):
    """A file could not be fetched, or was not what it should be. The message names the address and the reason."""


def download(url: str, path: Path, sha256: str) -> None:
    """Fetch `url` to `path`, whose folder is made if need be, behind a progress bar if stderr is a terminal.

    The file is held in memory until it is known to be right; whatever goes wrong, nothing is left behind.

    Raises:
        DownloadError: if there is no network, the server refuses, stalls or breaks off, or the SHA-256 is another one.
        OSError: if nothing can be written there.
    """
    content = bytearray()
    try:
        with (
            urllib.request.urlopen(url, timeout=TIMEOUT) as response,
            tqdm(total=response.length, desc=path.name, unit="B", unit_scale=True, leave=False, disable=None) as bar,
        ):
            while len(content) <= MOST and (chunk := response.read(CHUNK)):
                content += chunk
                bar.update(len(chunk))
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()  # it holds the answer, and with it the connection
        raise DownloadError(f"{url}: {str(error) or type(error).__name__}") from None
    got = hashlib.sha256(content).hexdigest()
    if got != sha256:
        raise DownloadError(f"{url}: expected a file of SHA-256 {sha256}, got {len(content)} bytes of {got}")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")  # another run may be fetching it too
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
