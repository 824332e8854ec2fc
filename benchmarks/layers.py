"""The layers suite: each layer of the three systems alone, forwards and backwards, and how near it comes to the peak.

For a layer y = f(x, w) and a given dy, three things are timed apart:

    forward     y
    input       dx = (dy/dx)^T dy
    weight      dw = (dy/dw)^T dy

A convolution does 2 N O C kh kw OH OW floating-point operations in each of them, a fully connected layer 2 N O C.
What share of the machine's peak that makes is measured against the rate of one large matrix product, 2048 x 2048 x 2048
in float32 with as many threads: the fastest of twenty before the layers and as many after. It may exceed 1: for some
kernels there are algorithms that need fewer multiplications than the formula has. Batch norm and max-pool have no such
share; their weight gradients come with, or do not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from benchmarks import report as common
from benchmarks.figure import where
from benchmarks.harness import Case, DisagreementError, Settings, Worker, Workers, agree, interleave, start, summary

CONTENDERS = {
    "minigan": "benchmarks.contenders.layers_minigan:Minigan",
    "minigan-plain": "benchmarks.contenders.layers_minigan:Plain",
    "torch-last": "benchmarks.contenders.layers_torch:ChannelsLast",
    "torch": "benchmarks.contenders.layers_torch:Torch",
}
PEAK = {"peak": "benchmarks.contenders.layers_minigan:Peak"}
PEAK_FLOP = 2 * 2048**3
System = Literal["mlp", "conv28", "dcgan"]
Operation = Literal["forward", "input", "weight"]
LONGEST_TURN = 1000  # steps


class Layer(NamedTuple):
    """One layer, as plain numbers. Sizes are those of x; kernel, stride and padding are the same both ways."""

    name: str
    kind: Literal["linear", "conv", "transposed", "norm", "pool"]
    channels: int
    outputs: int
    size: int = 1
    kernel: int = 1
    stride: int = 1
    padding: int = 0

    @property
    def places(self) -> int:
        """Where a convolution's kernel is put, in one direction: on y for a transposed one."""
        if self.kind == "transposed":
            return self.size
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What is timed."""
        return ("forward", "input") if self.kind in ("norm", "pool") else ("forward", "input", "weight")

    def flop(self, batch: int) -> int | None:
        """Floating-point operations of each of them, by the formula."""
        if self.kind in ("norm", "pool"):
            return None
        return 2 * batch * self.outputs * self.channels * (self.kernel * self.places) ** 2


LAYERS: dict[System, tuple[Layer, ...]] = {
    "mlp": (
        Layer("G.0 linear", "linear", 100, 128),
        Layer("G.2 linear", "linear", 128, 256),
        Layer("G.4 linear", "linear", 256, 512),
        Layer("G.6 linear", "linear", 512, 784),
        Layer("D.0 linear", "linear", 784, 512),
        Layer("D.2 linear", "linear", 512, 256),
    ),
    "conv28": (
        Layer("G.0 linear", "linear", 96, 1024),
        Layer("G.2 batch norm", "norm", 1024, 1024),
        Layer("G.3 linear", "linear", 1024, 6272),
        Layer("G.5 batch norm", "norm", 6272, 6272),
        Layer("G.7 transposed", "transposed", 128, 64, 7, 4, 2, 1),
        Layer("G.9 batch norm", "norm", 64, 64, 14),
        Layer("G.10 transposed", "transposed", 64, 1, 14, 4, 2, 1),
        Layer("D.0 conv", "conv", 1, 32, 28, 5),
        Layer("D.2 max-pool", "pool", 32, 32, 24, 2, 2),
        Layer("D.3 conv", "conv", 32, 64, 12, 5),
        Layer("D.5 max-pool", "pool", 64, 64, 8, 2, 2),
        Layer("D.7 linear", "linear", 1024, 1024),
    ),
    "dcgan": (
        Layer("G.0 transposed", "transposed", 100, 512, 1, 4),
        Layer("G.1 batch norm", "norm", 512, 512, 4),
        Layer("G.3 transposed", "transposed", 512, 256, 4, 4, 2, 1),
        Layer("G.4 batch norm", "norm", 256, 256, 8),
        Layer("G.6 transposed", "transposed", 256, 128, 8, 4, 2, 1),
        Layer("G.7 batch norm", "norm", 128, 128, 16),
        Layer("G.9 transposed", "transposed", 128, 64, 16, 4, 2, 1),
        Layer("G.10 batch norm", "norm", 64, 64, 32),
        Layer("G.12 transposed", "transposed", 64, 3, 32, 5, 3, 1),
        Layer("D.0 conv", "conv", 3, 64, 96, 5, 3, 1),
        Layer("D.2 conv", "conv", 64, 128, 32, 4, 2, 1),
        Layer("D.5 conv", "conv", 128, 256, 16, 4, 2, 1),
        Layer("D.8 conv", "conv", 256, 512, 8, 4, 2, 1),
        Layer("D.11 conv", "conv", 512, 1, 4, 4),
    ),
}
BATCHES: dict[System, int] = {"mlp": 64, "conv28": 128, "dcgan": 64}


@dataclass(frozen=True)
class Layers(Settings):
    """Each layer of the MLP, the convolutional GAN and the DCGAN: forward, input gradient, weight gradient."""

    systems: tuple[System, ...] = ("mlp", "conv28", "dcgan")
    """Whose layers."""
    batch: int = 0
    """Images in a minibatch; 0: what suits the system."""
    repeats: int = 3
    turn: float = 0.1
    """Seconds of timed steps in a turn, about."""
    settle: float = 0.06
    """Seconds of steps before them: after a sleep the system may leave all threads on one core for some 0.03 s."""
    steps: int = 0
    """Timed steps in a turn; 0: as many as `turn` has time for, and at least 2."""
    warm_up: int = 0
    """Steps before them that no clock sees; 0: as many as `settle` has time for."""
    threads: tuple[int, ...] = (2,)
    gap: float = 0.15
    agreement_steps: int = 1

    def cases(self) -> Sequence[Case]:
        """One an operation of a layer."""
        return [
            self.case(system, layer, operation)
            for system in self.systems
            for layer in LAYERS[system]
            for operation in layer.operations
        ]

    def case(self, system: System, layer: Layer, operation: Operation) -> Case:
        """One operation."""
        return Case(
            name=f"{system}, {layer.name}, {operation}",
            arguments={"batch": self.batch or BATCHES[system], **layer._asdict(), "operation": operation},
            contenders=CONTENDERS,
            dtype="float32",
            tolerance=1e-4,  # of the result's own rms: sums of up to some 65 000 products in float32
            distance="share",
        )


def report(settings: Layers) -> None:
    """Measure, print a line an operation, and write the files."""
    results = common.opened(settings)
    for threads in settings.threads:
        with ExitStack() as stack:
            # One process a contender for all the layers: to start one takes longer than to measure one.
            workers, left_out = start(settings.cases()[0], threads, settings.only, stack)
            if not workers:
                raise SystemExit("no contender can run")
            peak = started_peak(threads, stack)
            rate = measured(peak)
            print(f"\nfloat32, {where(threads, 'cpu')}")
            for name, reason in left_out.items():
                print(f"  left out: {name} ({reason})")
            reference = settings.reference if settings.reference in workers else next(iter(workers))
            print(f"  us a step; in brackets the ratio to {reference}; then the share of the peak\n")
            print(f"  {'':39}" + "".join(f"{name:>26}" for name in workers))
            for system in settings.systems:
                for layer in LAYERS[system]:
                    for operation in layer.operations:
                        case = settings.case(system, layer, operation)
                        result = measure(case, layer, workers, reference, threads, settings)
                        result |= {"system": system, "layer": layer.name, "operation": operation}
                        print(line(result, rate), flush=True)
                        results["cases"].append(result)
            later = measured(peak)
            print(
                f"\n  peak: {rate / 1e9:.0f} GFLOP/s before (shares above), {later / 1e9:.0f} after (files: the larger)"
            )
            largest = max(rate, later)
            for result in results["cases"]:
                if result["threads"] == threads:
                    result["peak_gflop_per_second"] = round(largest / 1e9, 1)
                    for row in result["contenders"].values():
                        row["share_of_peak"] = share(result["flop"], row, largest)
    busy = [case["cores_busy_with_others"] for case in results["cases"] if case["cores_busy_with_others"] is not None]
    print("\n".join(common.busy_neighbours(round(float(np.mean(busy)), 2) if busy else None)))
    common.close(settings, results)


def started_peak(threads: int, stack: ExitStack) -> Worker:
    """The large matrix product, as a contender that nobody is compared with."""
    workers, _ = start(Case("peak", {}, PEAK, "float32", 0.0), threads, (), stack)
    workers["peak"].build({})
    return workers["peak"]


def measured(peak: Worker) -> float:
    """Its rate in operations a second: that of the fastest of twenty products."""
    return PEAK_FLOP / min(peak.run(20))


def measure(
    case: Case, layer: Layer, workers: Workers, reference: str, threads: int, settings: Layers
) -> dict[str, Any]:
    """Check that the contenders agree on this operation, time it, and return the results in plain data."""
    try:
        differences = agree(workers, reference, settings.agreement_steps, case)
    except DisagreementError as message:
        raise SystemExit(f"not timed, {message}") from None
    once = {name: min(worker.run(2)) for name, worker in workers.items()}
    steps = {
        name: settings.steps or int(np.clip(settings.turn / seconds, 2, LONGEST_TURN)) for name, seconds in once.items()
    }
    before = {
        name: settings.warm_up or int(np.clip(settings.settle / seconds, 1, LONGEST_TURN))
        for name, seconds in once.items()
    }

    def take_turn(name: str) -> list[float]:
        return workers[name].run(before[name] + steps[name])[before[name] :]

    turns, others = interleave(list(workers), settings, take_turn)
    return {
        "name": case.name,
        "arguments": dict(case.arguments),
        "dtype": case.dtype,
        "device": case.device,
        "threads": threads,
        "reference": reference,
        "cores_busy_with_others": others,
        "flop": layer.flop(int(case.arguments["batch"])),
        "agreement": {"tolerance": case.tolerance, "distance": case.distance, "largest_difference": differences},
        "contenders": {name: {**summary(turns[name], turns[reference]), "steps": steps[name]} for name in workers},
    }


def share(flop: int | None, row: dict[str, Any], rate: float) -> float | None:
    """What a contender with so much to compute reaches of the peak; None where nothing is counted."""
    return None if flop is None else round(flop / (row["median_us"] * 1e-6) / rate, 4)


def line(result: dict[str, Any], rate: float) -> str:
    """One operation as text."""
    cells = []
    for row in result["contenders"].values():
        part = share(result["flop"], row, rate)
        percent = "" if part is None else f"{100 * part:.0f} %"
        cells.append(f"{row['median_us']:10.0f} ({row['ratio']:6.2f}){percent:>7}")
    return f"  {result['system']:8}{result['layer']:17} N {result['arguments']['batch']:<4} {result['operation']:8}" + (
        "".join(cells)
    )
