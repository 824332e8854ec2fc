"""How good are the digits that a generator draws? A classifier looks at thousands of them.

    python -m benchmarks.quality train-classifier --data DIR --output lenet.safetensors
    python -m benchmarks.quality score --data DIR --classifier lenet.safetensors --public FOLDER
    python -m benchmarks.quality score --data DIR --classifier lenet.safetensors --runs runs/mnist_conv

DIR holds MNIST's four gzipped files. The numbers are those of minigan/image_metrics.py, and mean little alone. So the
first rows are real images that nobody trained on, which no generator should be expected to beat; the same images
blurred; noise; and training images, which all numbers but the last two find perfect.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro

from benchmarks import lenet
from benchmarks.classifier import Images, TrainClassifier, accuracy, judged, load_classifier, read_images
from benchmarks.environment import machine, versions
from benchmarks.figure import OURS, QUIET, THE_OTHERS, THE_REFERENCE
from benchmarks.public_networks import GENERATORS
from minigan import Parameters, Sequential
from minigan.files.weights import load_weights
from minigan.metrics.images import (
    confident_share,
    copied_share,
    frechet_distance,
    kl_divergence,
    label_shares,
    modes_covered,
    nearest,
)
from minigan.primitives import avg_pool2d
from minigan.running import open_run, open_weights

BATCH = 500
SHOWN = 12  # images of each row of the figure
COLUMNS = {  # of the table: key -> title, format
    "kl": ("KL", "{:.3f}"),
    "confident": ("confident", "{:.1%}"),
    "frechet": ("Frechet", "{:.2f}"),
    "modes": ("modes", "{:d}"),
    "label_right": ("label right", "{:.1%}"),
    "nearest": ("nearest", "{:.2f}"),
    "copied": ("copied", "{:.1%}"),
}


@dataclass(frozen=True)
class Score:
    """Measure images and generators of 28x28 digits."""

    data: Path
    """folder with MNIST's four files, or those of a set of the same form"""
    classifier: Path
    """the judge: weights that train-classifier wrote"""
    public: Path | None = None
    """folder with weights of public generators (benchmarks/public_networks.py), which are then measured too"""
    runs: tuple[Path, ...] = ()
    """what minigan trained: folders of runs, or the weight files of G in them"""
    images: tuple[Path, ...] = ()
    """.npz files with an array `images` (N, 784) or (N, 1, 28, 28): uint8, or floats in [-1, 1]"""
    samples: int = 10_000
    """how many images of each"""
    neighbours: int = 2_000
    """of how many of them the nearest training image is looked for"""
    seed: int = 0
    output: Path | None = None
    """write the results here, as JSON"""
    figure: Path | None = None
    """draw them here, as PNG, SVG or PDF"""

    def run(self) -> None:
        """Score everything that was asked for; print the table as it grows."""
        judge = make_judge(self)
        about = f"{self.samples} samples (nearest: {self.neighbours}), seed {self.seed}"
        about += f", classifier's test accuracy {judge.accuracy:.4f}, KL in nats"
        print(f"{about}\n{_line('images', [title for title, _ in COLUMNS.values()])}")
        print(_line("-" * 30, ["-" * 11] * len(COLUMNS)))
        rows, shown = [], []
        for c in contestants(self, judge):
            rows.append({"name": c.name, **score(judge, c.x, c.told, self.neighbours)})
            shown.append(c.x[:SHOWN, 0])
            print(_line(c.name, [_cell(rows[-1], key) for key in COLUMNS]), flush=True)
        results = {
            "suite": "quality",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "versions": versions(),
            "samples": self.samples,
            "neighbours": self.neighbours,
            "seed": self.seed,
            "classifier": {"test_accuracy": judge.accuracy},
            "rows": rows,
        }
        if self.output is not None:
            self.output.write_text(json.dumps(results, indent=1) + "\n")
        if self.figure is not None:
            draw(rows, shown, about, self.figure)


class Judge(NamedTuple):
    """What images are measured with.

    lenet, accuracy: the classifier, and how much of the held-out images it gets right.
    training, held_out: real images.
    features, shares: of all training images, the classifier's features and the shares of the labels.
    usual: distances of held-out images to the nearest training image.
    """

    lenet: Parameters
    accuracy: float
    training: Images
    held_out: Images
    features: np.ndarray
    shares: np.ndarray
    usual: np.ndarray


class Contestant(NamedTuple):
    """Images x (N, 1, 28, 28), float32 in [0, 1], and the labels (N,) that they have or were asked for, if any."""

    name: str
    x: np.ndarray
    told: np.ndarray | None = None


def make_judge(s: Score) -> Judge:
    """Read the classifier and the data."""
    p, training, held_out = load_classifier(s.classifier), read_images(s.data, "train"), read_images(s.data, "t10k")
    some = np.random.default_rng(s.seed).permutation(len(held_out.x))[: s.neighbours]
    return Judge(
        p,
        accuracy(p, held_out),
        training,
        held_out,
        judged(p, training.x)[0],
        label_shares(training.labels, lenet.CLASSES),
        nearest(held_out.x[some], training.x).distance,
    )


def score(judge: Judge, x: np.ndarray, told: np.ndarray | None = None, neighbours: int = 2_000) -> dict[str, Any]:
    """All numbers of some images x (N, 1, 28, 28) in [0, 1], and `shares`, how many of them the classifier puts where.

    kl: of the shares of the labels that the classifier says, against those of the training images.
    label_right: how many labels the classifier says as they were told; absent where none were.
    nearest: the median distance to the nearest training image, where that of held-out images is 1.
    """
    features, probabilities = judged(judge.lenet, x)
    said = probabilities.argmax(1)
    shares = label_shares(said, lenet.CLASSES)
    distance = nearest(x[:neighbours], judge.training.x).distance
    return {
        "kl": kl_divergence(shares, judge.shares),
        "confident": confident_share(probabilities),
        "frechet": frechet_distance(features, judge.features),
        "modes": modes_covered(shares),
        **({} if told is None else {"label_right": float(np.mean(said == told))}),
        "nearest": float(np.median(distance) / np.median(judge.usual)),
        "copied": copied_share(distance, judge.usual),
        "shares": shares.tolist(),
    }


