"""The command line: python -m minigan --help

    train toy|mnist-mlp|mnist-conv|dcgan     train one of the four GANs; `train dcgan --help` shows its options
    train FILE.py                            train a GAN of your own
    sample RUN                               draw samples with the generator of a run
    inspect PATH                             what a checkpoint, a weight file or a run holds, and whether it is whole
    convert IN OUT                           weights from one file format to another

Each command is a file of commands/; training is running/.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tyro

from minigan import running
from minigan.commands.convert import Convert, convert
from minigan.commands.inspect import Inspect, inspect
from minigan.commands.sample import Sample, sample
from minigan.gans import gan_of
from minigan.running.command import warnings_in_one_line


@dataclass(frozen=True)
class Train:
    """Train a GAN; `train NAME --help` shows its options."""

    gan: tyro.conf.Positional[str]
    """toy, mnist-mlp, mnist-conv, dcgan, or a .py file with one of your own (docs/own_gan.md)"""


def main(arguments: list[str] | None = None) -> int:
    """Read the command line (of the program, if none is given), and do it.

    Returns:
        The exit status: 0; 1 if something is damaged or the training run went wrong; 2 for a mistake of the user's.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments[:1] != ["train"] or not arguments[1:] or arguments[1].startswith("-"):
            command = tyro.cli(Train | Sample | Inspect | Convert, prog="python -m minigan", args=arguments)
            with warnings_in_one_line():
                return COMMANDS[type(command)](command)
        page = gan_of(arguments[1])
    except (ValueError, OSError, RuntimeError, MemoryError) as error:  # also CheckpointError and DeviceError
        print(running.error_line(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return running.main(page, arguments[2:], page.__doc__, f"python -m minigan train {arguments[1]}")


COMMANDS: dict[type, Callable[[Any], int]] = {Sample: sample, Inspect: inspect, Convert: convert}


if __name__ == "__main__":
    sys.exit(main())
