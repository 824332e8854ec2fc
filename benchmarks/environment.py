"""What the numbers of a benchmark depend on: the machine, and the versions of everything that ran on it.

Nothing here tells whose machine it is: no host name, no user, no paths.
"""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

import minigan
from minigan.devices import DeviceError, use_cupy


def machine() -> dict[str, str | int | float]:
    """Processor, cores, memory and operating system."""
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(pages * page / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def gpu() -> dict[str, dict[str, Any]]:
    """The GPU that CuPy uses, and the versions of what runs on it: to be added to the machine and to its versions.

    Raises SystemExit with one line if there is none, no driver, or no CuPy.
    """
    try:
        cupy = use_cupy()
    except DeviceError as error:
        raise SystemExit(f"error: {error}") from None
    runtime, about = cupy.cuda.runtime, cupy.cuda.runtime.getDeviceProperties(0)
    return {
        "machine": {
            "gpu": about["name"].decode(),
            "gpu_memory_gib": round(about["totalGlobalMem"] / 2**30, 1),
            "compute_capability": f"{about['major']}.{about['minor']}",
        },
        "versions": {
            "cupy": cupy.__version__,
            "cuda_driver": _cuda(runtime.driverGetVersion()),
            "cuda_runtime": _cuda(runtime.runtimeGetVersion()),
        },
    }


def _cuda(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


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
