"""The command line of a system: its options and those of the run, in one.

    sys.exit(main(mnist_conv, sys.argv[1:], __doc__, "python examples/mnist_conv.py"))

examples/ and `python -m minigan train` are this one line each.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

import tyro
from tqdm import tqdm

from minigan.devices import DeviceError
from minigan.files.checkpoint import Checkpoints
from minigan.files.weights import CheckpointError
from minigan.game import DivergedError
from minigan.gans import GANS, System, name_of
from minigan.gans.options import Options
from minigan.running.folder import Folder, options_from, read_about
from minigan.running.loop import NotFiniteError, Summary, train
from minigan.running.options import Run

O = TypeVar("O")


@dataclass(frozen=True)
class Command(Generic[O]):
    """What the command line takes."""

    system: tyro.conf.OmitArgPrefixes[O]
    run: tyro.conf.OmitArgPrefixes[Run]


def main(module: ModuleType, arguments: list[str], description: str | None, program: str) -> int:
    """Read the command line, train, and say what came of it.

    Args:
        module: the system's.
        arguments: of the command line.
        description: what --help says first.
        program: the words before the arguments, for the hint how to go on.

    Returns:
        The exit status: 0; 1 if the run went wrong, ran out of memory or could not write something; 2 for a
        mistake in the options, one that cannot be met here included; 128 and the signal's number if one stopped it.
    """
    command: Command | None = None
    try:
        command = read_command(module, arguments, description, program)
        Folder(command.run.output).check(command.run.resume)
        with warnings_in_one_line():
            try:
                getattr(command.system, "check", lambda: None)()
                system = module.build(command.system)
            except MemoryError as error:
                print(error_line(error), file=sys.stderr)
                return 2
            if not isinstance(system, System):
                raise TypeError(f"build: expected a System, got {type(system).__name__}; is a return missing?")
            system = system._replace(name=name_of(module))  # a run is resumed with the file it is of
            summary = train(system, command.run)
    except (ValueError, OSError, DeviceError) as error:
        if module not in GANS.values() and not about_options(error, command):
            raise  # a fault in somebody's own code, which only a traceback can show
        print(error_line(error), file=sys.stderr)
        return 2
    except (DivergedError, NotFiniteError, MemoryError) as error:
        assert command is not None
        steps = Checkpoints(Folder(command.run.output).checkpoints).steps()
        kept = f"the last good checkpoint is that of turn {steps[-1]}" if steps else "nothing was saved"
        print(f"{error_line(error)}\n{kept}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped at once; what was played since the last checkpoint is lost", file=sys.stderr)
        return 130
    print(report(summary, command.run, program))
    if summary.problems:
        print("\n".join(["some things are missing:", *summary.problems]), file=sys.stderr)
        return 1
    return 0 if summary.signal is None else 128 + summary.signal


def about_options(error: Exception, command: Command | None) -> bool:
    """Whether the error names an option, as minigan's own do: "batch: expected at most ..."."""
    if command is None or isinstance(error, (CheckpointError, DeviceError)):
        return True
    return str(error).partition(":")[0] in {*vars(command.system), *vars(command.run), "memory"}


def error_line(error: Exception) -> str:
    """An error as the one line that a command prints of it."""
    if isinstance(error, MemoryError):  # CuPy's and NumPy's say how much was wanted, Python's own says nothing
        return f"error: out of memory, try a smaller batch or network: {str(error) or 'the host has none left'}"
    return f"error: {error}"


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """While it is entered, a warning tells what it warns of, on stderr, and not where in the program that was."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: tqdm.write(f"warning: {message}", file=sys.stderr)
        yield


def read_command(module: ModuleType, arguments: list[str], description: str | None, program: str) -> Command:
    """Options from the command line: first the preset or, with --resume, the run's own; then what is given.

    Raises:
        ValueError: if there is no run to resume, or it is of another system.
    """
    name, kind = name_of(module), getattr(module, "Options", Options)
    presets = {"default": kind(), **getattr(module, "PRESETS", {})}
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default="default")
    first.add_argument("--output", type=Path, default=Path("runs") / name)
    first.add_argument("--resume", action="store_true")
    given = first.parse_known_args(arguments)[0]
    if given.preset not in presets:
        raise ValueError(f"preset: expected one of {', '.join(presets)}, got {given.preset!r}")
    start, run = presets[given.preset], Run()
    if given.resume and not {"-h", "--help"} & set(arguments):
        folder = Folder(given.output)
        folder.check(resume=True)
        about = read_about(folder)
        if about["system"] != name:
            raise ValueError(f"resume: the run in {given.output} is of {about['system']}, not of {name}")
        start, run = options_from(kind, about["options"]), options_from(Run, about.get("run", {}))
    return tyro.cli(
        Command[kind],  # type: ignore[valid-type]
        prog=program,
        args=arguments,
        default=Command(start, replace(run, output=given.output)),
        description=description,
    )


def report(summary: Summary, run: Run, program: str) -> str:
    """How the run ended, where everything is, and how to go on."""
    folder = Folder(run.output)
    if not summary.finished:
        return f"stopped after turn {summary.turn}; to go on:\n  {program} --output {folder.path} --resume"
    names = ("samples.png", "walk.png", "curves.png", "training.gif", "samples", "log.jsonl", "weights", "checkpoints")
    there = [str(folder.path / name) for name in names if (folder.path / name).exists()]
    return "\n  ".join([f"{summary.turn} turns are played, and here is what came of them:", *there])
