"""Runs a suite and says what came out: a table for each case as it ends, then JSON and a figure."""

import json
from datetime import UTC, datetime
from typing import Any

from benchmarks.environment import machine, versions
from benchmarks.figure import draw
from benchmarks.harness import DisagreementError, Settings, measure


def report(settings: Settings) -> None:
    """Measure every case of the suite with every number of threads, print the tables and write the files."""
    results: dict[str, Any] = {
        "suite": type(settings).__name__.lower(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "method": {
            "repeats": settings.repeats,
            "steps": settings.steps,
            "warm_up": settings.warm_up,
            "gap_seconds": settings.gap,
        },
        "cases": [],
    }
    print(", ".join(f"{key} {value}" for key, value in (results["machine"] | results["versions"]).items()))
    for case in settings.cases():
        for threads in settings.threads:
            try:
                result = measure(case, threads, settings)
            except DisagreementError as message:
                raise SystemExit(f"not timed, {message}") from None
            print(table(result, settings.reference), flush=True)
            results["cases"].append(result)
    if settings.output is not None:
        settings.output.write_text(json.dumps(results, indent=1) + "\n")
    if settings.figure is not None:
        draw(results, settings.figure)


def table(result: dict[str, Any], wanted_reference: str) -> str:
    """One case as text."""
    reference, agreement, threads = result["reference"], result["agreement"], result["threads"]
    largest = max(agreement["largest_difference"].values())
    lines = [
        "",
        f"{result['name']}, {result['dtype']}, {threads} {'thread' if threads == 1 else 'threads'}",
        f"  agreement: after {agreement['steps']} steps {len(result['contenders'])} contenders differ from "
        f"{reference} by at most {largest:.1e} (tolerance {agreement['tolerance']:.1e})",
        *(f"  left out: {name} ({reason})" for name, reason in result["left_out"].items()),
    ]
    if reference != wanted_reference:
        lines.append(f"  {wanted_reference} is not among them, so the reference is {reference}")
    others = result["cores_busy_with_others"]
    if others is not None and others > 0.1:
        lines.append(f"  measure again on an idle machine: other processes kept {others} cores busy")
    lines.append("                 us a step         (quartiles)   ratio       (quartiles)  peak MiB")
    for name, row in result["contenders"].items():
        time = "({:.1f} - {:.1f})".format(*row["quartiles_us"])
        spread = "({:.3f} - {:.3f})".format(*row["ratio_quartiles"])
        lines.append(
            f"  {name:14}{row['median_us']:10.1f}{time:>20}"
            f"{row['ratio']:8.3f}{spread:>18}{row['peak_memory_mib']:10.0f}"
        )
    return "\n".join(lines)
