"""What the bits of a run depend on beside its options: the processor, how many threads, and the libraries' versions.

A product of matrices is rounded differently by another of BLAS's kernels, or on another number of threads. So a run
that is resumed on another machine is the same run, but its last bits may differ from there on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info


def machine() -> dict[str, Any]:
    """What matters here, as plain data for run.json."""
    loaded = [library for library in threadpool_info() if library["user_api"] == "blas"]
    numpys = [b for b in loaded if any(part.startswith("numpy") for part in Path(b["filepath"]).parts[-3:])]
    blas = numpys or loaded  # SciPy or PyTorch may have brought others, which do not count
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "numpy": np.__version__,
        "BLAS": [f"{b['internal_api']} {b['version']} {b.get('architecture', '')}".strip() for b in blas],
        "BLAS threads": [b["num_threads"] for b in blas],
        "cores": cores,
    }


def changed(before: dict[str, Any] | None) -> str | None:
    """In one line, what is different here from where a run was before; None if nothing is."""
    before, text = before or {}, lambda value: ", ".join(map(str, value)) if isinstance(value, list) else value
    different = [
        f"{name} {text(before[name])}, now {text(here)}"
        for name, here in machine().items()
        if before.get(name, here) != here
    ]
    return f"resume: the run was on {'; '.join(different)}: its bits may differ from here on" if different else None
