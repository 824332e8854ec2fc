"""A run that an earlier version of minigan began goes on to where that version would have taken it.

references/earlier_runs.zip has runs of commit 2056642, stopped after 13 of 24 turns, and where they ended when they
were not; see references/make_earlier_runs.py. On the machine that made them the numbers are the same to the bit.
Another processor, or other kernels, round products of matrices otherwise, so they are compared to 1e-6.
"""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from minigan import gans, running
from minigan.files.checkpoint import Checkpoints
from minigan.gans import GANS
from minigan.running import open_run
from tests.references import FOLDER
from tests.small_systems import TURNS, draw_images

STOPPED = 13


def digits(*_: object) -> tuple[np.ndarray, np.ndarray]:
    """The images that those runs were trained on."""
    return np.random.default_rng(0).integers(0, 256, (50, 28, 28), np.uint8), np.zeros(50, np.uint8)


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with those runs, and with the images of the DCGAN."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gans.options, "digits", digits)
    with zipfile.ZipFile(FOLDER / "earlier_runs.zip") as archive:
        archive.extractall(tmp_path)
    draw_images(Path("images"))
    return tmp_path


@pytest.mark.parametrize("name", GANS)
def test_an_earlier_run_goes_on_to_where_it_would_have_been(
    name: str, earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = earlier / name
    log = (run / "log.jsonl").read_bytes()
    assert Checkpoints(run / "checkpoints").steps() == [STOPPED]
    assert running.main(GANS[name], ["--output", name, "--resume", "--no-progress"], None, "program") == 0
    told = capsys.readouterr()
    assert "resume:" not in told.out  # nobody knows where it was
    assert told.err == ""

    turn, state = Checkpoints(run / "checkpoints").latest() or (0, {})
    assert turn == TURNS
    with np.load(BytesIO((earlier / f"{name}.npz").read_bytes())) as numbers:
        for key in numbers.files:
            entry, _, array = key.partition(".")
            got = (state[entry]["params"] if entry == "average" else state[entry])[array]
            assert got.dtype == numbers[key].dtype
            np.testing.assert_allclose(got, numbers[key], rtol=0, atol=1e-6 * max(1.0, np.abs(numbers[key]).max()))
        assert {key.partition(".")[0] for key in numbers.files} == {"G", "D"} | state.keys() & {"average"}

    after = (run / "log.jsonl").read_bytes()
    assert after.startswith(log)
    notes = [json.loads(line) for line in after.splitlines()]
    assert {"d_real", "d_fake", "g"} <= notes[0].keys()  # as they were then
    assert {"d_loss", "g_loss"} <= notes[-1].keys()
    assert (run / "curves.png").exists()  # which shows both


@pytest.mark.parametrize("name", GANS)
def test_samples_can_be_drawn_from_an_earlier_run(name: str, earlier: Path) -> None:
    trained = open_run(earlier / name)
    assert (trained.name, trained.turn) == (name, STOPPED)
    assert np.isfinite(trained.sample(np.random.default_rng(0), 3)).all()
