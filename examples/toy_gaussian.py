"""A GAN learns a Gaussian: the whole of minigan on one page.

    python examples/toy_gaussian.py                     # a few seconds; draws toy_gaussian.png
    python examples/toy_gaussian.py --preset original   # the program that made this toy known: fragile, kept as history
    python examples/toy_gaussian.py --help

The real data are numbers from N(4, 1.25). G is a small network that turns uniform noise into numbers. D is a small
network that tells real numbers from G's. Neither is ever told what a Gaussian is. Read from top to bottom:

    1  the options        2  the players        3  the game        4  what came out        5  the command
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import tyro
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from minigan import (
    Adam,
    DivergedError,
    MovingAverage,
    Parameters,
    Player,
    metrics,
    objectives,
    optimizers,
    play,
    plotting,
)
from minigan.arrays import Device, DeviceError, set_precision, to_device, to_host
from minigan.data.toy import Gaussian, uniform_noise
from minigan.networks import toy
from minigan.plotting import History, View
from minigan.running import told
from minigan.sending import sender
from minigan.training import Turn

# --- 1. The options -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """Train a GAN on a one-dimensional Gaussian."""

    preset: Literal["default", "original"] = "default"
    """where all other options start"""
    mu: float = 4.0
    """mean of the real data"""
    sigma: float = 1.25
    """standard deviation of the real data, > 0"""
    preprocess: toy.Preprocess = "pointwise"
    """what D reads of a row of samples"""
    rows: int = 1
    """rows in a batch"""
    minibatch: int = 256
    """samples in a row"""
    g_hidden: int = 32
    """units in each hidden layer of G"""
    d_hidden: int = 32
    """units in each hidden layer of D"""
    objective: Literal["non-saturating", "saturating"] = "non-saturating"
    """what G minimises: -log D(G(z)), or log(1 - D(G(z)))"""
    logits: bool = False
    """let D end in a logit instead of a probability"""
    epochs: int = 2500
    """turns of the game"""
    d_steps: int = 3
    """steps of D in a turn"""
    g_steps: int = 1
    """steps of G in a turn"""
    d_lr: float = 1e-2
    """Adam's rate for D"""
    g_lr: float = 5e-3
    """Adam's rate for G"""
    betas: tuple[float, float] = (0.5, 0.99)
    """Adam's betas, for both"""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """how the rates fall over the epochs"""
    average: float = 0.998
    """decay of the moving average of G that samples are drawn from; 0: draw from G itself"""
    dtype: Literal["float32", "float64"] = "float32"
    """precision of everything"""
    seed: int = 0
    """same seed, same bits"""
    device: Device = "cpu"
    """where the numbers are: cpu, or cuda for an NVIDIA GPU, which needs CuPy"""
    tf32: bool = False
    """let the GPU round the factors of matrix products to TF32: faster, less exact"""
    print_every: int = 250
    """epochs between two lines of the log"""
    samples: int = 10_000
    """how many samples the final figures are taken from"""
    output: Path = Path("toy_gaussian.png")
    """where the picture goes"""
    animate: Path | None = None
    """where an animated GIF of the training goes, if anywhere"""
    json: bool = False
    """print the final figures as one line of JSON and nothing else"""
    progress: bool = True
    """show a progress bar"""


PRESETS = {
    "default": Options(),
    "original": Options(
        preset="original",
        preprocess="variances",
        minibatch=100,
        g_hidden=50,
        d_hidden=50,
        epochs=30_000,
        d_steps=1,
        d_lr=2e-4,
        g_lr=2e-4,
        betas=(0.9, 0.999),
        schedule="constant",
        average=0.0,
        print_every=1000,
    ),
}

OBJECTIVES = {
    ("non-saturating", False): objectives.non_saturating,
    ("non-saturating", True): objectives.non_saturating_with_logits,
    ("saturating", False): objectives.saturating,
    ("saturating", True): objectives.saturating_with_logits,
}

SCHEDULES = {
    "constant": optimizers.constant,
    "linear": optimizers.linear_decay,
    "cosine": optimizers.cosine_decay,
}


# --- 2. The players -------------------------------------------------------------------------------------------------


class Players(NamedTuple):
    """G, D, the average of G, and the generator of random numbers that everything was and will be drawn from."""

    G: Player
    D: Player
    average: MovingAverage
    rng: np.random.Generator


def make_players(o: Options) -> Players:
    """Two networks, their first numbers, and an Adam for each."""
    rng, dtype = np.random.default_rng(o.seed), np.dtype(o.dtype)
    G = toy.generator(o.g_hidden)
    D = toy.discriminator(o.preprocess, o.minibatch, o.d_hidden, o.logits)
    g, d = G.init(rng, dtype, o.device), D.init(rng, dtype, o.device)
    return Players(
        Player(G, g, Adam(g, lr=o.g_lr, betas=o.betas)),
        Player(D, d, Adam(d, lr=o.d_lr, betas=o.betas)),
        MovingAverage(g, o.average),
        rng,
    )


