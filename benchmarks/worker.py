"""A contender's process: imports it once, then builds and steps it on demand, so that no start-up is timed.

`harness.py` starts it as `python -m benchmarks.worker ENTRY THREADS` and talks to it in lines of JSON:

    {"build": ARGUMENTS} makes the contender anew
    {"run": 50}          answered with the seconds of each of its next 50 steps
    {"answer": FILE}     writes the numbers computed since it was built, in NumPy's npz format
    {"memory": true}     answered with bytes: the peak, what was held before anything was built, and what is on the GPU

It leaves when its input ends. `against.py` talks to the workers of older commits, so this conversation stays as it is.
"""

import gc
import importlib
import json
import os
import resource
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np


class Clock:
    """Marks on the host's clock."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def mark(self) -> None:
        """Now."""
        self.marks.append(perf_counter())

    def seconds(self) -> list[float]:
        """Between one mark and the next."""
        return [later - earlier for earlier, later in pairwise(self.marks)]


class Contender(Protocol):
    """What a file under `contenders/` has to offer.

    On a GPU, where a step is only asked for, it has a `clock` as well, a class like `Clock` whose marks the GPU sets,
    and `device_memory()`: see `contenders/steps_cupy.py`.
    """

    def step(self, index: int) -> None:
        """Do the timed work once, on the inputs with this number."""

    def answer(self) -> dict[str, np.ndarray]:
        """The numbers computed so far, under names and shapes that all contenders of a problem share."""


def main(entry: str, threads: str) -> None:
    """Serve until the input ends."""
    # What a library prints must not get between the lines of the conversation: it goes to stderr instead.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def reply(**message: Any) -> None:
        print(json.dumps(message), file=replies, flush=True)

    try:
        factory = load(entry, int(threads))
    except ImportError as reason:  # also what a contender raises whose library is there and does not work
        reply(missing=str(reason))
        return
    reply(missing=None)

    contender: Contender | None = None
    index, baseline = 0, resident_memory()
    for line in sys.stdin:
        match json.loads(line):
            case {"build": arguments}:
                contender = None  # let go of the old one first, or the peak of memory is two of them
                gc.collect()
                contender, index = factory(**arguments), 0
                reply()
            case {"run": steps} if contender is not None:
                reply(seconds=timed(contender, index, steps))
                index += steps
            case {"answer": file} if contender is not None:
                np.savez(file, **contender.answer())  # type: ignore[arg-type]
                reply()
            case {"memory": True}:
                device: dict[str, int] = getattr(contender, "device_memory", dict)()
                reply(peak=peak_memory(), baseline=baseline, **device)


def load(entry: str, threads: int) -> Callable[..., Contender]:
    """Import `module:function`, the function that builds the contender."""
    module, function = entry.split(":")
    factory: Callable[..., Contender] = getattr(importlib.import_module(module), function)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if "minigan.kernels.pool" in sys.modules:
        sys.modules["minigan.kernels.pool"].set_num_threads(threads)
    return factory


def timed(contender: Contender, first: int, steps: int) -> list[float]:
    """Seconds of each of `steps` steps, with the garbage collector on as it is in training."""
    clock = getattr(contender, "clock", Clock)()
    clock.mark()
    for index in range(first, first + steps):
        contender.step(index)
        clock.mark()
    return clock.seconds()


def peak_memory() -> int:
    """The most bytes this process has held."""
    # On Linux, ru_maxrss survives exec and so remembers the parent that forked us; VmHWM is our own.
    return _status("VmHWM") or _peak_of_usage()


def resident_memory() -> int:
    """The bytes this process holds; where the system does not tell, the most it has held."""
    return _status("VmRSS") or _peak_of_usage()


def _status(name: str) -> int | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def _peak_of_usage() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
