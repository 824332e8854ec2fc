"""What stands in for a definition: asked only where it may, believed only where it answers; and all runs without it."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from autograd.core import primitive_vjps

import minigan
from minigan import faster, grad, kernels, objectives, value_and_grad
from minigan import primitives as P  # noqa: N812  formulas are full of it
from minigan.autodiff import defvjp, primitive
from minigan.kernels import convolution, pool, weights
from minigan.layers import BatchNorm2d, Conv2d, Flatten, Layer, LeakyReLU, Linear, MaxPool2d, ReLU, Sequential
from minigan.networks import toy
from tests.small_systems import draw_images

X = np.array([0.5, -1.2, 2.0])


@pytest.fixture
def cube() -> Any:
    """An operation for which nothing stands in yet; `made` notes each time its derivative is made."""
    made: list[str] = []

    @primitive
    def cube(x: Any, scale: float = 1.0) -> Any:
        """scale x^3"""
        return scale * x * x * x

    defvjp(cube, lambda y, x, scale=1.0: made.append("made") or (lambda dy: dy * (3.0 * scale) * P.square(x)))
    cube.made = made
    return cube


# Who is asked


def test_what_stands_in_is_asked_for_arrays_of_its_type_and_hands_back_its_own_way_back(cube: Any) -> None:
    asked: list[type] = []

    @faster.stand_in(cube, np.ndarray)
    def _(x: Any, scale: float = 1.0) -> Any:
        asked.append(type(x))
        return scale * x**3, lambda argnums, dy: (argnums, dy * 100.0)[1:]

    np.testing.assert_array_equal(cube(X), X**3)
    np.testing.assert_array_equal(grad(lambda x: P.sum(cube(x, scale=2.0)))(X), np.full(3, 100.0))
    assert asked == [np.ndarray, np.ndarray]
    assert cube.made == []
    cube(np.ma.masked_array(X))
    cube(2.0)
    with kernels.plain():
        np.testing.assert_allclose(grad(lambda x: P.sum(cube(x)))(X), 3.0 * X**2)
    assert asked == [np.ndarray, np.ndarray]
    assert cube.made == ["made"]


def test_where_it_declines_the_definition_runs_and_so_does_its_derivative(cube: Any) -> None:
    faster.stand_in(cube, np.ndarray)(lambda *_: NotImplemented)
    np.testing.assert_allclose(value_and_grad(lambda x: P.sum(cube(x)))(X)[1], 3.0 * X**2)


def test_where_its_way_back_declines_or_is_missing_the_derivative_of_the_definition_is_taken(cube: Any) -> None:
    for back in (None, lambda argnums, dy: NotImplemented):
        faster.stand_in(cube, np.ndarray)(lambda x, back=back: (x**3, back))
        np.testing.assert_allclose(grad(lambda x: P.sum(cube(x)))(X), 3.0 * X**2)


def test_a_gradient_of_a_gradient_takes_the_derivative_of_the_definition(cube: Any) -> None:
    faster.stand_in(cube, np.ndarray)(lambda x: (x**3, lambda argnums, dy: (dy * 3.0 * x**2,)))
    np.testing.assert_allclose(grad(lambda x: P.sum(cube(x)))(X), 3.0 * X**2)
    assert cube.made == []
    np.testing.assert_allclose(grad(lambda x: P.sum(grad(lambda y: P.sum(cube(y)))(x)))(X), 6.0 * X)
    assert cube.made


def test_autograds_own_nodes_take_the_derivative_of_the_definition(cube: Any) -> None:
    import autograd

    faster.stand_in(cube, np.ndarray)(lambda x: (x**3, lambda argnums, dy: (dy * np.nan,)))
    np.testing.assert_allclose(autograd.grad(lambda x: P.sum(cube(x)))(X), 3.0 * X**2)


def test_a_function_that_can_be_replaced_is_where_it_is_not_declined() -> None:
    @faster.replaceable
    def double(x: Any) -> Any:
        return 2.0 * x

    assert double(1.0) == 2.0
    faster.stand_in(double, float)(lambda x: 7.0 if x > 0 else NotImplemented)
    assert (double(1.0), double(-1.0), double(1)) == (7.0, -2.0, 2.0)
    with faster.plain():
        assert double(1.0) == 2.0


# What it costs


def _calls(work: Callable[[], object]) -> int:
    """How many Python functions are called."""
    count = 0

    def count_calls(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(count_calls)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_a_gradient_of_the_toys_discriminator_is_a_few_calls() -> None:
    """With kernels below the definitions there were 216 in Python 3.11, and 3 around them."""
    rng = np.random.default_rng(0)
    D = toy.discriminator("variances", 100)
    d = D.init(rng)
    x, fake = rng.normal(size=(2, 100, 1)).astype(np.float32)

    def d_loss(d: Any) -> Any:
        scores = D(d, P.concatenate([x, fake]))
        return objectives.non_saturating.d_loss(scores[:1], scores[1:]), scores

    step = value_and_grad(d_loss, has_aux=True, gather=False)
    work = lambda: step(d)
    work()
    assert _calls(work) <= 216


def test_no_derivative_of_a_definition_is_made_where_a_kernel_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Sequential(Conv2d(2, 3, 3), ReLU(), Flatten(), Linear(12, 4), ReLU(), Linear(4, 1))
    p, x = network.init(np.random.default_rng(0)), np.ones((2, 2, 4, 4), np.float32)
    made: list[str] = []
    for op, maker in list(primitive_vjps.items()):
        if op.__module__.startswith("minigan"):
            monkeypatch.setitem(
                primitive_vjps, op, lambda *args, op=op, maker=maker: made.append(op.__name__) or maker(*args)
            )
    convolved: list[int] = []
    original = convolution.conv2d
    monkeypatch.setattr(convolution, "conv2d", lambda *args: convolved.append(1) or original(*args))
    grad(lambda p: P.sum(network(p, x)))(p)
    assert made == ["reshape", "sum"]
    assert convolved == [1]


# What surrounds a gradient


def test_blas_is_held_and_weights_stand_still_around_convolutions_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def seen() -> tuple[bool, bool]:
        return pool.blas_is_held(), getattr(weights._thread, "kept", None) is not None

    inside: list[tuple[bool, bool]] = []

    class Look(ReLU):
        def __call__(self, p: Any, x: Any, path: str = "", training: bool = True) -> Any:
            inside.append(seen())
            return x

    flat, images = Sequential(Look(), Linear(4, 1)), Sequential({"a": Sequential(Look(), Conv2d(1, 1, 1)), "b": Look()})
    for network, x, held in ((flat, np.ones((2, 4), np.float32), False), (images, np.ones((2, 1, 2, 2), "f"), True)):
        p = network.init(np.random.default_rng(0))
        inside.clear()
        network(p, x)
        assert set(inside) == {(held, held)}
        inside.clear()
        value_and_grad(lambda p, network=network, x=x: (inside.append(seen()), P.sum(network(p, x)))[1])(p)
        assert set(inside) == {(held, held)}
        assert seen() == (False, False)
        inside.clear()
        with kernels.plain():
            grad(lambda p, network=network, x=x: (inside.append(seen()), P.sum(network(p, x)))[1])(p)
        assert set(inside) == {(False, False)}


_TWO_PLAYERS = """
import sys
import threading
import numpy as np
from minigan import grad, primitives as P
from minigan.layers import Conv2d, Linear, Sequential

