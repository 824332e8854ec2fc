"""A contender's process: imports it once, then builds and steps it on demand, so that no start-up is timed.

`harness.py` starts it as `python -m benchmarks.worker ENTRY ARGUMENTS THREADS` and talks to it in lines of
JSON:

    {"run": 50}          builds the contender anew; answered with the seconds of each of its first 50 steps
    {"answer": FILE}     writes the numbers computed in that run, in NumPy's npz format
    {"memory": true}     answered with the peak memory in bytes

It leaves when its input ends.
"""

import importlib
import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np


class Contender(Protocol):
    """What a file under `contenders/` has to offer."""

    def step(self, index: int) -> None:
        """Do the timed work once, on the inputs with this number."""

    def answer(self) -> dict[str, np.ndarray]:
        """The numbers computed so far, under names and shapes that all contenders of a problem share."""


def main(entry: str, arguments: str, threads: str) -> None:
    """Serve until the input ends."""
    # What a library prints must not get between the lines of the conversation: it goes to stderr instead.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def reply(**message: Any) -> None:
        print(json.dumps(message), file=replies, flush=True)

    try:
        factory = load(entry, int(threads))
    except ModuleNotFoundError as reason:
        reply(missing=str(reason))
        return
    reply(missing=None)

    contender: Contender | None = None
    for line in sys.stdin:
        match json.loads(line):
            case {"run": steps}:
                contender = None  # let go of the old one first, or the peak of memory is two of them
                contender = factory(**json.loads(arguments))
                reply(seconds=timed(contender, steps))
            case {"answer": file} if contender is not None:
                np.savez(file, **contender.answer())  # type: ignore[arg-type]
                reply()
            case {"memory": True}:
                reply(bytes=peak_memory())


def load(entry: str, threads: int) -> Callable[..., Contender]:
    """Import `module:function`, the function that builds the contender."""
    module, function = entry.split(":")
    factory: Callable[..., Contender] = getattr(importlib.import_module(module), function)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    return factory


def timed(contender: Contender, steps: int) -> list[float]:
    """Seconds of each of the first `steps` steps, with the garbage collector on as it is in training."""
    seconds = []
    for index in range(steps):
        start = perf_counter()
        contender.step(index)
        seconds.append(perf_counter() - start)
    return seconds


def peak_memory() -> int:
    """The most bytes this process has held."""
    # On Linux, ru_maxrss survives exec and so remembers the parent that forked us; VmHWM is our own.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
