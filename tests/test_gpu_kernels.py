"""The kernels for arrays on a GPU equal the plain code: emulated on the CPU here, and on the device where there is one.

    python -m pytest -m gpu -rs tests/test_gpu.py tests/test_gpu_kernels.py

The emulation compiles the CUDA source for the CPU (emulated_gpu.py), so it holds formulas, indices, grids, tiles and
the order of arguments. Errors are relative to the largest number: 1e-12 in float64, 2e-5 in float32.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minigan import arrays, kernels, value_and_grad
from minigan import primitives as P  # noqa: N812  formulas are full of it
from minigan.arrays import DeviceError, to_device, to_host, use_cupy
from minigan.kernels.gpu import convolution as gpu_convolution
from minigan.kernels.gpu import launch
from minigan.optimizers import Adam
from minigan.parameters import Parameters
from minigan.primitives.convolution import Window, conv2d_input_grad, conv2d_product, conv2d_weight_grad
from minigan.primitives.linear import linear_activation
from minigan.primitives.normalization import batch_norm
from minigan.primitives.pooling import _pick, _spread, _taps
from tests import emulated_gpu
from tests.fake_device import FakeArray, Traffic, fake_cupy, watched
from tests.gradient_table import CASES, Case, derivatives, drawn
from tests.memory import DTYPES, MEMORIES, array, examples, pairs
from tests.small_systems import build, every_system, numbers
from tests.test_device import Counted
from tests.test_kernels import ACTIVATIONS, SPECIAL
from tests.trajectories import distance

KERNELS = re.findall(r"^KERNEL (\w+)\(", launch.SOURCE, re.MULTILINE)
windows = st.builds(Window, stride=pairs(1, 4), padding=pairs(0, 3), dilation=pairs(1, 3))


EMULATED = ["emulated", "emulated, wide"]
emulated_only = pytest.mark.parametrize("device", EMULATED, indirect=True)  # test_gpu.py has the like for the device


class Device(NamedTuple):
    """Where kernels run: how arrays get there, and the names of the kernels that were launched."""

    move: Callable[[Any], Any]
    launched: list[str]


@pytest.fixture(params=[*EMULATED, *(pytest.param(name, marks=pytest.mark.gpu) for name in ("cuda", "cuda, wide"))])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """Kernels are on, with few blocks, so that a thread takes several elements, and few images a tile."""
    launched: list[str] = []
    compiled = launch._compiled
    monkeypatch.setattr(launch, "_compiled", lambda xp, name, *of: launched.append(name) or compiled(xp, name, *of))
    monkeypatch.setattr(launch, "_BLOCKS", 2)
    monkeypatch.setattr(launch, "_WIDE", 0 if "wide" in request.param else 1 << 30)
    monkeypatch.setattr(gpu_convolution, "_SCRATCH", 5000)
    if request.param in EMULATED:
        with emulated_gpu.emulated(), kernels.on_gpu():
            yield Device(emulated_gpu.on_device, launched)
    else:
        try:
            use_cupy()
        except DeviceError as error:
            pytest.skip(str(error))
        with kernels.on_gpu():
            yield Device(lambda x: to_device(x, "cuda"), launched)


def assert_close(found: Any, expected: np.ndarray, dtype: Any) -> None:
    """Relative to the largest number, and to 1 where all are small: they are sums of numbers of that size."""
    found = to_host(found)
    assert (found.shape, found.dtype) == (expected.shape, dtype)
    tolerance = 1e-12 if dtype == np.float64 else 2e-5
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=tolerance * max(1.0, np.abs(expected).max(initial=0.0)))


def assert_twins(device: Device, call: Callable[..., Any], *inputs: Any) -> None:
    """call(*inputs) and its gradients on the device are those of the plain code in float64. Inputs are host arrays."""
    dtype = inputs[0].dtype

    def everything(moved: list[Any], u: Any) -> list[Any]:
        named = {str(i): a for i, a in enumerate(moved)}
        (_, y), gradients = value_and_grad(lambda p: ((P.sum((y := call(*p.values())) * u)), y), has_aux=True)(named)
        return [y, *gradients.values()]

    with kernels.plain():
        exact = [a.astype(np.float64) for a in inputs]
        u = np.random.default_rng(1).normal(size=call(*exact).shape).astype(dtype)
        expected = everything(exact, u.astype(np.float64))
    for a, b in zip(everything([device.move(a) for a in inputs], device.move(u)), expected, strict=True):
        assert_close(a, b, dtype)


# Every primitive


@emulated_only
@pytest.mark.parametrize("case", CASES, ids=repr)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_primitive_and_both_its_derivatives_equal_the_plain_code(device: Device, case: Case, dtype: Any) -> None:
    inputs, u, v = drawn(case, dtype)
    move = device.move
    found = derivatives(case, tuple(map(move, inputs)), move(u), tuple(map(move, v)))
    with kernels.plain():
        expected = derivatives(case, inputs, u, v)
    for a, b in zip((found.y, *found.first, *found.second), (expected.y, *expected[1], *expected[2]), strict=True):
        assert_close(a, b, dtype)


def test_every_kernel_is_launched_by_a_row_of_the_table_or_adam(device: Device) -> None:
    for case in CASES:
        inputs, u, v = drawn(case)
        derivatives(case, tuple(map(device.move, inputs)), device.move(u), tuple(map(device.move, v)))
    assert set(KERNELS) - set(device.launched) == {"adam"}


# Shapes and layouts


@given(
    N=st.integers(0, 5),
    C=st.integers(1, 4),
    O=st.integers(1, 4),
    size=pairs(1, 9),
    kernel=pairs(1, 4),
    w=windows,
    biased=st.booleans(),
    transposed=st.booleans(),
    dtype=DTYPES,
    memory=MEMORIES,
)
@examples(60)
def test_convolutions_of_any_shape_and_layout(
    device: Device,
    N: int,
    C: int,
    O: int,
    size: Any,
    kernel: Any,
    w: Window,
    biased: bool,
    transposed: bool,
    dtype: Any,
    memory: str,
) -> None:
    rng = np.random.default_rng(0)
    x, weight, bias = (array(rng, s, dtype, memory) for s in [(N, C, *size), (O, C, *kernel), (O,)])
    if transposed:
        assume(min((n - 1) * s - 2 * p + d * (k - 1) for n, k, s, p, d in zip(size, kernel, *w, strict=True)) >= 0)
        op, weight = P.conv_transpose2d, weight.swapaxes(0, 1)
    else:
        assume(min(w.places(size, kernel)) >= 1)
        op = P.conv2d
    assert_twins(device, lambda *a: op(*a, **w._asdict()), x, weight, *([bias] if biased else []))


@pytest.mark.parametrize("smaller", [0, 1])
def test_a_face_on_an_image_larger_than_its_places_need(device: Device, smaller: int) -> None:
    rng, w = np.random.default_rng(0), Window((2, 3), (2, 1), (1, 2))
    size, kernel = (7, 11), (3, 2)
    places = tuple(n - smaller for n in w.places(size, kernel))
    x, weight, dy = (rng.normal(size=s) for s in [(3, 2, *size), (4, 2, *kernel), (3, 4, *places)])
    assert_twins(device, lambda x, weight: conv2d_product(x, weight, w, places), x, weight)
    assert_twins(device, lambda dy, weight: conv2d_input_grad(dy, weight, w, size), dy, weight)
    assert_twins(device, lambda x, dy: conv2d_weight_grad(x, dy, w, kernel), x, dy)


@pytest.mark.parametrize(("images", "tiles"), [(1, 7), (2, 4), (7, 1)])
def test_scratch_memory_is_bounded_by_tiles(
    device: Device, images: int, tiles: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    x, weight, dy = (device.move(rng.normal(size=s)) for s in [(7, 2, 6, 6), (3, 2, 3, 3), (7, 3, 4, 4)])
    image = (2 * 3 * 3 + 3) * 4 * 4 * 8  # bytes: the columns and the other matrix
    w = Window((1, 1), (0, 0), (1, 1))
    for limit in (images * image, (images + 1) * image - 1):
        monkeypatch.setattr(gpu_convolution, "_SCRATCH", limit)
        for face, an_image in [
            (lambda: conv2d_product(x, weight, w, (4, 4)), ["im2col", "bias_activation"]),
            (lambda: conv2d_input_grad(dy, weight, w, (6, 6)), ["im2col", "col2im"]),
            (lambda: conv2d_weight_grad(x, dy, w, (3, 3)), ["im2col", "im2col"]),
        ]:
            device.launched.clear()
            face()
            assert device.launched == tiles * an_image
    assert image > 100
    monkeypatch.setattr(gpu_convolution, "_SCRATCH", 100)  # not even one image
    assert_close(conv2d_product(x, weight, w, (4, 4)), conv2d_product(to_host(x), to_host(weight), w, (4, 4)), float)


@emulated_only
def test_no_more_memory_is_held_than_the_result_and_one_tiles(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, w = np.random.default_rng(0), Window((1, 1), (1, 1), (1, 1))
    x, weight, dy = (device.move(rng.normal(size=s)) for s in [(40, 8, 16, 16), (24, 8, 3, 3), (40, 24, 16, 16)])
    image = (8 * 3 * 3 + 24) * 16 * 16 * 8  # bytes of scratch
    monkeypatch.setattr(gpu_convolution, "_SCRATCH", 10 * image)
    faces = {
        "product": lambda: conv2d_product(x, weight, w, (16, 16)),
        "input_grad": lambda: conv2d_input_grad(dy, weight, w, (16, 16)),
        "weight_grad": lambda: conv2d_weight_grad(x, dy, w, (3, 3)),
    }
    for name, face in faces.items():
        face()  # compiled now
        tracemalloc.start()
        result = face()
        peak = tracemalloc.get_traced_memory()[1] - result.nbytes
        tracemalloc.stop()
        assert 9 * image < peak < 10.5 * image, name


@given(
    N=st.integers(0, 3),
    C=st.integers(1, 3),
    size=pairs(1, 8),
    kernel=pairs(1, 4),
    stride=pairs(1, 4),
    padding=pairs(0, 2),
    values=st.sampled_from(["distinct", "ties", "nan and infinity"]),
    dtype=DTYPES,
    memory=MEMORIES,
)
@examples(60)
def test_max_pooling_picks_the_same_numbers(
    device: Device,
    N: int,
    C: int,
    size: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    values: str,
    dtype: Any,
    memory: str,
) -> None:
    assume(all(2 * p <= k <= n + 2 * p for p, k, n in zip(padding, kernel, size, strict=True)))
    rng, window = np.random.default_rng(0), Window(stride, padding, (1, 1))
    places = window.places(size, kernel)
    x, dy = array(rng, (N, C, *size), dtype, memory), array(rng, (N, C, *places), dtype, memory)
    if values == "ties":
        x = np.round(x)
    if values == "nan and infinity":
        x = rng.choice(np.array([np.nan, np.inf, -np.inf, 1.0, 0.0], dtype), x.shape)
    taps = _taps(device.move(x), kernel, window, places)
    with kernels.plain():
        expected = _taps(x, kernel, window, places)
        there, back = _pick(x, expected, kernel, window, places), _spread(dy, expected, kernel, window, size)
    np.testing.assert_array_equal(to_host(taps), expected)
    np.testing.assert_array_equal(to_host(_pick(device.move(x), taps, kernel, window, places)), there)
    in_64_bits = device.move(expected)  # as the plain code would hand them over
    for counted in (taps, in_64_bits):
        assert_close(_spread(device.move(dy), counted, kernel, window, size), back, dtype)


@given(
    shape=st.one_of(
        st.tuples(st.integers(2, 40), st.integers(1, 9)),
        st.tuples(st.integers(2, 5), st.integers(1, 9), st.integers(1, 6), st.integers(1, 6)),
    ),
    activation=st.sampled_from([None, *ACTIVATIONS]),
    dtype=DTYPES,
    memory=MEMORIES,
)
@examples(60)
def test_batch_norm_of_any_shape_and_layout(
    device: Device, shape: tuple[int, ...], activation: str | None, dtype: Any, memory: str
) -> None:
    rng, f = np.random.default_rng(0), ACTIVATIONS.get(activation or "")
    x, weight, bias = (array(rng, s, dtype, memory) for s in [shape, shape[1:2], shape[1:2]])
    assume(np.prod(shape) / shape[1] > 3)  # the variance of two numbers that are nearly equal is ill-conditioned
    if f is not None and dtype == np.float32:  # a number may fall on either side of a kink
        with kernels.plain():
            assume(np.abs(batch_norm(x, weight, bias, None, None)).min() > 1e-4)
    assert_twins(device, lambda *a: batch_norm(*a, None, None, activation=f), x, weight, bias)


# Activations


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("memory", ["first", "strided", "reversed"])
def test_a_fully_connected_layer_with_an_activation(device: Device, name: str, dtype: Any, memory: str) -> None:
    rng = np.random.default_rng(0)
    x, weight, bias = (array(rng, s, dtype, memory) for s in [(6, 5), (7, 5), (7,)])
    assert_twins(device, lambda *a: linear_activation(*a, ACTIVATIONS[name]), x, weight, bias)
    assert_twins(device, lambda *a: linear_activation(*a, None, ACTIVATIONS[name]), x, weight)
    assert {"bias_activation", "times_slope"} <= set(device.launched)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_nan_infinity_and_extremes_come_out_as_in_the_plain_code(device: Device, name: str, dtype: Any) -> None:
    x, one = np.array(SPECIAL, dtype)[:, None], np.ones((1, 1), dtype)
    for u in (1.0, -2.0, 0.0, np.inf, np.nan):

        def both(x: Any, weight: Any, u: Any) -> tuple[Any, Any]:
            (_, y), dx = value_and_grad(
                lambda x: (P.sum((y := linear_activation(x, weight, None, ACTIVATIONS[name])) * u), y), has_aux=True
            )(x)
            return y, dx

        with np.errstate(all="ignore"), kernels.plain():
            expected = both(x, one, np.full_like(x, u))
        with np.errstate(all="ignore"):
            found = both(device.move(x), device.move(one), device.move(np.full_like(x, u)))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(to_host(a), b, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("target", [0.0, 1, 0.3, None], ids=["0", "1", "0.3", "an array"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_cross_entropy_of_extremes_is_the_plain_codes(device: Device, target: Any, reduction: Any, dtype: Any) -> None:
    finite = [number for number in SPECIAL if np.abs(number) < 1e3]
    for values in (finite, SPECIAL):
        x = np.array(values, dtype)
        t = np.linspace(0.0, 1.0, len(x)).astype(dtype) if target is None else target

        def both(x: Any, t: Any) -> tuple[Any, Any]:
            (_, y), dx = value_and_grad(
                lambda x: (P.sum(y := P.binary_cross_entropy_with_logits(x, t, reduction)), y), has_aux=True
            )(x)
            return y, dx

        with np.errstate(all="ignore"):
            found = both(device.move(x), device.move(t) if target is None else t)
            with kernels.plain():
                expected = both(x, t)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(to_host(a), b, rtol=1e-6, atol=0.0)
    assert {"bce_with_logits", "bce_with_logits_slope"} <= set(device.launched)


# Adam


@pytest.mark.parametrize("pieces", [1, 2, 15, 16, 17, 40])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("settings", [{}, {"betas": (0, 0.5), "eps": 1, "lr": 1}, {"weight_decay": 0.1}], ids=str)
def test_adam_takes_any_number_of_pieces_in_any_layout(device: Device, pieces: int, dtype: Any, settings: Any) -> None:
    rng = np.random.default_rng(0)
    shapes = {f"{k}": (int(rng.integers(0, 9)), int(rng.integers(1, 60))) for k in range(pieces)}
    shapes[f"{pieces - 1}"] = (7, 50)  # so that no launch has nothing to move
    start = {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}
    ours, theirs = Parameters({k: device.move(a) for k, a in start.items()}), Parameters(start)
    adams = Adam(ours, **settings), Adam(theirs, **settings)
    for step in range(3):
        gradient = {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}
        turned = {name: device.move(g.T.copy()).T for name, g in gradient.items()}  # not contiguous
        adams[0].step(turned if step else {name: device.move(g) for name, g in gradient.items()})
        with kernels.plain():
            adams[1].step(gradient)
    assert_close(ours.flat, theirs.flat, dtype)
    assert_close(adams[0].exp_avg, adams[1].exp_avg, dtype)
    assert_close(adams[0].exp_avg_sq, adams[1].exp_avg_sq, dtype)
    launches = 1 if "weight_decay" in settings else -(-pieces // 16)
    assert device.launched == 3 * launches * ["adam"]


# Whole steps, and the switch


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The device 'cuda' is the fake one, with kernels."""
    monkeypatch.setattr(arrays, "use_cupy", lambda: fake_cupy)
    with emulated_gpu.emulated(), kernels.on_gpu():
        yield


