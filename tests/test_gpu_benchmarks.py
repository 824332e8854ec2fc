"""The benchmarks of a GPU, as far as none is needed: what they refuse, what they make of numbers, how contenders step.

Numbers in here are made up.
"""

from __future__ import annotations

import ast
import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from benchmarks import __main__ as command_line
from benchmarks import environment, gpu_profile, harness, layers, report, steps
from benchmarks.contenders.layers_minigan import Plain as PlainLayer
from benchmarks.contenders.steps_minigan import Plain
from benchmarks.crossing import Crossing, crossing, told
from benchmarks.gpu_profile import Kernel, summed
from benchmarks.harness import Case, DisagreementError, Memory, agree, gpu_figures
from benchmarks.layers import Layers, share
from benchmarks.steps import Steps, flop
from benchmarks.worker import timed
from minigan import arrays, kernels
from minigan.arrays import DeviceError
from minigan.kernels.gpu import launch
from tests.emulated_gpu import emulated
from tests.fake_device import FakeArray, fake_cupy, watched

GPU_SUITES = [["steps", "--device", "cuda"], ["layers", "--device", "cuda"], ["crossing"]]


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *map(str, words)])
    command_line.main()


@pytest.fixture
def some_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as the parent asks for one."""
    about = {
        "machine": {"gpu": "Made-up GPU", "gpu_memory_gib": 8.0, "compute_capability": "9.0"},
        "versions": {"cupy": "0", "cuda_driver": "0", "cuda_runtime": "0"},
    }
    monkeypatch.setattr(report, "gpu", lambda: about)


# --- Refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", GPU_SUITES, ids=" ".join)
def test_without_a_gpu_it_says_so_in_one_line_before_any_work(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none() -> Any:
        raise DeviceError("device 'cuda' needs an NVIDIA GPU; CuPy finds none")

    monkeypatch.setattr(environment, "use_cupy", none)
    monkeypatch.setattr(harness, "Worker", None)
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, *words)
    assert end.value.code == "error: device 'cuda' needs an NVIDIA GPU; CuPy finds none"
    assert capsys.readouterr().out == ""


def test_batches_that_do_not_grow_are_refused_by_name(monkeypatch: pytest.MonkeyPatch, some_gpu: None) -> None:
    for batches in (["8", "4"], ["4", "4"], ["0", "4"]):
        with pytest.raises(SystemExit) as end:
            run(monkeypatch, "crossing", "--batches", *batches)
        assert str(end.value.code).startswith("batches: expected numbers from 1 that grow, got (")


def test_every_contender_of_a_gpu_is_a_class_that_exists() -> None:
    settings = (Steps(device="cuda", compile=True), Layers(device="cuda"), Crossing())
    entries = {entry for s in settings for case in s.cases() for entry in case.contenders.values()}
    entries |= set(layers.PEAKS["cuda"].values())
    assert len(entries) == 10 + 8 + 2 + 2
    for entry in entries:
        module, name = entry.split(":")
        source = (harness.ROOT / Path(*module.split("."))).with_suffix(".py").read_text()
        assert name in {node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}, entry


def test_torch_compile_is_left_out_unless_it_is_asked_for() -> None:
    def names(**settings: Any) -> set[str]:
        return {name for name in Steps(device="cuda", **settings).cases()[0].contenders if "compile" in name}

    assert names() == set()
    assert names(compile=True) == {"torch-compile", "torch-compile-tf32"}
    assert names(only=("cupy", "torch-compile")) == {"torch-compile"}


# --- What is made of numbers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "gpu", "expected"),
    [
        ([1, 10, 100], [10, 10, 10], 10.0),  # equal is not faster, but from there on it is
        ([1, 4, 16, 64], [8, 8, 8, 8], 10**1.5),
        ([5, 5, 50], [1, 10, 10], 10 ** (1 + np.log(2) / np.log(10))),  # faster, slower, faster: the last time counts
        ([2, 20, 200], [1, 1, 1], 1.0),
        ([1, 2, 3], [2, 3, 4], None),
        ([9, 2, 3], [1, 1, 4], None),
        ([3], [2], 1.0),
    ],
)
def test_the_crossing_is_where_the_lines_meet_for_the_last_time(
    host: list[float], gpu: list[float], expected: float | None
) -> None:
    found = crossing([10**i for i in range(len(host))], host, gpu)
    assert found == (expected if expected is None else pytest.approx(expected, rel=0.02))


def test_a_crossing_in_words() -> None:
    row = {"batches": [4, 16, 64]}
    assert told({**row, "crossing": None}) == "the host is faster at batch 64 still"
    assert told({**row, "crossing": 23.4}) == "the GPU is faster from batch 23 on"
    assert told({**row, "crossing": 4.0}) == "the GPU is faster from batch 4 on, the smallest that was measured"


def test_a_contender_is_measured_against_the_peak_of_its_precision() -> None:
    rates = {"peak": 1e12, "peak-tf32": 8e12}
    row = {"median_us": 1000.0}  # a GFLOP in a millisecond: 1e12 a second
    assert share(10**9, row, "torch", rates) == 1.0
    assert share(10**9, row, "torch-tf32", rates) == 0.125
    assert share(None, row, "torch", rates) is None


def test_what_is_said_of_a_gpu_is_said_of_contenders_on_one() -> None:
    assert gpu_figures("minigan", Memory(5, 1)) == {}
    assert gpu_figures("cupy-tf32", Memory(5, 1, gpu_pool=3 << 20)) == {
        "tf32": True,
        "peak_gpu_pool_mib": 3.0,
        "peak_gpu_allocated_mib": None,
    }
    assert gpu_figures("torch", Memory(5, 1, 3 << 20, 2 << 20))["peak_gpu_allocated_mib"] == 2.0


class MadeUp:
    """A worker whose answer is the reference's, and a little more."""

    def __init__(self, error: float) -> None:
        self.error = error

    def build(self, arguments: Any) -> None:
        """Nothing."""

    def run(self, steps: int) -> list[float]:
        """So many times 2 milliseconds."""
        return [0.002] * steps

    def answer(self) -> dict[str, np.ndarray]:
        """One number."""
        return {"a": np.array([1.0 + self.error])}


