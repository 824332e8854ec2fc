"""What a training costs beside its steps: the loop around the game, and bringing the data.

    python -m benchmarks.overhead                      # all image systems, at full width
    python -m benchmarks.overhead --systems mnist_mlp --turns 200

Clocks stand around the parts of a real training, run by minigan.running with its bar, its log and its folder:

    data    the batch, as long as the turn waits for it
    noise   what G starts from
    step    the rest of the turn: what the two players compute
    loop    the rest of the turn

each summed over the turns; data, noise and loop are given as shares of the steps. No sheet or checkpoint falls due
meanwhile: these are timed apart, in milliseconds each.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, cast

import numpy as np
import tyro
from PIL import Image

from benchmarks.environment import machine, versions
from minigan.data.batches import Batches
from minigan.game import Turn
from minigan.gans import GANS
from minigan.gans.system import System
from minigan.running import Run, Training

Name = Literal["mnist_mlp", "mnist_conv", "dcgan"]
ALLOWED = {"data": 0.03, "loop": 0.02}


@dataclass(frozen=True)
class Overhead:
    """What a training costs beside its steps."""

    systems: tuple[Name, ...] = ("mnist_mlp", "mnist_conv", "dcgan")
    """which"""
    turns: int = 0
    """timed turns; 0: as many as suit the system"""
    batch: int = 64
    """images in a batch of the dcgan, which has 256 by default; the others keep theirs"""
    image_side: int = 128
    """side of the PNG files that the dcgan reads, which are drawn first"""
    json: Path | None = None
    """where the figures go, if anywhere"""


TURNS: dict[Name, int] = {"mnist_mlp": 1000, "mnist_conv": 100, "dcgan": 24}
WARM_UP = 3


def main(o: Overhead) -> int:
    """Measure and print. Returns 1 if something costs more than it may."""
    figures = {}
    print(f"{'system':<12}{'step ms':>9}{'data':>9}{'noise':>9}{'loop':>9}{'sheet ms':>10}{'save ms':>9}")
    for name in o.systems:
        with tempfile.TemporaryDirectory() as folder:
            figures[name] = f = measure(name, o, Path(folder))
        print(
            f"{name:<12}{f['step_ms']:>9.2f}{f['data']:>9.2%}{f['noise']:>9.2%}{f['loop']:>9.2%}"
            f"{f['sheet_ms']:>10.1f}{f['checkpoint_ms']:>9.1f}"
        )
    if o.json:
        o.json.write_text(
            json.dumps({"machine": machine(), "versions": versions(), "systems": figures}, indent=1) + "\n"
        )
    return int(any(f[kind] > most for f in figures.values() for kind, most in ALLOWED.items()))


def measure(name: Name, o: Overhead, folder: Path) -> dict[str, float]:
    """The figures of one system; `folder` is an empty one."""
    options = GANS[name].Options()
    never, turns = 10**9, o.turns or TURNS[name]
    if name == "dcgan":
        n = o.batch * (WARM_UP + turns + 1)  # weights are written after each epoch: none ends before the turns do
        options = replace(options, data=draw_images(folder / "images", n, o.image_side), batch=o.batch, g_every=1)
    system = GANS[name].build(options)
    data, noise, game = Clock(), Clock(), Clock()
    time_draws(system, data, noise)
    run = Run(folder / "run", sample_every=never, checkpoint_every=never, stop_after=turns + WARM_UP + 1)
    training = Training(Timed(*system).by(game), run)
    with redirect_stdout(StringIO()), closing(cast("Generator[Turn]", training.turns())) as played:
        for _ in range(WARM_UP):  # the very first draws a sheet
            next(played)
        for clock in (data, noise, game):
            clock.seconds = 0.0
        whole = Clock()
        turn = whole.around(lambda: next(played))
        for _ in range(turns):
            turn()
        step = game.seconds - data.seconds - noise.seconds
        sheet, checkpoint = Clock(), Clock()
        sheet.around(training.sheets.sheet)()
        checkpoint.around(training.save)()
    return {
        "step_ms": 1e3 * step / turns,
        "data": data.seconds / step,
        "noise": noise.seconds / step,
        "loop": (whole.seconds - game.seconds) / step,
        "sheet_ms": 1e3 * sheet.seconds,
        "checkpoint_ms": 1e3 * checkpoint.seconds,
    }


class Clock:
    """Counts the seconds that are spent in functions."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        def timed(*arguments: Any) -> Any:
            start = perf_counter()
            try:
                return work(*arguments)
            finally:
                self.seconds += perf_counter() - start

        return timed


def time_draws(system: System, data: Clock, noise: Clock) -> None:
    """Put clocks around what the turn draws: its page asks these very objects."""

    class TimedBatches(Batches):
        __next__ = data.around(Batches.__next__)

    system.memory["batches"].__class__ = TimedBatches
    object.__setattr__(system.sampling, "noise", noise.around(system.sampling.noise))  # it is frozen for everybody else


class Timed(System):
    """A system whose game is timed."""

    def by(self, clock: Clock) -> Timed:
        """Set the clock."""
        self.clock = clock
        return self

    def play(self, played: int = 0) -> Iterator[Turn]:
        """The game, and how long each turn of it takes."""
        turns = super().play(played)
        turn = self.clock.around(lambda: next(turns, None))
        while (played_turn := turn()) is not None:
            yield played_turn


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


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Overhead, description=__doc__)))