sys.setswitchinterval(1e-6)
rng = np.random.default_rng(0)
images, rows = Sequential(Conv2d(1, 2, 3)), Sequential(Linear(4, 1))
conv, dense = images.init(rng), rows.init(rng)
x, z = np.ones((2, 1, 4, 4), np.float32), np.ones((2, 4), np.float32)
rounds = threading.Barrier(2)

def of_dense(dense, scale=1.0):
    return P.sum(rows(dense, z)) * scale

def of_images(conv):
    y = P.sum(images(conv, x))
    return y + P.sum(grad(of_dense)(dense, y)["0.weight"])

def play(gradient, params):
    for _ in range(20):
        rounds.wait()
        for _ in range(20):
            gradient(params)

other = threading.Thread(target=play, args=(grad(of_dense), dense))
other.start()
play(grad(of_images), conv)
other.join()
"""


def test_gradients_in_two_threads_do_not_wait_for_each_other_for_ever() -> None:
    """One of a convolution, in which one of a linear layer is taken, beside one of a linear layer."""
    folder = Path(__file__).parents[1]
    env = {**os.environ, "PYTHONPATH": str(folder)}
    subprocess.run([sys.executable, "-c", _TWO_PLAYERS], cwd=folder, env=env, check=True, timeout=60)


# What goes together in a Sequential


class Louder(ReLU):
    operation = staticmethod(lambda x: 2.0 * P.relu(x))


class Shifted(ReLU):
    def arguments(self, p: Any, x: Any, path: str, training: bool) -> tuple[Any, ...]:
        return (x + 1.0,)


class Steep(LeakyReLU):
    def settings(self) -> tuple[Any, ...]:
        return (0.5,)


class TwiceLinear(Linear):
    operation = staticmethod(lambda x, weight, bias: 2.0 * P.linear(x, weight, bias))


class TwiceConv2d(Conv2d):
    operation = staticmethod(lambda *arguments: 2.0 * P.conv2d(*arguments))


class Halves(Conv2d):
    def arguments(self, p: Any, x: Any, path: str, training: bool) -> tuple[Any, ...]:
        return super().arguments(p, 0.5 * x, path, training)


class NegativePool(MaxPool2d):
    operation = staticmethod(lambda x, *settings: -P.max_pool2d(-x, *settings))


class Own(Layer):
    """A user's: some known operations in an order of its own."""

    operation = staticmethod(P.leaky_relu)

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def __call__(self, p: Any, x: Any, path: str = "", training: bool = True) -> Any:
        return -super().__call__(p, x, path, training)


