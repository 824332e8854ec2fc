"""A training that is watched, stopped, killed or short of disk plays the game it would have played anyway."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from minigan import DivergedError, MovingAverage, play, running
from minigan.data.toy import Gaussian
from minigan.files import checkpoint
from minigan.files.weights import load_weights
from minigan.gans import GANS
from minigan.gans.options import plain
from minigan.gans.system import System
from minigan.running import Run, Training, machine, records, train
from minigan.running.folder import options_from
from minigan.running.interruption import Interruption
from minigan.running.loop import NotFiniteError
from tests.small_systems import TURNS, build, every_system, files, numbers, options

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("MINIGAN_KILLS", "6"))
"""how often a run is killed; MINIGAN_KILLS=100 for a longer look"""
EPOCHS = max(6, KILLS // 2)
"""how long it is, at 6 turns an epoch: it lives for a few between two kills"""


def assert_equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name, numbers_of_a in a.items():
        np.testing.assert_array_equal(numbers_of_a, b[name], err_msg=name)


def assert_same_files(a: Path, b: Path) -> None:
    ours, theirs = files(a), files(b)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


# --- The game is the game -------------------------------------------------------------------------------------------


@pytest.mark.bits
@every_system
def test_a_training_is_the_loop_over_play_and_nothing_else(name: str, tmp_path: Path) -> None:
    trained, played = build(name, tmp_path), build(name, tmp_path)
    train(
        trained,
        Run(tmp_path / "run", sample_every=5, log_every=1, checkpoint_every=9, gif=False, best=[*trained.scores][-1]),
    )
    average = played.memory.get("average")
    for _ in play(played.turn, played.turns):
        if average:
            average.update()
    assert_equal(numbers(trained), numbers(played))


@every_system
def test_a_run_leaves_its_log_its_pictures_its_weights_and_its_checkpoints(name: str, tmp_path: Path) -> None:
    system = build(name, tmp_path)
    summary = train(system, Run(tmp_path / "run", sample_every=10, log_every=5, checkpoint_every=5, keep=2))
    assert summary == (TURNS, True, None, [])
    run = tmp_path / "run"
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["step-00000020", "step-00000024"]
    assert [path.name for path in sorted((run / "samples").iterdir())] == [f"turn-{n:08d}.png" for n in (1, 10, 20)]
    logged = [5, 10, 15, 20] if name == "toy" else [5, 6, 10, 12, 15, 18, 20, 24]
    assert [record["turn"] for record in records.read_records(run / "log.jsonl")] == logged
    for picture in ["samples.png", "curves.png", "training.gif", *([] if name == "toy" else ["walk.png"])]:
        with Image.open(run / picture) as image:
            assert getattr(image, "n_frames", 1) == (3 if picture == "training.gif" else 1)
            assert len(image.convert("RGB").getcolors(10**7) or []) > 1
    G = GANS[name].networks(system.options)["G"]
    g = G.init(np.random.default_rng(1))
    g.load_state_dict(load_weights(run / "weights" / "netg.safetensors"))
    np.testing.assert_array_equal(g.flat, system.players["G"].params.flat)


def test_weights_of_every_epoch_are_kept_where_the_system_asks_for_it(tmp_path: Path) -> None:
    train(build("dcgan", tmp_path), Run(tmp_path / "run"))
    names = {path.stem for path in (tmp_path / "run" / "weights").iterdir()}
    assert names == {f"{net}{e}" for net in ("netg", "netd", "netg_average") for e in ("", "_1", "_2", "_3", "_4")}


def test_the_log_tells_what_each_player_did_and_nothing_of_one_that_sat_out(tmp_path: Path) -> None:
    system = build("dcgan", tmp_path, g_every=4)
    train(system, Run(tmp_path / "run", log_every=1))
    log = records.read_records(tmp_path / "run" / "log.jsonl")
    assert ["g_loss" in record for record in log] == [turn % 4 == 0 for turn in range(1, TURNS + 1)]
    assert all("d_loss" in record for record in log)
    assert [(record["epoch"], record["batch"]) for record in log[5:7]] == [(1, 6), (2, 1)]
    for record in log:
        assert 0 < record["on_real"] < 1
        assert 0 < record["on_fake"] < 1


NOTES = r"d_loss \d\.\d+, on_real 0\.\d+, on_fake 0\.\d+, g_loss \d\.\d+"


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("toy", r"^24: D: \d\.\d{4}/\d\.\d{4} G: \d\.\d{4}$"),
        ("mnist_mlp", rf"^epoch 4, batch 6: {NOTES}$"),
        ("mnist_conv", rf"^epoch 4, batch 6: {NOTES}$"),
        ("dcgan", rf"^epoch 4, batch 6: {NOTES}$"),
    ],
)
def test_the_log_on_the_screen_has_the_notes_by_name_or_the_gans_own_line(
    name: str, pattern: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(build(name, tmp_path), Run(tmp_path / "run", log_every=6))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert re.search(pattern, lines[-1])


# --- Going on -------------------------------------------------------------------------------------------------------


@pytest.mark.bits
@every_system
def test_a_run_that_stopped_and_went_on_leaves_the_same_bytes(name: str, tmp_path: Path) -> None:
    best = next(iter(build(name, tmp_path).scores))
    run = Run(tmp_path / "whole", sample_every=4, log_every=3, checkpoint_every=6, keep=1, best=best, gif=name == "toy")
    train(build(name, tmp_path), run)
    parts = replace(run, output=tmp_path / "parts")
    assert train(build(name, tmp_path), replace(parts, stop_after=10)).turn == 10
    assert train(build(name, tmp_path), replace(parts, resume=True, stop_after=17)).turn == 17
    assert train(build(name, tmp_path), replace(parts, resume=True)).finished
    assert_same_files(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.bits
@pytest.mark.parametrize("name", ["mnist_mlp", "mnist_conv", pytest.param("dcgan", marks=pytest.mark.slow)])
def test_twice_as_many_epochs_are_the_same_in_one_run_or_in_two(name: str, tmp_path: Path) -> None:
    run = Run(tmp_path / "whole", keep=1, gif=False)  # an older checkpoint would say that there are to be 2 epochs
    train(build(name, tmp_path), run)
    parts = replace(run, output=tmp_path / "parts")
    train(build(name, tmp_path, epochs=2), parts)
    train(build(name, tmp_path), replace(parts, resume=True))
    assert_same_files(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.bits
def test_a_run_that_is_over_and_resumed_only_draws_its_last_pictures_again(tmp_path: Path) -> None:
    train(build("mnist_mlp", tmp_path), Run(tmp_path / "run"))
    before = files(tmp_path / "run")
    assert train(build("mnist_mlp", tmp_path), Run(tmp_path / "run", resume=True)).finished
    assert files(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("mnist_mlp", {"g_lr": 1e-3}, "g_lr = 0.0002, which cannot become 0.001"),
        ("mnist_mlp", {"seed": 1}, "seed = 0, which cannot become 1"),
        ("mnist_mlp", {"widths": (6, 8)}, r"widths = \[6, 7\], which cannot become \[6, 8\]"),
        ("toy", {"epochs": 30}, "epochs = 24, which cannot become 30"),
    ],
)
def test_a_run_is_not_continued_as_another(name: str, change: dict[str, Any], message: str, tmp_path: Path) -> None:
    train(build(name, tmp_path), Run(tmp_path / "run", stop_after=5))
    before = files(tmp_path / "run")
    with pytest.raises(ValueError, match=f"resume: the run has {message}"):
        train(build(name, tmp_path, **change), Run(tmp_path / "run", resume=True))
    assert files(tmp_path / "run") == before


def test_the_best_checkpoint_stays_beside_the_newest(tmp_path: Path) -> None:
    train(build("toy", tmp_path), Run(tmp_path / "run", checkpoint_every=4, keep=1, best="ks", log_every=50))
    log = records.read_records(tmp_path / "run" / "log.jsonl")
    best = min(log, key=lambda record: record["ks"])["turn"]
    kept = checkpoint.Checkpoints(tmp_path / "run" / "checkpoints")
    assert kept.steps() == sorted({best, TURNS})
    assert running.open_run(tmp_path / "run", "best").turn == best


# --- Killed and stopped ---------------------------------------------------------------------------------------------

PROGRAM = """
import sys
from minigan import running
from minigan.gans import dcgan
sys.exit(running.main(dcgan, sys.argv[1:], None, "program"))
"""


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    """The small DCGAN in a process of its own, logging and saving every turn."""
    o = options("dcgan", tmp_path)
    said = [
        f"--data={o.data}",
        "--image-size=32",
        "--batch=8",
        "--noise=5",
        "--width=2",
        f"--epochs={EPOCHS}",
        "--g-every=2",
    ]
    said += [
        "--average=0.9",
        f"--output={tmp_path / 'run'}",
        "--checkpoint-every=1",
        "--log-every=1",
        "--sample-every=5",
        "--no-gif",
    ]
    command = [sys.executable, "-c", PROGRAM, *said, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.bits
@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_where_it_would_have(tmp_path: Path) -> None:
    system = build("dcgan", tmp_path, epochs=EPOCHS)
    train(system, Run(tmp_path / "whole", checkpoint_every=1, log_every=1, sample_every=5, gif=False))
    chance, turn = random.Random(0), 0
    for kill in range(KILLS):
        process = start(tmp_path, *(["--resume"] if (tmp_path / "run" / "run.json").exists() else []))
        assert process.stdout is not None
        for _ in range(chance.randrange(1, 6)):  # lines of the log
            process.stdout.readline()
        threading.Event().wait(chance.uniform(0.0, 0.03))
        process.kill()
        process.communicate()
        saved = checkpoint.Checkpoints(
            tmp_path / "run" / "checkpoints"
        ).latest()  # warnings are errors: none is damaged
        assert saved is None or saved[0] >= turn, f"kill {kill}"
        turn = saved[0] if saved else 0
    process = start(tmp_path, "--resume")
    err = process.communicate()[1]
    assert process.returncode == 0, err
    assert_same_files(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_the_turn_with_a_checkpoint_and_says_how_to_go_on(
    which: signal.Signals, tmp_path: Path
) -> None:
    process = start(tmp_path, "--epochs=1000", "--checkpoint-every=100000")
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(which)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + which, err
    match = re.search(r"stopped after turn (\d+); to go on:\n  program --output (\S+) --resume\n$", out)
    assert match
    assert checkpoint.Checkpoints(tmp_path / "run" / "checkpoints").steps() == [int(match[1])]
    assert records.read_records(tmp_path / "run" / "log.jsonl")[-1]["turn"] == int(match[1])
    assert err == ""


def _interrupt_in_turn(system: System, turn: int, times: int = 1) -> System:
    """The system, in which somebody presses Ctrl-C while a turn is played."""

    def interrupted(number: int) -> Any:
        if number == turn:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return system.turn(number)

    return system._replace(turn=interrupted)


def test_handlers_are_what_they_were_when_a_run_has_ended(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    summary = train(_interrupt_in_turn(build("mnist_mlp", tmp_path), 8), Run(tmp_path / "run"))
    assert (summary.turn, summary.finished, summary.signal) == (8, False, signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.bits
def test_an_interrupted_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    train(build("mnist_mlp", tmp_path), Run(tmp_path / "whole", keep=1))
    train(_interrupt_in_turn(build("mnist_mlp", tmp_path), 8), Run(tmp_path / "parts", keep=1))
    train(build("mnist_mlp", tmp_path), Run(tmp_path / "parts", keep=1, resume=True))
    assert_same_files(tmp_path / "whole", tmp_path / "parts")


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(_interrupt_in_turn(build("toy", tmp_path), 8, times=2), Run(tmp_path / "run"))
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    seen: list[Any] = []

    def enter() -> None:
        with Interruption() as interruption:
            seen.append((interruption.signal, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [(None, signal.default_int_handler)]


# --- When something goes wrong --------------------------------------------------------------------------------------


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """A disk that takes no checkpoint while its "full" is true."""
    disk, write = {"full": True}, checkpoint.write_file

    def write_file(path: Path, data: bytes) -> None:
        if disk["full"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, data)

    monkeypatch.setattr(checkpoint, "write_file", write_file)
    return disk


def test_a_full_disk_is_reported_and_the_next_save_succeeds(
    tmp_path: Path, full_disk: dict[str, bool], capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed = build("mnist_mlp", tmp_path)
    for _ in undisturbed.play():
        pass
    system = build("mnist_mlp", tmp_path)
    game = Training(system, Run(tmp_path / "run"))
    for turn in game.turns():
        full_disk["full"] = turn.number < 15
    assert game.finish().problems == []
    assert checkpoint.Checkpoints(tmp_path / "run" / "checkpoints").steps() == [18, 24]
    assert re.search(r"turn 6: checkpoint not written: .*No space left on device", capsys.readouterr().err)
    assert_equal(numbers(system), numbers(undisturbed))


def test_a_disk_that_stays_full_is_a_problem_of_the_summary(tmp_path: Path, full_disk: dict[str, bool]) -> None:
    summary = train(build("mnist_mlp", tmp_path), Run(tmp_path / "run"))
    (problem,) = summary.problems
    assert summary.finished
    assert re.search("checkpoint not written: .*No space left on device", problem)


def test_a_log_that_could_not_be_written_is_made_up_for(tmp_path: Path) -> None:
    class Full:
        """A file on a disk with room for so many bytes."""

        def __init__(self, file: Any, room: int) -> None:
            self.file, self.room = file, room

        def write(self, data: bytes) -> int:
            taken = min(self.room, len(data))
            if not taken:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.room -= taken
            return self.file.write(data[:taken])

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    wanted = [{"turn": i, "g": 0.5} for i in range(5)]
    with records.Log(tmp_path / "log.jsonl") as log:
        log._file = full = Full(log._file, 30)
        log.write(wanted[0])
        for record in wanted[1:4]:
            with pytest.raises(OSError, match="No space left"):
                log.write(record)
        full.room = 10**6
        log.write(wanted[4])
        assert log.length == (tmp_path / "log.jsonl").stat().st_size
    assert records.read_records(tmp_path / "log.jsonl") == wanted


def test_a_picture_that_cannot_be_written_does_not_stop_the_run(tmp_path: Path) -> None:
    game = Training(build("mnist_mlp", tmp_path), Run(tmp_path / "run", sample_every=6))
    (tmp_path / "run" / "samples" / "turn-00000006.png").mkdir()
    for _ in game.turns():
        pass
    problems = game.finish().problems
    assert any(problem.startswith("samples of turn 6 not written: ") for problem in problems)


def test_a_run_that_diverges_keeps_its_last_good_checkpoint_and_says_what_broke(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy, out = GANS["toy"], f"--output={tmp_path / 'run'}"
    assert running.main(toy, [out, "--epochs=50", "--stop-after=3"], None, "program") == 0
    monkeypatch.setattr(Gaussian, "sample", lambda self, rng, n, dtype: np.full((n, 1), np.nan, dtype))
    assert running.main(toy, [out, "--resume"], None, "program") == 1
    error = r"error: turn 4: D cannot move, real_loss is nan; .*: x, which came in; .*\nthe last good .* of turn 3\n"
    assert re.fullmatch(error, capsys.readouterr().err)
    kept = checkpoint.Checkpoints(tmp_path / "run" / "checkpoints").latest()
    assert kept is not None
    assert checkpoint.first_non_finite(kept[1]) is None


def _train_and_spoil(tmp_path: Path, spoil: Callable[[System], None], run: Run) -> None:
    """Train, and do something to the system after turn 7."""
    system = build("mnist_mlp", tmp_path)
    for turn in Training(system, run).turns():
        if turn.number == 7:
            spoil(system)


def test_a_loss_that_is_not_finite_names_turn_player_note_and_layer(tmp_path: Path) -> None:
    def spoil(system: System) -> None:
        system.players["G"].params["main.2.weight"][0, 0] = np.nan

    with pytest.raises(DivergedError) as caught:
        _train_and_spoil(tmp_path, spoil, Run(tmp_path / "run", checkpoint_every=1))
    error = caught.value
    assert (error.turn, error.player, error.note) == (8, "D", "on_fake")
    assert error.where == "G: parameter main.2.weight"
    assert checkpoint.Checkpoints(tmp_path / "run" / "checkpoints").steps() == [5, 6, 7]


def test_numbers_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    def spoil(system: System) -> None:
        system.players["G"].optimizer.V[-1] = np.inf

    with pytest.raises(NotFiniteError, match=r"turn 8: G_optimizer/V of main.4.bias is no longer finite, so nothing"):
        _train_and_spoil(tmp_path, spoil, Run(tmp_path / "run", checkpoint_every=4))
    assert checkpoint.Checkpoints(tmp_path / "run" / "checkpoints").steps() == [4]


# --- What a run remembers -------------------------------------------------------------------------------------------


class Walk:
    """Something with a state: a number that moves by what it is told."""

    def __init__(self) -> None:
        self.at = np.zeros(2)

    def state_dict(self) -> dict[str, Any]:
        return {"at": self.at.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.at[...] = state["at"]


def _remembering(tmp_path: Path) -> System:
    """A GAN whose turns draw from one generator more, and depend on what they moved before."""
    system = build("mnist_mlp", tmp_path)
    walk, dice = Walk(), np.random.default_rng(7)

    def turn(number: int) -> Any:
        walk.at += dice.normal(size=2)
        G = system.players["G"]
        G.params.flat[0] += 1e-3 * walk.at[0]
        return system.turn(number) | {"k": walk.at[1]}

    return system._replace(turn=turn, memory={**system.memory, "walk": walk, "dice": dice})


def test_whatever_has_a_state_goes_on_with_the_run(tmp_path: Path) -> None:
    run = Run(tmp_path / "whole", log_every=1, checkpoint_every=6, keep=1, gif=False)
    train(_remembering(tmp_path), run)
    parts = replace(run, output=tmp_path / "parts")
    train(_remembering(tmp_path), replace(parts, stop_after=10))
    train(_remembering(tmp_path), replace(parts, resume=True))
    assert_same_files(tmp_path / "whole", tmp_path / "parts")
    log = records.read_records(tmp_path / "whole" / "log.jsonl")
    assert all(isinstance(record["k"], float) for record in log)


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        ({"k": 0.5}, TypeError, r"^memory: expected 'k' to have state_dict\(\) .*numpy.random.Generator, got float$"),
        ({"pool": []}, TypeError, r"^memory: expected 'pool' to have state_dict\(\) .*, got list$"),
        ({"G": Walk()}, ValueError, "^memory: 'G' is the name of another entry of a checkpoint; choose another$"),
        ({"D_optimizer": Walk()}, ValueError, "^memory: 'D_optimizer' is the name of another entry"),
        ({"progress": Walk()}, ValueError, "^memory: 'progress' is the name of another entry"),
        ({"k/g": Walk()}, ValueError, "^memory: state: expected names made of letters, digits.*, got 'k/g'$"),
        ({"k g": Walk()}, ValueError, "^memory: state: expected names made of letters"),
        ({"about": np.random.default_rng(0)}, ValueError, "^memory: 'about' is the name of another entry"),
    ],
)
def test_what_a_checkpoint_could_not_hold_is_refused_before_any_work(
    entry: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    system = build("toy", tmp_path)
    with pytest.raises(error, match=message):
        train(system._replace(memory={**system.memory, **entry}), Run(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_of_several_players_each_may_have_an_average(tmp_path: Path) -> None:
    system = build("mnist_mlp", tmp_path)
    averages = {f"{who}_average": MovingAverage(p.params, 0.5) for who, p in system.players.items()}
    system = system._replace(memory={**system.memory, **averages})
    train(system, Run(tmp_path / "run", gif=False))
    weights = tmp_path / "run" / "weights"
    assert {path.stem for path in weights.iterdir()} == {"netg", "netd", "netg_average", "netd_average"}
    for who, average in system.averages().items():
        saved = load_weights(weights / f"net{who.lower()}_average.safetensors")
        assert_equal(saved, average.params.state_dict())


# --- Another machine ------------------------------------------------------------------------------------------------


def _resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What a run of the toy that goes on says of the machine."""
    capsys.readouterr()
    assert train(build("toy", tmp_path), Run(tmp_path / "run", resume=True, stop_after=12)).turn == 12
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("resume:")]