def test_tf32_has_a_tolerance_of_its_own_and_nobody_else_has_it() -> None:
    def agreed(**errors: float) -> dict[str, float]:
        workers: Any = {name.replace("_", "-"): MadeUp(error) for name, error in errors.items()}
        case = Case("a case", {}, {}, "float32", tolerance=1e-4, looser=3e-3)
        return agree(workers, "torch", 1, case)

    assert agreed(torch=0.0, cupy=5e-5, cupy_tf32=2e-3).keys() == {"torch", "cupy", "cupy-tf32"}
    with pytest.raises(DisagreementError, match=r"cupy is 2\.0e-03 away from torch .* the 1\.0e-04 allowed"):
        agreed(torch=0.0, cupy=2e-3)
    with pytest.raises(DisagreementError, match=r"cupy-tf32 is 4\.0e-03 away .* the 3\.0e-03 allowed"):
        agreed(torch=0.0, cupy_tf32=4e-3)


def made_up(microseconds: Mapping[str, Any]) -> Any:
    """In the place of `measure`: a case's results, with these times, each a number or a function of the batch."""

    def measure(case: Case, threads: int, settings: Any) -> dict[str, Any]:
        batch = case.arguments["batch"]
        times = {name: us(batch) if callable(us) else us for name, us in microseconds.items()}
        rows = {}
        for name, us in times.items():
            on_gpu = gpu_figures(name, Memory(0, 0, 64 << 20)) if name != "minigan" else {}
            rows[name] = {
                "median_us": us,
                "quartiles_us": [us, us],
                "ratio": us / next(iter(times.values())),
                "ratio_quartiles": [1.0, 1.0],
                "peak_memory_mib": 1.0,
                "memory_above_libraries_mib": 1.0,
                **on_gpu,
            }
        agreement = {"steps": 2, "distance": "share", "tolerance": 0.2, "tolerance_tf32": case.looser}
        agreement["largest_difference"] = {"a": 0.0}
        about = {"name": case.name, "arguments": dict(case.arguments), "dtype": case.dtype, "device": case.device}
        return about | {
            "threads": threads,
            "reference": next(iter(times)),
            "left_out": {},
            "cores_busy_with_others": 0.0,
            "agreement": agreement,
            "contenders": rows,
        }

    return measure


