"""`--device cuda`, on the fake device: whole trainings there give the host's bits and files, and never wait unasked.

What needs a GPU to be true is in test_gpu.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from examples import toy_gaussian
from minigan import DivergedError, Turn, devices, faster, game, optimizers, primitives, running
from minigan.__main__ import main
from minigan.arrays import to_device_of
from minigan.autodiff import grad
from minigan.data.batches import Batches
from minigan.data.toy import Gaussian
from minigan.devices import DeviceError, mixed_devices
from minigan.gans import GANS, mnist_mlp
from minigan.gans import toy as toy_system
from minigan.gans.system import System
from minigan.parameters import Parameters
from minigan.running import Run, open_run, open_weights, train
from tests.devices.fake_device import FakeArray, Traffic, fake_cupy, watched
from tests.small_systems import TURNS, build, every_system, files, numbers

HOST = {"toy": "toy", "mnist_mlp": "mnist-mlp", "mnist_conv": "mnist-conv", "dcgan": "dcgan"}


@pytest.fixture(autouse=True)
def _cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device 'cuda' is the fake one, and the host computes with the plain code, whose bits it has to give."""
    monkeypatch.setattr(devices, "use_cupy", lambda: fake_cupy)
    monkeypatch.setattr(faster, "switched_on", False)  # not plain(): tests below switch it by monkeypatch too


def on_host(a: Any) -> np.ndarray:
    return a.get() if isinstance(a, FakeArray) else np.asarray(a)


# --- The game ---------------------------------------------------------------------------------------------------------


