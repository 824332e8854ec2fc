"""What a training costs beside its steps: the loop around the game, and bringing the data.

    python -m benchmarks.overhead                      # all image systems, at full width
    python -m benchmarks.overhead --systems mnist_mlp --turns 200

Three games of one system are played in one process, a turn of each in turn, so that whatever the machine does happens
to all three:

    bare    play, on one batch of real images and one of noise that lie ready
    fed     play, on batches and noise drawn as the system draws them
    run     minigan.running's training, with its bar, its log and its folder; no sheet or checkpoint falls due

Data cost fed - bare, the loop run - fed: medians of the differences, as shares of bare. What is due only now and then
(a sheet, a checkpoint) is timed apart, in milliseconds each; so is what the loop waits for a batch.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import tyro
from PIL import Image

from benchmarks.environment import machine, versions
from minigan.running import Run, Training
from minigan.systems import SYSTEMS
from minigan.systems.system import System

Name = Literal["mnist_mlp", "mnist_conv", "dcgan"]
ALLOWED = {"data": 0.03, "loop": 0.02}


@dataclass(frozen=True)
class Overhead:
    """What a training costs beside its steps."""

    systems: tuple[Name, ...] = ("mnist_mlp", "mnist_conv", "dcgan")
    """which"""
    turns: int = 0
    """timed turns of each game; 0: as many as suit the system"""
    batch: int = 64
    """images in a batch of the dcgan, which has 256 by default; the others keep theirs"""
    image_side: int = 128
    """side of the PNG files that the dcgan reads, which are drawn first"""
    json: Path | None = None
    """where the figures go, if anywhere"""


TURNS: dict[Name, int] = {"mnist_mlp": 300, "mnist_conv": 40, "dcgan": 12}


def main(o: Overhead) -> int:
    """Measure and print. Returns 1 if something costs more than it may."""
    figures = {}
    print(f"{'system':<12}{'bare ms':>9}{'data':>9}{'loop':>9}{'sheet ms':>10}{'save ms':>9}{'waits ms':>10}")
    for name in o.systems:
        with tempfile.TemporaryDirectory() as folder:
            figures[name] = f = measure(name, o, Path(folder))
        print(
            f"{name:<12}{f['bare_ms']:>9.2f}{f['data']:>9.2%}{f['loop']:>9.2%}"
            f"{f['sheet_ms']:>10.1f}{f['checkpoint_ms']:>9.1f}{f['draw_real_ms']:>10.3f}"
        )
    if o.json:
        o.json.write_text(
            json.dumps({"machine": machine(), "versions": versions(), "systems": figures}, indent=1) + "\n"
        )
    return int(any(f[kind] > most for f in figures.values() for kind, most in ALLOWED.items()))


def measure(name: Name, o: Overhead, folder: Path) -> dict[str, float]:
    """The figures of one system; `folder` is an empty one."""
    options = SYSTEMS[name].Options()
    if name == "dcgan":
        options = replace(options, data=draw_images(folder / "images", 8 * o.batch, o.image_side), batch=o.batch)
        options = replace(options, g_every=1)
    turns = o.turns or TURNS[name]
    bare, fed, run = (SYSTEMS[name].build(options) for _ in range(3))
    x, z = bare.draw_real(), bare.draw_noise()
    bare = bare._replace(draw_real=lambda: x, draw_noise=lambda: z)
    run, waits = _with_clock(run)
    never = 10**9
    training = Training(run, Run(folder / "run", sample_every=never, checkpoint_every=never, stop_after=turns + 4))
    games: dict[str, Iterator[Any]] = {"bare": bare.turns(), "fed": fed.turns(), "run": training.turns()}
    seconds: dict[str, list[float]] = {which: [] for which in games}
    with redirect_stdout(StringIO()):
        for i in range(turns + 3):
            order = list(games)[i % 3 :] + list(games)[: i % 3]
            for which in order:
                start = perf_counter()
                next(games[which])
                if i >= 3:  # the first warm up; the very first of the run draws a sheet
                    seconds[which].append(perf_counter() - start)
        sheet, save = _once(training.sheets.sheet), _once(lambda: training.save(None))
        for game in games.values():
            game.close()  # type: ignore[attr-defined]
    bare_s = statistics.median(seconds["bare"])
    data = statistics.median(b - a for a, b in zip(seconds["bare"], seconds["fed"], strict=True))
    loop = statistics.median(b - a for a, b in zip(seconds["fed"], seconds["run"], strict=True))
    return {
        "bare_ms": 1e3 * bare_s,
        "data": data / bare_s,
        "loop": loop / bare_s,
        "sheet_ms": 1e3 * sheet,
        "checkpoint_ms": 1e3 * save,
        "draw_real_ms": 1e3 * statistics.median(waits[3:]),
    }


def draw_images(folder: Path, n: int, side: int) -> Path:
    """n PNG files (side, side) of smooth random colours, about as large as photos of that size are."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
        grain = rng.integers(0, 9, (side, side, 3), np.uint8)
        smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
        Image.fromarray(np.minimum(smooth, 246) + grain).save(folder / f"{i:05d}.png")
    return folder


def _with_clock(system: System) -> tuple[System, list[float]]:
    waits: list[float] = []

    def draw_real() -> Any:
        start = perf_counter()
        x = system.draw_real()
        waits.append(perf_counter() - start)
        return x

    return system._replace(draw_real=draw_real), waits


def _once(work: Callable[[], Any]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Overhead, description=__doc__)))