def test_steps_on_a_gpu_as_a_table_a_file_and_a_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], some_gpu: None
) -> None:
    monkeypatch.setattr(report, "measure", made_up({"torch": 1000.0, "cupy": 2000.0, "cupy-tf32": 1500.0}))
    monkeypatch.setattr(layers, "started_peaks", lambda *_: {"peak": MadeUp(0.0), "peak-tf32": MadeUp(0.0)})
    files = ["--output", tmp_path / "steps.json", "--figure", tmp_path / "steps.png"]
    run(monkeypatch, "steps", "--device", "cuda", "--systems", "mlp", *files)
    said = capsys.readouterr().out
    peak = 2 * 8192**3 / 0.002
    assert f"peak-tf32: {peak / 1e9:.0f} GFLOP/s" in said
    assert "gpu Made-up GPU" in said
    assert "mlp, batch 64, float32, GPU" in said
    assert "(tolerance 2.0e-01, in TF32 5.0e-01)" in said
    (line,) = (line for line in said.splitlines() if line.startswith("  cupy-tf32"))
    assert line.split()[-4:-1] == ["64", "on", f"{100 * flop('mlp', 64) / 0.0015 / peak:.0f}"]
    results = json.loads((tmp_path / "steps.json").read_text())
    assert results["machine"]["gpu"] == "Made-up GPU"
    rows = results["cases"][0]["contenders"]
    assert {name: row["tf32"] for name, row in rows.items()} == {"torch": False, "cupy": False, "cupy-tf32": True}
    assert rows["cupy"]["share_of_peak"] == pytest.approx(flop("mlp", 64) / 0.002 / peak, abs=1e-4)
    assert (tmp_path / "steps.png").stat().st_size > 10_000


def test_host_and_gpu_beside_each_other_as_a_table_a_file_and_a_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], some_gpu: None
) -> None:
    times = {"minigan": lambda n: 100.0 * n, "cupy": 3000.0, "torch": 10.0, "torch-cuda": 400.0}
    monkeypatch.setattr(report, "measure", made_up(times))
    files = ["--output", tmp_path / "crossing.json", "--figure", tmp_path / "crossing.png"]
    run(monkeypatch, "crossing", "--systems", "mlp", "dcgan", *files)
    said = capsys.readouterr().out
    assert "dcgan, batch 16, float32, 2 threads and GPU" in said
    assert "(tolerance 2.0e-01)" in said
    assert "mlp, minigan, 2 threads against the GPU: the GPU is faster from batch 30 on\n" in said
    assert "dcgan, torch, 2 threads against the GPU: the host is faster at batch 256 still\n" in said
    rows = json.loads((tmp_path / "crossing.json").read_text())["crossings"]
    assert [(row["system"], row["library"], row["crossing"]) for row in rows] == [
        ("mlp", "minigan", 30.0),
        ("mlp", "torch", None),
        ("dcgan", "minigan", 30.0),
        ("dcgan", "torch", None),
    ]
    assert (tmp_path / "crossing.png").stat().st_size > 10_000


# --- Contenders -------------------------------------------------------------------------------------------------------


def test_a_contender_with_a_clock_is_timed_by_it() -> None:
    class Clock:
        def __init__(self) -> None:
            self.marked: list[int] = []

        def mark(self) -> None:
            self.marked.append(len(done))

        def seconds(self) -> list[float]:
            return [float(n) for n in self.marked]

    done: list[int] = []
    contender: Any = SimpleNamespace(clock=Clock, step=done.append)
    assert timed(contender, 7, 3) == [0.0, 1.0, 2.0, 3.0]  # before the first step, and after each
    assert done == [7, 8, 9]
    del contender.clock
    assert len(timed(contender, 0, 3)) == 3


