"""The DCGAN learns to draw whatever is in a folder of colour images.

    python examples/dcgan.py --data flowers --preset quick                     # a minute or less: colours and blots
    python examples/dcgan.py --data flowers --image-size 64 --width 32         # hours on a CPU
    python examples/dcgan.py --data flowers                                    # the original: 96x96, 200 epochs
    python examples/dcgan.py --output runs/dcgan --resume                      # go on with what was interrupted
    python examples/dcgan.py generate --weights-from runs/dcgan                # the best 64 of 512
    python examples/dcgan.py --help        and      python examples/dcgan.py generate --help

--data is a folder or zip of PNG and JPEG files, in subfolders or not; they are cut to squares. Some thousands are
enough to see it learn, and they should be alike: faces, or flowers, not both.

The DCGAN [Radford et al. 2016] is the recipe that made GANs of images reliable: convolutions with strides in place of
pooling, batch norm in both players, ReLU in G and leaky ReLU in D, Adam with a short memory (beta1 0.5). D moves in
every turn and G in every fifth (--g-every), as in the program that these settings are from: D should know a little
more than G. If D wins too clearly (D(x) near 1 and D(G(z)) near 0 for long), let G move more often.

What to expect: grey, then the average colour with a checkered texture, then blots in the right places, then shapes;
faces and flowers that convince take many thousand turns. samples/ has an 8x8 sheet of every epoch, always of the same
noise, and weights/ both players of every epoch: --netg-path and --netd-path start another run from them.

`generate` draws many images and keeps those that D finds most real, an old trick that costs variety and gains looks.

The GAN itself, networks and settings, is one page: minigan/systems/dcgan.py.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from minigan import plotting, running
from minigan.arrays import Device, DeviceError, to_host
from minigan.running.command import warnings_in_one_line
from minigan.sheets import save_sheet
from minigan.systems import dcgan


@dataclass(frozen=True)
class Generate:
    """Draw many images with a trained G and keep those that D finds most real."""

    weights_from: Path
    """the folder of a run"""
    checkpoint: Literal["latest", "best"] = "latest"
    """which of its checkpoints"""
    candidates: int = 512
    """how many are drawn"""
    keep: int = 64
    """how many are kept"""
    batch_statistics: bool = True
    """G's batch norm looks at the images that are drawn together, as in training; --no-batch-statistics: at what it
    noted down while it trained, as the original does"""
    seed: int = 0
    """of the noise"""
    output: Path = Path("generated.png")
    """where the sheet goes, the best image first"""
    device: Device = "cpu"
    """where to draw: cpu, or cuda for an NVIDIA GPU, which needs CuPy"""
    tf32: bool = False
    """let the GPU round the factors of matrix products to TF32: faster, less exact"""


def generate(o: Generate) -> int:
    """Draw, choose, save. Returns the exit status."""
    try:
        plotting.check_writable("output", o.output, (".png",))
        with warnings_in_one_line():
            trained = running.open_run(o.weights_from, o.checkpoint, device=o.device, tf32=o.tf32)
        trained = trained._replace(show=trained.show._replace(training=o.batch_statistics))
        best = trained.pick(np.random.default_rng(o.seed), o.candidates, o.keep)
        scores = to_host(best.scores)
        save_sheet(o.output, to_host(best.samples), columns=8)
    except (ValueError, OSError, DeviceError, MemoryError) as error:
        print(running.told(error), file=sys.stderr)
        return 2
    print(f"{o.output}: the best {o.keep} of {o.candidates}, D gives them {scores[0]:.3f} to {scores[-1]:.3f}")
    return 0


def main(arguments: list[str]) -> int:
    """`generate`, or train. Returns the exit status."""
    program = "python examples/dcgan.py"
    if arguments[:1] == ["generate"]:
        return generate(tyro.cli(Generate, prog=f"{program} generate", args=arguments[1:]))
    return running.main(dcgan, arguments, __doc__, program)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
