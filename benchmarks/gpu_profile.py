"""Where a training step on a GPU spends its time: kernels, launches, gaps, and how often the host waits.

    python -m benchmarks.gpu_profile                            # a DCGAN step, batch 64
    python -m benchmarks.gpu_profile --system mlp --tf32

Three things are looked at, one after another:

    time        of a step by CUDA events, and how long Python takes to ask an idle GPU for it: where that is no less,
                the GPU waits for Python
    waits       of the host, by wrapping the methods of CuPy that wait for a stream or an event
    kernels     what ran when, by PyTorch's profiler: it sees the kernels of the whole process, CuPy's too

So the last needs a PyTorch that finds the GPU.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, NamedTuple
from unittest.mock import patch

import numpy as np
import tyro

from benchmarks.environment import gpu, machine, versions
from benchmarks.worker import timed


@dataclass(frozen=True)
class Profile:
    """Where a training step on a GPU spends its time."""

    system: Literal["mlp", "conv28", "dcgan"] = "dcgan"
    """whose step"""
    batch: int = 64
    """images in a minibatch"""
    tf32: bool = False
    """products in TF32"""
    own_kernels: bool = False
    """through minigan/kernels/gpu/, not the plain code"""
    steps: int = 20
    """steps that are timed, after as many that are not"""
    top: int = 15
    """kernels in the table"""
    output: Path | None = None
    """write the results here, as JSON"""


class Kernel(NamedTuple):
    """Something that ran on the GPU, from start to end in microseconds."""

    name: str
    start: float
    end: float


def main(o: Profile) -> None:
    """Measure and print."""
    for name in ("batch", "steps", "top"):
        if getattr(o, name) < 1:
            raise SystemExit(f"{name}: expected at least 1, got {getattr(o, name)}")
    about = gpu()
    from benchmarks.contenders import cuda_cupy, steps_cupy

    plain, own = (steps_cupy.Tf32, steps_cupy.KernelsTf32) if o.tf32 else (steps_cupy.Cupy, steps_cupy.Kernels)
    contender = (own if o.own_kernels else plain)(system=o.system, batch=o.batch)
    timed(contender, 0, o.steps)  # kernels are compiled when they are first used
    results: dict[str, Any] = {
        "machine": machine() | about["machine"],
        "versions": versions() | about["versions"],
        "system": o.system,
        "batch": o.batch,
        "tf32": o.tf32,
        "own_kernels": o.own_kernels,
        "step_us": round(1e6 * float(np.median(timed(contender, o.steps, o.steps))), 1),
        "asking_us": round(1e6 * asking(contender.step, cuda_cupy.cupy.cuda.Device().synchronize, o.steps), 1),
    }
    with waits_counted(cuda_cupy.cupy) as waits:
        contender.step(0)
    results["waits"] = dict(waits)
    kernels = kernels_of(lambda: contender.step(1))
    results["kernels"] = None if kernels is None else summed(kernels)
    print(text(results, o.top))
    if o.output:
        o.output.write_text(json.dumps(results, indent=1) + "\n")


def asking(step: Callable[[int], None], wait: Callable[[], None], steps: int) -> float:
    """Median seconds until step returns, which is when Python has asked for everything, if the GPU was idle before."""
    seconds = []
    for index in range(steps):
        wait()
        start = perf_counter()
        step(index)
        seconds.append(perf_counter() - start)
    return float(np.median(seconds))


@contextmanager
def waits_counted(cupy: Any) -> Iterator[dict[str, int]]:
    """While it is entered, count how often the host waits for a stream, as in float(x) and x.get(), or for an event."""
    counts = {"stream": 0, "event": 0}

    def counting(name: str, wait: Callable[[Any], None]) -> Callable[[Any], None]:
        def synchronize(self: Any) -> None:
            counts[name] += 1
            wait(self)

        return synchronize

    stream, event = cupy.cuda.Stream, cupy.cuda.Event
    with (
        patch.object(stream, "synchronize", counting("stream", stream.synchronize)),
        patch.object(event, "synchronize", counting("event", event.synchronize)),
    ):
        yield counts


def kernels_of(work: Callable[[], None]) -> list[Kernel] | None:
    """What ran on the GPU meanwhile; None if there is no PyTorch to see it."""
    try:
        import torch
        from torch.profiler import ProfilerActivity, profile
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    with profile(activities=[ProfilerActivity.CUDA]) as recorded:
        work()
        torch.cuda.synchronize()
    on_gpu = [event for event in recorded.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    return [Kernel(event.name, event.time_range.start, event.time_range.end) for event in on_gpu]


def summed(kernels: Sequence[Kernel]) -> dict[str, Any]:
    """Launches, the time from the first start to the last end, how much of it is busy, and each kernel's part.

    Kernels of two streams may overlap; time is busy if anything runs.
    """
    busy, reached = 0.0, -np.inf
    for _, start, end in sorted(kernels, key=lambda kernel: kernel.start):
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    span = max(k.end for k in kernels) - min(k.start for k in kernels) if kernels else 0.0
    names = dict.fromkeys(kernel.name for kernel in kernels)
    spent = {name: [end - start for own, start, end in kernels if own == name] for name in names}
    rows = [{"name": name, "calls": len(us), "us": round(sum(us), 1)} for name, us in spent.items()]
    return {
        "launches": len(kernels),
        "span_us": round(span, 1),
        "busy_us": round(busy, 1),
        "gaps_us": round(span - busy, 1),
        "rows": sorted(rows, key=lambda row: -float(row["us"])),
    }


def text(results: dict[str, Any], top: int) -> str:
    """The results for the terminal."""
    kernels = results["kernels"]
    lines = [
        f"{results['machine']['gpu']}, CuPy {results['versions']['cupy']}",
        f"{results['system']}, batch {results['batch']}, float32, TF32 {'on' if results['tf32'] else 'off'}, "
        + ("minigan's kernels" if results["own_kernels"] else "plain code"),
        f"  a step takes {results['step_us']:.0f} us, and Python {results['asking_us']:.0f} us to ask for it",
        f"  in one step the host waits {results['waits']['stream']} times for a stream, {results['waits']['event']} "
        "times for an event",
    ]
    if kernels is None:
        return "\n".join([*lines, "  no kernels: there is no PyTorch that finds this GPU"])
    lines += [
        f"  {kernels['launches']} launches in {kernels['span_us']:.0f} us: busy {kernels['busy_us']:.0f}, gaps "
        f"{kernels['gaps_us']:.0f}",
        "",
        f"  {'us':>10}{'share':>8}{'calls':>7}  kernel",
    ]
    for row in kernels["rows"][:top]:
        share = row["us"] / kernels["busy_us"]
        lines.append(f"  {row['us']:10.0f}{share:8.1%}{row['calls']:7}  {row['name'][:80]}")
    return "\n".join(lines)


if __name__ == "__main__":
    main(tyro.cli(Profile, description=__doc__))
