"""The command line: `python -m benchmarks SUITE` measures a suite, `against` two revisions, `figure` draws results."""

import tyro

from benchmarks import against, layers, scaling
from benchmarks.against import Against
from benchmarks.figure import Figure
from benchmarks.harness import Restarted
from benchmarks.layers import Layers
from benchmarks.libraries import Libraries
from benchmarks.report import report
from benchmarks.scaling import Scaling
from benchmarks.steps import Steps
from benchmarks.toy import Toy


def main() -> None:
    """Read the command line, then measure or draw."""
    command: Layers | Restarted | Against | Figure = tyro.extras.subcommand_cli_from_dict(
        {
            "toy": Toy,
            "steps": Steps,
            "layers": Layers,
            "scaling": Scaling,
            "libraries": Libraries,
            "against": Against,
            "figure": Figure,
        },
        prog="python -m benchmarks",
        description="Time minigan against hand-written NumPy, HIPS autograd, PyTorch and older revisions of itself.",
    )
    match command:
        case Figure():
            command.draw()
        case Against():
            against.report(command)
        case Layers():
            layers.report(command)
        case Scaling():
            scaling.report(command)
        case _:
            report(command)


if __name__ == "__main__":
    main()
