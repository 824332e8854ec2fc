"""Time contenders against each other in such a way that the ratios can be trusted.

Each contender lives in a process of its own (`worker.py`). A turn wakes one of them, which starts from the
initial weights, runs some steps and answers with the seconds of each; the turns interleave, A B C A B C, so
that whatever the machine does meanwhile (clock speed, neighbours) happens to all. Between turns everyone
sleeps, because a BLAS thread that spins after its last call would take the core from the next contender.
Ratios are formed within a round, where conditions were most alike; quoted are their median and quartiles.

Two processes of one program differ too: all of a step, products included, can be a tenth slower in the one for as long
as it lives, most often in the one that was started first. So the processes are started several times, by turns in
another order, and no contender owes its ratio to the memory it happened to get.

Before any clock starts, the contenders must have computed the same numbers. `toy.py` is a suite to read next.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.environment import busy_seconds

ROOT = Path(__file__).resolve().parents[1]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
Arguments = Mapping[str, int | float | str]


class Turn(NamedTuple):
    """How long a contender works before the next one does."""

    steps: int
    """Steps that are timed."""
    warm_up: int
    """Steps before them that no clock sees: a process that has slept finds cold caches and a slow clock."""


class Memory(NamedTuple):
    """Bytes that a process has held."""

    peak: int
    """At most, interpreter and libraries included."""
    baseline: int
    """When its libraries were loaded and nothing had been built yet."""
    gpu_pool: int = 0
    """On the GPU: at most, what the library's pool had taken from the driver."""
    gpu_allocated: int = 0
    """At most, what arrays held of that; 0 if the library does not tell."""


@dataclass(frozen=True)
class Case:
    """One problem, who solves it, and how far apart the solutions may be."""

    name: str
    arguments: Arguments
    """What every contender is built from; the same for all."""
    contenders: Mapping[str, str]
    """A name for the table -> `module:function` that builds the contender."""
    dtype: str
    tolerance: float
    """Largest distance allowed between an array of a contender's answer and the same of the reference's."""
    distance: str = "largest"
    """Of two arrays: their `largest` difference, or its rms as a `share` of the way: see `distance` below."""
    turn: Turn | None = None
    """Where a step takes so long that the settings' numbers of steps do not suit."""
    environment: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """For contenders whose processes need more than the usual environment variables: which."""
    device: str = "cpu"
    """Where it is solved: cpu or cuda."""
    trees: Mapping[str, Path] = field(default_factory=dict)
    """For contenders that are imported from another checkout of this repository than the harness: its root."""


@dataclass(frozen=True)
class Settings(ABC):
    """What every suite lets its user choose; a suite adds its own fields and says what its cases are."""

    repeats: int = 20
    """Turns of each contender, after each start."""
    steps: int = 50
    """Timed steps in a turn."""
    warm_up: int = 10
    """Steps before them that no clock sees."""
    threads: tuple[int, ...] = (1,)
    """Threads each contender may use; every case is run once for each number given."""
    only: tuple[str, ...] = ()
    """Contenders to run; all of them if none is named."""
    reference: str = "torch"
    """The contender whose time is 1."""
    gap: float = 0.25
    """Idle seconds before each turn. OpenBLAS's threads were seen to spin for 0.1 after their last product."""
    agreement_steps: int = 10
    """Steps after which all contenders must have the same numbers."""
    output: Path | None = None
    """Write the results here, as JSON."""
    figure: Path | None = None
    """Draw the results here."""

    @abstractmethod
    def cases(self) -> Sequence[Case]:
        """The problems of this suite."""


@dataclass(frozen=True)
class Restarted(Settings):
    """Of suites whose processes live for one case only."""

    starts: int = 1
    """Times that the processes are started, each time with another contender first."""


class DisagreementError(Exception):
    """Two contenders do not compute the same thing, so there is nothing to time."""


class CannotRunError(Exception):
    """A contender needs a package that is not installed."""