# --- 3. The game ----------------------------------------------------------------------------------------------------


def game(o: Options, players: Players) -> Iterator[Turn]:
    """The turns of the game, each already played when it is handed out. (minigan/training.py has the two steps.)"""
    data, n, dtype = Gaussian(o.mu, o.sigma), o.rows * o.minibatch, np.dtype(o.dtype).type
    send = sender(o.device)
    turns = play(
        players.G,
        players.D,
        OBJECTIVES[o.objective, o.logits],
        draw_real=lambda: send(data.sample(players.rng, n, dtype)),
        draw_noise=lambda: send(uniform_noise(players.rng, n, dtype)),
        turns=o.epochs,
        d_steps=o.d_steps,
        g_steps=o.g_steps,
        schedule=SCHEDULES[o.schedule],
    )
    for turn in turns:
        players.average.update()
        yield turn


def generate(o: Options, G: Player, g: Parameters, z: np.ndarray) -> np.ndarray:
    """What G with the numbers g makes of the noise z, shape (n, 1), brought to the host."""
    return to_host(G.network(g, to_device(z.astype(o.dtype), o.device)))


def train(o: Options, players: Players) -> tuple[History, list[View]]:
    """Play the whole game; log, remember and, if it is to be animated, look at it now and then."""
    rng = np.random.default_rng([o.seed, 1])  # for watching only: watched or not, the training is the same
    real, z = Gaussian(o.mu, o.sigma).sample(rng, 2000), uniform_noise(rng, 2000)
    history, views = History([], [], [], [], [], [], []), []
    remember_every, look_every = math.ceil(o.epochs / 300), math.ceil(o.epochs / 60)
    turns: list[Turn] = []  # since the last entry; their losses are read together, for on a GPU each look is a wait
    bar = tqdm(game(o, players), total=o.epochs, unit="epoch", disable=None if o.progress and not o.json else True)
    for turn in bar:
        last = turn.number == o.epochs
        turns.append(turn)
        if turn.number % remember_every == 0 or last:
            d = sum(t.d_real + t.d_fake for t in turns) / len(turns)
            g = sum(t.g for t in turns) / len(turns)
            turns.clear()
            own = metrics.moments(generate(o, players.G, players.G.params, z))
            averaged = metrics.moments(generate(o, players.G, players.average.params, z))
            entry = (turn.number, d, g, own.mean, own.std, averaged.mean, averaged.std)
            for values, value in zip(history, entry, strict=True):
                values.append(value)
            bar.set_postfix_str(f"D {d:.3f} G {g:.3f} mean {own.mean:.2f} std {own.std:.2f}", refresh=False)
        if not o.json and (turn.number % o.print_every == 0 or last):
            bar.write(log_line(turn, real, generate(o, players.G, players.G.params, z)))
        if o.animate and (turn.number % look_every == 1 or look_every == 1 or last):
            views.append(look(o, players, turn.number))
    return history, views


def log_line(turn: Turn, real: np.ndarray, fake: np.ndarray) -> str:
    """turn: D: loss on real/loss on fake G: loss (Real: mean, std Fake: mean, std)"""
    return (
        f"{turn.number}: D: {turn.d_real:.4f}/{turn.d_fake:.4f} G: {turn.g:.4f} "
        f"(Real: {real.mean():.3f}, {real.std():.3f} Fake: {fake.mean():.3f}, {fake.std():.3f})"
    )


# --- 4. What came out -----------------------------------------------------------------------------------------------


def final_figures(o: Options, samples: np.ndarray) -> dict[str, float]:
    """Moments of samples, and their distances from the Gaussian that was to be learned."""
    data = Gaussian(o.mu, o.sigma)
    return {
        **metrics.moments(samples)._asdict(),
        "ks": metrics.ks_distance(samples, data.cdf),
        "wasserstein1": metrics.wasserstein1(samples, data.quantile),
    }


def draw_final_samples(o: Options, players: Players) -> tuple[np.ndarray, np.ndarray]:
    """Fresh real samples, and as many of G, averaged."""
    rng = np.random.default_rng([o.seed, 2])
    real = Gaussian(o.mu, o.sigma).sample(rng, o.samples)
    return real, generate(o, players.G, players.average.params, uniform_noise(rng, o.samples))


def table(real: dict[str, float], fake: dict[str, float]) -> str:
    """Real beside generated. Real samples are finite too: their KS and Wasserstein-1 show what chance alone does."""
    rows = [f"{name:<14}{real[name]:>10.4f}{fake[name]:>12.4f}" for name in real]
    return "\n".join([f"{'':<14}{'real':>10}{'generated':>12}", *rows])


