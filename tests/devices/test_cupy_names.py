"""What minigan asks of an array module, CuPy has: every function, its keywords and its number of arguments.

Read off the source, where it says `xp.name(...)` or `array_module(x).name(...)`. The fake device's list of names is
checked in every run; CuPy itself where it is installed, for it can be imported without a GPU.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import minigan
from tests.devices.fake_device import _METHODS, CUPY_FUNCTIONS, FakeArray, _FakeCupy

ROOT = Path(minigan.__file__).parent
needs_cupy = pytest.mark.needs("cupy")
FILES = [path for path in sorted(ROOT.rglob("*.py")) if path.parent.name != "kernels"]  # those see NumPy's arrays only


class Use(NamedTuple):
    """A name of an array module in the source, and how it is called; positional is None where it is only named."""

    where: str
    name: str
    positional: int | None = None
    keywords: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.where}: {self.name}"


def name_of(node: ast.expr) -> str | None:
    """'add.at' for xp.add.at; None if the expression is no name of an array module."""
    if not isinstance(node, ast.Attribute):
        return None
    owner = node.value.func if isinstance(node.value, ast.Call) else node.value
    if ast.unparse(owner) == ("array_module" if owner is not node.value else "xp"):
        return node.attr
    inner = name_of(node.value)
    return f"{inner}.{node.attr}" if inner else None


def uses_in(source: str, file: str = "") -> Iterator[Use]:
    """Every use of an array module in a source, called or named."""
    tree, called = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := name_of(node.func)):
            called.update(map(id, ast.walk(node.func)))
            starred = any(isinstance(a, ast.Starred) for a in node.args)
            keywords = tuple(k.arg for k in node.keywords if k.arg)
            yield Use(f"{file}:{node.lineno}", name, None if starred else len(node.args), keywords)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in called and (name := name_of(node)):
            yield Use(f"{file}:{node.lineno}", name)


USES = sorted({u for path in FILES for u in uses_in(path.read_text(), path.relative_to(ROOT).as_posix())}, key=str)


def resolved(module: Any, name: str) -> Any:
    for part in name.split("."):
        module = getattr(module, part)
    return module


def signature_of(function: Any) -> inspect.Signature:
    """Of a function, a ufunc or a compiled method of CuPy, whose docstring begins with it."""
    if type(function).__name__ == "ufunc":
        inputs = [f"x{i}" for i in range(function.nin)]
        return parsed(f"({', '.join([*inputs, '/', 'out=None', '*', 'casting=None', 'dtype=None'])})")
    try:
        return inspect.signature(function)
    except ValueError:
        return parsed("(" + function.__doc__.splitlines()[0].partition("(")[2])


def parsed(text: str) -> inspect.Signature:
    """The signature in "(self, Py_ssize_t axis1, out=None) -> type", types left out."""
    arguments = text[: text.rindex(")")].removeprefix("(").split(", ")
    names = [re.sub(r"^\w+ (?=\w)", "", a) for a in arguments]
    return inspect.signature(eval(f"lambda {', '.join(names)}: None"))


def test_the_source_is_read_as_it_is_meant() -> None:
    source = (
        "xp = array_module(x)\nxp.add.at(y, i, v)\nxp.sum(x, 1, keepdims=True)\narray_module(a(b)).exp(x)\nf(xp.pi)\n"
    )
    assert {(use.name, use.positional, use.keywords) for use in uses_in(source)} == {
        ("add.at", 3, ()),
        ("sum", 2, ("keepdims",)),
        ("exp", 1, ()),
        ("pi", None, ()),
    }
    assert len(USES) > 50
    assert {"where", "exp", "tensordot", "concatenate"} <= {use.name for use in USES}


def test_every_name_asked_of_an_array_module_is_one_the_fake_device_has() -> None:
    known = CUPY_FUNCTIONS | vars(_FakeCupy).keys() | {"RawModule"}  # emulated_gpu.py has it
    assert [str(use) for use in USES if use.name.split(".")[0] not in known] == []


@needs_cupy
def test_every_name_asked_of_an_array_module_is_one_of_cupy_and_is_called_as_cupy_has_it() -> None:
    import cupy

    wrong = []
    for use in USES:
        try:
            function = resolved(cupy, use.name)
            if use.positional is not None:
                signature_of(function).bind(*[None] * use.positional, **dict.fromkeys(use.keywords))
        except (AttributeError, TypeError) as error:
            wrong.append(f"{use}: {error}")
    assert wrong == []


@needs_cupy
def test_the_names_of_the_fake_device_are_names_of_cupy_and_its_methods_have_no_other_parameters() -> None:
    import cupy

    assert [name for name in CUPY_FUNCTIONS if not hasattr(cupy, name)] == []
    assert [name for name in vars(_FakeCupy) if name[0] != "_" and not hasattr(cupy, name)] == []
    assert [name for name in dir(FakeArray) if name[0] != "_" and not hasattr(cupy.ndarray, name)] == []
    for name, keywords in _METHODS.items():
        assert set(keywords) <= signature_of(getattr(cupy.ndarray, name)).parameters.keys(), name


KNOW_CUPY = [ROOT / "arrays.py", ROOT.parent / "benchmarks" / "environment.py"]
KNOW_CUPY += [ROOT.parent / "benchmarks" / "contenders" / "steps_cupy.py"]


@needs_cupy
def test_what_is_asked_of_cupy_itself_is_there() -> None:
    import cupy

    nodes = [node for path in KNOW_CUPY for node in ast.walk(ast.parse(path.read_text()))]
    chains = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
    asked = {chain.removeprefix("self._") for chain in chains if re.fullmatch(r"(self\._)?cupy(\.\w+)+", chain)}
    assert {"cupy.cuda.runtime.getDeviceCount", "cupy.ndarray", "cupy.get_default_memory_pool"} <= asked
    assert {"cupy.cuda.get_elapsed_time", "cupy.cuda.runtime.getDeviceProperties"} <= asked
    for chain in asked:
        assert resolved(cupy, chain.removeprefix("cupy.")) is not None, chain
    cuda = cupy.cuda
    for function, call in [
        (cuda.Event, {}),
        (cuda.Stream.record, {"self": None, "event": None}),
        (cuda.Stream.synchronize, {"self": None}),
        (cuda.Event.synchronize, {"self": None}),
        (cuda.get_current_stream, {}),
        (cuda.get_elapsed_time, {"start_event": None, "end_event": None}),
        (cuda.MemoryPool.total_bytes, {"self": None}),
    ]:
        signature_of(function).bind(**call)
    assert callable(cuda.runtime.driverGetVersion)
    assert callable(cuda.runtime.runtimeGetVersion)


@needs_cupy
def test_a_call_that_cupy_would_refuse_is_found() -> None:
    import cupy

    for name, positional, keywords in [
        ("exp", 1, ["where"]),
        ("sum", 1, ["initial"]),
        ("where", 4, []),
        ("pad", 1, []),
    ]:
        with pytest.raises(TypeError):
            signature_of(resolved(cupy, name)).bind(*[None] * positional, **dict.fromkeys(keywords))
    with pytest.raises(AttributeError):
        resolved(cupy, "spacing")