@pytest.fixture
def contenders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function that imports a module of contenders anew: as if CuPy were the fake device, and PyTorch found a GPU."""
    before = set(sys.modules)
    cuda = SimpleNamespace(**vars(fake_cupy.cuda), get_elapsed_time=lambda a, b: 3.0)
    monkeypatch.setattr(fake_cupy, "cuda", cuda)
    monkeypatch.setattr(
        fake_cupy, "get_default_memory_pool", lambda: SimpleNamespace(total_bytes=lambda: 1 << 20), raising=False
    )
    monkeypatch.setattr(arrays, "use_cupy", lambda: fake_cupy)
    yield lambda name: importlib.import_module(f"benchmarks.contenders.{name}")
    for name in set(sys.modules) - before:
        if name.startswith("benchmarks.contenders."):
            del sys.modules[name]


@pytest.mark.bits
@pytest.mark.parametrize("name", ["Cupy", "Tf32"])
def test_steps_on_cupy_give_the_numbers_of_the_plain_code_and_do_not_wait(name: str, contenders: Any) -> None:
    arguments: Any = {"system": "conv28", "batch": 2}
    ours, theirs = getattr(contenders("steps_cupy"), name)(**arguments), Plain(**arguments)
    assert fake_cupy.precision.tf32 == (name == "Tf32", name == "Tf32")
    for index in range(2):
        theirs.step(index)
    with watched() as traffic, kernels.plain():  # as theirs: kernels hold BLAS to one thread
        for index in range(2):
            ours.step(index)
    assert (traffic.syncs, traffic.host_copies) == (0, 0)
    assert type(ours.g.params.flat) is FakeArray
    answer, expected = ours.answer(), theirs.answer()
    assert answer.keys() == expected.keys()
    for key, a in expected.items():
        np.testing.assert_array_equal(answer[key], a, err_msg=key)
    assert timed(ours, 2, 2) == [0.003, 0.003]
    assert ours.device_memory() == {"gpu_pool": 1 << 20}


@pytest.mark.parametrize("name", ["Kernels", "KernelsTf32"])
def test_contenders_of_the_kernels_run_through_them(name: str, contenders: Any) -> None:
    arguments: Any = {"system": "conv28", "batch": 2}
    layer: Any = {"batch": 2, **layers.LAYERS["conv28"][4]._asdict(), "operation": "input"}
    with emulated(), patch("minigan.kernels.gpu.launch._compiled", wraps=launch._compiled) as launched:
        step = getattr(contenders("steps_cupy"), name)(**arguments)
        step.step(0)
        started = {call.args[1] for call in launched.call_args_list}
        launched.reset_mock()
        one = getattr(contenders("layers_cupy"), name)(**layer)
        one.step(0)
    assert fake_cupy.precision.tf32 == (name == "KernelsTf32", name == "KernelsTf32")
    assert {"im2col", "col2im", "batch_norm_backward", "adam"} <= started
    assert {call.args[1] for call in launched.call_args_list} >= {"im2col", "col2im"}
    theirs = PlainLayer(**layer)
    theirs.step(0)
    expected = theirs.answer()["result"]
    np.testing.assert_allclose(one.answer()["result"], expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.bits
@pytest.mark.parametrize(
    ("layer", "operation"),
    [
        pytest.param(layer, operation, id=f"{layer.name}, {operation}")
        for layer in (layers.LAYERS["conv28"][i] for i in (0, 1, 4, 8))
        for operation in layer.operations
    ],
)
def test_layers_on_cupy_give_the_numbers_of_the_plain_code(
    layer: layers.Layer, operation: str, contenders: Any
) -> None:
    arguments: Any = {"batch": 2, **layer._asdict(), "operation": operation}
    ours, theirs = contenders("layers_cupy").Cupy(**arguments), PlainLayer(**arguments)
    for contender in (ours, theirs):
        contender.step(0)
    assert type(ours.result) is FakeArray
    np.testing.assert_array_equal(ours.answer()["result"], theirs.answer()["result"])


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: on two the same products were once seen to give other bits."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.needs("torch")
@pytest.mark.parametrize("name", ["Cuda", "Tf32", "CudaTuned", "TunedTf32"])
def test_steps_of_pytorch_on_a_gpu_are_those_on_the_host_but_for_the_precision(
    name: str, contenders: Any, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    before = torch.backends.fp32_precision
    on_gpu, on_host = getattr(contenders("steps_torch_cuda"), name), contenders("steps_torch")
    monkeypatch.setattr(on_gpu, "device", "cpu")
    arguments: Any = {"system": "mlp", "batch": 3}
    try:
        ours = on_gpu(**arguments)
        assert torch.backends.cuda.matmul.fp32_precision == ("tf32" if name.endswith("Tf32") else "ieee")
        assert torch.backends.cudnn.conv.fp32_precision == ("tf32" if name.endswith("Tf32") else "ieee")
        assert torch.backends.cudnn.benchmark
    finally:
        torch.backends.fp32_precision = before
    theirs = (on_host.Tuned if "Tuned" in name else on_host.Torch)(**arguments)
    for contender in (ours, theirs):
        contender.step(0)
    for key, a in theirs.answer().items():
        np.testing.assert_array_equal(ours.answer()[key], a, err_msg=key)


@pytest.mark.needs("torch")
@pytest.mark.parametrize("system", ["mlp", "conv28", "dcgan"])
def test_a_step_has_as_many_operations_as_pytorch_counts(system: layers.System) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.contenders.steps_torch import Tuned

    contender = Tuned(system, batch=2)
    with FlopCounterMode(display=False) as counted:
        contender.step(0)
    assert flop(system, 2) == pytest.approx(counted.get_total_flops(), rel=0.01)  # it leaves layers with one output out


# --- The profile ------------------------------------------------------------------------------------------------------


def test_launches_gaps_and_each_kernels_part() -> None:
    ran = [("a", 10.0, 20.0), ("copy", 15.0, 18.0), ("b", 19.0, 30.0), ("a", 40.0, 41.0)]  # on two streams
    assert summed([Kernel(*kernel) for kernel in ran[::-1]]) == {
        "launches": 4,
        "span_us": 31.0,
        "busy_us": 21.0,
        "gaps_us": 10.0,
        "rows": [
            {"name": "a", "calls": 2, "us": 11.0},
            {"name": "b", "calls": 1, "us": 11.0},
            {"name": "copy", "calls": 1, "us": 3.0},
        ],
    }
    assert summed([]) == {"launches": 0, "span_us": 0.0, "busy_us": 0.0, "gaps_us": 0.0, "rows": []}


def test_waits_are_counted_and_still_done() -> None:
    class Base:
        done = 0

        def synchronize(self) -> None:
            self.done += 1

    class Stream(Base):
        pass

    class Event(Base):
        pass

    cupy = SimpleNamespace(cuda=SimpleNamespace(Stream=Stream, Event=Event))
    stream, event = Stream(), Event()
    with gpu_profile.waits_counted(cupy) as counts:
        for a in (stream, event, stream):
            a.synchronize()
    stream.synchronize()
    assert counts == {"stream": 2, "event": 1}
    assert (stream.done, event.done) == (3, 1)


def test_a_profile_as_text_and_a_file(
    tmp_path: Path, contenders: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    about = {"machine": {"gpu": "Made-up GPU"}, "versions": {"cupy": "0"}}
    monkeypatch.setattr(gpu_profile, "gpu", lambda: about)
    idle = SimpleNamespace(**vars(fake_cupy.cuda.Device()), synchronize=lambda: None)
    monkeypatch.setattr(fake_cupy.cuda, "Device", lambda: idle)
    wanted = gpu_profile.Profile("mlp", batch=2, steps=2, output=tmp_path / "profile.json")
    gpu_profile.main(wanted)
    said = capsys.readouterr().out
    assert "mlp, batch 2, float32, TF32 off, plain code\n  a step takes 3000 us, and Python " in said
    assert "in one step the host waits 0 times for a stream, 0 times for an event" in said
    assert said.endswith("no kernels: there is no PyTorch that finds this GPU\n")
    monkeypatch.setattr(gpu_profile, "kernels_of", lambda work: [Kernel("gemm", 0.0, 30.0), Kernel("relu", 40.0, 50.0)])
    with emulated():
        gpu_profile.main(replace(wanted, tf32=True, own_kernels=True, top=1))
    said = capsys.readouterr().out
    assert "TF32 on, minigan's kernels" in said
    assert said.endswith("2 launches in 50 us: busy 40, gaps 10\n\n          us   share  calls  kernel\n" + LINE)
    results = json.loads((tmp_path / "profile.json").read_text())
    assert (results["tf32"], results["kernels"]["gaps_us"]) == (True, 10.0)


LINE = "          30   75.0%      1  gemm\n"


@pytest.mark.parametrize("name", ["batch", "steps", "top"])
def test_a_profile_of_nothing_is_refused_by_name(name: str) -> None:
    with pytest.raises(SystemExit, match=f"^{name}: expected at least 1, got 0$"):
        gpu_profile.main(replace(gpu_profile.Profile(), **{name: 0}))


def test_a_profile_without_a_gpu_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Any:
        raise DeviceError("device 'cuda' needs an NVIDIA GPU; CuPy finds none")

    monkeypatch.setattr(environment, "use_cupy", none)
    with pytest.raises(SystemExit, match=r"^error: device 'cuda' needs an NVIDIA GPU; CuPy finds none$"):
        gpu_profile.main(gpu_profile.Profile())


def test_steps_names_a_turn_on_the_gpu_for_each_of_its_systems() -> None:
    assert steps.GPU_TURNS.keys() == steps.SYSTEMS.keys()
