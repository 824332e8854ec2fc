"""Pictures of a training. Each function takes plain arrays and returns a matplotlib Figure; nothing opens a window."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minigan.pictures.sheets import save_gif

REAL, FAKE, OPTIMUM, GREY = "#2a6f97", "#e76f51", "#2a9d8f", "#777777"


class View(NamedTuple):
    """What the toy looks like at one moment.

    epoch: when.
    fake: generated samples, shape (n, 1).
    x, density: the real density on a grid, shapes (m,).
    d, d_optimum: D(x) and p_data / (p_data + p_G) on that grid, shapes (m,).
    d_label: what x means to D.
    """

    epoch: int
    fake: np.ndarray
    x: np.ndarray
    density: np.ndarray
    d: np.ndarray
    d_optimum: np.ndarray
    d_label: str


class History(NamedTuple):
    """What was logged along the way, k entries each.

    d, g: losses, means since the entry before.
    mean, std: of samples of G.
    average_mean, average_std: of samples of the moving average of G.
    """

    epoch: list[float]
    d: list[float]
    g: list[float]
    mean: list[float]
    std: list[float]
    average_mean: list[float]
    average_std: list[float]


def toy_figure(view: View, real: np.ndarray, history: History, mu: float, sigma: float) -> Figure:
    """Samples and densities, D against its optimum, losses, moments: the whole toy on one page.

    Args:
        view: the end of the training.
        real: real samples, shape (n, 1).
        history: what was logged along the way.
        mu, sigma: the Gaussian to be learned.
    """
    figure = Figure(figsize=(11, 7.2), layout="constrained")
    samples, judge, losses, moments = figure.subplots(2, 2).flat
    draw_samples(samples, view, real)
    draw_discriminator(judge, view)

    losses.plot(history.epoch, history.d, color=REAL, lw=1.2, label="D")
    losses.plot(history.epoch, history.g, color=FAKE, lw=1.2, label="G")
    for level, label in [(2 * math.log(2), "2 log 2"), (math.log(2), "log 2")]:
        losses.axhline(level, color=GREY, lw=0.8, ls="--")
        losses.annotate(label, (1.01, level), xycoords=("axes fraction", "data"), va="center", color=GREY, fontsize=8)
    losses.set(title="Losses", xlabel="epoch", ylim=(0, max(2.0, 1.05 * float(np.quantile(history.d, 0.98)))))
    losses.legend(frameon=False, loc="upper right", ncols=2)

    for name, color, target, own, averaged in [
        ("mean", REAL, mu, history.mean, history.average_mean),
        ("std", FAKE, sigma, history.std, history.average_std),
    ]:
        moments.plot(history.epoch, own, color=color, lw=0.8, alpha=0.5, label=f"{name} of G")
        if averaged != own:
            moments.plot(history.epoch, averaged, color=color, lw=1.8, label=f"{name} of G, averaged")
        moments.axhline(target, color="black", lw=0.8, ls="--", label="the data" if name == "std" else None)
    margin = 1.5 * sigma
    moments.set(title="Moments of the generated samples", xlabel="epoch")
    moments.set_ylim(min(mu, sigma) - margin, max(mu, sigma) + margin)
    moments.legend(frameon=False, ncols=2, loc="best", fontsize=9)
    for axes in (samples, judge, losses, moments):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_samples(axes: Axes, view: View, real: np.ndarray | None = None) -> None:
    """Histograms of generated (and real) samples under the real density."""
    bins = np.linspace(view.x[0], view.x[-1], 80)
    settings: dict[str, Any] = {"bins": bins, "density": True}
    if real is not None:
        axes.hist(real.reshape(-1), color=REAL, alpha=0.35, label="real samples", **settings)
    axes.hist(view.fake.reshape(-1), color=FAKE, alpha=0.55, label="generated samples", **settings)
    axes.plot(view.x, view.density, color="black", lw=1.5, label="real density")
    axes.set(title="Samples", xlabel="x", ylabel="density", ylim=(0, 1.35 * float(view.density.max())))
    axes.set_xlim(view.x[0], view.x[-1])
    axes.legend(frameon=False, loc="upper right")


def draw_discriminator(axes: Axes, view: View) -> None:
    """D against the best that D could be for this G."""
    axes.plot(view.x, view.d_optimum, color=OPTIMUM, lw=1.5, ls="--", label=r"optimum $p_{data}/(p_{data}+p_G)$")
    axes.plot(view.x, view.d, color="black", lw=1.5, label="D")
    axes.axhline(0.5, color=GREY, lw=0.8, ls=":")
    axes.set(title="Discriminator", xlabel=view.d_label, ylabel="probability of being real", ylim=(0, 1))
    axes.set_xlim(view.x[0], view.x[-1])
    axes.legend(frameon=False, loc="lower center")


def toy_animation(views: Sequence[View], path: Path) -> None:
    """The training as an animated GIF at `path`: samples on the left, D on the right, one frame a view."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    frames = []
    for view in views:
        figure = Figure(figsize=(9, 3.6), dpi=80, layout="constrained")
        left, right = figure.subplots(1, 2)
        draw_samples(left, view)
        draw_discriminator(right, view)
        figure.suptitle(f"epoch {view.epoch}")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        frames.append(np.array(canvas.buffer_rgba())[:, :, :3])
    save_gif(path, frames, seconds_per_frame=0.08)


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
    values = np.array([_number(record, name) for record in records])
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


def _number(record: Mapping[str, Any], name: str) -> float:
    value = record.get(name)
    return math.nan if value is None else float(value)


def check_writable(name: str, path: Path, suffixes: Sequence[str]) -> None:
    """Find out before the work, not after it, that a picture cannot be written.

    Raises:
        ValueError: if the suffix is not one of `suffixes`.
        OSError: if no file can be made there. The message names the argument.
    """
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{name}: expected a file ending in {', '.join(suffixes)}, got {path}")
    existed = path.exists()
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise OSError(f"{name}: cannot write {path}: {error.strerror}") from None
    if not existed:
        path.unlink()
