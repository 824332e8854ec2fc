"""The figure of a training run, from its log. It is a matplotlib Figure; nothing opens a window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

REAL, FAKE, OPTIMUM, GREY = "#2a6f97", "#e76f51", "#2a9d8f", "#777777"


def run_figure(records: Sequence[Mapping[str, Any]]) -> Figure:
    """Losses, what D thinks of real and generated samples, and all other notes and scores, over the turns of a run.

    Args:
        records: at least one, as in a run's log.jsonl: "turn", and whatever was noted then. Notes whose names end in
            "_loss" share a picture, and so do those that start with "on_", D's scores; any other gets one of its own.
            Missing, None and NaN are the same.

    Each series is drawn pale as it is and bold as a mean over its neighbours, a twentieth of the series wide.

    Raises:
        ValueError: if there are no records.
    """
    if not records:
        raise ValueError("records: expected at least one, got none")
    names = list(dict.fromkeys(name for record in records for name in record))
    losses = [name for name in names if name.endswith("_loss")]
    scores = [name for name in names if name.startswith("on_")]
    others = sorted(set(names) - {"turn", "epoch", "batch", *losses, *scores})
    groups = [(title, group) for title, group in (("Losses", losses), ("What D thinks", scores)) if group]
    groups += [(name, [name]) for name in others]
    figure = Figure(figsize=(9, 1 + 2.4 * max(len(groups), 1)), layout="constrained")
    pictures = figure.subplots(len(groups) or 1, 1, sharex=True, squeeze=False)[:, 0]
    for axes, (title, group) in zip(pictures, groups, strict=False):
        for i, name in enumerate(group):
            color = {"d_loss": REAL, "g_loss": FAKE, "on_real": REAL, "on_fake": FAKE}.get(name, f"C{i + 2}")
            draw_series(axes, records, name, OPTIMUM if group == [name] else color, LABELS.get(name, name))
        axes.set(title=title)
        axes.spines[["top", "right"]].set_visible(False)
        if len(group) > 1 and axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, loc="upper right", ncols=2)
    pictures[-1].set_xlabel("turn")
    return figure


LABELS = {"d_loss": "D", "g_loss": "G", "on_real": "on real samples", "on_fake": "on generated samples"}


def draw_series(axes: Axes, records: Sequence[Mapping[str, Any]], name: str, color: str, label: str) -> None:
    """One number of the records over their turns, as it is and smoothed; nothing where it was never measured."""
    values = np.array([record.get(name) for record in records], float)  # None becomes NaN
    there = np.isfinite(values)
    if not there.any():
        return
    turns, values = np.array([record["turn"] for record in records])[there], values[there]
    width = max(1, len(values) // 20)
    counts = np.convolve(np.ones(len(values)), np.ones(width), "same")  # fewer at both ends
    smooth = np.convolve(values, np.ones(width), "same") / counts
    if width > 1:
        axes.plot(turns, values, color=color, lw=0.7, alpha=0.3)
    axes.plot(turns, smooth, color=color, lw=1.6, label=label, marker="o" if len(values) < 20 else None, ms=3)
