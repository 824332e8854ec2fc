"""The fast code of kernels/ equals the plain code of primitives/ that it stands in for, and can be switched off.

Shapes, dtypes, layouts and biases are drawn by Hypothesis; NaN, infinities and signed zeros are laid in by hand.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan import Player, kernels, objectives, value_and_grad
from minigan import primitives as P  # noqa: N812  formulas are full of it
from minigan.kernels import dense, products
from minigan.kernels.elementwise import activation
from minigan.kernels.fusion import fused
from minigan.kernels.pool import SingleThreadedBLAS, get_num_threads, set_num_threads
from minigan.networks import toy
from minigan.primitives.elementwise import elu, leaky_relu, relu, sigmoid, softplus, tanh
from minigan.primitives.linear import linear
from tests.devices.fake_device import fake_cupy
from tests.losses import losses, notes_and_gradient
from tests.memory import examples

ACTIVATIONS: dict[str, tuple[Any, ...]] = {
    "relu": (relu,),
    "leaky_relu 0.01": (leaky_relu, 0.01),
    "leaky_relu 0.2": (leaky_relu, 0.2),
    "leaky_relu 0": (leaky_relu, 0.0),
    "leaky_relu 1.5": (leaky_relu, 1.5),
    "elu": (elu, 1.0),
    "elu 0.5": (elu, 0.5),
    "sigmoid": (sigmoid,),
    "tanh": (tanh,),
}
WITH_KERNELS = [name for name, f in ACTIVATIONS.items() if activation(*f)]
every_activation = pytest.mark.parametrize("name", ACTIVATIONS)
modest = examples(60)


class Layer(NamedTuple):
    """Arrays for one fully connected layer, and dy."""

    x: np.ndarray
    weight: np.ndarray
    bias: np.ndarray | None
    dy: np.ndarray


@st.composite
def layers(draw: Any) -> Layer:
    """Any sizes, no rows included, in float32 or float64, each array in row order, in column order or with gaps."""
    n, k, m = draw(st.integers(0, 9)), draw(st.integers(1, 7)), draw(st.integers(1, 7))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def array(*shape: int) -> np.ndarray:
        a = rng.normal(size=shape).astype(dtype)
        layout = draw(st.sampled_from(["rows", "columns", "gaps"]))
        if layout == "gaps":
            wide = np.empty(tuple(2 * size for size in shape), dtype)
            view = wide[(slice(None, None, 2),) * len(shape)]
            view[...] = a
            return view
        return a if layout == "rows" else np.asfortranarray(a)

    return Layer(array(n, k), array(m, k), array(m) if draw(st.booleans()) else None, array(n, m))


def _value_and_gradients(layer: Layer, f: tuple[Any, ...] | None) -> list[np.ndarray]:
    params = {name: a for name, a in layer._asdict().items() if a is not None and name != "dy"}

    def loss(p: Any) -> Any:
        arguments = p["x"], p["weight"], p.get("bias")
        y = fused(linear, *f)(*arguments) if f else linear(*arguments)
        return P.sum(y * layer.dy), y

    (_, y), gradients = value_and_grad(loss, has_aux=True)(params)
    return [y, *gradients.values()]


def _assert_twins(layer: Layer, f: tuple[Any, ...] | None) -> None:
    fast = _value_and_gradients(layer, f)
    with kernels.plain():
        expected = _value_and_gradients(layer, f)
    tolerance = 1e-5 if layer.x.dtype == np.float32 else 1e-13
    for a, b in zip(fast, expected, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@given(layer=layers())
@modest
def test_a_layer_and_its_gradients_equal_the_plain_code(layer: Layer) -> None:
    _assert_twins(layer, None)


@every_activation
@given(layer=layers())
@modest
def test_a_layer_with_an_activation_and_its_gradients_equal_the_plain_code(name: str, layer: Layer) -> None:
    _assert_twins(layer, ACTIVATIONS[name])


@given(layer=layers())
@modest
def test_a_layer_shared_by_the_pool_equals_the_plain_code(layer: Layer) -> None:
    with pytest.MonkeyPatch.context() as patch, SingleThreadedBLAS():
        patch.setattr(dense, "_LARGE", 1)
        _assert_twins(layer, None)


@pytest.mark.bits
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("N", [64, 66])
def test_a_large_layer_is_exact_on_any_number_of_threads(N: int, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    x, weight, bias = (rng.normal(size=size).astype(dtype) for size in ((N, 1000), (1037, 1000), (1037,)))
    results = []
    before = get_num_threads()
    try:
        for n in (1, 2, 3):
            set_num_threads(n)
            with SingleThreadedBLAS():
                results.append(dense.linear(x, weight, bias))
    finally:
        set_num_threads(before)
    expected = x.astype(np.float64) @ weight.T.astype(np.float64) + bias
    for y in results:
        np.testing.assert_allclose(y, expected, rtol=0, atol=3000 * np.finfo(dtype).eps)
        if products.takes_rows(1000, N):  # else it is left to BLAS
            np.testing.assert_array_equal(y, results[0])


SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 200.0, -200.0, 1e-30, -1e-30, 20.0, -20.0]


@every_activation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_infinity_and_extremes_come_out_as_in_the_plain_code(name: str, dtype: Any) -> None:
    x = np.array(SPECIAL, dtype)[:, None]
    for dy in (1.0, -2.0, 0.0, np.inf, np.nan):
        layer = Layer(x, np.ones((1, 1), dtype), None, np.full_like(x, dy))
        with np.errstate(all="ignore"):
            y, dx, _ = _value_and_gradients(layer, ACTIVATIONS[name])
            with kernels.plain():
                expected_y, expected_dx, _ = _value_and_gradients(layer, ACTIVATIONS[name])
        np.testing.assert_allclose(y, expected_y, rtol=1e-6, atol=0.0)
        np.testing.assert_allclose(dx, expected_dx, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("name", WITH_KERNELS)
def test_only_the_forward_half_of_an_activation_writes_into_its_argument(name: str) -> None:
    kernel = activation(*ACTIVATIONS[name])
    assert kernel is not None
    z, dy = np.linspace(-2.0, 2.0, 12).reshape(3, 4), np.ones((3, 4))
    y = kernel.forward(z, z)
    assert y is z
    before = y.copy()
    dz = kernel.backward(dy, y)
    assert not np.shares_memory(dz, y)
    np.testing.assert_array_equal(y, before)
    np.testing.assert_array_equal(dy, np.ones((3, 4)))


def test_which_activations_have_a_kernel() -> None:
    assert {"relu", "leaky_relu 0.2", "elu", "sigmoid", "tanh"} <= set(WITH_KERNELS)
    assert "elu 0.5" not in WITH_KERNELS
    assert activation(leaky_relu, -0.1) is None


@pytest.mark.parametrize("f", [(softplus,), (leaky_relu, -0.1)])
def test_only_an_activation_whose_slope_can_be_read_off_its_result_is_fused(f: Any) -> None:
    with pytest.raises(ValueError, match=f"the slope of {f[0].__name__} cannot be read off its result"):
        fused(linear, *f)


def test_a_fused_node_says_what_it_is() -> None:
    assert fused(linear, relu).__name__ == "relu of linear"
    assert fused(P.conv2d, leaky_relu, 0.2) is fused(P.conv2d, leaky_relu, 0.2)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'weight'"):
        fused(linear, relu)(np.ones((2, 2)))


# The switch


def _runs_on_kernels(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that says whether a layer goes through kernels/ now."""
    used: list[bool] = []
    original = dense.linear
    monkeypatch.setattr(dense, "linear", lambda *args: used.append(True) or original(*args))

    def runs_on_kernels() -> bool:
        used.clear()
        linear(np.ones((2, 2)), np.ones((2, 2)))
        return bool(used)

    return runs_on_kernels


