"""The command line: `python -m benchmarks SUITE` measures a suite, `python -m benchmarks figure` draws it."""

import tyro

from benchmarks.figure import Figure
from benchmarks.harness import Settings
from benchmarks.report import report
from benchmarks.toy import Toy


def main() -> None:
    """Read the command line, then measure or draw."""
    command: Settings | Figure = tyro.extras.subcommand_cli_from_dict(
        {"toy": Toy, "figure": Figure},
        prog="python -m benchmarks",
        description="Time minigan against hand-written NumPy, HIPS autograd and PyTorch.",
    )
    if isinstance(command, Figure):
        command.draw()
    else:
        report(command)


if __name__ == "__main__":
    main()