@every_system
@pytest.mark.usefixtures("cuda")
def test_turns_end_near_the_plain_codes_and_never_wait(name: str, tmp_path: Path) -> None:
    expected, system = build(name, tmp_path), build(name, tmp_path, device="cuda")
    real, noise = Counted(system.draw_real), Counted(system.draw_noise)
    with watched() as traffic:
        for _ in islice(system._replace(draw_real=real, draw_noise=noise).turns(), 5):
            pass
    assert traffic == Traffic(syncs=0, host_copies=real.calls + noise.calls)
    with kernels.plain():
        for _ in islice(expected.turns(), 5):
            pass
    theirs = numbers(expected)
    for key, a in numbers(system).items():
        assert type(a) is FakeArray, key
        assert distance(a.get().astype(np.float64), theirs[key].astype(np.float64)) < 2e-3, key


def _asked_for() -> bool:
    """Whether a pair of arrays on the device would go through kernels."""
    x = fake_cupy.asarray(np.ones(2))
    return kernels.takes_gpu(x, x)


def test_kernels_are_off_until_they_are_asked_for_and_plain_comes_first() -> None:
    assert not _asked_for()
    with kernels.on_gpu():
        assert _asked_for()
        with kernels.plain():
            assert not _asked_for()
        assert _asked_for()
    with kernels.plain(), kernels.on_gpu():
        assert not _asked_for()
    with pytest.raises(ZeroDivisionError), kernels.on_gpu():
        _ = 1 / 0
    assert not _asked_for()