def _equal_with_and_without_kernels(network: Sequential, x: np.ndarray) -> None:
    p = network.init(np.random.default_rng(0), np.float64)
    step = value_and_grad(lambda p: P.sum(P.square(network(p, x))))
    value, gradient = step(p)
    with kernels.plain():
        expected, exact = step(p)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient.flat, exact.flat, rtol=1e-9, atol=1e-12)


FLAT, IMAGES = (np.random.default_rng(1).normal(size=size) for size in ((3, 4), (2, 2, 6, 6)))


@pytest.mark.parametrize("f", [Louder(), Shifted(), Steep(0.1), Own(0.3), LeakyReLU(-0.5), LeakyReLU(np.array(0.3))])
def test_an_activation_of_ones_own_runs_as_it_is_written(f: Layer) -> None:
    _equal_with_and_without_kernels(Sequential(Linear(4, 5), f, Linear(5, 1)), FLAT)
    _equal_with_and_without_kernels(Sequential(Conv2d(2, 3, 3), f, MaxPool2d(2)), IMAGES)
    _equal_with_and_without_kernels(Sequential(Conv2d(2, 3, 3), BatchNorm2d(3), f, MaxPool2d(3)), IMAGES)


def test_a_layer_of_ones_own_before_an_activation_runs_as_it_is_written() -> None:
    _equal_with_and_without_kernels(Sequential(TwiceLinear(4, 5), ReLU(), Linear(5, 1)), FLAT)
    for conv in (TwiceConv2d(2, 3, 3), Halves(2, 3, 3)):
        _equal_with_and_without_kernels(Sequential(conv, LeakyReLU(0.2)), IMAGES)
        _equal_with_and_without_kernels(Sequential(conv, LeakyReLU(0.2), MaxPool2d(2)), IMAGES)
    _equal_with_and_without_kernels(Sequential(Conv2d(2, 3, 3), ReLU(), NegativePool(2)), IMAGES)


