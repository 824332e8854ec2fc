"""The benchmarks of a GPU, as far as none is needed: what they refuse, what they make of numbers, how contenders step.

Numbers in here are made up.
"""

from __future__ import annotations

import ast
import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import __main__ as command_line
from benchmarks import environment, harness, report, steps
from benchmarks.contenders.steps_minigan import Plain
from benchmarks.harness import Case, Memory, gpu_figures
from benchmarks.steps import Steps
from benchmarks.worker import timed
from minigan import devices
from minigan.devices import DeviceError
from tests.devices.fake_device import FakeArray, fake_cupy, watched


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


def test_without_a_gpu_it_says_so_in_one_line_before_any_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none() -> Any:
        raise DeviceError("device 'cuda' needs an NVIDIA GPU; CuPy finds none")

    monkeypatch.setattr(environment, "use_cupy", none)
    monkeypatch.setattr(harness, "Worker", None)
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, "steps", "--device", "cuda")
    assert end.value.code == "error: device 'cuda' needs an NVIDIA GPU; CuPy finds none"
    assert capsys.readouterr().out == ""


def test_every_contender_of_a_gpu_is_a_class_that_exists() -> None:
    entries = {entry for case in Steps(device="cuda", compile=True).cases() for entry in case.contenders.values()}
    assert len(entries) == 4
    for entry in entries:
        module, name = entry.split(":")
        source = (harness.ROOT / Path(*module.split("."))).with_suffix(".py").read_text()
        assert name in {node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}, entry


def test_torch_compile_is_left_out_unless_it_is_asked_for() -> None:
    def names(**settings: Any) -> set[str]:
        return {name for name in Steps(device="cuda", **settings).cases()[0].contenders if "compile" in name}

    assert names() == set()
    assert names(compile=True) == {"torch-compile"}
    assert names(only=("cupy", "torch-compile")) == {"torch-compile"}


# --- What is made of numbers ------------------------------------------------------------------------------------------


def test_what_is_said_of_a_gpu_is_said_of_contenders_on_one() -> None:
    assert gpu_figures(Memory(5, 1)) == {}
    assert gpu_figures(Memory(5, 1, gpu_pool=3 << 20)) == {"peak_gpu_pool_mib": 3.0, "peak_gpu_allocated_mib": None}
    assert gpu_figures(Memory(5, 1, 3 << 20, 2 << 20))["peak_gpu_allocated_mib"] == 2.0


def made_up(microseconds: Mapping[str, float]) -> Any:
    """In the place of `measure`: a case's results, with these times."""

    def measure(case: Case, threads: int, settings: Any) -> dict[str, Any]:
        rows = {
            name: {
                "median_us": us,
                "quartiles_us": [us, us],
                "ratio": us / next(iter(microseconds.values())),
                "ratio_quartiles": [1.0, 1.0],
                "peak_memory_mib": 1.0,
                "memory_above_libraries_mib": 1.0,
                **gpu_figures(Memory(0, 0, 64 << 20)),
            }
            for name, us in microseconds.items()
        }
        agreement = {"steps": 2, "distance": "share", "tolerance": 0.2, "largest_difference": {"a": 0.0}}
        about = {"name": case.name, "arguments": dict(case.arguments), "dtype": case.dtype, "device": case.device}
        return about | {
            "threads": threads,
            "reference": next(iter(microseconds)),
            "left_out": {},
            "cores_busy_with_others": 0.0,
            "agreement": agreement,
            "contenders": rows,
        }

    return measure


def test_steps_on_a_gpu_as_a_table_a_file_and_a_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], some_gpu: None
) -> None:
    monkeypatch.setattr(report, "measure", made_up({"torch": 1000.0, "cupy": 2000.0}))
    files = ["--output", tmp_path / "steps.json", "--figure", tmp_path / "steps.png"]
    run(monkeypatch, "steps", "--device", "cuda", "--systems", "mlp", *files)
    said = capsys.readouterr().out
    assert "gpu Made-up GPU" in said
    assert "mlp, batch 64, float32, GPU" in said
    (head,) = (line for line in said.splitlines() if line.endswith("on GPU"))
    (line,) = (line for line in said.splitlines() if line.startswith("  cupy"))
    assert line.endswith("64")
    assert len(line) == len(head)
    results = json.loads((tmp_path / "steps.json").read_text())
    assert results["machine"]["gpu"] == "Made-up GPU"
    assert results["cases"][0]["contenders"]["cupy"]["peak_gpu_pool_mib"] == 64.0
    assert (tmp_path / "steps.png").stat().st_size > 10_000


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
    monkeypatch.setattr(devices, "use_cupy", lambda: fake_cupy)
    yield lambda name: importlib.import_module(f"benchmarks.contenders.{name}")
    for name in set(sys.modules) - before:
        if name.startswith("benchmarks.contenders."):
            del sys.modules[name]


@pytest.mark.bits
def test_steps_on_cupy_give_the_numbers_of_the_plain_code_and_do_not_wait(contenders: Any) -> None:
    arguments: Any = {"system": "conv28", "batch": 2}
    ours, theirs = contenders("steps_cupy").Cupy(**arguments), Plain(**arguments)
    for index in range(2):
        theirs.step(index)
    with watched() as traffic:  # kernels are switched on, and nothing of them is felt here: BLAS keeps its threads too
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


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: on two the same products were once seen to give other bits."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.needs("torch")
@pytest.mark.parametrize("name", ["Cuda", "CudaTuned"])
def test_steps_of_pytorch_on_a_gpu_are_those_on_the_host_in_float32(
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
        assert torch.backends.cuda.matmul.fp32_precision == "ieee"
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
        assert torch.backends.cudnn.benchmark
    finally:
        torch.backends.fp32_precision = before
    theirs = (on_host.Tuned if "Tuned" in name else on_host.Torch)(**arguments)
    for contender in (ours, theirs):
        contender.step(0)
    for key, a in theirs.answer().items():
        np.testing.assert_array_equal(ours.answer()[key], a, err_msg=key)


def test_cupy_multiplies_in_float32_whatever_the_environment_says() -> None:
    assert {case.environment["cupy"]["CUPY_TF32"] for case in Steps(device="cuda").cases()} == {"0"}


def test_steps_names_a_turn_on_the_gpu_for_each_of_its_systems() -> None:
    assert steps.GPU_TURNS.keys() == steps.GANS.keys()
