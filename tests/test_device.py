"""`--device cuda`, on the fake device: whole trainings there give the host's bits and files, and never wait unasked.

What needs a GPU to be true is in test_gpu.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from examples import dcgan as dcgan_example
from examples import toy_gaussian
from minigan import DivergedError, arrays, kernels, optimizers, primitives, running, training
from minigan.__main__ import main
from minigan.arrays import DeviceError, mixed_devices, to_device_of
from minigan.autodiff import grad, value_and_grad
from minigan.parameters import Parameters
from minigan.running import Run, open_run, open_weights, train
from minigan.systems import SYSTEMS
from minigan.systems import toy as toy_system
from minigan.systems.system import System
from tests.fake_device import FakeArray, Traffic, fake_cupy, watched
from tests.small_systems import TURNS, build, every_system, files, numbers

HOST = {"toy": "toy", "mnist_mlp": "mnist-mlp", "mnist_conv": "mnist-conv", "dcgan": "dcgan"}


@pytest.fixture(autouse=True)
def _cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device 'cuda' is the fake one, and the host computes with the plain code, whose bits it has to give."""
    monkeypatch.setattr(arrays, "use_cupy", lambda: fake_cupy)
    monkeypatch.setattr(kernels, "_switched_on", False)  # not plain(): tests below switch it by monkeypatch too


def on_host(a: Any) -> np.ndarray:
    return a.get() if isinstance(a, FakeArray) else np.asarray(a)


# --- The game ---------------------------------------------------------------------------------------------------------


class Counted:
    """A function of no arguments that counts its calls."""

    def __init__(self, draw: Callable[[], Any]) -> None:
        self.draw, self.calls = draw, 0

    def __call__(self) -> Any:
        self.calls += 1
        return self.draw()


@pytest.mark.bits
@every_system
def test_turns_never_wait_and_move_nothing_but_each_batch_once_and_give_numpys_bits(name: str, tmp_path: Path) -> None:
    expected, system = build(name, tmp_path), build(name, tmp_path, device="cuda")
    real, noise = Counted(system.draw_real), Counted(system.draw_noise)
    played = system._replace(draw_real=real, draw_noise=noise)
    for _ in islice(expected.turns(), TURNS - 1):
        pass
    with watched() as traffic:
        for _ in islice(played.turns(), TURNS - 1):
            pass
    assert traffic == Traffic(syncs=0, host_copies=real.calls + noise.calls)
    assert min(real.calls, noise.calls) >= TURNS - 1
    ours, theirs = numbers(system), numbers(expected)
    assert ours.keys() == theirs.keys()
    for key, a in ours.items():
        assert type(a) is FakeArray, key
        np.testing.assert_array_equal(a.get(), theirs[key], err_msg=key)


