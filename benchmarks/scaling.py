"""The scaling suite: how time and memory of a DCGAN step grow with the batch, the channels and the image.

Along each of the three one thing grows and the others stay. Cost c against size n is summed up by its exponent, the
slope of the straight line through (log n, log c): 1 is linear, 2 quadratic. In the batch and in the number of pixels a
step should cost no more than linearly; in the width, convolutions cost up to the square. Memory is counted above what
the libraries hold, and weights are in it, so its exponents lie below those of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from benchmarks import report as common
from benchmarks.harness import Case, Restarted
from benchmarks.steps import KEEP_MEMORY, TOLERANCE

Axis = Literal["batch", "width", "size"]
AXES: tuple[Axis, ...] = ("batch", "width", "size")


@dataclass(frozen=True)
class Scaling(Restarted):
    """Time and memory of a DCGAN step against batch, channels and image size."""

    along: tuple[Axis, ...] = AXES
    """What grows."""
    batch: tuple[int, ...] = (32, 64, 128, 256)
    """Images in a minibatch; the first where something else grows."""
    width: tuple[int, ...] = (16, 32, 64)
    """Channels next to the pixels, up to 8 times as many inside; the first where something else grows."""
    size: tuple[int, ...] = (96, 144, 192)
    """Pixels along an image's edge, 96 and every 24 above; the first where something else grows."""
    repeats: int = 2
    starts: int = 3
    steps: int = 2
    warm_up: int = 1
    threads: tuple[int, ...] = (2,)
    agreement_steps: int = 2

    def cases(self) -> Sequence[Case]:
        """One a size, along each axis."""
        return [self._case(axis, n) for axis in self.along for n in getattr(self, axis)]

    def _case(self, axis: Axis, n: int) -> Case:
        arguments = {"batch": self.batch[0], "width": self.width[0], "size": self.size[0]} | {axis: n}
        return Case(
            name=f"dcgan, along {axis}: " + ", ".join(f"{key} {value}" for key, value in arguments.items()),
            arguments={"system": "dcgan", **arguments},
            contenders={
                "minigan": "benchmarks.contenders.steps_minigan:Minigan",
                "torch-tuned": "benchmarks.contenders.steps_torch:Tuned",
                "torch": "benchmarks.contenders.steps_torch:Torch",
            },
            dtype="float32",
            tolerance=TOLERANCE,
            distance="share",
            environment={"torch-tuned": KEEP_MEMORY},
        )


def report(settings: Scaling) -> None:
    """Measure, print the tables and the exponents, and write the files."""
    results = common.opened(settings)
    common.measure_cases(settings, results)
    results["exponents"] = exponents(settings, results["cases"])
    print("\nexponents: 1 is linear. Whole range; in brackets, between the two largest\n")
    print(f"  {'along':8}{'threads':>8}  {'contender':14}{'time':>16}{'memory':>16}")
    for row in results["exponents"]:
        cells = "".join(
            f"{row[cost]['all']:9.2f} ({row[cost]['last']:4.2f})" for cost in ("time", "memory") if row[cost]
        )
        print(f"  {row['along']:8}{row['threads']:8}  {row['contender']:14}{cells}")
    common.close(settings, results)


def exponents(settings: Scaling, cases: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each axis, number of threads and contender, the exponents of time and memory."""
    rows = []
    for axis in settings.along:
        for threads in settings.threads:
            along = [case for case in cases if case["threads"] == threads and f"along {axis}:" in case["name"]]
            # Of the pixels, not of the edge, which would say 2 where cost is linear in the numbers of an image.
            sizes = [case["arguments"][axis] ** (2 if axis == "size" else 1) for case in along]
            if len(sizes) < 2:
                continue
            for name in along[0]["contenders"]:
                runs = [case["contenders"][name] for case in along]
                rows.append(
                    {
                        "along": "pixels" if axis == "size" else axis,
                        "threads": threads,
                        "contender": name,
                        "sizes": sizes,
                        "milliseconds": [run["median_us"] / 1000 for run in runs],
                        "mebibytes": [run["memory_above_libraries_mib"] for run in runs],
                        "time": slopes(sizes, [run["median_us"] for run in runs]),
                        "memory": slopes(sizes, [run["memory_above_libraries_mib"] for run in runs]),
                    }
                )
    return rows


def slopes(sizes: Sequence[float], costs: Sequence[float]) -> dict[str, float]:
    """d log cost / d log size: of all points by least squares, and between the last two."""
    n, c = np.log(sizes), np.log(np.maximum(costs, 1e-9))
    return {"all": round(float(np.polyfit(n, c, 1)[0]), 3), "last": round(float((c[-1] - c[-2]) / (n[-1] - n[-2])), 3)}
