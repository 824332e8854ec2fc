"""What the benchmarks compute themselves: how far contenders are apart, how much there is to compute."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigan
from benchmarks import against
from benchmarks.against import Against, NoRevisionError
from benchmarks.harness import ROOT, Case, DisagreementError, agree
from benchmarks.layers import LAYERS, System, share


class MadeUp:
    """A worker whose answer is the reference's, and a little more."""

    def __init__(self, error: float) -> None:
        self.error = error

    def build(self, arguments: Any) -> None:
        """Nothing."""

    def run(self, steps: int) -> list[float]:
        """Nothing takes no time."""
        return [0.0] * steps

    def answer(self) -> dict[str, np.ndarray]:
        """One number."""
        return {"a": np.array([1.0 + self.error])}


def test_contenders_agree_within_the_tolerance_or_are_not_timed() -> None:
    def agreed(**errors: float) -> dict[str, float]:
        workers: Any = {name: MadeUp(error) for name, error in errors.items()}
        return agree(workers, "torch", 1, Case("a case", {}, {}, "float32", tolerance=1e-4))

    assert agreed(torch=0.0, minigan=5e-5).keys() == {"torch", "minigan"}
    with pytest.raises(DisagreementError, match=r"minigan is 2\.0e-03 away from torch .* the 1\.0e-04 allowed"):
        agreed(torch=0.0, minigan=2e-3)
    with pytest.raises(DisagreementError, match="minigan is nan away"):
        agreed(torch=0.0, minigan=float("nan"))


def test_a_layer_is_measured_against_the_peak() -> None:
    row = {"median_us": 1000.0}  # a GFLOP in a millisecond: 1e12 a second
    assert share(10**9, row, 4e12) == 0.25
    assert share(None, row, 4e12) is None


@pytest.mark.needs("torch")
@pytest.mark.parametrize("system", ["mlp", "conv28", "dcgan"])
def test_layers_have_as_many_operations_as_pytorch_counts(system: System) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.contenders.steps_torch import Torch

    contender = Torch(system, batch=2)
    _, _, noise = contender.batches[0]
    with FlopCounterMode(display=False) as counted:
        contender.D(contender.G(noise)).sum().backward()
    operations = [layer.flop(2) or 0 for layer in LAYERS[system]]
    ours = 3 * sum(operations) - operations[0]  # forward, input, weight; nobody asks for the noise's gradient
    assert ours == pytest.approx(counted.get_total_flops(), rel=0.01)  # layers with one output are left out


# --- Against an older revision ----------------------------------------------------------------------------------------


@pytest.fixture
def repository() -> None:
    """Skips the test where this tree is none, as in a source distribution."""
    try:
        against.commit_of("HEAD")
    except NoRevisionError as reason:
        pytest.skip(str(reason))


def test_a_tree_against_its_own_commit(tmp_path: Path) -> None:
    here, temporary, file = tmp_path / "repository", tmp_path / "temporary", tmp_path / "against.json"
    if shutil.which("git") is None:
        pytest.skip("there is no git")
    temporary.mkdir()
    for package in ("minigan", "benchmarks"):
        shutil.copytree(ROOT / package, here / package, ignore=shutil.ignore_patterns("__pycache__", "results"))
    me = ["-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "--quiet"], ["add", "."], [*me, "commit", "--quiet", "-m", "A title"]):
        subprocess.run(["git", *words], cwd=here, check=True)
    package = here / "minigan" / "__init__.py"
    package.write_text(package.read_text() + '\n__version__ = "changed"\n')

    words = ["HEAD", "--only", "toy", "--repeats", "2", "--starts", "1", "--gap", "0", "--output", str(file)]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", "against", *words],
        cwd=here,
        env=os.environ | {"PYTHONPATH": str(here), "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=True,
    )
    results = json.loads(file.read_text())
    commit = results["revisions"]["old"]["commit"]
    assert commit == results["revisions"]["new"]["commit"]
    said = ended.stdout.splitlines()
    assert f"old: minigan {minigan.__version__}, {commit[:9]} A title" in said
    assert f"new: minigan changed, {commit[:9]} A title (and changes that are not committed)" in said
    head, row = said[-2:]
    assert head.split() == ["threads", "dtype", "old", "new", "new/old", "(quartiles)", "peak", "memory", "agreement"]
    assert row.split()[:5] == ["toy,", "batch", "100", "1", "float32"]
    assert row.endswith("the same bits after 10 steps")
    assert results["changes_not_committed"]
    assert {"machine", "versions", "date", "method"} <= results.keys()
    (case,) = results["cases"]
    assert (case["threads"], case["dtype"], case["reference"]) == (1, "float32", "old")
    assert case["agreement"]["largest_difference"] == {"new": 0.0, "old": 0.0}
    assert {name: len(row["turn_medians_us"]) for name, row in case["contenders"].items()} == {"new": 2, "old": 2}
    assert str(tmp_path) not in file.read_text()
    assert list(temporary.iterdir()) == []


def test_a_revision_is_imported_from_its_own_tree_and_no_other(tmp_path: Path, repository: None) -> None:
    against.unpack(against.commit_of("HEAD"), tmp_path / "old")
    package = tmp_path / "old" / "minigan" / "__init__.py"
    package.write_text(package.read_text() + '\n__version__ = "made up"\n')
    assert against.about("HEAD", tmp_path / "old")["minigan"] == "made up"
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoRevisionError, match=r"^[0-9a-f]{9} cannot be measured: "):
        against.about("HEAD", tmp_path / "empty")


