"""A GAN learns a Gaussian, and one sees how.

    python examples/toy_gaussian.py                     # a few seconds; draws toy_gaussian.png
    python examples/toy_gaussian.py --animate toy.gif   # and films it
    python examples/toy_gaussian.py --preset original   # the program that made this toy known: fragile, kept as history
    python examples/toy_gaussian.py --help

The real data are numbers from N(4, 1.25). G is a small network that turns uniform noise into numbers. D is a small
network that tells real numbers from G's. Neither is ever told what a Gaussian is. The noise ends at 0 and 1, so G's
samples end sharply too, where G(0) and G(1) are.

The GAN itself, networks, losses and who moves when, is one page: minigan/gans/toy.py. Here it is played, watched,
measured and drawn. Read from top to bottom:

    1  the options        2  the game        3  what came out        4  the picture        5  the command

`python -m minigan train toy` trains the same GAN with checkpoints, to be stopped and resumed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from minigan import DivergedError, Turn, metrics
from minigan.arrays import to_host
from minigan.data.toy import Gaussian
from minigan.devices import DeviceError, to_device
from minigan.gans import System, toy
from minigan.pictures.figures import FAKE, GREY, OPTIMUM, REAL
from minigan.pictures.sheets import save_gif
from minigan.running import error_line

# --- 1. The options -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """Train a GAN on a one-dimensional Gaussian."""

    gan: tyro.conf.OmitArgPrefixes[toy.Options]
    print_every: int | None = None
    """epochs between two lines of the log; ten lines in all, if not given"""
    samples: int = 10_000
    """how many samples the final figures are taken from"""
    output: Path = Path("toy_gaussian.png")
    """where the picture goes"""
    animate: Path | None = None
    """where an animated GIF of the training run goes, if anywhere"""
    json: bool = False
    """print the final figures as one line of JSON and nothing else"""
    progress: bool = True
    """show a progress bar"""


# --- 2. The game ----------------------------------------------------------------------------------------------------


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


def train(o: Options, system: System) -> tuple[History, list[View]]:
    """Play the whole game; log, remember and, if it is to be animated, look at it now and then."""
    epochs, G = o.gan.epochs, system.players["G"]
    rng = np.random.default_rng([o.gan.seed, 1])  # for watching only: watched or not, the game is the same
    real, z = Gaussian(o.gan.mu, o.gan.sigma).sample(rng, 2000), system.sampling.noise(rng, 2000)
    history, views = History([], [], [], [], [], [], []), []
    print_every = o.print_every or math.ceil(epochs / 10)
    remember_every, look_every = math.ceil(epochs / 300), math.ceil(epochs / 60)
    turns: list[Turn] = []  # since the last entry; their losses are read together, for on a GPU each look is a wait
    bar = tqdm(system.play(), total=epochs, unit="epoch", disable=None if o.progress and not o.json else True)
    for turn in bar:
        last = turn.number == epochs
        turns.append(turn)
        if turn.number % remember_every == 0 or last:
            d, g = (sum(t[name] for t in turns) / len(turns) for name in ("d_loss", "g_loss"))
            turns.clear()
            own, averaged = metrics.moments(to_host(G(z))), metrics.moments(to_host(system.samples(z)))
            entry = (turn.number, d, g, own.mean, own.std, averaged.mean, averaged.std)
            for values, value in zip(history, entry, strict=True):
                values.append(value)
            bar.set_postfix_str(f"D {d:.3f} G {g:.3f} mean {own.mean:.2f} std {own.std:.2f}", refresh=False)
        if not o.json and (turn.number % print_every == 0 or last):
            bar.write(log_line(turn, real, to_host(G(z))))
        if o.animate and (turn.number % look_every == 1 or look_every == 1 or last):
            views.append(look(o.gan, system, turn.number))
    return history, views


def log_line(turn: Turn, real: np.ndarray, fake: np.ndarray) -> str:
    """turn: D: loss on real/loss on fake G: loss (Real: mean, std Fake: mean, std)"""
    return (
        f"{toy.line({'turn': turn.number, **turn})} "
        f"(Real: {real.mean():.3f}, {real.std():.3f} Fake: {fake.mean():.3f}, {fake.std():.3f})"
    )


# --- 3. What came out -----------------------------------------------------------------------------------------------


def final_figures(o: toy.Options, samples: np.ndarray) -> dict[str, float]:
    """Moments of samples, and their distances from the Gaussian that was to be learned."""
    data = Gaussian(o.mu, o.sigma)
    return {
        **metrics.moments(samples)._asdict(),
        "ks": metrics.ks_distance(samples, data.cdf),
        "wasserstein1": metrics.wasserstein1(samples, data.quantile),
    }


def draw_final_samples(system: System, n: int = 10_000) -> tuple[np.ndarray, np.ndarray]:
    """n fresh real samples, and as many of G, averaged."""
    o = system.options
    rng = np.random.default_rng([o.seed, 2])
    real = Gaussian(o.mu, o.sigma).sample(rng, n)
    return real, to_host(system.samples(system.sampling.noise(rng, n)))


def table(real: dict[str, float], fake: dict[str, float]) -> str:
    """Real beside generated. Real samples are finite too: their KS and Wasserstein-1 show what chance alone does."""
    rows = [f"{name:<14}{real[name]:>10.4f}{fake[name]:>12.4f}" for name in real]
    return "\n".join([f"{'':<14}{'real':>10}{'generated':>12}", *rows])


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


def look(o: toy.Options, system: System, epoch: int) -> View:
    """Samples of G, and what D thinks against the best that could be thought.

    For a fixed G the best D is p_data / (p_data + p_G) [Goodfellow et al. 2014, prop. 1]. Where D reads whole rows, the
    densities are those of rows, products over the row; the picture then moves rows of real samples along the line.
    """
    data, (G, D) = Gaussian(o.mu, o.sigma), (system.players[name] for name in "GD")
    placed = lambda x: to_device(x.astype(o.dtype), o.device)
    x = np.linspace(o.mu - 4 * o.sigma, o.mu + 4 * o.sigma, 161)
    z = placed(((np.arange(4096) + 0.5) / 4096)[:, None])  # all of the noise, evenly

    fake = to_host(G(z)).astype(np.float64)
    width = 0.05 * o.sigma  # p_G: a narrow Gaussian on each sample of G
    bells = np.exp(-0.5 * ((x[:, None] - fake[None, :, 0]) / width) ** 2)
    p_G = bells.mean(1) / (width * math.sqrt(2 * math.pi))

    n = 1 if o.preprocess == "pointwise" else o.batch
    rows = data.sample(np.random.default_rng(0), 16 * n, np.float64).reshape(16, n)
    rows = x[:, None, None] + (rows - rows.mean(1, keepdims=True))  # (161, 16, n)
    scores = to_host(D(placed(rows.reshape(-1, 1)))).reshape(len(x), 16).astype(np.float64)
    log_ratio = (np.log(np.interp(rows, x, p_G) + 1e-30) - data.log_density(rows)).sum(2)
    return View(
        epoch=epoch,
        fake=to_host(system.samples(z)),
        x=x,
        density=np.exp(data.log_density(x)),
        d=(1 / (1 + np.exp(-scores)) if o.logits else scores).mean(1),
        d_optimum=(1 / (1 + np.exp(np.clip(log_ratio, -500, 500)))).mean(1),
        d_label="x" if n == 1 else f"mean of a row of {n} real samples, moved along the line",
    )


# --- 4. The picture ---------------------------------------------------------------------------------------------------


def toy_figure(view: View, real: np.ndarray, history: History, mu: float, sigma: float) -> Figure:
    """Samples and densities, D against its optimum, losses, moments: the whole toy on one page.

    Args:
        view: the end of the training run.
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
    """The training run as an animated GIF at `path`: samples on the left, D on the right, one frame a view."""
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


