"""What holds for all tests: interrupts interrupt; what takes long or cannot run here is left out, in a line each."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

PARITY = Path(__file__).parent / "parity"  # files that import PyTorch at their top
DURATION = "about two minutes on two cores"  # of `python -m pytest`
REASONS = {
    "slow": "slow (python -m pytest -m slow)",
    "torch": "need PyTorch (python -m pip install -e '.[parity]')",
    "cupy": "need CuPy (python -m pip install -e '.[cuda12]')",
    "tensorboard": "need TensorBoard (python -m pip install tensorboard)",
    "tensorboardX": "need tensorboardX (python -m pip install -e '.[tensorboard]')",
}
_left_out = pytest.StashKey[dict[str, Counter[str]]]()  # reason -> how many tests, and files that were not even read


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """Let interrupts interrupt: a shell starts what it puts into the background with SIGINT ignored."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@cache
def missing(package: str) -> bool:
    """Whether a package is not installed."""
    return find_spec(package) is None


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_left_out] = {reason: Counter() for reason in REASONS}


def pytest_report_header(config: pytest.Config) -> str | None:
    default = config.option.markexpr == "not slow" and config.args == config.getini("testpaths")
    return f"these tests take {DURATION}" if default else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if collection_path.parent != PARITY or not collection_path.name.startswith("test_") or not missing("torch"):
        return None
    config.stash[_left_out]["torch"]["files"] += 1
    return True


@pytest.hookimpl(trylast=True)  # after -m and -k
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept, without = [], []
    for item in items:
        lacks = next(filter(missing, needed(item)), None)
        if lacks:
            config.stash[_left_out][lacks]["tests"] += 1
        (without if lacks else kept).append(item)
    if without:
        config.hook.pytest_deselected(items=without)
        items[:] = kept


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        options = item.config.option
        if options.markexpr == "not slow" and not options.keyword and item.get_closest_marker("slow"):
            item.config.stash[_left_out]["slow"]["tests"] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left_out = {reason: counts for reason, counts in config.stash[_left_out].items() if counts}
    if left_out:
        terminalreporter.section("left out")
        for reason, counts in left_out.items():
            terminalreporter.line(f"{REASONS[reason]}: " + ", ".join(f"{n} {what}" for what, n in counts.items()))


def needed(item: pytest.Item) -> set[str]:
    """The packages that a test's markers name."""
    packages = {package for marker in item.iter_markers("needs") for package in marker.args}
    return packages | {"cupy"} if item.get_closest_marker("gpu") else packages