def test_a_run_that_goes_on_where_it_was_says_nothing_of_the_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(build("toy", tmp_path), Run(tmp_path / "run", stop_after=6))
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["machine"] == machine.machine()
    assert about["machine"].keys() == {"numpy", "BLAS", "BLAS threads", "cores"}
    assert _resumed(tmp_path, capsys) == []


def test_a_run_that_goes_on_on_another_machine_says_in_one_line_what_is_different(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train(build("toy", tmp_path), Run(tmp_path / "run", stop_after=6))
    here = {**machine.machine(), "BLAS threads": [3, 1]}
    before = json.loads((tmp_path / "run" / "run.json").read_text())["machine"]
    monkeypatch.setattr(machine, "machine", lambda: here)
    threads = ", ".join(map(str, before["BLAS threads"]))
    assert _resumed(tmp_path, capsys) == [
        f"resume: the run was on BLAS threads {threads}, now 3, 1: its bits may differ from here on"
    ]
    monkeypatch.setattr(machine, "machine", lambda: {**here, "numpy": "9.9"})
    assert machine.changed(before) == (
        f"resume: the run was on numpy {np.__version__}, now 9.9; BLAS threads {threads}, now 3, 1: "
        "its bits may differ from here on"
    )


def test_a_library_that_others_brought_along_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def library(path: str, threads: int, api: str = "blas") -> dict[str, Any]:
        known = {"user_api": api, "internal_api": "openblas", "version": "0.3", "architecture": "Haswell"}
        return {**known, "filepath": path, "num_threads": threads}

    numpys, scipys = (
        library("/v/site-packages/numpy.libs/libopenblas.so", 2),
        library("/v/scipy.libs/libopenblas.so", 4),
    )
    mac = library("/v/site-packages/numpy/.dylibs/libopenblas.dylib", 2)
    for loaded in (
        [numpys],
        [scipys, numpys],
        [numpys, scipys, library("/usr/lib/libgomp.so", 9, "openmp")],
        [mac, scipys],
    ):
        monkeypatch.setattr(machine, "threadpool_info", lambda loaded=loaded: loaded)
        assert machine.machine()["BLAS threads"] == [2]
        assert machine.machine()["BLAS"] == ["openblas 0.3 Haswell"]
    monkeypatch.setattr(machine, "threadpool_info", lambda: [library("/usr/lib/libblas.so", 3)])  # a system's
    assert machine.machine()["BLAS threads"] == [3]


@pytest.mark.parametrize("recorded", [None, {}, {"numpy": np.__version__}])
def test_a_run_of_an_earlier_version_that_did_not_say_where_it_was_goes_on(
    recorded: dict[str, Any] | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(build("toy", tmp_path), Run(tmp_path / "run", stop_after=6))
    file = tmp_path / "run" / "run.json"
    about = json.loads(file.read_text())
    del about["machine"]
    file.write_text(json.dumps({**about, **({} if recorded is None else {"machine": recorded})}))
    assert _resumed(tmp_path, capsys) == []


# --- Refused before any work ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output=there"], "output: there is not empty; choose another folder, or --resume what is in it"),
        (["--output=there", "--resume"], "resume: there is no run in there"),
        (["--output=file/run"], "output: cannot write into file/run: Not a directory"),
        (["--keep=0"], "keep: expected at least 1, got 0"),
        (["--stop-after=0"], "stop_after: expected at least 1, got 0"),
        (["--best=beauty"], "best: expected one of ks, wasserstein1, got 'beauty'"),
        (["--epochs=0"], "epochs: expected at least 1, got 0"),
        (["--g-lr=-1"], "g_lr: expected a finite number > 0, got -1.0"),
        (["--betas", "0.5", "1"], "betas: expected two numbers in [0, 1), got (0.5, 1.0)"),
        (["--average=1"], "average: expected a number in [0, 1), got 1.0"),
        (["--seed=-1"], "seed: expected at least 0, got -1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_refused_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    before = files(tmp_path)
    assert running.main(GANS["toy"], arguments, None, "program") == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert files(tmp_path) == before


def test_a_run_of_damaged_checkpoints_is_not_started_over_in_silence(tmp_path: Path) -> None:
    train(build("toy", tmp_path), Run(tmp_path / "run", stop_after=6, checkpoint_every=3))
    for folder in (tmp_path / "run" / "checkpoints").iterdir():
        (folder / "state.json").write_bytes(b"")
    before = files(tmp_path / "run")
    with (
        pytest.warns(RuntimeWarning, match="checkpoint skipped"),
        pytest.raises(ValueError, match=r"resume: every checkpoint in \S+ is damaged; remove them to start over"),
    ):
        train(build("toy", tmp_path), Run(tmp_path / "run", resume=True))
    assert files(tmp_path / "run") == before


def test_a_run_that_was_killed_before_its_first_checkpoint_says_that_it_starts_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "run", stop_after=1)
    Training(build("mnist_mlp", tmp_path), run)  # its folder is made, and nothing played
    train(build("mnist_mlp", tmp_path), replace(run, resume=True))
    assert "no checkpoint had been written yet, so the run starts over" in capsys.readouterr().out
    train(build("mnist_mlp", tmp_path), replace(run, resume=True, stop_after=2))
    assert "starts over" not in capsys.readouterr().out


def test_a_log_that_somebody_wrote_into_is_named_and_costs_only_the_pictures(tmp_path: Path) -> None:
    train(build("toy", tmp_path), Run(tmp_path / "run", stop_after=6, log_every=1))
    log = tmp_path / "run" / "log.jsonl"
    log.write_bytes(b"x" + log.read_bytes()[1:])
    summary = train(build("toy", tmp_path), Run(tmp_path / "run", resume=True))
    assert summary.finished
    assert [problem.partition("log.jsonl: ")[2][:21] for problem in summary.problems] == ["line 1 is no record: "]


def test_a_run_is_not_resumed_with_another_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(build("toy", tmp_path), Run(tmp_path / "run", stop_after=3))
    assert running.main(GANS["mnist_mlp"], [f"--output={tmp_path / 'run'}", "--resume"], None, "program") == 2
    assert re.search(r"error: resume: the run in \S+ is of toy, not of mnist_mlp\n", capsys.readouterr().err)


def test_a_resumed_run_knows_its_own_options(tmp_path: Path) -> None:
    out = f"--output={tmp_path / 'run'}"
    toy = GANS["toy"]
    assert running.main(toy, [out, "--batch=8", "--epochs=9", "--average=0", "--stop-after=4"], None, "program") == 0
    assert running.main(toy, [out, "--resume"], None, "program") == 0
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (about["options"]["batch"], about["options"]["epochs"], about["options"]["average"]) == (8, 9, 0.0)
    assert running.open_run(tmp_path / "run").turn == 9


def test_a_resumed_run_goes_on_being_logged_shown_and_kept_as_before(tmp_path: Path) -> None:
    habits = ["--log-every=2", "--sample-every=4", "--checkpoint-every=3", "--keep=2", "--best=ks", "--no-gif"]
    whole, parts = f"--output={tmp_path / 'whole'}", f"--output={tmp_path / 'parts'}"
    start = ["--batch=8", "--epochs=9", *habits]
    for said in ([whole, *start], [parts, *start, "--stop-after=5"], [parts, "--resume"]):
        assert running.main(GANS["toy"], said, None, "program") == 0
    assert_same_files(tmp_path / "whole", tmp_path / "parts")


# --- Live -----------------------------------------------------------------------------------------------------------


def test_without_tensorboardx_a_live_view_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ValueError, match="tensorboard: tensorboardX is not installed"):
        train(build("toy", tmp_path), Run(tmp_path / "run", tensorboard=True))


@pytest.mark.needs("tensorboardX")
def test_a_live_view_has_scalars_and_images(tmp_path: Path) -> None:
    train(build("mnist_mlp", tmp_path), Run(tmp_path / "run", tensorboard=True, stop_after=12, log_every=3))
    train(build("mnist_mlp", tmp_path), Run(tmp_path / "run", tensorboard=True, resume=True))
    events = b"".join(path.read_bytes() for path in (tmp_path / "run" / "live").iterdir())
    for tag in (b"loss/d", b"loss/g", b"D/on_real", b"samples"):
        assert tag in events


def test_a_bar_shows_the_notes_and_not_the_place_which_it_shows_itself() -> None:
    record = {"turn": 24, "epoch": 4, "batch": 6, "d_loss": 1.38629, "on_real": 0.5, "k": 0.00012345, "g_loss": None}
    assert records.notes_line(record) == "d_loss 1.386, on_real 0.5, k 0.0001234, g_loss -"
    assert records.one_line(record) == f"epoch 4, batch 6: {records.notes_line(record)}"
    assert records.one_line({"turn": 3, "frechet": 2.5}) == "turn 3: frechet 2.5"


def _with_a_rate_that_falls(system: System) -> System:
    """The system, whose turn now and then changes a rate for good."""

    def turn(n: int) -> Any:
        if n % 7 == 0:
            system.players["D"].optimizer.lr *= 0.5
        return system.turn(n)

    return system._replace(turn=turn)


def test_a_rate_that_a_turn_changed_is_what_a_resumed_run_goes_on_with(tmp_path: Path) -> None:
    run = Run(tmp_path / "whole", keep=1, gif=False)
    build_one = lambda: _with_a_rate_that_falls(build("mnist_mlp", tmp_path))
    train(build_one(), run)
    parts = replace(run, output=tmp_path / "parts")
    train(build_one(), replace(parts, stop_after=10))
    train(build_one(), replace(parts, resume=True))
    assert_same_files(tmp_path / "whole", tmp_path / "parts")


@dataclass(frozen=True)
class Odd:
    """Options of kinds that minigan's own GANs do not have."""

    sizes: list[int] = field(default_factory=lambda: [1, 2])
    images: int | None = 5
    k: int | Literal["auto"] = "auto"
    kind: Literal["Path", "Grid"] = "Path"
    places: tuple[Path, ...] = (Path("a"), Path("b"))
    pairs: tuple[tuple[int, int], ...] = ((1, 2),)
    rate: float = 1


@pytest.mark.parametrize("o", [Odd(), Odd(sizes=[], images=None, k=3, kind="Grid", places=(), pairs=(), rate=0.5)])
def test_options_of_any_kind_come_back_as_they_were(o: Odd) -> None:
    assert options_from(Odd, json.loads(json.dumps(plain(o)))) == o


@pytest.mark.parametrize("change", [{"images": "5"}, {"k": "some"}, {"kind": "Line"}, {"sizes": [1, "b"]}])
def test_options_that_do_not_fit_their_type_are_refused_by_name(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"^run\.json: {next(iter(change))}: expected "):
        options_from(Odd, change)


def test_an_average_that_follows_nobody_and_numbers_that_never_were_finite_are_refused(tmp_path: Path) -> None:
    system = build("toy", tmp_path)
    lost = MovingAverage(system.players["G"].params.copy(), 0.9)
    with pytest.raises(ValueError, match=r"^memory: 'lost' is an average, and follows the numbers of no player$"):
        Training(system._replace(memory={**system.memory, "lost": lost}), Run(tmp_path / "run"))
    system.players["G"].params.flat[0] = np.inf
    with pytest.raises(ValueError, match=r"^memory: expected finite numbers to start from; those of G/\S+ are not$"):
        Training(system, Run(tmp_path / "run"))