@pytest.mark.parametrize(("value", "on"), [("1", True), ("0", False), (None, False)])
def test_the_environment_asks_for_kernels(value: str | None, on: bool) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "MINIGAN_CUPY_KERNELS"}
    environment |= {} if value is None else {"MINIGAN_CUPY_KERNELS": value}
    code = "from tests import test_gpu_kernels as t; print(t._asked_for())"
    root = Path(__file__).parent.parent
    said = subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, check=True, capture_output=True)
    assert said.stdout.decode().strip() == str(on)


def test_kernels_take_arrays_of_the_device_of_one_float_dtype_that_are_not_traced() -> None:
    x, seen = fake_cupy.asarray(np.ones(2)), []
    with kernels.on_gpu():
        value_and_grad(lambda t: seen.append(kernels.takes_gpu(x, t)) or P.sum(t))(x)
        assert seen == [False]
        assert not kernels.takes_gpu(x, np.ones(2))
        assert not kernels.takes_gpu(x, None)
        assert not kernels.takes_gpu(x, x.astype(np.float32))
        assert not kernels.takes_gpu(x.astype(np.float16))
        assert not kernels.takes_gpu(x.astype(np.int64))


@pytest.mark.usefixtures("cuda")
def test_an_array_on_the_host_is_refused_by_name() -> None:
    x, weight = (emulated_gpu.on_device(np.ones(s)) for s in [(1, 2, 4, 4), (3, 2, 2, 2)])
    with pytest.raises(TypeError, match="expected all arrays on one device, got bias on 'cpu' and x, weight on 'cuda'"):
        P.conv2d(x, weight, np.ones(3))


# NVIDIA's compiler


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc on the path")
@pytest.mark.parametrize("real", ["float", "double"])
@pytest.mark.parametrize("wide", [[], ["-DWIDE"]], ids=["32 bits", "64 bits"])
def test_nvidias_compiler_takes_the_source_and_finds_what_it_says_of_itself(
    real: str, wide: list[str], tmp_path: Path
) -> None:
    source, ptx = tmp_path / "kernels.cu", tmp_path / "kernels.ptx"
    source.write_text(launch.SOURCE)
    command = ["nvcc", "-ptx", "-std=c++14", "--Werror", "all-warnings", f"-DREAL={real}", *wide]
    subprocess.run([*command, str(source), "-o", str(ptx)], check=True)
    assert set(re.findall(r"\.entry (\w+)\(", ptx.read_text())) == set(KERNELS)
    words = set(re.findall(r"\.(shared|local|f64)\b|\b(bar|atom|red)\.", ptx.read_text()))
    assert words == ({("f64", "")} if real == "double" else set())
