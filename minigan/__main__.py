"""The command line: python -m minigan --help

    train toy|mnist-mlp|mnist-conv|dcgan     train one of the four systems; `train dcgan --help` shows its options
    sample RUN                               draw samples with the generator of a run
    inspect PATH                             what a checkpoint, a weight file or a run holds, and whether it is whole
    convert IN OUT                           weights from one file format to another

Each command is a file of commands/; training is running/.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

import tyro

from minigan import running
from minigan.commands.convert import Convert, convert
from minigan.commands.inspect import Inspect, inspect
from minigan.commands.sample import Sample, sample
from minigan.running.command import warnings_in_one_line
from minigan.systems import SYSTEMS


@dataclass(frozen=True)
class Train:
    """Train one of the systems; `train NAME --help` shows its options."""

    system: tyro.conf.Positional[Literal["toy", "mnist-mlp", "mnist-conv", "dcgan"]]
    """which"""


def main(arguments: list[str] | None = None) -> int:
    """Read the command line (of the program, if none is given), and do it.

    Returns:
        The exit status: 0; 1 if something is damaged or the training went wrong; 2 for a mistake of the user's.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    name = arguments[1].replace("-", "_") if arguments[:1] == ["train"] and len(arguments) > 1 else ""
    if name in SYSTEMS:  # each has options of its own
        module = SYSTEMS[name]
        return running.main(module, arguments[2:], module.__doc__, f"python -m minigan train {arguments[1]}")
    # What is left of `train` is a mistake or a call for help, and answered by tyro.
    command = tyro.cli(Train | Sample | Inspect | Convert, prog="python -m minigan", args=arguments)
    assert not isinstance(command, Train)
    try:
        with warnings_in_one_line():
            match command:
                case Sample():
                    return sample(command)
                case Inspect():
                    return inspect(command)
                case Convert():
                    return convert(command)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:  # also CheckpointError and DeviceError
        print(running.told(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
