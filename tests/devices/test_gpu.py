"""On a real GPU: CuPy's kernels give the host's numbers, and a turn never waits for them. Skipped where there is none.

    python -m pytest -m gpu -rs tests/devices/test_gpu.py tests/test_gpu_kernels.py

Every test runs on the plain code and on minigan's own kernels for a GPU (minigan/kernels/gpu/), of which
test_gpu_kernels.py has more.

The fake device (test_fake_device.py, test_device.py) cannot say whether CuPy's own kernels are right; this file does.
Products have to be float32's: leave CUPY_TF32 alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigan import kernels, primitives
from minigan.arrays import array_module, to_host
from minigan.autodiff import grad, value_and_grad
from minigan.devices import DeviceError, to_device, use_cupy
from minigan.running import Run, open_run, train
from tests import image_trajectories, trajectories
from tests.gradient_table import CASES, Case, derivatives, differences, drawn
from tests.references import load_images, load_trajectory
from tests.small_systems import TURNS, build, every_system, numbers
from tests.trajectories import KEPT, KEPT_32, SMALL, STEPS, STEPS_32, distance

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True, scope="module")
def cupy() -> Iterator[Any]:
    """CuPy, where it and a GPU are."""
    try:
        module = use_cupy()
    except DeviceError as error:
        pytest.skip(str(error))  # which says what is missing here: CuPy, a driver or a GPU
    return module


@pytest.fixture(autouse=True, params=["plain code", "kernels"])
def _code(request: pytest.FixtureRequest) -> Iterator[None]:
    with kernels.on_gpu() if request.param == "kernels" else nullcontext():
        yield


@pytest.mark.parametrize("_code", ["kernels"], indirect=True)
@pytest.mark.parametrize("case", CASES, ids=repr)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_primitive_and_both_its_derivatives_are_the_plain_codes_on_the_device(case: Case, dtype: Any) -> None:
    inputs, u, v = drawn(case, dtype)
    on_device = moved(inputs), to_device(u, "cuda"), moved(v)
    found = derivatives(case, *on_device)
    with kernels.plain():
        expected = derivatives(case, *on_device)
    tolerance = 1e-12 if dtype == np.float64 else 2e-5
    for a, b in zip((found.y, *found.first, *found.second), (expected.y, *expected[1], *expected[2]), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        scale = max(1.0, np.abs(to_host(b)).max(initial=0.0))
        np.testing.assert_allclose(to_host(a), to_host(b), rtol=0.0, atol=tolerance * scale)


def moved(arrays: Any) -> tuple[Any, ...]:
    return tuple(to_device(a, "cuda") for a in arrays)


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_first_and_second_derivatives_equal_central_differences(case: Case) -> None:
    inputs, u, v = drawn(case, seed=1)
    found, (first, second) = (
        derivatives(case, moved(inputs), to_device(u, "cuda"), moved(v)),
        differences(case, inputs, u, v),
    )
    for dx, expected in zip((*found.first, *found.second), (*first, *second), strict=True):
        assert array_module(dx) is use_cupy()
        np.testing.assert_allclose(to_host(dx), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_float32_gives_float32_values_and_derivatives(case: Case) -> None:
    inputs, u, v = drawn(case, np.float32)
    found = derivatives(case, moved(inputs), to_device(u, "cuda"), moved(v))
    in_float64 = [tuple(a.astype(np.float64) for a in group) for group in (inputs, (u,), v)]
    expected = derivatives(case, in_float64[0], in_float64[1][0], in_float64[2])
    for a, b in zip((found.y, *found.first, *found.second), (expected.y, *expected[1], *expected[2]), strict=True):
        assert (array_module(a), a.dtype) == (use_cupy(), np.float32)
        np.testing.assert_allclose(to_host(a), b, rtol=2e-4, atol=2e-5 * max(1.0, np.abs(b).max()))


@pytest.mark.parametrize("game", SMALL, ids=str)
def test_the_toy_is_where_pytorch_and_the_host_are_after_200_steps_in_float64_and_50_in_float32(
    game: trajectories.Game,
) -> None:
    start, want = load_trajectory(game)
    got = trajectories.minigan_trajectory(game, start, STEPS, KEPT, device="cuda")
    on_host = trajectories.minigan_trajectory(game, start, STEPS, KEPT)
    for reference in (want, on_host):
        worst = max(trajectories.differences(game, got, reference))
        assert worst.relative < 1e-9, worst
    got = trajectories.minigan_trajectory(game, start, STEPS_32, KEPT_32, np.float32, "cuda")
    worst = max(trajectories.differences(game, got, want))
    assert worst.relative < 1e-3, worst


@pytest.mark.parametrize("system", image_trajectories.NARROW, ids=str)
def test_narrow_image_gans_are_where_pytorch_and_the_host_are_after_10_steps(system: image_trajectories.System) -> None:
    want, on_host = load_images(system), image_trajectories.minigan_trajectory(system)
    got = image_trajectories.minigan_trajectory(system, device="cuda")
    for reference, bound in ((want, 1e-8), (on_host, 1e-9)):
        worst = max(image_trajectories.differences(system, got, reference))
        assert worst.relative < bound, worst
    got = image_trajectories.minigan_trajectory(system, np.float32, "cuda")
    worst = max(image_trajectories.differences(system, got, want))
    assert worst.relative < 2e-3, worst


@every_system
def test_turns_end_near_the_hosts(name: str, tmp_path: Path) -> None:
    expected, system = build(name, tmp_path), build(name, tmp_path, device="cuda")
    for s in (expected, system):
        for _ in islice(s.play(), 5):
            pass
    theirs = numbers(expected)
    for key, a in numbers(system).items():
        assert array_module(a) is use_cupy(), key
        assert distance(to_host(a).astype(np.float64), theirs[key].astype(np.float64)) < 2e-3, key


@pytest.mark.filterwarnings("ignore:cupyx.allow_synchronize")  # deprecated, since it may miss some; there is no other
@every_system
def test_turns_never_wait(name: str, tmp_path: Path) -> None:
    from cupyx import allow_synchronize

    turns = build(name, tmp_path, device="cuda").play()
    for _ in islice(turns, 4):  # CuPy compiles its kernels when they are first used
        pass
    with allow_synchronize(False):
        for _ in islice(turns, 4):
            pass


@every_system
def test_a_run_that_began_on_the_gpu_goes_on_on_the_host_and_back(name: str, tmp_path: Path) -> None:
    for i, (device, stop) in enumerate([("cuda", 6), ("cpu", 7), ("cuda", None)]):
        train(build(name, tmp_path, device=device), Run(tmp_path / "run", resume=i > 0, stop_after=stop, gif=False))
    trained = open_run(tmp_path / "run", device="cuda")
    assert trained.turn == TURNS
    picked = trained.pick(np.random.default_rng(0), 40, 5)
    assert np.isfinite(to_host(picked.samples)).all()


def test_a_gradient_penalty_equals_the_hosts(tmp_path: Path) -> None:
    system = build("mnist_conv", tmp_path)
    d, D, x = system.players["D"].params, system.players["D"].network, next(system.memory["batches"])

    def penalty(d: Any, x: Any) -> Any:
        slopes = primitives.flatten(grad(lambda x: primitives.sum(D(d, x)))(x))
        return primitives.mean(primitives.square(primitives.sqrt(primitives.sum(primitives.square(slopes), 1)) - 1.0))

    value, gradient = value_and_grad(penalty)(d, x)
    found, found_gradient = value_and_grad(penalty)(d.to_device("cuda"), to_device(x, "cuda"))
    assert distance(to_host(found), np.asarray(value)) < 1e-4
    assert distance(to_host(found_gradient.flat), gradient.flat) < 1e-4


def test_more_memory_than_there_is_is_a_memory_error(cupy: Any) -> None:
    with pytest.raises(MemoryError, match="Out of memory allocating"):
        cupy.empty(2**45, np.float32)


def test_an_array_on_the_host_is_refused_by_name() -> None:
    weight = to_device(np.ones((4, 3), np.float32), "cuda")
    with pytest.raises(
        TypeError, match="linear: expected all arrays on one device, got x on 'cpu' and weight on 'cuda'"
    ):
        primitives.linear(np.ones((2, 3), np.float32), weight)