@pytest.mark.parametrize("slope", [0.9, -0.5, np.array(0.3)])
@pytest.mark.parametrize("again", [lambda a: a, copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))])
def test_a_setting_changed_later_is_heeded(slope: Any, again: Callable[[Any], Any]) -> None:
    flat = Sequential(Linear(4, 5), LeakyReLU(0.1), Linear(5, 4), LeakyReLU(0.1))
    images = Sequential(Conv2d(2, 3, 3), LeakyReLU(0.1), MaxPool2d(2), LeakyReLU(0.1), MaxPool2d(1))
    flat.layers["3"].negative_slope = slope
    _equal_with_and_without_kernels(again(flat), FLAT)
    images.layers["1"].negative_slope = images.layers["3"].negative_slope = slope
    images.layers["2"].kernel_size = 3
    _equal_with_and_without_kernels(again(images), IMAGES)


@pytest.mark.parametrize("slope", [np.array(0.3), np.array([0.3, 0.5, 0.7, 0.9]), np.float64(0.3)])
def test_a_slope_that_is_an_array_is_left_to_the_definition(slope: Any) -> None:
    network = Sequential(Linear(4, 4), LeakyReLU(0.1))
    p = network.init(np.random.default_rng(0), np.float64)
    network.layers["1"].negative_slope = slope
    work = lambda: (P.leaky_relu(FLAT, slope), network(p, FLAT))
    fast = work()
    with kernels.plain():
        expected = work()
    np.testing.assert_array_equal(fast[0], expected[0])
    np.testing.assert_allclose(fast[1], expected[1], rtol=1e-12)


# Without kernels

_PLAY = """
import sys
from pathlib import Path
import numpy as np
from itertools import islice
from tests.small_systems import SMALL, build, numbers

arrays = {}
for name in SMALL:
    folder = Path(sys.argv[1], name)
    system = build(name, folder)
    list(islice(system.play(), 4))
    arrays |= {f"{name} {key}": a for key, a in numbers(system).items()}
np.savez(Path(sys.argv[1], "numbers.npz"), **arrays)
print(*sorted(m for m in sys.modules if m.startswith("minigan.kernels")))
"""


@pytest.fixture
def without_kernels(tmp_path: Path) -> Path:
    """A folder with minigan but for kernels/, and with what the tests build small systems from."""
    root = Path(minigan.__file__).parent
    folder = tmp_path / "copy"
    shutil.copytree(root, folder / "minigan", ignore=shutil.ignore_patterns("kernels", "__pycache__"))
    (folder / "tests").mkdir()
    for name in ("__init__.py", "small_systems.py"):
        shutil.copy(Path(__file__).parent / name, folder / "tests" / name)
    return folder


def test_without_kernels_every_system_plays_and_gives_the_numbers_of_the_definitions(
    without_kernels: Path, tmp_path: Path
) -> None:
    found = {}
    for kind, folder, code in (
        ("hidden", without_kernels, _PLAY),
        (
            "plain",
            Path(__file__).parents[1],
            f"import minigan.kernels\nwith minigan.kernels.plain():\n exec({_PLAY!r})",
        ),
    ):
        (tmp_path / kind).mkdir()
        run = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / kind)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        assert bool(run.stdout.strip()) == (kind == "plain")
        found[kind] = dict(np.load(tmp_path / kind / "numbers.npz"))
    assert found["hidden"].keys() == found["plain"].keys()
    for name, a in found["hidden"].items():
        np.testing.assert_array_equal(a, found["plain"][name], err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["toy", "mnist-mlp", "mnist-conv", "dcgan"])
def test_without_kernels_the_quick_preset_of_every_gan_is_trained_to_its_end(
    name: str, without_kernels: Path, tmp_path: Path
) -> None:
    data = ["--data", str(draw_images(tmp_path / "images", 80))] if name == "dcgan" else []
    command = ["-m", "minigan", "train", name, "--preset", "quick", "--output", str(tmp_path / "run"), "--no-gif"]
    run = subprocess.run(
        [sys.executable, *command, *data],
        cwd=without_kernels,
        env={**os.environ, "PYTHONPATH": str(without_kernels)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "turns are played" in run.stdout
    assert (tmp_path / "run" / "weights" / "netg.safetensors").exists()