def look(o: Options, players: Players, epoch: int) -> View:
    """Samples of G, and what D thinks against the best that could be thought.

    For a fixed G the best D is p_data / (p_data + p_G) [Goodfellow et al. 2014, prop. 1]. Where D reads whole rows, the
    densities are those of rows, products over the row; the picture then moves rows of real samples along the line.
    """
    data, G, D = Gaussian(o.mu, o.sigma), players.G, players.D
    x = np.linspace(o.mu - 4 * o.sigma, o.mu + 4 * o.sigma, 161)
    z = ((np.arange(4096) + 0.5) / 4096)[:, None]  # all of the noise, evenly

    fake = generate(o, G, G.params, z).astype(np.float64)
    width = 0.05 * o.sigma  # p_G: a narrow Gaussian on each sample of G
    kernels = np.exp(-0.5 * ((x[:, None] - fake[None, :, 0]) / width) ** 2)
    p_G = kernels.mean(1) / (width * math.sqrt(2 * math.pi))

    n = 1 if o.preprocess == "pointwise" else o.minibatch
    rows = data.sample(np.random.default_rng(0), 16 * n, np.float64).reshape(16, n)
    rows = x[:, None, None] + (rows - rows.mean(1, keepdims=True))  # (161, 16, n)
    scores = to_host(D.network(D.params, to_device(rows.reshape(-1, 1).astype(o.dtype), o.device)))
    scores = scores.reshape(len(x), 16).astype(np.float64)
    log_ratio = (np.log(np.interp(rows, x, p_G) + 1e-30) - data.log_density(rows)).sum(2)
    return View(
        epoch=epoch,
        fake=generate(o, G, players.average.params, z),
        x=x,
        density=np.exp(data.log_density(x)),
        d=(1 / (1 + np.exp(-scores)) if o.logits else scores).mean(1),
        d_optimum=(1 / (1 + np.exp(np.clip(log_ratio, -500, 500)))).mean(1),
        d_label="x" if n == 1 else f"mean of a row of {n} real samples, moved along the line",
    )


# --- 5. The command -------------------------------------------------------------------------------------------------


def check(o: Options) -> None:
    """Refuse what cannot work before any work is done.

    Raises:
        ValueError, OSError, DeviceError: naming the option, what was expected and what came.
    """
    set_precision(o.device, o.tf32)
    Gaussian(o.mu, o.sigma)
    counts = ("rows", "minibatch", "g_hidden", "d_hidden", "epochs", "d_steps", "g_steps", "print_every", "samples")
    for name in counts:
        if getattr(o, name) < 1:
            raise ValueError(f"{name}: expected at least 1, got {getattr(o, name)}")
    for name in ("d_lr", "g_lr"):
        if not (math.isfinite(getattr(o, name)) and getattr(o, name) > 0):
            raise ValueError(f"{name}: expected a finite number > 0, got {getattr(o, name)}")
    for name, value in [("average", o.average), ("betas", o.betas[0]), ("betas", o.betas[1])]:
        if not 0 <= value < 1:
            raise ValueError(f"{name}: expected numbers in [0, 1), got {getattr(o, name)}")
    if o.seed < 0:
        raise ValueError(f"seed: expected at least 0, got {o.seed}")
    plotting.check_writable("output", o.output, (".png", ".pdf", ".svg"))
    if o.animate:
        plotting.check_writable("animate", o.animate, (".gif",))


def read_options(arguments: list[str]) -> Options:
    """Options from the command line: the preset first, then whatever is said differently."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default="default")
    preset = first.parse_known_args(arguments)[0].preset
    return tyro.cli(Options, args=arguments, default=PRESETS.get(preset, PRESETS["default"]), description=__doc__)


def main(arguments: list[str]) -> int:
    """Train, report, draw. Returns the exit status."""
    o = read_options(arguments)
    try:
        check(o)
        players = make_players(o)
        with threadpool_limits(1, "blas"):  # matrices this small are multiplied before a second thread has woken up
            history, views = train(o, players)
        real, fake = draw_final_samples(o, players)
        figures = final_figures(o, fake)
        plotting.toy_figure(look(o, players, o.epochs), real, history, o.mu, o.sigma).savefig(o.output, dpi=110)
        if o.animate:
            plotting.toy_animation(views, o.animate)
    except (ValueError, OSError, DeviceError, MemoryError, DivergedError) as error:
        print(told(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    if o.json:
        print(json.dumps({**figures, "steps": o.epochs, "seed": o.seed}))
    else:
        print(table(final_figures(o, real), figures))
        print(f"picture: {o.output}" + (f", animation: {o.animate}" if o.animate else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
