"""python -m minigan: every command from end to end on tiny runs, and every mistake one line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minigan import running
from minigan.__main__ import main
from minigan.files.checkpoint import Checkpoints, load
from minigan.files.weights import load_weights, read_metadata, save_weights
from minigan.pictures.sheets import sheet, to_bytes
from minigan.running import Run, open_run, train
from tests.small_systems import build

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny runs of three systems: conv with an average, checkpoints of turns 6, 12, 18 and 24 and the best of them."""
    folder = tmp_path_factory.mktemp("runs")
    train(build("toy", folder), Run(folder / "toy", gif=False))
    train(build("mnist_mlp", folder), Run(folder / "mlp", gif=False))
    conv = build("mnist_conv", folder, average=0.5)
    train(conv, Run(folder / "conv", gif=False, keep=4, best="frechet"))
    return folder


def _run(*arguments: Any) -> int:
    return main([str(argument) for argument in arguments])


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def _expected(runs: Path, name: str, n: int, seed: int = 0, **which: Any) -> np.ndarray:
    return open_run(runs / name, **which).sample(np.random.default_rng(seed), n)


# --- train ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["mnist-mlp", "mnist_mlp"])
def test_train_is_the_systems_own_command_line(
    spelling: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--images", "20", "--batch", "8", "--widths", "4", "4", "--epochs", "2", "--output", tmp_path / "run"]
    assert _run("train", spelling, *small, "--stop-after", 3) == 0
    assert f"python -m minigan train {spelling} --output {tmp_path / 'run'} --resume" in capsys.readouterr().out
    assert _run("train", spelling, "--output", tmp_path / "run", "--resume") == 0
    assert open_run(tmp_path / "run").turn == 4


def test_train_passes_on_the_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("train", "toy", "--output", tmp_path, "--d-lr", -1) == 2
    assert capsys.readouterr().err == "error: d_lr: expected a finite number > 0, got -1.0\n"


@pytest.mark.parametrize("system", ["toy", "mnist-mlp", "mnist-conv", "dcgan"])
def test_help_of_a_system_shows_its_options(system: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        _run("train", system, "--help")
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--seed", "--resume", f"python -m minigan train {system}"))


@pytest.mark.parametrize("arguments", [["train"], ["paint"], [], ["train", "--resume", "toy"]])
def test_an_unknown_command_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "--help" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("gan", "message"),
    [
        ("lstm", "gan: expected one of toy, mnist_mlp, mnist_conv, dcgan, or a .py file, got 'lstm'"),
        ("nowhere.py", "gan: there is no file nowhere.py"),
        ("empty.py", "gan: expected a function build(options) in empty.py"),
    ],
)
def test_an_unknown_gan_is_refused_in_one_line(
    gan: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.py").touch()
    for command in (["train", gan], ["train", gan, "--help"]):
        assert main(command) == 2
        assert capsys.readouterr() == ("", f"error: {message}\n")


def test_help_names_every_command() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "minigan", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert all(command in shown for command in ("train", "sample", "inspect", "convert"))


# --- sample ---------------------------------------------------------------------------------------------------------


@pytest.mark.bits
def test_samples_as_a_sheet_are_those_of_the_latest_checkpoint(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    assert _run("sample", runs / "conv", "--n", 6, "--columns", 3, "--seed", 5, "--output", out) == 0
    expected = sheet(_expected(runs, "conv", 6, seed=5), columns=3, scale=512 // (3 * 28))
    np.testing.assert_array_equal(_pixels(out), expected)


@pytest.mark.bits
def test_samples_as_single_pictures_have_the_generators_own_pixels(runs: Path, tmp_path: Path) -> None:
    assert _run("sample", runs / "mlp", "--n", 3, "--output", tmp_path / "new") == 0
    files = sorted((tmp_path / "new").iterdir())
    assert [file.name for file in files] == ["0000.png", "0001.png", "0002.png"]
    expected = to_bytes(_expected(runs, "mlp", 3)).reshape(3, 28, 28)
    np.testing.assert_array_equal(np.stack([_pixels(file) for file in files]), expected)


@pytest.mark.bits
def test_samples_as_numbers_are_what_the_generator_said(runs: Path, tmp_path: Path) -> None:
    assert _run("sample", runs / "toy", "--n", 100, "--output", tmp_path / "a.npz") == 0
    with np.load(tmp_path / "a.npz") as numbers:
        assert numbers.files == ["samples"]
        np.testing.assert_array_equal(numbers["samples"], _expected(runs, "toy", 100))


@pytest.mark.bits
def test_a_sheet_of_plain_numbers_is_the_picture_that_their_system_makes(runs: Path, tmp_path: Path) -> None:
    assert _run("sample", runs / "toy", "--output", tmp_path / "a.png") == 0
    trained = open_run(runs / "toy")
    expected = trained.sampling.picture(trained.sample(np.random.default_rng(0), 64))
    np.testing.assert_array_equal(_pixels(tmp_path / "a.png"), expected)


@pytest.mark.bits
@pytest.mark.parametrize(
    ("said", "which"),
    [
        (["--checkpoint", "12"], {"which": 12}),
        (["--checkpoint", "best"], {"which": "best"}),
        (["--no-ema"], {"average": False}),
    ],
)
def test_another_checkpoint_or_the_generator_itself_may_be_asked_for(
    said: list[str], which: dict[str, Any], runs: Path, tmp_path: Path
) -> None:
    assert _run("sample", runs / "conv", "--n", 2, "--output", tmp_path / "a.npz", *said) == 0
    with np.load(tmp_path / "a.npz") as numbers:
        np.testing.assert_array_equal(numbers["samples"], _expected(runs, "conv", 2, **which))


def test_the_average_and_the_generator_are_the_numbers_of_the_checkpoint(runs: Path) -> None:
    state = load(runs / "conv" / "checkpoints" / "step-00000012")
    for average, expected in [(True, state["average"]["params"]), (False, state["G"])]:
        _assert_same(open_run(runs / "conv", 12, average).players["G"].params.state_dict(), expected)
    assert not np.array_equal(state["average"]["params"]["0.weight"], state["G"]["0.weight"])


def test_the_best_checkpoint_is_the_one_with_the_lowest_score(runs: Path) -> None:
    records = map(json.loads, (runs / "conv" / "log.jsonl").read_text().splitlines())
    scores = {record["frechet"]: record["turn"] for record in records if "frechet" in record}
    assert open_run(runs / "conv", "best").turn == scores[min(scores)]


def test_of_many_candidates_those_stay_that_d_finds_most_real(runs: Path, tmp_path: Path) -> None:
    assert _run("sample", runs / "mlp", "--n", 3, "--candidates", 20, "--output", tmp_path / "a.npz") == 0
    trained = open_run(runs / "mlp")
    all_of_them = trained.sample(np.random.default_rng(0), 20)
    scores = trained.players["D"].still()(all_of_them)[:, 0]
    with np.load(tmp_path / "a.npz") as numbers:
        np.testing.assert_allclose(numbers["scores"], np.sort(scores)[:-4:-1], rtol=1e-6)
        np.testing.assert_allclose(numbers["samples"], all_of_them[np.argsort(-scores)[:3]], rtol=1e-5, atol=1e-6)


def test_a_weight_file_of_a_run_knows_how_its_generator_is_built(runs: Path, tmp_path: Path) -> None:
    moved = shutil.copy(runs / "conv" / "weights" / "netg_average.safetensors", tmp_path / "anywhere.safetensors")
    assert _run("sample", moved, "--n", 2, "--output", tmp_path / "a.npz") == 0
    with np.load(tmp_path / "a.npz") as numbers:
        np.testing.assert_array_equal(numbers["samples"], _expected(runs, "conv", 2))


def test_batch_norm_looks_at_the_samples_as_the_gan_has_it_or_at_its_running_statistics(
    runs: Path, tmp_path: Path
) -> None:
    drawn = {}
    for said in ("", "--batch-statistics", "--no-batch-statistics"):
        assert _run("sample", runs / "conv", "--n", 2, "--output", tmp_path / "a.npz", *said.split()) == 0
        with np.load(tmp_path / "a.npz") as numbers:
            drawn[said] = numbers["samples"]
    np.testing.assert_array_equal(drawn[""], drawn["--batch-statistics"])
    trained = open_run(runs / "conv")
    z = trained.sampling.noise(np.random.default_rng(0), 2)
    np.testing.assert_array_equal(drawn["--no-batch-statistics"], trained.players["G"].still()(z))
    assert (drawn[""] != drawn["--no-batch-statistics"]).any()


@pytest.mark.parametrize(
    ("run", "said", "message"),
    [
        ("mlp", ["--n", "0"], "n: expected at least 1, got 0"),
        ("mlp", ["--seed", "-1"], "seed: expected at least 0, got -1"),
        ("mlp", ["--candidates", "3"], "candidates: expected at least n, 25, got 3"),
        ("mlp", ["--output", "a.bmq"], "output: expected a .png, .jpg or .npz file or a folder, got a.bmq"),
        ("mlp", ["--output", "no/a.png"], "output: there is no folder for no/a.png"),
        ("mlp", ["--checkpoint", "7"], "there is no checkpoint of turn 7; there are 12, 18, 24"),
        ("mlp", ["--checkpoint", "best"], "there is no best checkpoint"),
        ("toy", ["--output", "new"], "output: samples of toy are numbers, not pictures: write them into an .npz file"),
        ("none", [], "source: there is no "),
        (".", [], "source: there is no run in "),
        ("mlp/weights/netg.safetensors", ["--candidates", "99"], "candidates: there is no D here to choose among them"),
        ("mlp/weights/netg.safetensors", ["--checkpoint", "6"], "checkpoint: "),
        ("mlp/weights/netd.safetensors", [], "does not hold the networks of mnist_mlp: state_dict does not fit"),
        ("mlp/log.jsonl", [], "not a safetensors file"),
        ("mlp", ["--gan", "nowhere.py"], "gan: there is no file nowhere.py"),
        ("mlp", ["--gan", "toy"], "expected a run of toy, got one of mnist_mlp"),
    ],
)
def test_what_cannot_be_sampled_is_refused_in_one_line(
    run: str,
    said: list[str],
    message: str,
    runs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run("sample", runs / run, *said) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert message in told.err
    assert list(tmp_path.iterdir()) == []


def test_single_pictures_do_not_go_into_a_folder_that_holds_something(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("precious")
    assert _run("sample", runs / "mlp", "--output", tmp_path) == 2
    assert capsys.readouterr().err == f"error: output: expected a new or empty folder, got {tmp_path}\n"


def test_weights_that_do_not_say_where_they_are_from_cannot_be_sampled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_weights(tmp_path / "a.safetensors", {"w": np.zeros(2)})
    assert _run("sample", tmp_path / "a.safetensors") == 2
    assert "a.safetensors: does not say which system's weights it holds" in capsys.readouterr().err
    options = json.dumps({"colour": "blue"})
    save_weights(tmp_path / "b.safetensors", {"w": np.zeros(2)}, {"system": "toy", "options": options, "turn": "1"})
    assert _run("sample", tmp_path / "b.safetensors") == 2
    assert "b.safetensors: does not hold the networks of toy: run.json: unknown options" in capsys.readouterr().err


def _tell(*arguments: Any) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, where a warning is not an error."""
    command = [sys.executable, "-m", "minigan", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_damaged_checkpoint_is_passed_over_in_one_line_and_damaged_ones_alone_are_refused(
    runs: Path, tmp_path: Path
) -> None:
    run, out = shutil.copytree(runs / "mlp", tmp_path / "run"), tmp_path / "a.npz"
    *older, newest = sorted((run / "checkpoints").iterdir())
    (newest / "G.safetensors").write_bytes(b"")
    done = _tell("sample", run, "--output", out)
    assert (done.returncode, done.stdout) == (0, f"25 samples of mnist_mlp after 18 turns: {out}\n")
    defect = "damaged: its size or SHA-256 is not what the manifest says"
    assert done.stderr == f"warning: checkpoint skipped: {newest}/G.safetensors: {defect}\n"
    for folder in older:
        (folder / "state.json").unlink()
    done = _tell("sample", run, "--output", out)
    assert done.returncode == 2
    *warned, refused = done.stderr.splitlines()
    assert [line.startswith("warning: checkpoint skipped: ") for line in warned] == [True] * 3
    refusal = "there is no latest checkpoint, and those that there are are damaged"
    assert refused == f"error: {run / 'checkpoints'}: {refusal}"


@pytest.mark.parametrize("state", [{"step": 3}, {"G": 1, "D": 2}, {"G": {}, "about": {"system": "mnist_mlp"}}])
def test_a_checkpoint_of_something_else_is_refused_in_one_line(
    state: dict[str, Any], runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(runs / "mlp", tmp_path / "run")
    Checkpoints(run / "checkpoints", keep=1).save(30, state)
    assert _run("sample", run, "--output", tmp_path / "a.npz") == 2
    assert re.fullmatch(r"error: \S+: (the checkpoint of turn 30 is no run's: |does not hold the ).*\n", _err(capsys))
    assert _run("train", "mnist-mlp", "--output", run, "--resume") == 2
    assert re.fullmatch(r"error: resume: the checkpoint is not of a run of mnist_mlp: .*\n", _err(capsys))


def _err(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


# --- a GAN of one's own ---------------------------------------------------------------------------------------------

OWN = '''"""A ring of points, drawn by a GAN whose page is not one of minigan's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minigan import Linear, Sequential, Tanh
from minigan.gans import Options as Base
from minigan.gans import Sampling, System
from minigan.objectives import non_saturating_with_logits as objective


@dataclass(frozen=True)
class Options(Base):
    """A GAN on points."""

    epochs: int = 8
    """turns"""
    radius: float = 2.0
    """of the ring"""


def networks(o):
    return {
        "G": Sequential(Linear(2, 8), Tanh(), Linear(8, 2)),
        "D": Sequential(Linear(2, 8), Tanh(), Linear(8, 1)),
    }


def sampling(o):
    noise = lambda rng, n: rng.standard_normal((n, 2), np.float32)
    return Sampling(noise, lambda x: np.uint8(np.clip(x * 20 + 128, 0, 255)).reshape(1, -1), count=9)


def d_loss(D, x, fake):
    return objective.d_loss(D(x), D(fake))


def g_loss(G, D, z):
    return objective.g_loss(D(G(z)))


def build(o):
    o.check()
    rng, look = np.random.default_rng(o.seed), sampling(o)
    players = o.players(networks(o), rng)
    G, D = players["G"], players["D"]

    def turn(number):
        angle = rng.uniform(0, 2 * np.pi, o.batch)
        x = np.float32(o.radius * np.stack([np.cos(angle), np.sin(angle)], 1))
        return D.move(d_loss, x, G(look.noise(rng, o.batch))) | G.move(g_loss, D, look.noise(rng, o.batch))

    return System("ring", o, players, turn, o.epochs, look, o.memory(rng, None, G))
'''


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    """A page of one's own."""
    file = tmp_path / "ring.py"
    file.write_text(OWN)
    return file


@pytest.mark.parametrize("bare", [False, True], ids=["a whole page", "no more than build"])
def test_a_gan_of_ones_own_is_trained_stopped_resumed_and_sampled_by_its_file(
    bare: bool, ring: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if bare:  # then the options are those that all share, and samples need whatever build needs
        source = OWN.replace("class Options(Base)", "class Unused(Base)").replace("o.radius", "2.0")
        source = source.replace("def networks", "def nets").replace("networks(o)", "nets(o)")
        source = source.replace("def sampling", "def looks").replace("sampling(o)", "looks(o)")
        ring.write_text(source.replace("o.epochs", "8"))
    own = [] if bare else ["--radius", 3.0, "--epochs", 9]
    last = 8 if bare else 9
    out = ["--output", tmp_path / "run"]
    assert _run("train", ring, *own, *out, "--stop-after", 3, "--batch", 16, "--average", 0.5) == 0
    assert f"python -m minigan train {ring} --output {tmp_path / 'run'} --resume" in capsys.readouterr().out
    assert _run("train", ring, *out, "--resume") == 0
    whole = ["--output", tmp_path / "whole"]
    assert _run("train", ring, *own, *whole, "--batch", 16, "--average", 0.5) == 0
    trained, at_once = (open_run(tmp_path / name, gan=ring) for name in ("run", "whole"))
    assert (trained.name, trained.turn, trained.options.batch) == ("ring", last, 16)
    for name, player in trained.players.items():
        np.testing.assert_array_equal(player.params.flat, at_once.players[name].params.flat)

    for source in (tmp_path / "run", tmp_path / "run" / "weights" / "netg_average.safetensors"):
        assert _run("sample", source, "--gan", ring, "--n", 5, "--output", tmp_path / "a.npz") == 0
        with np.load(tmp_path / "a.npz") as numbers:
            np.testing.assert_array_equal(numbers["samples"], trained.sample(np.random.default_rng(0), 5))
    assert _run("inspect", tmp_path / "run") == 0
    assert "a run of ring" in capsys.readouterr().out


def test_an_average_of_any_name_is_what_samples_are_drawn_from(ring: Path, tmp_path: Path) -> None:
    text = ring.read_text().replace("o.memory(rng, None, G)", "{'rng': rng, 'slow': MovingAverage(G.params, 0.9)}")
    ring.write_text(text.replace("import numpy", "from minigan import MovingAverage\nimport numpy", 1))
    assert _run("train", ring, "--output", tmp_path / "run") == 0
    drawn = []
    for flag in ("--ema", "--no-ema"):
        assert _run("sample", tmp_path / "run", "--gan", ring, flag, "--output", tmp_path / "a.npz") == 0
        drawn.append((tmp_path / "a.npz").read_bytes())
    assert drawn[0] != drawn[1]


def test_a_file_may_import_what_lies_beside_it(ring: Path, tmp_path: Path) -> None:
    (tmp_path / "beside_the_ring.py").write_text("radius = 2.0\n")
    ring.write_text(ring.read_text().replace("import numpy", "import beside_the_ring\nimport numpy", 1))
    assert _run("train", ring, "--output", tmp_path / "run", "--stop-after", "1") == 0


def test_a_run_of_a_gan_of_ones_own_says_that_its_file_is_wanted(
    ring: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("train", ring, "--output", tmp_path / "run") == 0
    capsys.readouterr()
    assert _run("sample", tmp_path / "run", "--output", tmp_path / "a.npz") == 2
    assert re.fullmatch(
        r"error: \S+run.json: expected one of toy, mnist_mlp, mnist_conv, dcgan, got 'ring'; "
        r"if it is a GAN of your own, name its file by --gan FILE\.py\n",
        _err(capsys),
    )
    other = ring.rename(tmp_path / "circle.py")
    assert _run("sample", tmp_path / "run", "--gan", other, "--output", tmp_path / "a.npz") == 2
    assert re.fullmatch(r"error: \S+run.json: expected a run of circle, got one of ring\n", _err(capsys))
    assert _run("train", other, "--output", tmp_path / "run", "--resume") == 2
    assert re.fullmatch(r"error: resume: the run in \S+ is of ring, not of circle\n", _err(capsys))


def test_a_run_is_known_by_the_name_of_its_gans_file(ring: Path, tmp_path: Path) -> None:
    other = ring.rename(tmp_path / "circle.py")  # its System says "ring"
    assert _run("train", other, "--output", tmp_path / "run", "--stop-after", "2") == 0
    assert _run("train", other, "--output", tmp_path / "run", "--resume") == 0
    assert _run("sample", tmp_path / "run", "--gan", other, "--output", tmp_path / "a.npz") == 0


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("a, b = 1, 2, 3", ValueError, "too many values to unpack"),
        ("open('nowhere')", OSError, "nowhere"),
        ("return None", TypeError, "turn 1: expected a dict of notes.*is a return missing"),
    ],
)
def test_a_fault_in_ones_own_code_is_shown_with_its_place_and_the_folder_may_be_used_again(
    fault: str, error: type[Exception], words: str, ring: Path, tmp_path: Path
) -> None:
    text = ring.read_text()
    ring.write_text(re.sub(r"( +)def turn\(.*\n", lambda m: f"{m[0]}{m[1]}    {fault}\n", text))
    with pytest.raises(error, match=words):
        _run("train", ring, "--output", tmp_path / "run")
    ring.write_text(text)
    assert _run("train", ring, "--output", tmp_path / "run", "--stop-after", "1") == 0


def test_help_of_a_gan_of_ones_own_tells_its_story_and_shows_its_options(
    ring: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        _run("train", ring, "--help")
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("A ring of points", "--radius", "of the ring", "--seed", "--resume"))


# --- inspect --------------------------------------------------------------------------------------------------------


def test_inspect_shows_arrays_ranges_totals_and_where_weights_come_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = {
        "main.10.weight": np.array([[1.0, 2.0, 6.0]], np.float32),
        "main.2.bias": np.array([math_nan := float("nan"), 2.0, -math_nan]),
        "none": np.zeros((0, 3), np.float32),
        "seen": np.array(7),
    }
    save_weights(tmp_path / "a.safetensors", weights, {"source": "a test"})
    assert _run("inspect", tmp_path / "a.safetensors") == 0
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "source: a test" in shown
    assert shown[-5:] == [
        "main.2.bias float64 (3,) 3 2 2 2 2 not finite",
        "main.10.weight float32 (1, 3) 3 1 3 6",
        "none float32 (0, 3) 0",
        "seen int64 () 1 7 7 7",
        "4 arrays, 7 numbers, 44 bytes",
    ]


def test_inspect_shows_a_checkpoint_and_that_it_is_whole(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("inspect", runs / "conv" / "checkpoints" / "step-00000012") == 0
    shown = capsys.readouterr().out
    assert "whole: every file is as the manifest says" in shown
    assert '"turn": 12' in shown
    assert all(f"\n  {name} " in shown for name in ("G/0.weight", "D/0.weight", "average/params/0.weight"))
    assert "\n  score: " in shown


def test_inspect_shows_a_run_and_its_newest_checkpoint(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("inspect", runs / "mlp") == 0
    shown = capsys.readouterr().out
    assert "a run of mnist_mlp" in shown
    assert "\n  widths: [6, 7]\n" in shown
    assert "3 of 3 checkpoints whole: step-00000012, step-00000018, step-00000024" in shown
    assert str(runs / "mlp" / "checkpoints" / "step-00000024") in shown


def test_inspect_reports_what_is_damaged_with_exit_status_1(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(runs / "mlp", tmp_path / "run")
    broken = run / "checkpoints" / "step-00000024" / "G.safetensors"
    data = bytearray(broken.read_bytes())
    data[-1] ^= 1
    broken.write_bytes(data)
    for path in (broken.parent, run):
        assert _run("inspect", path) == 1
        told = capsys.readouterr()
        assert told.err.startswith(f"damaged: {broken}: ")
        assert told.err.count("\n") == 1
    assert "2 of 3 checkpoints whole: step-00000012, step-00000018" in told.out
    assert str(run / "checkpoints" / "step-00000018") in told.out

    broken.write_bytes(data[:100])
    assert _run("inspect", broken) == 1
    assert capsys.readouterr().err.startswith(f"damaged: {broken}: not a safetensors file")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none", "path: there is no"),
        (".", "path: expected the folder of a run or of a checkpoint, got"),
        ("mlp/log.jsonl", "path: expected a file ending in .safetensors, .npz, .pth, .pt, got"),
    ],
)
def test_what_cannot_be_inspected_is_refused_in_one_line(
    path: str, message: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("inspect", runs / path) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


# --- convert --------------------------------------------------------------------------------------------------------


def _assert_same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name, array in a.items():
        assert (array.dtype, array.shape) == (b[name].dtype, b[name].shape)
        np.testing.assert_array_equal(array, b[name])


def test_weights_go_to_npz_and_back_unchanged_and_say_where_they_were(runs: Path, tmp_path: Path) -> None:
    start = runs / "conv" / "weights" / "netg.safetensors"
    assert _run("convert", start, tmp_path / "b.npz") == 0
    assert _run("convert", tmp_path / "b.npz", tmp_path / "c.safetensors") == 0
    assert _run("convert", start, tmp_path / "d.safetensors") == 0
    for name in ("b.npz", "c.safetensors", "d.safetensors"):
        _assert_same(load_weights(tmp_path / name), load_weights(start))
    assert read_metadata(tmp_path / "c.safetensors")["converted_from"] == "b.npz"
    assert read_metadata(tmp_path / "d.safetensors")["system"] == "mnist_conv"
    with np.load(tmp_path / "b.npz", allow_pickle=False) as archive:
        assert "0.weight" in archive.files


@pytest.mark.needs("torch")
def test_weights_go_to_pytorch_and_back_unchanged(runs: Path, tmp_path: Path) -> None:
    import torch

    start = runs / "conv" / "weights" / "netg.safetensors"
    assert _run("convert", start, tmp_path / "b.pth") == 0
    assert _run("convert", tmp_path / "b.pth", tmp_path / "c.safetensors") == 0
    _assert_same(load_weights(tmp_path / "c.safetensors"), load_weights(start))
    state = torch.load(tmp_path / "b.pth", weights_only=True)
    assert list(state)[-1].startswith("10.")  # main.2 before main.10
    _assert_same({name: tensor.numpy() for name, tensor in state.items()}, load_weights(start))
    assert _run("inspect", tmp_path / "b.pth") == 0


def test_without_pytorch_one_line_says_so(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert _run("convert", runs / "mlp" / "weights" / "netg.safetensors", tmp_path / "b.pth") == 2
    assert capsys.readouterr().err.startswith("error: .pth files need PyTorch: pip install torch")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_converted_is_refused_in_one_line(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = runs / "mlp" / "weights" / "netg.safetensors"
    before = start.read_bytes()
    for source, target, message in [
        (start, tmp_path / "a.onnx", "target: expected a file ending in .safetensors, .npz, .pth, .pt, got"),
        (runs / "mlp" / "log.jsonl", tmp_path / "a.npz", "source: expected a file ending in"),
        (start, start, "target: expected another file than the source"),
        (tmp_path / "none.npz", tmp_path / "a.npz", f"source: there is no {tmp_path / 'none.npz'}"),
        (start, tmp_path / "no" / "a.npz", f"{tmp_path / 'no' / 'a.npz'}: could not be written"),
    ]:
        assert _run("convert", source, target) == 2
        told = capsys.readouterr().err
        assert told.startswith(f"error: {message}")
        assert told.count("\n") == 1
    assert start.read_bytes() == before


def test_ctrl_c_ends_a_command_in_one_word(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running.trained.Trained, "sample", interrupted)
    assert _run("sample", runs / "mlp") == 130
    assert capsys.readouterr().err == "stopped\n"
