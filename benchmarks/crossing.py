"""The crossing suite: the same training step on the host and on the GPU, batch by batch, and where the GPU overtakes.

A small batch does not fill a GPU, and to ask it for an operation takes Python as long whatever the size: there the
host wins. Along the batch both times are drawn as straight lines between what was measured, on logarithmic scales;
the crossing named is the batch at which these meet for the last time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from benchmarks import report as common
from benchmarks.harness import Case, Restarted, Turn
from benchmarks.steps import TOLERANCE

System = Literal["mlp", "conv28", "dcgan"]
PAIRS = {"minigan": ("minigan", "cupy"), "torch": ("torch", "torch-cuda")}


@dataclass(frozen=True)
class Crossing(Restarted):
    """A training step on the host beside the same on the GPU, over batch sizes; which batch makes the GPU pay."""

    systems: tuple[System, ...] = ("mlp", "conv28", "dcgan")
    """Whose steps."""
    batches: tuple[int, ...] = (4, 16, 64, 256)
    """Images in a minibatch, growing."""
    repeats: int = 2
    starts: int = 2
    steps: int = 4
    warm_up: int = 2
    threads: tuple[int, ...] = (2,)
    """Of the host."""
    reference: str = "minigan"
    agreement_steps: int = 2

    device = "cpu and cuda"

    def cases(self) -> Sequence[Case]:
        """One a system and batch."""
        return [
            Case(
                name=f"{system}, batch {batch}",
                arguments={"system": system, "batch": batch},
                contenders={
                    "minigan": "benchmarks.contenders.steps_minigan:Minigan",
                    "cupy": "benchmarks.contenders.steps_cupy:Cupy",
                    "torch": "benchmarks.contenders.steps_torch:Torch",
                    "torch-cuda": "benchmarks.contenders.steps_torch_cuda:Cuda",
                },
                dtype="float32",
                tolerance=TOLERANCE,
                distance="share",
                turn=Turn(self.steps, self.warm_up),
                device=self.device,
            )
            for system in self.systems
            for batch in self.batches
        ]


def report(settings: Crossing) -> None:
    """Measure, print the tables and where the GPU overtakes, and write the files."""
    if min(settings.batches) < 1 or list(settings.batches) != sorted(set(settings.batches)):
        raise SystemExit(f"batches: expected numbers from 1 that grow, got {settings.batches}")
    results = common.opened(settings)
    common.measure_cases(settings, results)
    results["crossings"] = crossings(settings, results["cases"])
    print()
    for row in results["crossings"]:
        print(f"{row['system']}, {row['library']}, {row['threads']} threads against the GPU: {told(row)}")
    common.close(settings, results)


def crossings(settings: Crossing, cases: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each system, library and number of threads: times along the batch, and where they cross."""
    rows = []
    for system in settings.systems:
        for threads in settings.threads:
            along = [c for c in cases if c["arguments"]["system"] == system and c["threads"] == threads]
            for library, pair in PAIRS.items():
                if not all(name in case["contenders"] for case in along for name in pair):
                    continue
                host, gpu = ([case["contenders"][name]["median_us"] / 1000 for case in along] for name in pair)
                batches = [case["arguments"]["batch"] for case in along]
                about = {"system": system, "library": library, "threads": threads, "batches": batches}
                rows.append(
                    about | {"host_ms": host, "gpu_ms": gpu, "crossing": crossing(batches, host, gpu)},
                )
    return rows


def crossing(batches: Sequence[int], host: Sequence[float], gpu: Sequence[float]) -> float | None:
    """The batch from which on the GPU takes less time than the host.

    The smallest batch if the GPU is faster from there on; None if it is not at the largest.
    """
    ahead = np.log(np.asarray(host) / np.asarray(gpu))  # above 0 where the GPU is faster
    if ahead[-1] <= 0:
        return None
    behind = np.flatnonzero(ahead <= 0)
    if not len(behind):
        return float(batches[0])
    i = int(behind[-1])
    n = np.log(batches[i : i + 2])
    return round(float(np.exp(n[0] + (n[1] - n[0]) * -ahead[i] / (ahead[i + 1] - ahead[i]))), 1)


def told(row: dict[str, Any]) -> str:
    """A crossing in words."""
    if row["crossing"] is None:
        return f"the host is faster at batch {row['batches'][-1]} still"
    if row["crossing"] == row["batches"][0]:
        return f"the GPU is faster from batch {row['batches'][0]} on, the smallest that was measured"
    return f"the GPU is faster from batch {row['crossing']:.0f} on"
