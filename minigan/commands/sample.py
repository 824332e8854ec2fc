"""Samples of a generator as a sheet, as single pictures, or as numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from minigan.arrays import to_host
from minigan.devices import Device
from minigan.files.weights import save_npz
from minigan.pictures.sheets import save_picture, save_sheet, to_bytes
from minigan.running.folder import Folder
from minigan.running.pictures import images_of
from minigan.running.trained import Trained, open_run, open_weights


@dataclass(frozen=True)
class Sample:
    """Draw samples with the generator of a run.

    The same seed draws the same samples. No data are needed, and nothing of the run is changed.
    """

    source: tyro.conf.Positional[Path]
    """a run's folder, or a weight file of a generator that a run left"""
    n: int | None = None
    """how many samples; as many as on a sheet of the run, if not given"""
    seed: int = 0
    """of the noise"""
    output: Path = Path("samples.png")
    """a .png or .jpg for a sheet, an .npz for the numbers, or a new folder for single pictures"""
    columns: int | None = None
    """of the sheet; as square as it can be, if not given"""
    checkpoint: Literal["latest", "best"] | int = "latest"
    """of the run: latest, best, or a turn that has one"""
    ema: bool = True
    """draw from the moving average of G, if the run has one; --no-ema: from G itself"""
    candidates: int | None = None
    """draw so many, and keep the n that D finds most real"""
    batch_statistics: bool = True
    """let batch norm look at the samples that are drawn together, where the GAN is one that does so;
    --no-batch-statistics: at its running statistics"""
    device: Device = "cpu"
    """where to draw: cpu, or cuda for an NVIDIA GPU, which needs CuPy"""
    gan: Path | None = None
    """the .py file of the GAN, if it is one of your own"""


def sample(o: Sample) -> int:
    """Carry it out; 0."""
    for name in ("n", "columns", "candidates"):
        if getattr(o, name) is not None and getattr(o, name) < 1:
            raise ValueError(f"{name}: expected at least 1, got {getattr(o, name)}")
    if o.seed < 0:
        raise ValueError(f"seed: expected at least 0, got {o.seed}")
    check_output(o.output)
    trained = open_source(o)
    n = o.n or trained.sampling.count
    if o.candidates is not None and o.candidates < n:
        raise ValueError(f"candidates: expected at least n, {n}, got {o.candidates}")
    if not o.batch_statistics:
        trained = trained._replace(sampling=replace(trained.sampling, batch_statistics=False))
    rng, scores = np.random.default_rng(o.seed), {}
    if o.candidates is None:
        samples = to_host(trained.sample(rng, n))
    else:
        picked = trained.pick(rng, o.candidates, n)
        samples, scores = to_host(picked.samples), {"scores": to_host(picked.scores)}
    if o.output.suffix.lower() == ".npz":
        save_npz(o.output, {"samples": samples, **scores})
    else:
        draw(o, trained, samples)
    print(f"{n} samples of {trained.name} after {trained.turn} turns: {o.output}")
    return 0


def open_source(o: Sample) -> Trained:
    """The networks to draw with. Raises CheckpointError or ValueError."""
    if not o.source.exists():
        raise ValueError(f"source: there is no {o.source}")
    if not o.source.is_dir():
        if o.checkpoint != "latest":
            raise ValueError(f"checkpoint: {o.source} is a file of weights and has none, got {o.checkpoint}")
        return open_weights(o.source, o.device, o.gan)
    if not Folder(o.source).about.exists():
        raise ValueError(f"source: there is no run in {o.source}")
    return open_run(o.source, o.checkpoint, average=o.ema, device=o.device, gan=o.gan)


def check_output(output: Path) -> None:
    """Refuse, before any sample is drawn, what samples cannot be written into. Raises ValueError."""
    if not output.absolute().parent.is_dir():
        raise ValueError(f"output: there is no folder for {output}")
    if output.suffix.lower() not in ("", ".png", ".jpg", ".jpeg", ".npz"):
        raise ValueError(f"output: expected a .png, .jpg or .npz file or a folder, got {output}")
    if not output.suffix and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"output: expected a new or empty folder, got {output}")


def draw(o: Sample, trained: Trained, samples: np.ndarray) -> None:
    """All samples in one picture, or in a folder 0000.png, 0001.png, ..., pixel for pixel."""
    images = images_of(samples)
    if images is None and not o.output.suffix:
        raise ValueError(f"output: samples of {trained.name} are numbers, not pictures: write them into an .npz file")
    if images is None:
        save_picture(o.output, trained.sampling.picture(samples))
    elif o.output.suffix:
        save_sheet(o.output, images, o.columns)
    else:
        o.output.mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(to_bytes(images).transpose(0, 2, 3, 1)):  # (N, C, H, W) -> (N, H, W, C)
            save_picture(o.output / f"{i:04d}.png", image[:, :, 0] if image.shape[2] == 1 else image)
