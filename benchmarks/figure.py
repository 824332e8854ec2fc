"""Draws the results of a suite: a panel a case, and in it each contender's share of the reference's time."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MINIGAN = ("minigan", "cupy", "new")
OURS, THE_REFERENCE, THE_OTHERS, QUIET = "#c8553d", "#2f4858", "#b3bfc9", "#666666"
PANELS_IN_A_ROW = 2


@dataclass(frozen=True)
class Figure:
    """Draw results that were written with --output."""

    results: Positional[Path]
    """The JSON file."""
    figure: Positional[Path]
    """Where to draw, as PNG, SVG or PDF."""

    def draw(self) -> None:
        """Read one file, write the other."""
        draw(json.loads(self.results.read_text()), self.figure)


def draw(results: dict[str, Any], file: Path) -> None:
    """In the way of its suite."""
    # Imported here: measuring must not need a drawing library.
    from matplotlib.figure import Figure as Canvas

    match results["suite"]:
        case "layers":
            canvas = _layers(Canvas, results["cases"])
        case "scaling":
            canvas = _scaling(Canvas, results["exponents"])
        case _:
            canvas = _steps(Canvas, results["cases"])
    machine, versions = results["machine"], results["versions"]
    on_gpu = f" {machine['gpu']}, CuPy {versions['cupy']}, CUDA {versions['cuda_runtime']}." if "gpu" in machine else ""
    about = (
        f"{machine['cpu']}, {machine['cores']} cores.{on_gpu} NumPy {versions['numpy']}, "
        f"autograd {versions['autograd']}, PyTorch {versions['torch']}. {results['date'][:10]}"
    )
    canvas.supxlabel(
        textwrap.fill(about, int(18 * canvas.get_figwidth())),  # characters of this size in an inch
        fontsize=7.5,
        color=QUIET,
    )
    canvas.savefig(file, dpi=160)


def where(threads: int, device: str) -> str:
    """On how many threads, or on the GPU."""
    return "GPU" if device == "cuda" else f"{threads} thread{'s' if threads > 1 else ''}"


def _steps(Canvas: Any, cases: list[dict[str, Any]]) -> Any:
    """All cases on one scale; thin lines are the quartiles of the ratios, labels add the time of a step."""
    columns = min(PANELS_IN_A_ROW, len(cases))
    rows = -(-len(cases) // columns)
    bars = max(len(case["contenders"]) for case in cases)
    canvas = Canvas(figsize=(0.6 + 4.2 * columns, 0.5 + rows * (0.9 + 0.27 * bars)), layout="constrained")
    panels = canvas.subplots(rows, columns, sharex=True, squeeze=False).flat
    for panel, case in zip(panels, cases, strict=False):
        _draw_case(panel, case)
    for panel in list(panels)[len(cases) :]:
        panel.set_axis_off()
    longest = max(row["ratio_quartiles"][1] for case in cases for row in case["contenders"].values())
    panels[0].set_xlim(0, 1.4 * max(longest, 1.0))  # leave the labels room
    return canvas


def _layers(Canvas: Any, cases: list[dict[str, Any]]) -> Any:
    """A row of dots an operation: each contender's time as a multiple of the reference's, on a logarithmic scale."""
    canvas = Canvas(figsize=(8.4, 1.0 + 0.17 * len(cases)), layout="constrained")
    panel = canvas.subplots()
    names, reference = list(cases[0]["contenders"]), cases[0]["reference"]
    for name in names:
        colour = OURS if name in MINIGAN else THE_REFERENCE if name == reference else THE_OTHERS
        ratios = [case["contenders"][name]["ratio"] for case in cases]
        marker = "s" if name.endswith("plain") else "^" if "last" in name else "o"
        panel.plot(ratios, range(len(cases)), marker, color=colour, markersize=5 if name in MINIGAN else 4, label=name)
    panel.axvline(1, color=THE_REFERENCE, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    panel.set_xscale("log")
    panel.set_yticks(range(len(cases)), [case["name"] for case in cases])
    panel.set_ylim(len(cases) - 0.4, -0.6)
    panel.tick_params(labelsize=7)
    panel.grid(axis="y", color=THE_OTHERS, linewidth=0.3)
    panel.spines[["top", "right"]].set_visible(False)
    panel.set_xlabel(f"time, {reference} = 1", fontsize=8.5)
    canvas.legend(loc="outside upper center", ncols=len(names), fontsize=8, frameon=False)
    return canvas


def _scaling(Canvas: Any, rows: list[dict[str, Any]]) -> Any:
    """A column for each thing that grows: time above, memory below, both scales logarithmic."""
    from matplotlib.ticker import LogLocator

    columns = list(dict.fromkeys((row["along"], row["threads"]) for row in rows))
    canvas = Canvas(figsize=(0.6 + 3.2 * len(columns), 5.4), layout="constrained")
    panels = canvas.subplots(2, len(columns), squeeze=False)
    for column, (along, threads) in enumerate(columns):
        for row in rows:
            if (row["along"], row["threads"]) != (along, threads):
                continue
            name = row["contender"]
            colour = OURS if name == "minigan" else THE_REFERENCE if name == "torch" else THE_OTHERS
            for panel, quantity, cost in zip(
                panels[:, column], ("milliseconds", "mebibytes"), ("time", "memory"), strict=True
            ):
                label = f"{name}: {row[cost]['all']:.2f}"
                panel.loglog(row["sizes"], row[quantity], "o-", color=colour, markersize=4, label=label)
        for panel, unit in zip(panels[:, column], ("ms a step", "MiB above libraries"), strict=True):
            panel.set_xlabel(along, fontsize=8.5)
            panel.set_ylabel(unit, fontsize=8.5)
            panel.set_xticks(row_sizes := next(r["sizes"] for r in rows if r["along"] == along), map(str, row_sizes))
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter("{x:g}")
            panel.minorticks_off()
            panel.tick_params(labelsize=8)
            panel.legend(fontsize=7.5, frameon=False, title="exponent", title_fontsize=7.5)
            panel.spines[["top", "right"]].set_visible(False)
        panels[0, column].set_title(
            f"{along}, {threads} thread{'s' if threads > 1 else ''}", fontsize=10, fontweight="bold", loc="left"
        )
    return canvas


def _draw_case(panel: Axes, case: dict[str, Any]) -> None:
    contenders, reference = case["contenders"], case["reference"]
    panel.axvline(1, color=THE_REFERENCE, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    for height, (name, row) in enumerate(contenders.items()):
        ratio, (low, high) = row["ratio"], row["ratio_quartiles"]
        colour = OURS if name in MINIGAN else THE_REFERENCE if name == reference else THE_OTHERS
        panel.barh(height, ratio, 0.7, color=colour)
        panel.plot([low, high], [height, height], color="black", linewidth=1, solid_capstyle="butt")
        panel.annotate(
            f"{ratio:.2f}  ({_time(row['median_us'])})",
            (max(ratio, high), height),
            (5, 0),
            textcoords="offset points",
            verticalalignment="center",
            fontsize=8.5,
            fontweight="bold" if name in MINIGAN else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},  # keeps the dashed line out of the text
        )
    panel.set_yticks(range(len(contenders)), list(contenders))
    panel.invert_yaxis()
    panel.tick_params("y", length=0)
    panel.tick_params(labelsize=8.5)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.set_title(
        f"{case['name']}, {where(case['threads'], case.get('device', 'cpu'))}",
        fontsize=10,
        fontweight="bold",
        loc="left",
    )
    panel.set_xlabel(f"time of a step, {reference} = 1", fontsize=8.5)


def _time(microseconds: float) -> str:
    return f"{microseconds:.0f} µs" if microseconds < 1000 else f"{microseconds / 1000:.2f} ms"
