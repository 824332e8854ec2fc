"""The examples of the image GANs run offline, end to end, and do what their docstrings say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minigan.data.digits import digits
from minigan.files.checkpoint import Checkpoints
from minigan.running import open_run
from minigan.running.records import read_records
from tests.small_systems import draw_images

ROOT = Path(__file__).parent.parent


def run(*arguments: str, status: int = 0) -> str:
    """What an example prints."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "digits_drawn"), [("mnist_mlp", 4), pytest.param("mnist_conv", 2, marks=pytest.mark.slow)]
)
def test_an_example_learns_from_glyphs_and_says_where_everything_is(
    name: str, digits_drawn: int, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    said = run(f"examples/{name}.py", "--preset", "quick", "--best", "frechet", "--output", str(out))
    named = [Path(line.strip()) for line in said.splitlines() if line.startswith(f"  {out}")]
    assert len(named) == 8
    assert all(path.exists() for path in named)
    scores = [record["frechet"] for record in read_records(out / "log.jsonl") if "frechet" in record]
    assert scores[-1] < scores[0]
    with Image.open(out / "samples.png") as picture:
        assert len(picture.convert("L").getcolors(10**6) or []) > 50
    drawn = nearest_digits(open_run(out).sample(np.random.default_rng(0), 200))
    assert sum(np.bincount(drawn) >= 10) >= digits_drawn


def nearest_digits(samples: np.ndarray) -> np.ndarray:
    """What each sample is: the digit of the glyph that it is nearest to, in angle, whatever its light and contrast."""
    images, labels = digits("glyphs")
    return labels[(directions(samples) @ directions(images).T).argmax(1)]


def directions(images: np.ndarray) -> np.ndarray:
    """(N, ...) -> (N, pixels), each row of mean 0 and length 1."""
    rows = images.reshape(len(images), -1).astype(np.float32)
    rows -= rows.mean(1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.slow
def test_the_dcgan_learns_from_a_folder_stops_goes_on_and_picks_its_best(tmp_path: Path) -> None:
    data, out = draw_images(tmp_path / "discs", 80), tmp_path / "run"
    example = ("examples/dcgan.py", "--output", str(out))
    said = run(*example, "--data", str(data), "--preset", "quick", "--stop-after", "7")
    assert f"python examples/dcgan.py --output {out} --resume" in said
    said = run(*example, "--resume")
    assert re.search(r"epoch 8, batch 5: d_loss \d\.\d+, on_real 0\.\d+, on_fake 0\.\d+, g_loss \d\.\d+\n", said)
    assert Checkpoints(out / "checkpoints").steps()[-1] == 40
    assert len(list((out / "weights").glob("netg_*.safetensors"))) == 8

    sheet = tmp_path / "best.png"
    sample = ["-m", "minigan", "sample", str(out), "--candidates", "40", "--n", "10", "--output", str(sheet)]
    assert f"10 samples of dcgan after 40 turns: {sheet}" in run(*sample)
    with Image.open(sheet) as picture:
        assert len(picture.convert("RGB").getcolors(10**6) or []) > 50
    by_batches = sheet.read_bytes()
    run(*sample, "--no-batch-statistics")
    assert sheet.read_bytes() != by_batches

    other = ["--output", str(tmp_path / "other"), "--netg-path", str(out / "weights" / "netg.safetensors")]
    said = run("examples/dcgan.py", "--data", str(data), "--preset", "quick", "--epochs", "1", *other)
    assert "are played" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["examples/dcgan.py", "--data", "nowhere", "--output", "OUT"], "error: .*nowhere"),
        (["-m", "minigan", "sample", "nowhere", "--candidates", "512"], "error: source: there is no nowhere"),
        (["examples/mnist_mlp.py", "--resume", "--output", "OUT"], "error: resume: there is no run in "),
        (["examples/mnist_conv.py", "--batch", "20000", "--output", "OUT"], "error: batch: expected at most"),
    ],
)
def test_a_mistake_ends_in_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    said = run(*(word.replace("OUT", str(tmp_path / "run")) for word in arguments), status=2)
    assert re.fullmatch(message + ".*\n", said)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["mnist_mlp", "mnist_conv", "dcgan"])
def test_help_tells_the_story_and_every_option(name: str) -> None:
    said = run(f"examples/{name}.py", "--help")
    for word in ("What to expect", "--preset", "--resume", "--epochs", "--checkpoint-every", "--average"):
        assert word in said
