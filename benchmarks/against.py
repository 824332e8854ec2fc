"""This tree against an older revision of itself: has a change made a training step slower, or changed its numbers?

    python -m benchmarks against HEAD~20 --only toy conv28

Both solve the same problems, those of the `toy` and the `steps` suite, and take turns in one run, new old new old: two
figures that were measured at different times, or on different machines, say less than a few per cent.

The revision is unpacked into a temporary folder. Its processes import the `minigan` and the `benchmarks` of that
folder, its own `worker.py` and its own contender included, because the interface of minigan has changed between the
two. What must not have changed is the conversation with a worker (see `worker.py`) and where the contenders are:
`benchmarks.contenders.toy_minigan:Minigan` and `steps_minigan:Minigan`. The new side is this tree as it lies on the
disk, changes that are not committed included; leave it alone while it is measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from benchmarks.harness import (
    ROOT,
    Arguments,
    CannotRunError,
    Case,
    DisagreementError,
    Restarted,
    Worker,
    importing_from,
    measure,
)
from benchmarks.report import busy_neighbours, stamp
from benchmarks.steps import Steps
from benchmarks.toy import Toy

Problem = Literal["toy", "mlp", "conv28", "dcgan96-64"]
SUITES: dict[Problem, Restarted] = {
    "toy": Toy(batch=(100,)),
    "mlp": Steps(systems=("mlp",)),
    "conv28": Steps(systems=("conv28",)),
    "dcgan96-64": Steps(systems=("dcgan64",)),
}
PATIENCE = 60.0  # seconds; a worker that has not answered by then does not know what it is asked


@dataclass(frozen=True)
class Against:
    """Training steps of this tree against those of an older revision, new/old."""

    revision: Annotated[Positional[str], arg(metavar="REVISION")]
    """A commit of this repository, in any way that git understands."""
    only: tuple[Problem, ...] = ("toy", "mlp", "conv28", "dcgan96-64")
    """Which problems: the toy, or a system and the size of its minibatch where there are several."""
    repeats: int = 3
    """Turns of each side, after each start."""
    starts: int = 6
    """Times that both processes are started, by turns the new and the old one first."""
    threads: int = 0
    """Threads each side may use; 0: as many as in the suite, 1 for the toy and 2 for the others."""
    gap: float = 0.25
    """Idle seconds before each turn."""
    output: Path | None = None
    """Write the results here, as JSON."""


class NoRevisionError(Exception):
    """There is nothing to compare with: no repository, no such commit, or none that this harness can talk to."""


def report(wanted: Against) -> None:
    """Measure, print the table and write the file."""
    for name in ("repeats", "starts"):
        if getattr(wanted, name) < 1:
            raise SystemExit(f"{name}: expected at least 1, got {getattr(wanted, name)}")
    try:
        commit = commit_of(wanted.revision)
        with TemporaryDirectory(prefix="minigan-") as folder:
            tree = Path(folder)
            unpack(commit, tree)
            results = compared(wanted, commit, tree)
    except (NoRevisionError, DisagreementError) as message:
        raise SystemExit(f"error: {message}") from None
    if wanted.output is not None:
        wanted.output.write_text(json.dumps(results, indent=1) + "\n")


def compared(wanted: Against, commit: str, tree: Path) -> dict[str, Any]:
    """The results in plain data; a line of the table is printed as soon as it is known."""
    revisions = {"old": about(commit, tree), "new": about("HEAD", ROOT)}
    plus = " (and changes that are not committed)" if changed() else ""
    cases = {name: case(name, tree) for name in wanted.only}
    talked: set[str] = set()
    for pair in cases.values():
        for side, entry in pair.contenders.items():
            if entry + side not in talked:
                talk(f"the {side} tree ({revisions[side]['commit'][:9]})", entry, pair.arguments, pair.trees[side])
                talked.add(entry + side)
    results: dict[str, Any] = {
        "suite": "against",
        **stamp(),
        "revisions": revisions,
        "changes_not_committed": bool(plus),
        "method": {"repeats": wanted.repeats, "starts": wanted.starts, "gap_seconds": wanted.gap},
        "cases": [],
    }
    for side, end in (("old", ""), ("new", plus)):
        print(f"{side}: minigan {revisions[side]['minigan']}, {titled(revisions[side])}{end}")
    rounds = wanted.starts * wanted.repeats
    print(f"\nms a step; new/old of {rounds} rounds; peak memory is new/old too\n\n{HEAD}", flush=True)
    for name, pair in cases.items():
        suite = SUITES[name]
        settings = replace(
            suite, repeats=wanted.repeats, starts=wanted.starts, gap=wanted.gap, reference="old"
        )  # the suite's own steps in a turn, and steps before the numbers are compared
        result = measure(pair, wanted.threads or suite.threads[0], settings)
        print("\n".join([line(result), *busy_neighbours(result["cores_busy_with_others"])]), flush=True)
        results["cases"].append(result)
    return results


def case(name: Problem, tree: Path) -> Case:
    """A suite's problem, with the contender `minigan` of both trees."""
    (one,) = SUITES[name].cases()
    entry = one.contenders["minigan"]
    return replace(one, contenders={"new": entry, "old": entry}, trees={"new": ROOT, "old": tree}, environment={})


