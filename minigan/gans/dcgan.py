"""The DCGAN on colour images from any folder.   [Radford et al. 2016; settings after chenyuntc's AnimeGAN]

    G   normal noise (100) - transposed convs 512 @ 4x4, 256, 128, 64 @ 32x32, 3 @ 96x96      batch norm, ReLU; tanh
    D   3 @ 96x96 - convs 64 @ 32x32, 128, 256, 512 @ 4x4 - a probability           batch norm, leaky ReLU 0.2; sigmoid

D moves in every turn, G in every fifth. Colour images are harder than digits: at this size an epoch of some ten
thousand images takes long on a CPU; --image-size and --width make it smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from minigan import initializers
from minigan.arrays import Array
from minigan.data.images import ImageFolder
from minigan.data.noise import normal_noise
from minigan.devices import to_device
from minigan.files.weights import load_weights
from minigan.game import Notes, Player
from minigan.gans.options import Options as Base
from minigan.gans.sampling import Sampling, slerp
from minigan.gans.system import System
from minigan.initializers import Initializer
from minigan.layers import Sequential
from minigan.metrics.images import frechet_of_pixels
from minigan.networks import dcgan
from minigan.objectives import non_saturating
from minigan.parameters import Parameters
from minigan.pictures.sheets import sheet


@dataclass(frozen=True)
class Options(Base):
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
    d_every: int = 1
    """D moves in each turn whose number is a multiple of this"""
    g_every: int = 5
    """the same for G"""
    init: Literal["original", "normal"] = "original"
    """first weights: PyTorch's defaults as in the original, or normal(0, 0.02) as in the paper"""
    netg_path: Path | None = None
    """weights that G starts from"""
    netd_path: Path | None = None
    """weights that D starts from"""


QUICK = Options(preset="quick", image_size=32, batch=16, width=8, epochs=8, g_every=1)
PRESETS = {"default": Options(), "quick": QUICK}


def networks(o: Options) -> dict[str, Sequential]:
    """G and D."""
    weights: Initializer = initializers.torch_uniform
    norms: Initializer = initializers.constant(1.0)
    if o.init == "normal":
        weights, norms = initializers.normal(0.0, 0.02), initializers.normal(1.0, 0.02)
    G = dcgan.generator(o.noise, o.width, weights, norms, size=o.image_size)
    return {"G": G, "D": dcgan.discriminator(o.width, False, weights, norms, size=o.image_size)}


def sampling(o: Options) -> Sampling:
    """How samples are drawn and looked at."""
    noise = lambda rng, n: to_device(normal_noise(rng, n, o.noise), o.device)
    picture = lambda x: sheet(x, columns=8, scale=96 // o.image_size)
    return Sampling(noise, picture, count=64, batch=64, batch_statistics=True, way=slerp)


def d_loss(D: Player, x: Array, fake: Array) -> tuple[Array, Notes]:
    on_real, on_fake = D(x), D(fake)  # one pass each: batch norm would mix them
    return non_saturating.d_loss(on_real, on_fake), {"on_real": on_real, "on_fake": on_fake}


def g_loss(G: Player, D: Player, z: Array) -> Array:
    return non_saturating.g_loss(D(G(z)))


def build(o: Options) -> System:
    """The GAN, its images found. Raises ValueError or OSError for options that cannot work."""
    o.check()
    rng, look = np.random.default_rng(o.seed), sampling(o)
    if not o.data.exists():
        raise ValueError(f"data: there is no {o.data}; --data FOLDER_OR_ZIP names the images")
    try:
        images = ImageFolder(o.data, o.image_size, o.skip_broken)
    except (ValueError, OSError) as error:
        raise ValueError(f"data: {error}") from error
    batches = o.batches(images, o.workers)
    players = o.players(networks(o), rng)
    G, D, n = players["G"], players["D"], batches.batches_per_epoch
    start_from("netg_path", o.netg_path, G.params)
    start_from("netd_path", o.netd_path, D.params)

    def turn(number: int) -> Notes:
        x = to_device(next(batches), o.device)  # also where D does not move: the data pass by
        notes: Notes = {}
        if number % o.d_every == 0:
            notes |= D.move(d_loss, x, G(look.noise(rng, o.batch)))
        if number % o.g_every == 0:
            notes |= G.move(g_loss, D, look.noise(rng, o.batch))
        return notes

    system = System("dcgan", o, players, turn, o.epochs * n, look, o.memory(rng, batches, G), epoch=n)
    return system._replace(
        may_change=frozenset({"data", "device", "epochs", "netd_path", "netg_path", "workers"}),
        scores={"frechet": frechet_of_pixels(images)},
        log_every=5 * o.g_every,
        sample_every=n,
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