@every_system
def test_batches_and_noise_go_the_way_beside_the_computation(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = build(name, tmp_path, device="cuda")
    monkeypatch.setattr(fake_cupy, "asarray", None, raising=False)  # what to_device would call
    for draw in (system.draw_real, system.draw_noise):
        assert type(draw()) is FakeArray
    with pytest.raises(TypeError):
        arrays.to_device(np.ones(2), "cuda")


@pytest.mark.bits
@every_system
def test_a_loss_is_the_hosts_and_is_waited_for_once(name: str, tmp_path: Path) -> None:
    losses = [(t.d_real, t.d_fake, t.g) for t in islice(build(name, tmp_path).turns(), 4)]
    turns = list(islice(build(name, tmp_path, device="cuda").turns(), 4))
    with watched() as traffic:
        found = [(t.d_real, t.d_fake, t.g) for t in turns]
    np.testing.assert_array_equal(found, losses)
    assert all(type(loss) is float for turn in found for loss in turn)
    assert traffic.syncs == np.isfinite(losses).sum()  # a player that did not move has nothing to wait for
    with watched() as traffic:
        assert (turns[0].d_real, turns[0].d_fake, turns[0].g) == found[0]
    assert traffic == Traffic()


def spoilt_from(system: System, turn: int) -> System:
    """The system, but real samples are nan from this turn on."""
    steps = iter(range(10**9))
    return system._replace(
        draw_real=lambda: system.draw_real() * (np.nan if next(steps) // system.game.d_steps >= turn - 1 else 1.0)
    )


def test_a_nan_is_reported_when_a_loss_is_read(tmp_path: Path) -> None:
    system = spoilt_from(build("toy", tmp_path, device="cuda"), 3)
    for turn in system.turns():
        if turn.number == 3:
            with pytest.raises(
                DivergedError, match=r"^turn 3: D's loss on real samples is nan.*D: what comes in"
            ) as error:
                float(turn.d_real)
            assert (error.value.turn, error.value.player) == (3, "D")
            break


def test_a_nan_that_nobody_looks_at_is_reported_by_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "LOOK_EVERY", 5)
    system = spoilt_from(build("toy", tmp_path, device="cuda"), 3)
    with pytest.raises(DivergedError, match=r"^turn 5: "):
        list(system.turns())


def test_a_nan_that_nobody_looks_at_is_reported_by_the_last_turn(tmp_path: Path) -> None:
    system = spoilt_from(build("toy", tmp_path, device="cuda"), TURNS)
    with pytest.raises(DivergedError, match=rf"^turn {TURNS}: "):
        list(system.turns())


@pytest.mark.parametrize("due", [{"sample_every": 6}, {"checkpoint_every": 6}, {"log_every": 6}, {"stop_after": 6}])
def test_nothing_is_written_of_a_game_that_diverged_unseen(due: dict[str, Any], tmp_path: Path) -> None:
    system = spoilt_from(build("toy", tmp_path, device="cuda"), 3)
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
        assert isinstance(there, FakeArray | int)
        assert isinstance(here, np.ndarray | int)
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
    assert type(on_cpu.g.flat) is np.ndarray
    ours, theirs = (t.sample(np.random.default_rng(0), 10) for t in (on_cuda, on_cpu))
    assert (type(ours), type(theirs)) == (FakeArray, np.ndarray)
    np.testing.assert_array_equal(ours.get(), theirs)
    ours, theirs = (t.pick(np.random.default_rng(0), 40, 5) for t in (on_cuda, on_cpu))
    np.testing.assert_array_equal(ours.samples.get(), theirs.samples)
    np.testing.assert_array_equal(ours.scores.get(), theirs.scores)
    weights = open_weights(tmp_path / "run" / "weights" / "netg.safetensors", "cuda")
    assert type(weights.g.flat) is FakeArray


@pytest.mark.bits
def test_the_command_samples_on_the_device(tmp_path: Path) -> None:
    train(build("mnist_mlp", tmp_path), Run(tmp_path / "run", **RUN))
    for device in ("cpu", "cuda"):
        for name in ("a.npz", "a.png"):
            (tmp_path / device).mkdir(exist_ok=True)
            out = str(tmp_path / device / name)
            more = ["--n", "9", "--candidates", "20", "--device", device, "--output", out]
            assert main(["sample", str(tmp_path / "run"), *more]) == 0
    assert files(tmp_path / "cpu") == files(tmp_path / "cuda")


@pytest.mark.bits
def test_the_best_are_generated_on_the_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(build("dcgan", tmp_path), Run(tmp_path / "run", **RUN))
    said = []
    for device in ("cpu", "cuda"):
        out = tmp_path / f"{device}.png"
        capsys.readouterr()
        more = ["--candidates", "16", "--keep", "4", "--device", device, "--output", str(out)]
        assert dcgan_example.main(["generate", "--weights-from", str(tmp_path / "run"), *more]) == 0
        said.append(capsys.readouterr().out.replace(device, ""))
    assert said[0] == said[1]
    assert (tmp_path / "cpu.png").read_bytes() == (tmp_path / "cuda.png").read_bytes()


@pytest.mark.bits
def test_the_toy_on_one_page_has_the_same_figures_on_the_device(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for device in ("cpu", "cuda"):
        more = ["--device", device, "--output", str(tmp_path / f"{device}.png"), "--json"]
        assert toy_gaussian.main(["--epochs", "6", "--minibatch", "16", "--samples", "50", *more]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert (tmp_path / "cpu.png").read_bytes() == (tmp_path / "cuda.png").read_bytes()


# --- What cannot be ---------------------------------------------------------------------------------------------------


def no_cupy() -> Any:
    raise DeviceError("device 'cuda' needs CuPy")


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_device_that_cannot_be_used_is_refused_in_one_line_before_any_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(arrays, "use_cupy", no_cupy)
    assert main(["train", HOST[name], "--device", "cuda", "--output", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err == "error: device 'cuda' needs CuPy\n"
    assert not (tmp_path / "run").exists()


def test_every_other_command_refuses_it_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(build("dcgan", tmp_path), Run(tmp_path / "run", **RUN))
    monkeypatch.setattr(arrays, "use_cupy", no_cupy)
    weights, out = tmp_path / "run" / "weights" / "netg.safetensors", ["--output", str(tmp_path / "x.png")]
    capsys.readouterr()
    assert main(["sample", str(tmp_path / "run"), "--device", "cuda", *out]) == 2
    assert main(["sample", str(weights), "--device", "cuda", *out]) == 2
    assert dcgan_example.main(["generate", "--weights-from", str(tmp_path / "run"), "--device", "cuda", *out]) == 2
    assert toy_gaussian.main(["--device", "cuda", *out]) == 2
    assert capsys.readouterr().err == 4 * "error: device 'cuda' needs CuPy\n"


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
    def send(drawn: np.ndarray) -> Any:
        calls.append(drawn)
        if len(calls) > 100:
            raise MemoryError
        return fake_cupy.asarray(drawn)

    calls: list[np.ndarray] = []
    run = ["--output", str(tmp_path / "run"), "--device", "cuda", "--epochs", "90", "--checkpoint-every", "5"]
    with patch.object(toy_system, "sender", lambda device: send):
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
    monkeypatch.setattr(kernels, "_switched_on", kernels_on)
    with pytest.raises(TypeError, match=said):
        call()


@both_codes
@every_system
def test_a_batch_on_the_host_is_refused_by_a_network_on_the_device(
    name: str, kernels_on: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_switched_on", kernels_on)
    host, device = build(name, tmp_path), build(name, tmp_path, device="cuda")
    with pytest.raises(TypeError, match=r"expected all arrays on one device, got .* on 'cpu' and .* on 'cuda'"):
        device.G.network(device.G.params, host.draw_noise())
    with pytest.raises(TypeError, match=r"expected all arrays on one device, got .* on 'cpu' and .* on 'cuda'"):
        value_and_grad(lambda d: primitives.sum(device.D.network(d, host.draw_real())))(device.D.params)


def test_an_error_that_has_nothing_to_do_with_devices_stays_what_it_is() -> None:
    with pytest.raises(ValueError, match="linear: expected x of shape"):
        primitives.linear(x_there, fake_cupy.asarray(np.ones((4, 2), np.float32)))
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        primitives.linear(x_there)
    assert mixed_devices({"x": x, "rate": 0.1, "axis": None, "y": [x, 2.0]}) is None
    assert mixed_devices({"x": x_there, "scale": np.float32(2.0)}) is None


# --- Precision --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SYSTEMS)
def test_tf32_is_off_unless_it_is_asked_for(name: str, tmp_path: Path) -> None:
    for tf32 in (False, True, False):
        build(name, tmp_path, device="cuda", tf32=tf32)
        assert fake_cupy.precision.tf32 == (tf32, tf32)


@pytest.mark.slow
def test_the_other_commands_switch_it_too(tmp_path: Path) -> None:
    train(build("dcgan", tmp_path), Run(tmp_path / "run", **RUN))
    weights, out = tmp_path / "run" / "weights" / "netg.safetensors", ["--output", str(tmp_path / "x.png")]
    toy = ["--epochs", "2", "--minibatch", "4", "--samples", "5", "--json", *out]
    for words, tf32 in ([], False), (["--tf32"], True), (["--no-tf32"], False):
        for command in (
            lambda more: main(["sample", str(tmp_path / "run"), *out, *more]),
            lambda more: main(["sample", str(weights), *out, *more]),
            lambda more: dcgan_example.main(["generate", "--weights-from", str(tmp_path / "run"), *out, *more]),
            lambda more: toy_gaussian.main([*toy, *more]),
        ):
            arrays.set_precision("cuda", not tf32)
            assert command(["--device", "cuda", *words]) == 0
            assert fake_cupy.precision.tf32 == (tf32, tf32)


TF32_ON_THE_HOST = "error: tf32: expected device 'cuda', got 'cpu', which has no TF32\n"


def test_tf32_on_the_host_is_refused_by_name_in_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(build("dcgan", tmp_path), Run(tmp_path / "run", **RUN))
    weights, out = tmp_path / "run" / "weights" / "netg.safetensors", ["--output", str(tmp_path / "x.png")]
    capsys.readouterr()
    for name in SYSTEMS:
        assert main(["train", HOST[name], "--tf32", "--output", str(tmp_path / name)]) == 2
        assert not (tmp_path / name).exists()
    assert main(["sample", str(tmp_path / "run"), "--tf32", *out]) == 2
    assert main(["sample", str(weights), "--tf32", *out]) == 2
    assert dcgan_example.main(["generate", "--weights-from", str(tmp_path / "run"), "--tf32", *out]) == 2
    assert toy_gaussian.main(["--tf32", *out]) == 2
    assert capsys.readouterr().err == (len(SYSTEMS) + 4) * TF32_ON_THE_HOST


def test_a_gpu_without_tf32_and_one_without_cudas_libraries_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(compute_capability="75", cublas_handle=0)
    monkeypatch.setattr(fake_cupy.cuda, "Device", lambda: old)
    with pytest.raises(DeviceError, match=r"^tf32: expected a GPU of compute capability 8\.0 or higher, got 7\.5$"):
        arrays.set_precision("cuda", True)
    arrays.set_precision("cuda", False)

    class Bare:
        Device = staticmethod(lambda: old)

        @property
        def cublas(self) -> Any:
            raise ImportError("no libcublas.so")

    monkeypatch.setattr(fake_cupy, "cuda", Bare())
    with pytest.raises(DeviceError, match=r"needs CUDA's libraries: pip install .*\[ctk\].*no libcublas\.so") as error:
        arrays.set_precision("cuda", False)
    assert "\n" not in str(error.value)


def test_a_run_with_tf32_goes_on_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["--output", str(tmp_path / "run"), "--no-progress", "--batch", "8", "--hidden", "4", "--epochs", "8"]
    assert running.main(toy_system, [*run, "--device", "cuda", "--tf32", "--stop-after", "3"], None, "toy") == 0
    resumed = ["--output", str(tmp_path / "run"), "--no-progress", "--resume"]
    assert running.command.read_command(toy_system, resumed, None, "toy").system.tf32
    capsys.readouterr()
    assert running.main(toy_system, [*resumed, "--device", "cpu"], None, "toy") == 2
    assert capsys.readouterr().err == TF32_ON_THE_HOST
    assert open_run(tmp_path / "run").turn == 3  # to draw, it asks nothing of the run's device or precision
    assert running.main(toy_system, [*resumed, "--device", "cpu", "--no-tf32"], None, "toy") == 0
    assert not json.loads((tmp_path / "run" / "run.json").read_text())["options"]["tf32"]


def test_the_device_of_a_run_is_in_its_options_and_may_be_changed_when_it_resumes(tmp_path: Path) -> None:
    run = ["--output", str(tmp_path / "run"), "--no-progress", "--batch", "8", "--hidden", "4", "--epochs", "8"]
    assert running.main(toy_system, [*run, "--device", "cuda", "--stop-after", "3"], None, "toy") == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["options"]["device"] == "cuda"
    resumed = ["--output", str(tmp_path / "run"), "--no-progress", "--resume"]
    read = running.command.read_command(toy_system, resumed, None, "toy")
    assert read.system.device == "cuda"
    assert running.main(toy_system, [*resumed, "--device", "cpu"], None, "toy") == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["options"]["device"] == "cpu"