# --- 5. The command -------------------------------------------------------------------------------------------------


def read_options(arguments: list[str]) -> Options:
    """Options from the command line: the preset first, then whatever is said differently."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default="default")
    preset = first.parse_known_args(arguments)[0].preset
    start = Options(toy.PRESETS.get(preset, toy.PRESETS["default"]))
    return tyro.cli(Options, args=arguments, default=start, description=__doc__)


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


def check(o: Options) -> None:
    """Refuse what cannot work before any work is done. Raises ValueError or OSError, naming the option."""
    for name, value in [("samples", o.samples), ("print_every", o.print_every)]:
        if value is not None and value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    check_writable("output", o.output, (".png", ".pdf", ".svg"))
    if o.animate:
        check_writable("animate", o.animate, (".gif",))


def main(arguments: list[str]) -> int:
    """Train, report, draw. Returns the exit status."""
    o = read_options(arguments)
    try:
        check(o)
        system = toy.build(o.gan)
        with threadpool_limits(1, "blas"):  # matrices this small are multiplied before a second thread has woken up
            history, views = train(o, system)
        real, fake = draw_final_samples(system, o.samples)
        end = look(o.gan, system, o.gan.epochs)
        toy_figure(end, real, history, o.gan.mu, o.gan.sigma).savefig(o.output, dpi=110)
        if o.animate:
            toy_animation(views, o.animate)
    except (ValueError, OSError, DeviceError, MemoryError, DivergedError) as error:
        print(error_line(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    result = final_figures(o.gan, fake)
    if o.json:
        print(json.dumps({**result, "steps": o.gan.epochs, "seed": o.gan.seed}))
    else:
        print(table(final_figures(o.gan, real), result))
        print(f"picture: {o.output}" + (f", animation: {o.animate}" if o.animate else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
