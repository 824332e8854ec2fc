"""Runs a suite and says what came out: a table for each case as it ends, then JSON and a figure."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from benchmarks.environment import gpu, machine, versions
from benchmarks.figure import draw, where
from benchmarks.harness import DisagreementError, Restarted, Settings, measure


def report(settings: Restarted) -> None:
    """Measure every case of the suite with every number of threads, print the tables and write the files."""
    results = opened(settings)
    measure_cases(settings, results)
    close(settings, results)


def opened(settings: Settings) -> dict[str, Any]:
    """Results without cases yet: on which machine, with which versions, in which way. Prints the first two.

    Raises SystemExit with one line if the suite wants a GPU and cannot have one.
    """
    on_gpu = gpu() if getattr(settings, "device", "cpu") != "cpu" else None
    return {
        "suite": type(settings).__name__.lower(),
        **stamp(on_gpu),
        "method": {
            "repeats": settings.repeats,
            "steps": settings.steps,
            "warm_up": settings.warm_up,
            "gap_seconds": settings.gap,
        },
        "cases": [],
    }


def stamp(on_gpu: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """When, on which machine and with which versions; printed but for the first."""
    on_gpu = on_gpu or {"machine": {}, "versions": {}}
    stamped: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {**machine(), **on_gpu["machine"]},
        "versions": {**versions(), **on_gpu["versions"]},
    }
    print(", ".join(f"{key} {value}" for about in ("machine", "versions") for key, value in stamped[about].items()))
    return stamped


def measure_cases(settings: Restarted, results: dict[str, Any]) -> None:
    """Put the cases into the results, and print a table of each."""
    for case in settings.cases():
        for threads in settings.threads:
            try:
                result = measure(case, threads, settings)
            except DisagreementError as message:
                raise SystemExit(f"not timed, {message}") from None
            print(table(result, settings.reference), flush=True)
            results["cases"].append(result)


def close(settings: Settings, results: dict[str, Any]) -> None:
    """Write the files that were asked for."""
    if settings.output is not None:
        settings.output.write_text(json.dumps(results, indent=1) + "\n")
    if settings.figure is not None:
        draw(results, settings.figure)


def table(result: dict[str, Any], wanted_reference: str) -> str:
    """One case as text."""
    reference, agreement = result["reference"], result["agreement"]
    largest = max(agreement["largest_difference"].values())
    of_the_way = " of the way (rms of any array)" if agreement["distance"] == "share" else ""
    lines = [
        "",
        f"{result['name']}, {result['dtype']}, {where(result['threads'], result['device'])}",
        f"  agreement: after {agreement['steps']} steps {len(result['contenders'])} contenders differ from "
        f"{reference} by at most {largest:.1e}{of_the_way} (tolerance {agreement['tolerance']:.1e})",
        *(f"  left out: {name} ({reason})" for name, reason in result["left_out"].items()),
    ]
    if reference != wanted_reference:
        lines.append(f"  {wanted_reference} is not among them, so the reference is {reference}")
    lines += busy_neighbours(result["cores_busy_with_others"])
    in_ms = result["contenders"][reference]["median_us"] >= 10_000
    unit, factor = ("ms", 1e-3) if in_ms else ("us", 1.0)
    width = max(14, *map(len, result["contenders"]))
    lines.append(
        f"   {'':{width}}{unit} a step         (quartiles)   ratio       (quartiles)  peak MiB  above libraries"
        + ("" if result["device"] == "cpu" else "  on GPU")
    )
    for name, row in result["contenders"].items():
        time = "({:.1f} - {:.1f})".format(*(factor * t for t in row["quartiles_us"]))
        spread = "({:.3f} - {:.3f})".format(*row["ratio_quartiles"])
        lines.append(
            f"  {name:{width}}{factor * row['median_us']:10.1f}{time:>20}{row['ratio']:8.3f}{spread:>18}"
            f"{row['peak_memory_mib']:10.0f}{row['memory_above_libraries_mib']:17.0f}{on_gpu(row)}"
        )
    return "\n".join(lines)


def on_gpu(row: dict[str, Any]) -> str:
    """A contender's column about the GPU's memory, or nothing for one on the host."""
    return f"{row['peak_gpu_pool_mib']:8.0f}" if "peak_gpu_pool_mib" in row else ""


def busy_neighbours(cores: float | None) -> list[str]:
    """A line of warning if other processes computed meanwhile."""
    if cores is None or cores <= 0.1:
        return []
    return [f"  measure again on an idle machine: other processes kept {cores} cores busy"]
