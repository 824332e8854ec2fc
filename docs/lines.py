"""How long minigan is, counted: the lines that the README quotes.

    python -m docs.lines            # prints them
    python -m docs.lines --write    # and corrects the README

A line of explanation is a docstring, a comment, or part of one.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).parent.parent / "minigan"
README = ROOT.parent / "README.md"

AFTERNOON = [  # from the loss back to G's first weight, and an image through im2col
    "game.py",
    "objectives.py",
    "primitives/losses.py",
    "autodiff.py",
    "primitives/linear.py",
    "primitives/convolution.py",
]
CORE = [  # from an array to the game, in reading order
    "arrays.py",
    "parameters.py",
    "autodiff.py",
    "primitives",
    "initializers.py",
    "layers.py",
    "optimizers.py",
    "objectives.py",
    "game.py",
]


def files(names: list[str]) -> list[Path]:
    """The files of these names, a folder's in its stead."""
    return [path for name in names for path in (sorted((ROOT / name).rglob("*.py")) or [ROOT / name])]


def lines(paths: list[Path]) -> tuple[int, int]:
    """All lines, and those of explanation."""
    total = explained = 0
    for path in paths:
        text = path.read_text()
        total += len(text.splitlines())
        told: set[int] = set()
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                told |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        told |= {
            token.start[0]
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type == tokenize.COMMENT
        }
        explained += len(told)
    return total, explained


def sentences() -> dict[str, str]:
    """Pattern -> what the README has to say there."""
    core, explained = lines(files(CORE))
    return {
        r"The core, from an array to the game, is \S+ lines, \S+ of": (
            f"The core, from an array to the game, is {core:,} lines, {explained:,} of"
        ),
        r"path of an afternoon is\s\S+ lines": f"path of an afternoon is\n{lines(files(AFTERNOON))[0]:,} lines",
    }


def main(arguments: list[str]) -> None:
    """Print the counts, and write them into the README if asked to."""
    for title, names in [("the path of an afternoon", AFTERNOON), ("the core", CORE), ("all of minigan", ["."])]:
        total, explained = lines(files(names))
        print(f"{title}: {total:,} lines, {explained:,} of them explanation")
        if len(names) > 1:
            for name in names:
                print(f"    {name:<28} {lines(files([name]))[0]:>6,}")
    if "--write" in arguments:
        text = README.read_text()
        for pattern, sentence in sentences().items():
            text = re.sub(pattern, sentence, text)
        README.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