def test_plain_switches_kernels_off_and_on_again(monkeypatch: pytest.MonkeyPatch) -> None:
    runs_on_kernels = _runs_on_kernels(monkeypatch)
    assert runs_on_kernels()
    with kernels.plain():
        assert not runs_on_kernels()
        with kernels.plain():
            assert not runs_on_kernels()
        assert not runs_on_kernels()
    assert runs_on_kernels()


def test_plain_restores_after_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    runs_on_kernels = _runs_on_kernels(monkeypatch)
    with pytest.raises(ZeroDivisionError), kernels.plain():
        _ = 1 / 0
    assert runs_on_kernels()


def test_plain_holds_in_every_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    runs_on_kernels = _runs_on_kernels(monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        with kernels.plain():
            assert not pool.submit(runs_on_kernels).result()
        assert pool.submit(runs_on_kernels).result()


def test_the_derivative_goes_through_kernels_only_if_they_are_on(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[bool] = []
    original = dense.linear_gradients
    monkeypatch.setattr(dense, "linear_gradients", lambda *args: used.append(True) or original(*args))
    loss = value_and_grad(lambda w: P.sum(linear(np.ones((2, 2)), w)))
    with kernels.plain():
        loss(np.ones((2, 2)))
    assert used == []
    loss(np.ones((2, 2)))
    assert used == [True]


def test_kernels_take_numpy_arrays_only(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[type] = []
    original = dense.linear
    monkeypatch.setattr(dense, "linear", lambda *args: seen.append(type(args[0])) or original(*args))
    x, w = np.ones((2, 2)), np.ones((2, 2))
    value_and_grad(lambda t: P.sum(linear(t, w)))(x)
    assert seen == [np.ndarray]  # what the box held
    linear(fake_cupy.asarray(x), fake_cupy.asarray(w))
    linear(np.ma.masked_array(x), w)
    linear(x, np.ma.masked_array(w))
    assert seen == [np.ndarray]


# Whole networks


@pytest.mark.parametrize("preprocess", get_args(toy.Preprocess))
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 1e-12)])
def test_losses_and_gradients_of_the_toy_are_equal_up_to_rounding(
    preprocess: toy.Preprocess, dtype: Any, tolerance: float
) -> None:
    rng = np.random.default_rng(0)
    G, D = toy.generator(), toy.discriminator(preprocess, minibatch=20)
    g, d = G.init(rng, dtype), D.init(rng, dtype)
    x, z = (rng.normal(4.0, 1.25, (60, 1)).astype(dtype) for _ in range(2))

    def both_steps() -> list[np.ndarray]:
        d_loss, g_loss = losses(objectives.non_saturating)
        of_d, d_gradient = notes_and_gradient(d_loss, D, d, x, G(g, z))
        of_g, g_gradient = notes_and_gradient(g_loss, G, g, Player(D, d, None), z)
        return [of_d["d_loss"], *d_gradient.values(), of_g["g_loss"], *g_gradient.values()]

    fast = both_steps()
    with kernels.plain():
        expected = both_steps()
    for a, b in zip(fast, expected, strict=True):
        assert a.dtype == b.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max())