def contestants(s: Score, judge: Judge) -> Iterator[Contestant]:
    """The rows: real images and what was made of them first, then the generators, then images from files."""
    rng = np.random.default_rng(s.seed + 1)
    held_out, training = (_some(images, s.samples, rng) for images in (judge.held_out, judge.training))
    yield Contestant("real, held out", *held_out)
    yield Contestant("real, held out, blurred 3x3", avg_pool2d(held_out.x, 3, 1, 1), held_out.labels)
    yield Contestant("noise", rng.random(held_out.x.shape, np.float32))
    yield Contestant("real, trained on", *training)
    if s.public is not None:
        for name, public in GENERATORS.items():
            z = rng.normal(size=(s.samples, public.noise)).astype(np.float32)
            told = rng.integers(0, lenet.CLASSES, s.samples) if public.conditional else None
            yield Contestant(name, _drawn(public.network, public.load(s.public), z, told), told)
    for place in s.runs:
        trained = open_run(place) if place.is_dir() else open_weights(place)
        name = f"minigan {trained.name}, turn {trained.turn}"
        yield Contestant(name, _in_unit(trained.sample(rng, s.samples)))
    for file in s.images:
        yield Contestant(file.stem, _in_unit(load_weights(file)["images"])[: s.samples])


def draw(rows: list[dict[str, Any]], shown: list[np.ndarray], about: str, file: Path) -> None:
    """A row for each: some of its images, and a panel for each number."""
    from matplotlib.figure import Figure

    keys = [key for key in COLUMNS if key not in ("label_right", "modes")]
    canvas = Figure(figsize=(13.0, 0.9 + 0.42 * len(rows)), layout="constrained")
    panels = canvas.subplots(1, 1 + len(keys), sharey=True, width_ratios=[3.6, *[1.0] * len(keys)])
    strips = np.stack([np.concatenate(list(images), axis=1) for images in shown])  # (rows, 28, 28 * SHOWN)
    for height, strip in enumerate(strips):
        panels[0].imshow(strip, cmap="gray", vmin=0, vmax=1, extent=(0, SHOWN, height + 0.45, height - 0.45))
    panels[0].set(aspect="auto", xticks=[], ylim=(len(rows) - 0.5, -0.5))
    panels[0].set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8.5)
    for panel, key in zip(panels[1:], keys, strict=True):
        top = 1.2 * max(row[key] for row in rows if row["name"] != "noise") or 1.0
        numbers = [min(row[key], top) for row in rows]  # noise is beyond the scale of the others
        colours = [THE_REFERENCE] + [THE_OTHERS] * 3 + [OURS] * (len(rows) - 4)
        panel.barh(range(len(rows)), numbers, 0.6, color=colours)
        for height, (row, number) in enumerate(zip(rows, numbers, strict=True)):
            panel.annotate(_cell(row, key), (number, height), (3, 0), textcoords="offset points", va="center", size=8)
        panel.set_title(COLUMNS[key][0], fontsize=9.5, fontweight="bold", loc="left")
        panel.set_xlim(0, 1.3 * top)
        panel.set_xticks([])
    for panel in panels:
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
    canvas.supxlabel(about, fontsize=7.5, color=QUIET)
    canvas.savefig(file, dpi=160)


def _drawn(G: Sequential, g: Parameters, z: np.ndarray, told: np.ndarray | None = None) -> np.ndarray:
    """Images (N, 1, 28, 28) in [0, 1] of the noise, at evaluation."""
    cuts = [slice(i, i + BATCH) for i in range(0, len(z), BATCH)]
    reads = [z[cut] if told is None else (z[cut], told[cut]) for cut in cuts]
    return _in_unit(np.concatenate([G(g, x, training=False) for x in reads]))


def _in_unit(x: np.ndarray) -> np.ndarray:
    """uint8, or floats in [-1, 1], any shape of 28x28 images -> (N, 1, 28, 28), float32 in [0, 1]."""
    x = x.reshape(len(x), 1, 28, 28)
    if x.dtype == np.uint8:
        return x.astype(np.float32) / 255.0
    if not (x.dtype.kind == "f" and np.abs(x).max() <= 1.0):
        raise SystemExit(f"error: images: expected uint8, or floats in [-1, 1], got {x.dtype} up to {np.abs(x).max()}")
    return (0.5 * x + 0.5).astype(np.float32)


def _some(images: Images, n: int, rng: np.random.Generator) -> Images:
    rows = rng.permutation(len(images.x))[:n]
    return Images(images.x[rows], images.labels[rows])


def _cell(row: dict[str, Any], key: str) -> str:
    return COLUMNS[key][1].format(row[key]) if key in row else "-"


def _line(name: str, cells: list[str]) -> str:
    return f"| {name:<30} | {' | '.join(f'{c:>11}' for c in cells)} |"


def main() -> None:
    """Read the command line and do it."""
    command: TrainClassifier | Score = tyro.extras.subcommand_cli_from_dict(
        {"train-classifier": TrainClassifier, "score": Score},
        prog="python -m benchmarks.quality",
        description="How good are the digits that a generator draws?",
    )
    command.run()


if __name__ == "__main__":
    main()