def drawn(system: System, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the system draws from now on, batches and noise."""
    happened: list[Any] = []

    def noted(draw: Callable[..., Any]) -> Callable[..., Any]:
        def note(*args: Any) -> Any:
            happened.append(draw(*args))
            return happened[-1]

        return note

    monkeypatch.setattr(Batches, "__next__", noted(Batches.__next__))
    monkeypatch.setattr(Gaussian, "sample", noted(Gaussian.sample))
    object.__setattr__(system.sampling, "noise", noted(system.sampling.noise))
    return happened


@pytest.mark.bits
@every_system
def test_turns_never_wait_and_move_nothing_but_each_batch_once_and_give_numpys_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, system = build(name, tmp_path), build(name, tmp_path, device="cuda")
    for _ in islice(expected.play(), TURNS - 1):
        pass
    happened = drawn(system, monkeypatch)
    with watched() as traffic:
        for _ in islice(system.play(), TURNS - 1):
            pass
    assert traffic == Traffic(syncs=0, host_copies=len(happened))
    assert len(happened) >= 2 * (TURNS - 1)
    ours, theirs = numbers(system), numbers(expected)
    assert ours.keys() == theirs.keys()
    for key, a in ours.items():
        assert type(a) is FakeArray, key
        np.testing.assert_array_equal(a.get(), theirs[key], err_msg=key)


@pytest.mark.bits
@every_system
def test_a_loss_is_the_hosts_and_is_waited_for_once(name: str, tmp_path: Path) -> None:
    expected = [dict(turn) for turn in islice(build(name, tmp_path).play(), 4)]
    turns = list(islice(build(name, tmp_path, device="cuda").play(), 4))
    with watched() as traffic:
        found = [dict(turn) for turn in turns]
    assert found == expected
    assert all(type(note) is float for turn in found for note in turn.values())
    assert traffic.syncs == sum(map(len, expected))
    with watched() as traffic:
        assert dict(turns[0]) == found[0]
        turns[0].check()
    assert traffic == Traffic()


def test_to_check_a_turn_is_to_wait_for_its_losses_and_for_nothing_else(tmp_path: Path) -> None:
    turn = next(build("mnist_mlp", tmp_path, device="cuda").play())
    with watched() as traffic:
        turn.check()
    assert traffic.syncs == 2 < len(turn)


def spoilt_from(system: System, turn: int, monkeypatch: pytest.MonkeyPatch) -> System:
    """The toy, but real samples are nan from this turn on."""
    sample, now = Gaussian.sample, {"turn": 0}

    def spoilt(*args: Any) -> np.ndarray:
        return sample(*args) * (np.nan if now["turn"] >= turn else 1.0)

    def noted(number: int) -> Any:
        now["turn"] = number
        return system.turn(number)

    monkeypatch.setattr(Gaussian, "sample", spoilt)
    return system._replace(turn=noted)


@pytest.mark.parametrize("look", [lambda turn: turn["d_loss"], dict, lambda turn: turn.check()])
def test_a_nan_is_reported_when_a_loss_is_read(
    look: Callable[[Any], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = spoilt_from(build("toy", tmp_path, device="cuda"), 3, monkeypatch)
    for turn in islice(system.play(), 3):
        if turn.number == 3:
            message = r"^turn 3: D cannot move, d_loss is nan; not finite from here on: x, which came in; "
            with pytest.raises(DivergedError, match=message) as error:
                look(turn)
            assert (error.value.turn, error.value.player) == (3, "D")


def test_a_nan_in_g_is_found_in_its_layer_also_when_d_was_handed_the_samples(tmp_path: Path) -> None:
    system = build("mnist_mlp", tmp_path, device="cuda")
    system.players["G"].params["main.2.weight"].fill(np.nan)
    x, z = (fake_cupy.asarray(np.ones((8, n), np.float32)) for n in (784, 5))
    fake = system.players["G"](z)
    turn = Turn(1, system.players["D"].move(mnist_mlp.d_loss, x, fake))  # by the end of a turn all of G would be nan
    with pytest.raises(DivergedError, match=r"^turn 1: D cannot .*: G: parameter main\.2\.weight; "):
        turn.check()


def test_a_nan_that_nobody_looks_at_is_reported_by_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(game, "LOOK_EVERY", 5)
    system = spoilt_from(build("toy", tmp_path, device="cuda"), 3, monkeypatch)
    with pytest.raises(DivergedError, match=r"^turn 5: "):
        list(system.play())


def test_a_nan_that_nobody_looks_at_is_reported_by_the_last_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = spoilt_from(build("toy", tmp_path, device="cuda"), TURNS, monkeypatch)
    with pytest.raises(DivergedError, match=rf"^turn {TURNS}: "):
        list(system.play())


@pytest.mark.parametrize("due", [{"sample_every": 6}, {"checkpoint_every": 6}, {"log_every": 6}, {"stop_after": 6}])
def test_nothing_is_written_of_a_game_that_diverged_unseen(
    due: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = spoilt_from(build("toy", tmp_path, device="cuda"), 3, monkeypatch)
    with pytest.raises(DivergedError, match=r"^turn 6: "):
        train(system, Run(tmp_path / "run", **due))
    assert sorted(files(tmp_path / "run")) == ["log.jsonl", "run.json", "samples/turn-00000001.png"]
    assert (tmp_path / "run" / "log.jsonl").read_bytes() == b""


# --- The run ----------------------------------------------------------------------------------------------------------


def assert_same_run(a: Path, b: Path) -> None:
    """The same files, but for the word that run.json has of the device."""
    ours, theirs = files(a), files(b)
    about, about_theirs = (json.loads(side.pop("run.json")) for side in (ours, theirs))
    about["options"].pop("device"), about_theirs["options"].pop("device")
    assert about == about_theirs
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


RUN = {"sample_every": 10, "log_every": 5, "checkpoint_every": 6}


@pytest.mark.bits
@every_system
def test_a_run_on_the_device_leaves_the_files_of_one_on_the_host(name: str, tmp_path: Path) -> None:
    for device in ("cpu", "cuda"):
        system = build(name, tmp_path, device=device)
        best = "ks" if name == "toy" else None  # 1000 images on the plain code take a while
        assert train(system, Run(tmp_path / device, best=best, **RUN)) == (TURNS, True, None, [])
    assert_same_run(tmp_path / "cuda", tmp_path / "cpu")


@pytest.mark.bits
@every_system
@pytest.mark.parametrize(
    "devices", [("cuda", "cpu", "cuda"), pytest.param(("cpu", "cuda", "cpu"), marks=pytest.mark.slow)], ids="-".join
)
def test_a_run_may_go_on_on_another_device(name: str, devices: tuple[str, ...], tmp_path: Path) -> None:
    train(build(name, tmp_path), Run(tmp_path / "whole", **RUN))
    for i, (device, stop) in enumerate(zip(devices, (5, 13, None), strict=True)):
        system = build(name, tmp_path, device=device)
        train(system, Run(tmp_path / "run", resume=i > 0, stop_after=stop, **RUN))
        assert {isinstance(a, FakeArray) for a in numbers(system).values()} == {device == "cuda"}
    for run in ("run", "whole"):  # the stops left checkpoints of their own behind, of which 3 are kept
        for path in (tmp_path / run / "checkpoints").iterdir():
            if path.name not in ("step-00000018", "step-00000024"):
                for file in path.iterdir():
                    file.unlink()
                path.rmdir()
    assert_same_run(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: optimizers.SGD(p, 0.1, momentum=0.9),
        lambda p: optimizers.RMSprop(p, 0.01, momentum=0.9, centered=True),
        lambda p: optimizers.Adam(p, 0.01),
    ],
    ids=["SGD", "RMSprop", "Adam"],
)
def test_the_state_of_an_optimizer_moves_from_device_to_device(optimizer: Callable[..., Any]) -> None:
    host = Parameters({"a": np.ones(3)})
    device = host.to_device("cuda")
    ours, theirs, back = optimizer(host), optimizer(device), optimizer(host.copy())
    ours.step({"a": np.arange(3.0)})
    theirs.load_state_dict(ours.state_dict())
    back.load_state_dict(theirs.state_dict())
    for key, value in ours.state_dict().items():
        there, here = theirs.state_dict()[key], back.state_dict()[key]
        assert isinstance(there, FakeArray | int | float)
        assert isinstance(here, np.ndarray | int | float)
        np.testing.assert_array_equal(on_host(there), value)
        np.testing.assert_array_equal(here, value)


def test_parameters_take_numbers_in_from_any_device() -> None:
    host = Parameters({"a": np.ones((2, 2)), "b": np.ones(3)}, {"n": np.array(4)})
    device = host.to_device("cuda")
    device["b"] = np.full(3, 2.0)
    host.load_state_dict(device.state_dict())
    np.testing.assert_array_equal(host["b"], [2.0, 2.0, 2.0])
    device.load_state_dict({"a": np.zeros((2, 2)), "b": np.zeros(3), "n": np.array(5)})
    np.testing.assert_array_equal(device.flat.get(), np.zeros(7))
    assert type(device.buffers["n"]) is FakeArray
    assert device.buffers["n"].get() == 5


def test_an_array_is_moved_to_another_ones_device_only_if_it_is_not_there() -> None:
    host, device = np.ones(2), fake_cupy.asarray(np.ones(2))
    assert to_device_of(host, host) is host
    assert to_device_of(device, device) is device
    assert type(to_device_of(device, host)) is FakeArray
    assert type(to_device_of(host, device)) is np.ndarray


# --- Samples ----------------------------------------------------------------------------------------------------------


@pytest.mark.bits
@every_system
def test_samples_of_a_run_are_drawn_on_any_device(name: str, tmp_path: Path) -> None:
    train(build(name, tmp_path, device="cuda"), Run(tmp_path / "run", **RUN))
    on_cpu, on_cuda = open_run(tmp_path / "run"), open_run(tmp_path / "run", device="cuda")
    assert type(on_cpu.players["G"].params.flat) is np.ndarray
    ours, theirs = (t.sample(np.random.default_rng(0), 10) for t in (on_cuda, on_cpu))
    assert (type(ours), type(theirs)) == (FakeArray, np.ndarray)
    np.testing.assert_array_equal(ours.get(), theirs)
    ours, theirs = (t.pick(np.random.default_rng(0), 40, 5) for t in (on_cuda, on_cpu))
    np.testing.assert_array_equal(ours.samples.get(), theirs.samples)
    np.testing.assert_array_equal(ours.scores.get(), theirs.scores)
    weights = open_weights(tmp_path / "run" / "weights" / "netg.safetensors", "cuda")
    assert type(weights.players["G"].params.flat) is FakeArray


@pytest.mark.bits
@pytest.mark.parametrize("name", ["mnist_mlp", "dcgan"])
def test_the_command_samples_on_the_device(name: str, tmp_path: Path) -> None:
    train(build(name, tmp_path), Run(tmp_path / "run", **RUN))
    for device in ("cpu", "cuda"):
        for file in ("a.npz", "a.png"):
            (tmp_path / device).mkdir(exist_ok=True)
            out = str(tmp_path / device / file)
            more = ["--n", "9", "--candidates", "20", "--device", device, "--output", out]
            assert main(["sample", str(tmp_path / "run"), *more]) == 0
    assert files(tmp_path / "cpu") == files(tmp_path / "cuda")


@pytest.mark.bits
def test_the_toy_on_one_page_has_the_same_figures_on_the_device(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for device in ("cpu", "cuda"):
        more = ["--device", device, "--output", str(tmp_path / f"{device}.png"), "--json"]
        assert toy_gaussian.main(["--epochs", "6", "--batch", "16", "--samples", "50", *more]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert (tmp_path / "cpu.png").read_bytes() == (tmp_path / "cuda.png").read_bytes()


# --- What cannot be ---------------------------------------------------------------------------------------------------


def no_cupy() -> Any:
    raise DeviceError("device 'cuda' needs CuPy")


@pytest.mark.parametrize("name", GANS)
def test_a_device_that_cannot_be_used_is_refused_in_one_line_before_any_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "use_cupy", no_cupy)
    assert main(["train", HOST[name], "--device", "cuda", "--output", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err == "error: device 'cuda' needs CuPy\n"
    assert not (tmp_path / "run").exists()


def test_every_other_command_refuses_it_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(build("dcgan", tmp_path), Run(tmp_path / "run", **RUN))
    monkeypatch.setattr(devices, "use_cupy", no_cupy)
    weights, out = tmp_path / "run" / "weights" / "netg.safetensors", ["--output", str(tmp_path / "x.png")]
    capsys.readouterr()
    assert main(["sample", str(tmp_path / "run"), "--device", "cuda", *out]) == 2
    assert main(["sample", str(weights), "--device", "cuda", *out]) == 2
    assert toy_gaussian.main(["--device", "cuda", *out]) == 2
    assert capsys.readouterr().err == 3 * "error: device 'cuda' needs CuPy\n"


WANTED = "Out of memory allocating 1,024 bytes (allocated so far: 512 bytes)."  # as CuPy says it


def test_no_memory_for_the_networks_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with patch.object(toy_system, "build", side_effect=MemoryError(WANTED)):
        assert running.main(toy_system, ["--output", str(tmp_path / "run")], None, "toy") == 2
    said = capsys.readouterr().err
    assert said == f"error: out of memory, try a smaller batch or network: {WANTED}\n"
    assert not (tmp_path / "run").exists()


def test_no_memory_on_the_way_is_one_line_and_the_last_checkpoint_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def send(drawn: np.ndarray, device: str) -> Any:
        calls.append(drawn)
        if len(calls) > 100:
            raise MemoryError
        return fake_cupy.asarray(drawn)

    calls: list[np.ndarray] = []
    run = ["--output", str(tmp_path / "run"), "--device", "cuda", "--epochs", "90", "--checkpoint-every", "5"]
    with patch.object(toy_system, "to_device", send):
        assert running.main(toy_system, [*run, "--no-progress"], None, "toy") == 1
    assert capsys.readouterr().err == (
        "error: out of memory, try a smaller batch or network: the host has none left\n"
        "the last good checkpoint is that of turn 10\n"
    )
    assert open_run(tmp_path / "run").turn == 10


both_codes = pytest.mark.parametrize("kernels_on", [True, False], ids=["kernels", "plain"])
x, x_there = np.ones((2, 3), np.float32), fake_cupy.asarray(np.ones((2, 3), np.float32))
w, w_there = np.ones((4, 3), np.float32), fake_cupy.asarray(np.ones((4, 3), np.float32))


@both_codes
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: primitives.linear(x, w_there),
            "linear: expected all arrays on one device, got x on 'cpu' and weight on",
        ),
        (
            lambda: primitives.linear(x_there, weight=w),
            "linear: .* got weight on 'cpu' and x on 'cuda'; .*to_device.weight",
        ),
        (lambda: primitives.concatenate([x_there, x]), r"got arrays\[1\] on 'cpu' and arrays\[0\] on 'cuda'"),
        (lambda: grad(lambda a: primitives.sum(a * x))(x_there), "multiply: .* got x2 on 'cpu' and x1 on 'cuda'"),
        (lambda: grad(lambda a: primitives.sum(x_there - a))(x), "subtract: .* got x2 on 'cpu' and x1 on 'cuda'"),
        (
            lambda: grad(lambda a: primitives.sum(grad(lambda b: primitives.sum(a * b))(x_there)))(x),
            "multiply: .* got x1 on 'cpu' and x2 on 'cuda'",
        ),
    ],
)
def test_host_and_device_arrays_in_one_operation_are_refused_by_name_and_it_says_how_to_move_them(
    call: Callable[[], Any], said: str, kernels_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faster, "switched_on", kernels_on)
    with pytest.raises(TypeError, match=said):
        call()


@both_codes
@every_system
def test_a_batch_on_the_host_is_refused_by_a_network_on_the_device(
    name: str, kernels_on: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faster, "switched_on", kernels_on)
    host, device = build(name, tmp_path), build(name, tmp_path, device="cuda")
    x = np.ones((4, 784), np.float32) if name == "mnist_mlp" else np.ones((4, 1, 28, 28), np.float32)
    x = {"toy": np.ones((16, 1), np.float32), "dcgan": np.ones((4, 3, 32, 32), np.float32)}.get(name, x)
    with pytest.raises(TypeError, match=r"expected all arrays on one device, got .* on 'cpu' and .* on 'cuda'"):
        device.players["G"](host.sampling.noise(np.random.default_rng(0), 3))
    with pytest.raises(TypeError, match=r"expected all arrays on one device, got .* on 'cpu' and .* on 'cuda'"):
        device.players["D"].move(lambda D: primitives.sum(D(x)))


def test_an_error_that_has_nothing_to_do_with_devices_stays_what_it_is() -> None:
    with pytest.raises(ValueError, match="linear: expected x of shape"):
        primitives.linear(x_there, fake_cupy.asarray(np.ones((4, 2), np.float32)))
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        primitives.linear(x_there)
    assert mixed_devices({"x": x, "rate": 0.1, "axis": None, "y": [x, 2.0]}) is None
    assert mixed_devices({"x": x_there, "scale": np.float32(2.0)}) is None


# --- The device of a run ----------------------------------------------------------------------------------------------


def test_the_device_of_a_run_is_in_its_options_and_may_be_changed_when_it_resumes(tmp_path: Path) -> None:
    run = ["--output", str(tmp_path / "run"), "--no-progress", "--batch", "8", "--hidden", "4", "--epochs", "8"]
    assert running.main(toy_system, [*run, "--device", "cuda", "--stop-after", "3"], None, "toy") == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["options"]["device"] == "cuda"
    resumed = ["--output", str(tmp_path / "run"), "--no-progress", "--resume"]
    read = running.command.read_command(toy_system, resumed, None, "toy")
    assert read.system.device == "cuda"
    assert running.main(toy_system, [*resumed, "--device", "cpu"], None, "toy") == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["options"]["device"] == "cpu"


def test_a_run_of_an_earlier_version_with_an_option_that_is_gone_goes_on(tmp_path: Path) -> None:
    run = ["--output", str(tmp_path / "run"), "--no-progress", "--batch", "8", "--hidden", "4", "--epochs", "8"]
    assert running.main(toy_system, [*run, "--stop-after", "3"], None, "toy") == 0
    file = tmp_path / "run" / "run.json"
    about = json.loads(file.read_text())
    about["options"]["tf32"] = False
    file.write_text(json.dumps(about))
    assert open_run(tmp_path / "run").turn == 3
    assert running.main(toy_system, ["--output", str(tmp_path / "run"), "--no-progress", "--resume"], None, "toy") == 0
    assert "tf32" not in json.loads(file.read_text())["options"]