def titled(revision: dict[str, str]) -> str:
    """A revision as git shows it in a line."""
    return f"{revision['commit'][:9]} {revision['subject']}"


HEAD = (
    f"  {'':19}{'threads':>8}{'dtype':>9}{'old':>10}{'new':>10}{'new/old':>9}{'(quartiles)':>18}"
    f"{'peak memory':>13}  agreement"
)


def line(result: dict[str, Any]) -> str:
    """A row of the table."""
    old, new = (result["contenders"][side] for side in ("old", "new"))
    agreement = result["agreement"]
    away = agreement["largest_difference"]["new"]
    of_the_way = " of the way" if agreement["distance"] == "share" else ""
    numbers = f"{away:.1e}{of_the_way} apart (allowed {agreement['tolerance']:.1e})" if away else "the same bits"
    spread = "({:.3f} - {:.3f})".format(*new["ratio_quartiles"])
    return (
        f"  {result['name']:19}{result['threads']:8}{result['dtype']:>9}"
        f"{old['median_us'] / 1000:10.3f}{new['median_us'] / 1000:10.3f}{new['ratio']:9.3f}{spread:>18}"
        f"{new['peak_memory_mib'] / old['peak_memory_mib']:13.3f}  {numbers} after {agreement['steps']} steps"
    )


def commit_of(revision: str, root: Path = ROOT) -> str:
    """The hash of a commit of the repository whose root is `root`.

    Raises NoRevisionError if it has none, or `root` is no root of a repository, or there is no git.
    """
    try:
        top = git("rev-parse", "--show-toplevel", root=root)
    except (OSError, subprocess.CalledProcessError) as reason:
        said = getattr(reason, "stderr", None) or str(reason)
        raise NoRevisionError(f"against needs git and a clone of the repository: {said.strip()}") from None
    if Path(top).resolve() != root.resolve():
        raise NoRevisionError("against needs a clone of the repository: this tree lies in another one")
    try:
        return git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", root=root)
    except subprocess.CalledProcessError:
        raise NoRevisionError(f"revision: expected a commit of this repository, got {revision!r}") from None


def unpack(commit: str, tree: Path) -> None:
    """Write the files of a commit into a folder; nothing in the repository changes."""
    with TemporaryDirectory() as folder:
        archive = str(Path(folder) / "tree.zip")
        git("archive", "--format=zip", f"--output={archive}", commit)
        with zipfile.ZipFile(archive) as files:
            files.extractall(tree)


def about(commit: str, tree: Path) -> dict[str, str]:
    """What is said of a revision; raises NoRevisionError if a process cannot import it from its tree."""
    code = "import benchmarks, minigan; print(minigan.__version__, minigan.__file__, benchmarks.__file__, sep='\\n')"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tree, env=importing_from(tree), capture_output=True, text=True, check=False
    )
    long, _, subject = git("show", "--no-patch", "--format=%H %s", commit).partition(" ")
    if ended.returncode:
        raise NoRevisionError(f"{long[:9]} cannot be measured: {ended.stderr.strip().splitlines()[-1]}")
    version, *files = ended.stdout.splitlines()
    for file in files:
        if not Path(file).resolve().is_relative_to(tree.resolve()):
            raise NoRevisionError(f"{long[:9]} cannot be measured: its processes import {file}, not its own files")
    return {"commit": long, "subject": subject, "minigan": version}


def talk(whose: str, entry: str, arguments: Arguments, tree: Path) -> None:
    """Have one short conversation with a worker; raises NoRevisionError if it is not the one that we speak."""
    with Worker(entry, 1, tree=tree) as worker:
        timer = Timer(PATIENCE, worker.process.kill)
        timer.start()
        try:
            worker.ready()
            worker.build({**arguments, "batch": 2})
            worker.run(1)
            worker.answer()
            worker.memory()
        except (CannotRunError, LookupError, OSError, RuntimeError, TypeError, ValueError) as reason:
            raise NoRevisionError(
                f"{whose} cannot be measured: expected {entry} in a worker with the protocol of benchmarks/worker.py, "
                f"got {type(reason).__name__}: {reason}"
            ) from None
        finally:
            timer.cancel()


def changed() -> bool:
    """Whether what is measured of this tree differs from its commit."""
    return bool(git("status", "--porcelain", "--", "minigan", "benchmarks"))


def git(*words: str, root: Path = ROOT) -> str:
    """What git says, without the last line's end."""
    return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()
