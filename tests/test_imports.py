"""Imports point one way, and what belongs to one file stays in it. Read off the source, without running it."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import minigan

ROOT = Path(minigan.__file__).parent

# From the ground up. A module imports only what stands on lines above its own, or lies in its own package.
README = (ROOT.parent / "README.md").read_text()
LEVELS = [line.split() for line in README.partition("```levels\n")[2].partition("```")[0].splitlines()]
LEVELS.append(["", "__main__"])
HEIGHT = {name: height for height, names in enumerate(LEVELS) for name in names}

FILES = sorted(ROOT.rglob("*.py"))
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())


def _part(path: Path) -> str:
    """The module or package right below minigan: 'primitives' for minigan/primitives/linear.py, '' for the root."""
    return path.relative_to(ROOT).with_suffix("").parts[0].replace("__init__", "")


def _imported(path: Path) -> Iterator[str]:
    """Dotted names of all imported modules, `from a import b` as a.b; wherever in the file they are."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _parts_of_minigan(path: Path) -> set[str]:
    parts = {name.split(".")[1] for name in _imported(path) if name.startswith("minigan.")}
    return parts | ({""} if "minigan" in _imported(path) else set())


def _names(path: Path) -> set[str]:
    """Every identifier of the code, strings and comments left out."""
    return {
        t.string for t in tokenize.generate_tokens(io.StringIO(path.read_text()).readline) if t.type == tokenize.NAME
    }


def test_every_module_has_its_place() -> None:
    assert {_part(path) for path in FILES} - HEIGHT.keys() == set()


@every_file
def test_imports_point_down(path: Path) -> None:
    part = _part(path)
    upward = {name for name in _parts_of_minigan(path) - {part} if HEIGHT.get(name, -1) >= HEIGHT[part]}
    assert upward == set()


@every_file
def test_what_is_imported_from_minigan_is_a_module_with_its_place(path: Path) -> None:
    assert _parts_of_minigan(path) - HEIGHT.keys() == set()


def test_nobody_imports_kernels_but_the_package_which_does_so_last() -> None:
    assert {_part(path) for path in FILES if "kernels" in _parts_of_minigan(path)} <= {"kernels"}
    users = {_part(path) for path in FILES if "minigan.kernels" in path.read_text()} - {"kernels"}
    assert users == {""}
    assert ast.unparse(ast.parse((ROOT / "__init__.py").read_text()).body[-1].body[-1]) == (
        "import_module('minigan.kernels')"
    )


@pytest.mark.parametrize("part", ["primitives", "layers", "optimizers", "objectives", "autodiff", "parameters"])
def test_definitions_name_no_kernel_no_gpu_and_no_backend(part: str) -> None:
    names = {name.lower() for path in FILES if _part(path) == part for name in _names(path)} - {"kernel_size"}
    assert [name for name in names if any(word in name for word in ("kernel", "gpu", "backend"))] == []


def test_only_autodiff_touches_autograds_internals() -> None:
    internals = ("autograd.core", "autograd.tracer", "autograd.extend.primitive", "autograd.util")
    users = {path.name for path in FILES for name in _imported(path) if name.startswith(internals)}
    assert users == {"autodiff.py"}


def test_only_arrays_and_autodiff_import_autograd() -> None:
    users = {path.name for path in FILES for name in _imported(path) if name.split(".")[0] == "autograd"}
    assert users == {"arrays.py", "autodiff.py"}


def test_only_devices_imports_cupy_and_only_arrays_knows_it_too() -> None:
    assert {path.name for path in FILES for name in _imported(path) if name.startswith("cupy")} == {"devices.py"}
    users = {path.name for path in FILES if any("cupy" in name.lower() for name in _names(path))}
    assert users == {"arrays.py", "devices.py"}


def test_no_file_of_the_library_imports_what_only_tests_and_benchmarks_need() -> None:
    torch = ROOT / "files" / "torch.py"  # reads and writes PyTorch's own files, for which PyTorch is there
    imported = {name.split(".")[0] for path in FILES if path != torch for name in _imported(path)}
    assert imported & {"torch", "pytest", "hypothesis", "scipy", "tests", "benchmarks", "examples"} == set()


def test_nothing_draws_from_numpys_global_generator() -> None:
    drawn = {
        (path.name, node.attr)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value) in ("np.random", "numpy.random")
        and node.attr not in ("Generator", "default_rng", "SeedSequence", "PCG64")
    }
    assert drawn == set()