def test_a_revision_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, repository: None) -> None:
    for word in ("no-such-branch", "HEAD:README.md"):
        with pytest.raises(SystemExit) as end:
            against.report(Against(word))
        assert end.value.code == f"error: revision: expected a commit of this repository, got {word!r}"
    for name in ("repeats", "starts"):
        with pytest.raises(SystemExit, match=f"^{name}: expected at least 1, got 0$"):
            against.report(Against("HEAD", **{name: 0}))


def test_a_folder_without_a_repository_of_its_own_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(NoRevisionError, match=r"^against needs git and a clone of the repository: .*\w"):
        against.commit_of("HEAD", root=tmp_path)
    if shutil.which("git") is None:
        return
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / "inside").mkdir()
    with pytest.raises(NoRevisionError, match=r"^against needs a clone of the repository: this tree lies in another"):
        against.commit_of("HEAD", root=tmp_path / "inside")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoRevisionError, match=r"^against needs git and a clone of the repository: .*git"):
        against.commit_of("HEAD", root=tmp_path)


@pytest.mark.parametrize(
    ("worker", "reason"),
    [
        ("", "RuntimeError: the worker of a:b ended"),
        ("print('hello')", "JSONDecodeError: "),
        ("print('{}')", "KeyError: 'missing'"),
        ('print(\'{"missing": "no module named a"}\')', "CannotRunError: no module named a"),
        ("print('{\"missing\": null}', flush=True); print(input()); print(input())", "KeyError: 'seconds'"),
        ("import time; time.sleep(60)", "RuntimeError: the worker of a:b ended"),
    ],
)
def test_a_tree_whose_worker_speaks_otherwise_is_refused(
    worker: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "sleep" in worker:
        monkeypatch.setattr(against, "PATIENCE", 0.5)
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").touch()
    (tmp_path / "benchmarks" / "worker.py").write_text(worker)
    with pytest.raises(NoRevisionError) as refused:
        against.talk("the old tree", "a:b", {"batch": 100}, tmp_path)
    expected = (
        "the old tree cannot be measured: expected a:b in a worker with the protocol of benchmarks/worker.py, got "
    )
    assert str(refused.value).startswith(expected + reason)


def test_a_row_says_how_the_numbers_agree() -> None:
    side = {"median_us": 1500.0, "ratio": 0.5, "ratio_quartiles": [0.4, 0.6], "peak_memory_mib": 80.0}
    agreement = {"steps": 2, "distance": "share", "tolerance": 0.2, "largest_difference": {"old": 0.0, "new": 0.0}}
    result: dict[str, Any] = {"name": "mlp", "threads": 2, "dtype": "float32", "agreement": agreement}
    result["contenders"] = {"new": side, "old": {**side, "median_us": 3000.0, "peak_memory_mib": 40.0}}
    row = against.line(result)
    assert row.split()[:9] == ["mlp", "2", "float32", "3.000", "1.500", "0.500", "(0.400", "-", "0.600)"]
    assert row.endswith("2.000  the same bits after 2 steps")
    agreement["largest_difference"] = {"old": 0.0, "new": 1e-3}
    assert against.line(result).endswith("  1.0e-03 of the way apart (allowed 2.0e-01) after 2 steps")
