"""Code blocks in the documents run, and links in them lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from docs import lines
from minigan import devices
from minigan.__main__ import main
from tests.devices.fake_device import fake_cupy

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
DOCUMENTS += [ROOT / "benchmarks" / "README.md"]
BLOCKS = [
    pytest.param(block, id=f"{document.name}-{i}")
    for document in DOCUMENTS
    for i, block in enumerate(re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_code_block_runs(block: str) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(block, "block", "exec"), names)
    if "samples" in names:  # the GAN of the README
        assert abs(names["samples"].mean() - 4.0) < 0.4
        assert abs(names["samples"].std() - 1.25) < 0.4


@pytest.mark.slow
def test_the_commands_of_the_page_on_training_work_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = re.findall(r"^python -m minigan .*$", (ROOT / "docs" / "training.md").read_text(), re.MULTILINE)
    assert len(commands) == 13
    monkeypatch.setattr(devices, "use_cupy", lambda: fake_cupy)
    monkeypatch.chdir(tmp_path)
    for command in commands:
        words = command.removeprefix("python -m minigan ").split()
        if words[-1].endswith(".pth") and importlib.util.find_spec("torch") is None:
            continue
        assert main(words) == 0, command
    assert {path.name for path in tmp_path.iterdir()} >= {"runs", "digits.png", "digits.npz", "best", "netg.npz"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_a_link_leads_to_a_file_that_exists(document: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`]*`", "", document.read_text(), flags=re.DOTALL)  # D["features"](x) is no link
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", prose):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_readme_shows_the_commands_that_ci_runs() -> None:
    command = 'python -m pip install -e ".[test]" && python -m pytest'
    assert command in (ROOT / "README.md").read_text()
    assert command.split(" && ")[1] in (ROOT / ".ci" / "run").read_text()


def test_the_readme_says_how_long_minigan_is() -> None:
    readme = (ROOT / "README.md").read_text()
    for pattern, sentence in lines.sentences().items():
        assert re.search(pattern, readme)
        assert sentence in readme, "python -m docs.lines --write"
    for name in lines.AFTERNOON:
        assert f"minigan/{name}" in readme


def test_minigan_stays_small() -> None:
    most = {"primitives": 1450, "layers.py": 520, "gans/mnist_mlp.py": 80}
    assert {name: n for name, at_most in most.items() if (n := lines.lines(lines.files([name]))[0]) > at_most} == {}
    assert lines.lines(lines.files(lines.CORE))[0] <= 3250
    assert lines.lines(lines.files(["."]))[0] <= 11_500


def test_the_lines_on_what_to_read_next_lead_through_the_core_to_a_whole_gan() -> None:
    path, read = lines.ROOT / "arrays.py", []
    while path not in read and (target := re.search(r"[Rr]ead next: (\S+?\.py)", path.read_text())):
        read.append(path)
        beside = path.parent / target[1]
        path = (beside if beside.exists() else lines.ROOT / target[1]).resolve()
    assert path == lines.ROOT / "gans" / "mnist_mlp.py"
    assert {file for file in lines.files(lines.CORE) if file.name != "__init__.py"} <= set(read)
