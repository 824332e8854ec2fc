"""The example learns what it should, repeats itself bit by bit, and refuses what cannot work in one line."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples import toy_gaussian as example
from minigan.gans import toy
from minigan.networks.toy import Preprocess, inputs

SHORT = ["--epochs", "6", "--print-every", "3", "--samples", "500"]


def run(arguments: list[str], tmp_path: Path) -> int:
    return example.main([*arguments, "--output", str(tmp_path / "toy.png")])


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_the_default_preset_learns_the_gaussian(seed: int) -> None:
    system = toy.build(replace(toy.PRESETS["default"], seed=seed))
    for _ in system.play():
        pass
    figures = example.final_figures(system.options, example.draw_final_samples(system)[1])
    assert abs(figures["mean"] - 4.0) <= 0.1
    assert abs(figures["std"] - 1.25) <= 0.1
    assert figures["ks"] <= 0.1


def test_a_run_prints_its_log_its_table_and_draws_its_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(SHORT, tmp_path) == 0
    out = capsys.readouterr().out
    number = r"-?\d+\.\d+"
    line = rf"6: D: {number}/{number} G: {number} \(Real: {number}, {number} Fake: {number}, {number}\)"
    assert re.search(line, out)
    for name in ("mean", "std", "skewness", "kurtosis", "ks", "wasserstein1"):
        assert re.search(rf"^{name} +{number} +{number}$", out, re.MULTILINE)
    with Image.open(tmp_path / "toy.png") as picture:
        assert len(picture.convert("RGB").getcolors(10**7) or []) > 100


def test_json_is_one_line_with_the_final_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*SHORT, "--json", "--seed", "5"], tmp_path) == 0
    (line,) = capsys.readouterr().out.splitlines()
    figures = json.loads(line)
    assert list(figures) == ["mean", "std", "skewness", "kurtosis", "ks", "wasserstein1", "steps", "seed"]
    assert (figures["steps"], figures["seed"]) == (6, 5)


@pytest.mark.bits
def test_one_seed_gives_the_same_bits_and_another_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for seed in ("3", "3", "4"):
        run([*SHORT, "--json", "--seed", seed], tmp_path)
        lines.append(capsys.readouterr().out.split('"steps"')[0])
    assert lines[0] == lines[1]
    assert lines[0] != lines[2]


@pytest.mark.bits
def test_watching_does_not_change_the_training(tmp_path: Path) -> None:
    o = example.Options(toy.Options(epochs=12), print_every=1, animate=tmp_path / "toy.gif", progress=False)
    watched, alone = toy.build(o.gan), toy.build(o.gan)
    example.train(o, watched)
    for _ in alone.play():
        pass
    for name, player in watched.players.items():
        np.testing.assert_array_equal(player.params.flat, alone.players[name].params.flat)


def test_an_animation_has_a_frame_for_each_look(tmp_path: Path) -> None:
    assert run([*SHORT, "--json", "--animate", str(tmp_path / "toy.gif")], tmp_path) == 0
    with Image.open(tmp_path / "toy.gif") as film:
        assert film.n_frames == 6


@pytest.mark.parametrize("preprocess", ["raw", "variances", "diffs", "moments", "pointwise"])
@pytest.mark.parametrize(
    "flags",
    [
        pytest.param([], id="plain"),
        pytest.param(["--logits"], id="logits", marks=pytest.mark.slow),
        pytest.param(["--objective", "saturating"], id="saturating", marks=pytest.mark.slow),
    ],
)
def test_every_preprocess_and_objective_runs(preprocess: str, flags: list[str], tmp_path: Path) -> None:
    arguments = ["--preprocess", preprocess, "--rows", "2", "--batch", "16", "--json", *flags]
    assert run([*SHORT, *arguments], tmp_path) == 0


def test_the_original_preset_is_the_original(capsys: pytest.CaptureFixture[str]) -> None:
    o = example.read_options(["--preset", "original", "--seed", "9"]).gan
    assert (o.hidden, o.batch, o.rows, o.preprocess) == (50, 100, 1, "variances")
    assert (o.g_lr, o.d_lr, o.betas, o.epochs, o.d_steps, o.g_steps) == (2e-4, 2e-4, (0.9, 0.999), 30_000, 1, 1)
    assert (o.schedule, o.average, o.seed) == ("constant", 0.0, 9)


@pytest.mark.parametrize(
    ("preprocess", "n"), [("raw", 7), ("variances", 14), ("diffs", 14), ("moments", 4), ("pointwise", 1)]
)
def test_d_reads_as_many_numbers_as_its_preprocess_says(preprocess: Preprocess, n: int) -> None:
    assert inputs(preprocess, 7) == n


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sigma", "0"], "sigma: expected a finite number > 0, got 0.0"),
        (["--mu", "nan"], "mu: expected a finite number, got nan"),
        (["--batch", "0"], "batch: expected at least 1, got 0"),
        (["--epochs", "0"], "epochs: expected at least 1, got 0"),
        (["--d-steps", "-1"], "d_steps: expected at least 1, got -1"),
        (["--g-lr", "-0.1"], "g_lr: expected a finite number > 0, got -0.1"),
        (["--betas", "0.5", "1.0"], "betas: expected two numbers in [0, 1), got (0.5, 1.0)"),
        (["--average", "1"], "average: expected a number in [0, 1), got 1.0"),
        (["--seed", "-3"], "seed: expected at least 0, got -3"),
        (["--output", "nowhere/toy.png"], "output: cannot write nowhere/toy.png: No such file or directory"),
        (["--output", "toy.jpeg"], "output: expected a file ending in .png, .pdf, .svg, got toy.jpeg"),
        (["--animate", "toy.mp4"], "animate: expected a file ending in .gif, got toy.mp4"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_is_refused_in_one_line_before_training(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert example.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err == f"error: {message}\n"
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--preprocess", "fourier"], ["--preset", "best"], ["--epochs", "many"]])
def test_an_unknown_word_is_refused_by_the_command_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        example.main(arguments)
    assert stopped.value.code == 2
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
def test_a_run_that_diverges_ends_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--epochs", "50", "--g-lr", "1e30", "--d-lr", "1e30", "--logits"], tmp_path) == 2
    assert re.search(r"error: turn \d+: [DG] cannot move, \w+ is (nan|inf); not finite from", capsys.readouterr().err)
