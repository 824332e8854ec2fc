"""The DCGAN on colour images from any folder.   [Radford et al. 2016; settings after chenyuntc's AnimeGAN]

    G   normal noise (100) - transposed convs 512 @ 4x4, 256, 128, 64 @ 32x32, 3 @ 96x96      batch norm, ReLU; tanh
    D   3 @ 96x96 - convs 64 @ 32x32, 128, 256, 512 @ 4x4 - a probability           batch norm, leaky ReLU 0.2; sigmoid

D moves in every turn, G in every fifth. Colour images are harder than digits: at this size an epoch of some ten
thousand images takes long on a CPU; --image-size and --width make it smaller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minigan import initializers
from minigan.arrays import Device, to_device
from minigan.data.images import ImageFolder
from minigan.initializers import Initializer
from minigan.layers import Sequential
from minigan.networks import dcgan
from minigan.objectives import non_saturating
from minigan.optimizers import Adam
from minigan.parameters import Parameters
from minigan.sampling import slerp
from minigan.sending import sender
from minigan.sheets import sheet
from minigan.systems.noise import normal_noise
from minigan.systems.scores import frechet_of_pixels
from minigan.systems.system import Game, Show, System, batches_of, check, follow
from minigan.training import Player
from minigan.weights_files import load_weights


@dataclass(frozen=True)
class Options:
    """The DCGAN on colour images."""

    preset: Literal["default", "quick"] = "default"
    """where all other options start"""
    data: Path = Path("data")
    """a folder or zip of PNG and JPEG images"""
    skip_broken: bool = False
    """leave out images that cannot be read instead of refusing them"""
    image_size: Literal[96, 64, 32] = 96
    """side of the images"""
    batch: int = 256
    """images in a batch"""
    workers: int = 2
    """threads that decode images"""
    noise: int = 100
    """numbers that G starts from"""
    width: int = 64
    """channels next to the pixels; 2, 4 and 8 times as many further in"""
    epochs: int = 200
    """passes over the data"""
    d_every: int = 1
    """D moves in each turn whose number is a multiple of this"""
    g_every: int = 5
    """the same for G"""
    d_lr: float = 2e-4
    """Adam's rate for D"""
    g_lr: float = 2e-4
    """Adam's rate for G"""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's betas, for both"""
    init: Literal["original", "normal"] = "original"
    """first weights: PyTorch's defaults as in the original, or normal(0, 0.02) as in the paper"""
    netg_path: Path | None = None
    """weights that G starts from"""
    netd_path: Path | None = None
    """weights that D starts from"""
    average: float = 0.0
    """decay of a moving average of G that samples are drawn from; 0: none"""
    seed: int = 0
    """same seed, same bits"""
    device: Device = "cpu"
    """where the numbers are: cpu, or cuda for an NVIDIA GPU, which needs CuPy"""
    tf32: bool = False
    """let the GPU round the factors of matrix products to TF32: faster, less exact"""


PRESETS = {
    "default": Options(),
    "quick": Options(preset="quick", image_size=32, batch=16, width=8, epochs=8, g_every=1),
}


def networks(o: Options) -> tuple[Sequential, Sequential]:
    """G and D."""
    weights: Initializer = initializers.torch_uniform
    norms: Initializer = initializers.constant(1.0)
    if o.init == "normal":
        weights, norms = initializers.normal(0.0, 0.02), initializers.normal(1.0, 0.02)
    G = dcgan.generator(o.noise, o.width, weights, norms, size=o.image_size)
    return G, dcgan.discriminator(o.width, False, weights, norms, size=o.image_size)


def show(o: Options) -> Show:
    """How samples are drawn and looked at."""
    return Show(
        noise=lambda rng, n: to_device(normal_noise(rng, n, o.noise), o.device),
        rows=64,
        training=True,
        sheet=64,
        picture=lambda x: sheet(x, columns=8, scale=96 // o.image_size),
        between=slerp,
    )


def build(o: Options) -> System:
    """The system, its images found. Raises ValueError or OSError for options that cannot work."""
    check(o, counts=("batch", "workers", "noise", "width", "epochs", "d_every", "g_every"), rates=("d_lr", "g_lr"))
    rng, send = np.random.default_rng(o.seed), sender(o.device)

    try:
        images = ImageFolder(o.data, o.image_size, o.skip_broken)
    except (ValueError, OSError) as error:
        raise ValueError(f"data: {error}") from error
    batches = batches_of(images, o, o.workers)

    G, D = networks(o)
    g, d = G.init(rng, device=o.device), D.init(rng, device=o.device)
    start_from("netg_path", o.netg_path, g)
    start_from("netd_path", o.netd_path, d)

    return System(
        name="dcgan",
        options=o,
        free=frozenset({"data", "device", "epochs", "netd_path", "netg_path", "tf32", "workers"}),
        G=Player(G, g, Adam(g, o.g_lr, o.betas)),
        D=Player(D, d, Adam(d, o.d_lr, o.betas)),
        objective=non_saturating,
        draw_real=lambda: send(next(batches)),
        draw_noise=lambda: send(normal_noise(rng, o.batch, o.noise)),
        rng=rng,
        batches=batches,
        game=Game(o.epochs * batches.batches_per_epoch, d_every=o.d_every, g_every=o.g_every),
        average=follow(g, o.average),
        show=show(o),
        scores={"frechet": frechet_of_pixels(images)},
        epoch=batches.batches_per_epoch,
        log_every=5 * o.g_every,
        sample_every=batches.batches_per_epoch,
        line=lambda record: line(record, o.epochs, batches.batches_per_epoch),
        weights_each_epoch=True,
    )


def start_from(option: str, path: Path | None, params: Parameters) -> None:
    """Load weights into params. Raises ValueError, naming the option, if they cannot be read or do not fit."""
    if path is None:
        return
    try:
        params.load_state_dict(load_weights(path))
    except (KeyError, ValueError, TypeError) as error:  # CheckpointError is a ValueError
        raise ValueError(f"{option}: {error.args[0]}") from error


def line(record: Mapping[str, Any], epochs: int, batches: int) -> str:
    """epoch e/E, batch b/B: D .., G .., D(x) .., D(G(z)) ..; - for a player that did not move"""
    numbers = {
        "D": None if record["d_real"] is None else record["d_real"] + record["d_fake"],
        "G": record["g"],
        "D(x)": record["on_real"],
        "D(G(z))": record["on_fake"],
    }
    told = ", ".join(f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in numbers.items())
    return f"epoch {record['epoch']}/{epochs}, batch {record['batch']}/{batches}: {told}"
