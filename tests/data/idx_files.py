"""IDX files for tests: minigan only reads them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from minigan.data.idx import DTYPES


def write_idx(path: Path, x: np.ndarray) -> None:
    """Write x as an IDX file, gzipped if the name ends in .gz."""
    big_endian = x.dtype.newbyteorder(">")
    (code,) = (code for code, dtype in DTYPES.items() if dtype == big_endian)
    content = bytes([0, 0, code, x.ndim]) + np.array(x.shape, ">u4").tobytes() + x.astype(big_endian).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