class Worker:
    """The parent's end of a contender's process: one line of JSON there, one line back.

    `tree` is the checkout whose `minigan` and `benchmarks` that process imports, its own `worker.py` included.
    """

    def __init__(
        self, entry: str, threads: int, environment: Mapping[str, str] | None = None, tree: Path = ROOT
    ) -> None:
        self.entry = entry
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", entry, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tree,
            # BLAS libraries and malloc read these once, when they are loaded, so only the parent can still set them.
            env=importing_from(tree) | {name: str(threads) for name in THREAD_VARIABLES} | dict(environment or {}),
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()  # an end of input is the worker's sign to leave

    def ready(self) -> None:
        """Wait until everything is imported."""
        missing = self._listen()["missing"]
        if missing is not None:
            raise CannotRunError(missing)

    def build(self, arguments: Arguments) -> None:
        """Make the contender anew, as it starts."""
        self._ask(build=dict(arguments))

    def run(self, steps: int) -> list[float]:
        """The seconds of each of its next `steps` steps."""
        seconds: list[float] = self._ask(run=steps)["seconds"]
        return seconds

    def answer(self) -> dict[str, np.ndarray]:
        """The numbers that the contender has computed since it was built."""
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "answer.npz")
            self._ask(answer=file)
            with np.load(file) as arrays:
                return dict(arrays)

    def memory(self) -> Memory:
        """What the process has held."""
        return Memory(**self._ask(memory=True))

    def _ask(self, **command: Any) -> Any:
        assert self.process.stdin is not None
        print(json.dumps(command), file=self.process.stdin, flush=True)
        return self._listen()

    def _listen(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker of {self.entry} ended; its traceback is above")
        return json.loads(line)


def importing_from(tree: Path) -> dict[str, str]:
    """Our environment variables, but with the packages of `tree` found first."""
    path = os.pathsep.join(filter(None, [str(tree), os.environ.get("PYTHONPATH")]))
    return dict(os.environ) | {"PYTHONPATH": path}


Workers = dict[str, Worker]
Turns = list[list[float]]  # seconds, as [round][step]


def measure(case: Case, threads: int, settings: Restarted) -> dict[str, Any]:
    """Check that the contenders of `case` agree, time them, and return the results in plain data."""
    turn = case.turn or Turn(settings.steps, settings.warm_up)
    turns: dict[str, Turns] = {name: [] for name in case.contenders}
    memory: dict[str, Memory] = {}
    differences: dict[str, float] = {}
    busy: list[float] = []
    for first in range(settings.starts):
        with ExitStack() as stack:
            workers, left_out = start(case, threads, settings.only, stack, first)
            if not workers:
                raise SystemExit(f"{case.name}: no contender can run")
            reference = settings.reference if settings.reference in workers else next(iter(workers))
            differences = differences or agree(workers, reference, settings.agreement_steps, case)

            def take_turn(name: str, workers: Workers = workers) -> list[float]:
                workers[name].build(case.arguments)
                return workers[name].run(turn.warm_up + turn.steps)[turn.warm_up :]

            taken, others = interleave(list(workers), settings, take_turn)
            busy += [] if others is None else [others]
            for name, worker in workers.items():
                turns[name] += taken[name]
                memory[name] = max(memory.get(name, Memory(0, 0)), worker.memory())
    return {
        "name": case.name,
        "arguments": dict(case.arguments),
        "dtype": case.dtype,
        "device": case.device,
        "threads": threads,
        "reference": reference,
        "left_out": left_out,
        "steps": turn.steps,
        "warm_up": turn.warm_up,
        "environment": {name: dict(variables) for name, variables in case.environment.items() if name in workers},
        "cores_busy_with_others": round(float(np.mean(busy)), 2) if busy else None,
        "starts": settings.starts,
        "agreement": {
            "steps": settings.agreement_steps,
            "distance": case.distance,
            "tolerance": case.tolerance,
            "largest_difference": differences,
        },
        "contenders": {
            name: {
                **summary(turns[name], turns[reference]),
                "peak_memory_mib": round(memory[name].peak / 2**20, 1),
                "memory_above_libraries_mib": round((memory[name].peak - memory[name].baseline) / 2**20, 1),
                **gpu_figures(memory[name]),
            }
            for name in memory
        },
    }


def gpu_figures(memory: Memory) -> dict[str, Any]:
    """The memory that a contender held on a GPU. Nothing of one on the host."""
    if not memory.gpu_pool:
        return {}
    return {
        "peak_gpu_pool_mib": round(memory.gpu_pool / 2**20, 1),
        "peak_gpu_allocated_mib": round(memory.gpu_allocated / 2**20, 1) or None,
    }


def start(
    case: Case, threads: int, only: Sequence[str], stack: ExitStack, first: int = 0
) -> tuple[Workers, dict[str, str]]:
    """The contenders that stand, in the case's order, and why the others do not. Processes start with number first."""
    unknown = set(only) - set(case.contenders)
    if unknown:
        raise SystemExit(f"--only: expected some of {', '.join(case.contenders)}; got {', '.join(unknown)}")
    workers: Workers = {}
    left_out: dict[str, str] = {}
    names = [name for name in case.contenders if not only or name in only]
    first %= len(names)
    for name in (*names[first:], *names[:first]):
        entry = case.contenders[name]
        worker = stack.enter_context(Worker(entry, threads, case.environment.get(name), case.trees.get(name, ROOT)))
        try:
            worker.ready()
        except CannotRunError as reason:
            left_out[name] = str(reason)
        else:
            workers[name] = worker
    return {name: workers[name] for name in names if name in workers}, left_out


def agree(workers: Workers, reference: str, steps: int, case: Case) -> dict[str, float]:
    """How far each contender is from the reference after `steps` steps; raises if one is too far."""
    for worker in workers.values():
        worker.build(case.arguments)
    at_start = workers[reference].answer() if case.distance == "share" else {}
    for worker in workers.values():
        worker.run(steps)
    expected = workers[reference].answer()
    differences = {}
    for name, worker in workers.items():
        answer = worker.answer()
        if answer.keys() != expected.keys():
            raise DisagreementError(
                f"{case.name}: {name} answers with {sorted(answer)}, {reference} with {sorted(expected)}"
            )
        distances = {}
        for key, array in expected.items():
            if answer[key].shape != array.shape:
                raise DisagreementError(
                    f"{case.name}: {key} has shape {answer[key].shape} in {name}, not {array.shape}"
                )
            distances[key] = distance(answer[key], array, at_start.get(key))
        differences[name] = float(np.max(list(distances.values())))  # unlike max, np.max lets a NaN through,
        if not differences[name] <= case.tolerance:  # and so written, the comparison rejects it
            worst = max(distances, key=lambda key: distances[key])
            raise DisagreementError(
                f"{case.name}: after {steps} steps {name} is {differences[name]:.1e} away from {reference} "
                f"in {worst}, more than the {case.tolerance:.1e} allowed"
            )
    return differences


def distance(a: np.ndarray, b: np.ndarray, start: np.ndarray | None = None) -> float:
    """Between an array a and the reference's, b: the largest difference; given b's start, the share of the way.

    The first is stricter, and right for small networks. In a large one Adam moves a few of a million weights by the
    learning rate on gradients that are mostly rounding, so a few always end far apart. Then the root mean square of
    a - b is taken, and divided by that of b - start: rounding makes some hundredths, a fault in the code makes about 1.
    """
    difference = np.asarray(a, np.float64) - b
    if start is None:
        return float(np.abs(difference).max())
    rms, way = (float(np.sqrt(np.mean(d * d))) for d in (difference, np.asarray(b, np.float64) - start))
    return rms / way if way else float(rms != 0)


def interleave(
    names: Sequence[str], settings: Settings, take_turn: Callable[[str], list[float]]
) -> tuple[dict[str, Turns], float | None]:
    """Seconds of each timed step of each contender, and how many cores others kept busy meanwhile."""
    turns: dict[str, Turns] = {name: [] for name in names}
    computed: list[float] = []
    for name in _rounds(names, settings.repeats):
        # By the middle of the gap our own threads are at rest, so whoever computes then is not one of us.
        time.sleep(settings.gap / 2)
        before = busy_seconds()
        time.sleep(settings.gap / 2)
        after = busy_seconds()
        if settings.gap and before is not None and after is not None:
            computed.append(after - before)
        turns[name].append(take_turn(name))
    return turns, round(float(np.mean(computed)) / (settings.gap / 2), 2) if computed else None


def _rounds(names: Sequence[str], repeats: int) -> Iterator[str]:
    """A B C, then B C A, then C A B, ...: nobody always comes first, and everybody comes once a round."""
    for turn in range(repeats):
        first = turn % len(names)
        yield from (*names[first:], *names[:first])


def summary(turns: Turns, reference: Turns) -> dict[str, Any]:
    """Median and quartiles of a step's microseconds, and of the ratios to the reference in the same round."""
    low, middle, high = np.percentile(np.array(turns) * 1e6, [25, 50, 75])
    medians = np.median(turns, axis=1)
    ratio_low, ratio, ratio_high = np.percentile(medians / np.median(reference, axis=1), [25, 50, 75])
    return {
        "median_us": round(float(middle), 2),
        "quartiles_us": [round(float(low), 2), round(float(high), 2)],
        "ratio": round(float(ratio), 4),
        "ratio_quartiles": [round(float(ratio_low), 4), round(float(ratio_high), 4)],
        "turn_medians_us": [round(float(median) * 1e6, 2) for median in medians],
    }
