"""What the numbers of a benchmark depend on: the machine, and the versions of everything that ran on it.

Nothing here tells whose machine it is: no host name, no user, no paths.
"""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import minigan


def machine() -> dict[str, str | int | float]:
    """Processor, cores, memory and operating system."""
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(pages * page / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str | None]:
    """Of Python, NumPy and its BLAS, and the libraries compared; None where one is not installed."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas['name']} {blas['version']}",
        "autograd": _version("autograd"),
        "torch": _version("torch"),
        "minigan": minigan.__version__,
    }


def busy_seconds() -> float | None:
    """Core-seconds the machine has computed since it was started; None where the system does not tell."""
    file = Path("/proc/stat")
    if not file.exists():
        return None
    user, nice, system, _idle, _waiting, irq, softirq, stolen, *_ = map(int, file.read_text().split()[1:11])
    return (user + nice + system + irq + softirq + stolen) / os.sysconf("SC_CLK_TCK")


def _cpu_model() -> str:
    file = Path("/proc/cpuinfo")
    if file.exists():
        for line in file.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
