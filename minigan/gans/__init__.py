"""Whole GANs, one a page: architecture, objective, losses, who moves when.

A new one is a file here and a line in GANS.

    toy         numbers from a Gaussian
    mnist_mlp   28x28 digits, fully connected layers
    mnist_conv  28x28 digits, convolutions
    dcgan       colour images from any folder, the DCGAN

Each page has

    Options                the settings, with their defaults (options.py has those that all share)
    PRESETS                named sets of them: default, and quick for a first look and for tests
    networks(options)      player's name -> its network
    sampling(options)      how samples are drawn and looked at (sampling.py)
    build(options)         everything, data included: a System (system.py), which `minigan.running` trains

docs/own_gan.md shows how to write one of your own; a file outside of minigan is trained and sampled just the same.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from minigan.gans import dcgan, mnist_conv, mnist_mlp, toy
from minigan.gans.options import DigitOptions, Options
from minigan.gans.sampling import Sampling
from minigan.gans.system import System

GANS: dict[str, ModuleType] = {"toy": toy, "mnist_mlp": mnist_mlp, "mnist_conv": mnist_conv, "dcgan": dcgan}

__all__ = ["GANS", "DigitOptions", "Options", "Sampling", "System", "gan_of", "name_of"]


def gan_of(name: str | Path) -> ModuleType:
    """The page of a GAN: one of the table by its name, or your own by the path of its .py file, which is run.

    Raises:
        ValueError: if there is none of that name, or the file has no build(options).
    """
    plain = str(name).replace("-", "_")
    if plain in GANS:
        return GANS[plain]
    path = Path(name)
    if path.suffix != ".py":
        raise ValueError(f"gan: expected one of {', '.join(GANS)}, or a .py file, got {str(name)!r}")
    if not path.is_file():
        raise ValueError(f"gan: there is no file {path}")
    folder = str(path.resolve().parent)
    if folder not in sys.path:  # as `python FILE.py` has it: the file may import what lies beside it
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(f"own_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look for their module there
    spec.loader.exec_module(module)
    if not hasattr(module, "build"):
        raise ValueError(f"gan: expected a function build(options) in {path}")
    return module


def name_of(gan: ModuleType) -> str:
    """The name of a page: that of its file."""
    return Path(str(gan.__file__)).stem
