"""What value_and_grad and grad promise: who is differentiated, what comes back, nesting, and a tape that lets go."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, NamedTuple

import autograd
import numpy as np
import pytest
from autograd.tracer import trace_stack

from minigan import Player, kernels, objectives, optimizers, stop_gradient
from minigan import primitives as P  # noqa: N812  formulas are full of it
from minigan.autodiff import Traced, defvjp, grad, primitive, value_and_grad
from minigan.kernels import dense
from minigan.layers import Linear, Sequential, Tanh
from minigan.networks import toy
from minigan.parameters import Parameters
from minigan.primitives.linear import linear
from minigan.primitives.shaping import put, sum_to
from tests.gradient_table import central_difference
from tests.losses import losses

X = np.array([0.5, -1.2, 2.0])


# What is differentiated, and what is refused


def test_the_value_is_the_loss_and_the_gradient_its_slope() -> None:
    value, slope = value_and_grad(lambda x: P.sum(P.square(x)))(X)
    assert value == (X * X).sum()
    assert not isinstance(value, Traced)
    np.testing.assert_array_equal(slope, 2.0 * X)


def test_grad_is_the_second_half_of_value_and_grad() -> None:
    loss = lambda x: P.mean(P.exp(x) * x)
    np.testing.assert_array_equal(grad(loss)(X), value_and_grad(loss)(X)[1])


def test_only_the_first_argument_moves() -> None:
    y = np.array([1.0, 2.0, 3.0])
    loss = lambda x, y, scale=1.0: P.sum(x * y) * scale
    np.testing.assert_array_equal(grad(loss)(X, y), y)
    np.testing.assert_array_equal(grad(loss)(X, y, scale=2.0), 2.0 * y)


def test_a_gradient_function_keeps_the_name_of_its_loss() -> None:
    def adversarial_loss(x: Any) -> Any:
        return P.sum(x)

    assert grad(adversarial_loss).__name__ == value_and_grad(adversarial_loss).__name__ == "adversarial_loss"


@pytest.mark.parametrize("shape", [(1,), (3,), (1, 1)])
def test_a_loss_that_is_not_scalar_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected a scalar loss, shape \(\), got shape \(" + str(shape[0])):
        grad(lambda x: x)(np.ones(shape))


def test_a_loss_that_does_not_depend_on_its_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="does not depend on the parameters"):
        grad(lambda x: P.sum(np.ones(3)))(X)
    with pytest.raises(ValueError, match="does not depend on the parameters"):
        grad(lambda x: 1.0)(X)


def test_an_inner_loss_that_depends_only_on_outer_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="does not depend on the parameters"):
        grad(lambda x: P.sum(grad(lambda y: P.sum(x))(X)))(X)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"w": np.ones(2), "steps": np.arange(3)}, "got dtype int64 for 'steps'"),
        ({"w": np.ones(2), "mask": np.ones(2, bool)}, "got dtype bool for 'mask'"),
        ({"w": np.ones(2, np.complex128)}, "got dtype complex128 for 'w'"),
        ({"w": np.ones(2), "rate": 0.1}, "got float for 'rate'"),
        (np.arange(3), "got dtype int64$"),
        (2.0, "got float$"),
        ([np.ones(2)], r"got list; Parameters\.joined makes one of several$"),
        ({"a": {"w": np.ones(2)}}, r"got dict for 'a'; Parameters\.joined makes one of several$"),
    ],
)
def test_parameters_that_are_not_float_arrays_are_refused_by_name(params: Any, message: str) -> None:
    with pytest.raises(TypeError, match="gradients are taken of float arrays; " + message):
        grad(lambda p: 0.0)(params)


def test_an_argument_without_a_derivative_is_named() -> None:
    with pytest.raises(TypeError, match="power has no derivative with respect to its argument 'exponent'"):
        grad(lambda x: P.sum(P.power(np.array([2.0, 3.0, 4.0]), x)))(X)


def test_an_array_gives_an_array() -> None:
    gradient = grad(P.sum)(np.ones((2, 3), np.float32))
    assert type(gradient) is np.ndarray
    assert (gradient.shape, gradient.dtype) == ((2, 3), np.float32)


def test_a_dict_gives_a_dict_of_the_same_names_in_the_same_order() -> None:
    params = {"w": np.ones((2, 2)), "b": np.full(2, 3.0)}
    gradient = grad(lambda p: P.sum(P.square(p["b"])) + P.sum(p["w"]))(params)
    assert type(gradient) is dict
    assert list(gradient) == ["w", "b"]
    np.testing.assert_array_equal(gradient["w"], np.ones((2, 2)))
    np.testing.assert_array_equal(gradient["b"], [6.0, 6.0])


def test_parameters_give_parameters_whose_flat_is_the_gradient_in_a_row() -> None:
    params = Parameters({"w": np.ones((2, 2)), "b": np.full(2, 3.0)}, buffers={"seen": np.array(5)})
    gradient = grad(lambda p: P.sum(P.square(p["b"])) + P.sum(p["w"]))(params)
    assert type(gradient) is Parameters
    assert list(gradient) == ["w", "b"]
    np.testing.assert_array_equal(gradient.flat, [1.0, 1.0, 1.0, 1.0, 6.0, 6.0])
    assert np.shares_memory(gradient["b"], gradient.flat)


def test_a_loss_sees_the_buffers_of_traced_parameters() -> None:
    params = Parameters({"w": np.ones(2)}, buffers={"scale": np.array([2.0, 3.0])})
    gradient = grad(lambda p: P.sum(p["w"] * p.buffers["scale"]))(params)
    np.testing.assert_array_equal(gradient["w"], [2.0, 3.0])


def test_parameters_being_traced_have_no_flat_vector() -> None:
    seen = []

    def loss(p: Parameters) -> Any:
        seen.append((type(p), p.flat, type(p["w"])))
        inner = grad(lambda q: P.sum(P.square(q["w"])))(p)
        seen.append((type(inner), inner.flat, type(inner["w"])))
        return P.sum(inner["w"])

    grad(loss)(Parameters({"w": np.ones(2)}))
    assert seen == [(Parameters, None, Traced), (Parameters, None, Traced)]


def test_an_array_the_loss_does_not_read_gets_zeros_of_its_shape_and_dtype() -> None:
    params = {"read": np.ones(2, np.float32), "unread": np.ones((3, 1), np.float64)}
    gradient = grad(lambda p: P.sum(p["read"]))(params)
    np.testing.assert_array_equal(gradient["unread"], np.zeros((3, 1)))
    assert gradient["unread"].dtype == np.float64


def test_what_is_computed_on_the_way_but_not_used_does_not_count() -> None:
    def loss(x: Any) -> Any:
        P.sum(P.exp(x * 1e30))
        return P.sum(x)

    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(grad(loss)(X), np.ones(3))


def test_every_use_of_an_array_adds_to_its_gradient() -> None:
    np.testing.assert_allclose(grad(lambda x: P.sum(x * x * x + x))(X), 3.0 * X**2 + 1.0)


def test_gradients_of_two_arrays_share_no_memory() -> None:
    gradient = grad(lambda p: P.sum(p["a"] + p["b"]))({"a": np.ones(3), "b": np.ones(3)})
    assert not np.shares_memory(gradient["a"], gradient["b"])


def test_taking_a_gradient_leaves_the_parameters_as_they_were() -> None:
    network = Sequential(Linear(2, 3), Tanh(), Linear(3, 1))
    p = network.init(np.random.default_rng(0))
    before, x = p.flat.copy(), np.ones((4, 2), np.float32)
    first = grad(lambda p: P.mean(network(p, x)))(p)
    second = grad(lambda p: P.mean(network(p, x)))(p)
    np.testing.assert_array_equal(p.flat, before)
    np.testing.assert_array_equal(first.flat, second.flat)


# What a loss hands back beside its value


class Scores(NamedTuple):
    real: Any
    fake: Any


@pytest.mark.parametrize(
    ("wrap", "open_"),
    [
        (lambda y: y, lambda aux: aux),
        (lambda y: (y, 1), lambda aux: aux[0]),
        (lambda y: Scores(y, "fake"), lambda aux: aux.real),
        (lambda y: {"logs": [y]}, lambda aux: aux["logs"][0]),
        (lambda y: [Scores((y,), None)], lambda aux: aux[0].real[0]),
    ],
    ids=["an array", "a tuple", "a NamedTuple", "a dict with a list", "all of them"],
)
def test_aux_comes_back_untraced_in_its_own_kind(wrap: Callable[..., Any], open_: Callable[..., Any]) -> None:
    (value, aux), slope = value_and_grad(lambda x: (P.sum(x), wrap(P.exp(x))), has_aux=True)(X)
    assert type(aux) is type(wrap(X))
    assert type(open_(aux)) is np.ndarray
    np.testing.assert_array_equal(open_(aux), np.exp(X))
    assert value == X.sum()
    np.testing.assert_array_equal(slope, np.ones(3))


def test_aux_that_was_never_traced_is_handed_through() -> None:
    marker = object()
    (_, aux), _ = value_and_grad(lambda x: (P.sum(x), marker), has_aux=True)(X)
    assert aux is marker


def test_aux_of_an_inner_gradient_can_be_differentiated_by_the_outer_one() -> None:
    def outer(x: Any) -> Any:
        (_, aux), _ = value_and_grad(lambda y: (P.sum(y), {"cube": y * y * y}), has_aux=True)(x)
        return P.sum(aux["cube"])

    np.testing.assert_allclose(grad(outer)(X), 3.0 * X**2)


# Gradients of gradients


@pytest.mark.parametrize(
    ("f", "closed_forms"),
    [
        (
            lambda x: P.exp(x) * P.power(x, 3),
            [
                lambda x: np.exp(x) * (x**3 + 3 * x**2),
                lambda x: np.exp(x) * (x**3 + 6 * x**2 + 6 * x),
                lambda x: np.exp(x) * (x**3 + 9 * x**2 + 18 * x + 6),
            ],
        ),
        (
            P.tanh,
            [
                lambda x: 1 - np.tanh(x) ** 2,
                lambda x: -2 * np.tanh(x) * (1 - np.tanh(x) ** 2),
                lambda x: (6 * np.tanh(x) ** 2 - 2) * (1 - np.tanh(x) ** 2),
            ],
        ),
        (
            P.softplus,
            [
                lambda x: 1 / (1 + np.exp(-x)),
                lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2,
                lambda x: np.exp(-x) * (np.exp(-x) - 1) / (1 + np.exp(-x)) ** 3,
            ],
        ),
        (
            lambda x: 1.0 / (x * x + 1.0),
            [
                lambda x: -2 * x / (x**2 + 1) ** 2,
                lambda x: (6 * x**2 - 2) / (x**2 + 1) ** 3,
                lambda x: -24 * x * (x**2 - 1) / (x**2 + 1) ** 4,
            ],
        ),
    ],
    ids=["exp(x) x^3", "tanh", "softplus", "1 / (1 + x^2)"],
)
def test_three_derivatives_equal_their_closed_forms(f: Callable[..., Any], closed_forms: list[Any]) -> None:
    derivative = f
    for closed_form in closed_forms:
        derivative = grad(lambda x, f=derivative: P.sum(f(x)))
        np.testing.assert_allclose(derivative(X), closed_form(X), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("exponent", "derivatives"), [(1, [1.0, 0.0]), (2, [0.0, 2.0, 0.0]), (3, [0.0, 0.0, 6.0, 0.0])]
)
def test_powers_have_all_their_derivatives_at_zero(exponent: int, derivatives: list[float]) -> None:
    derivative: Any = lambda x: x**exponent
    for expected in derivatives:
        derivative = grad(lambda x, f=derivative: P.sum(f(x)))
        np.testing.assert_array_equal(derivative(np.zeros(2)), [expected, expected])


def test_an_inner_gradient_may_be_with_respect_to_something_else() -> None:
    """d/dx of d/dy x^2 y^3, at y = x: 2 x 3 x^2."""
    mixed = grad(lambda x: P.sum(grad(lambda y: P.sum(P.square(x) * y * y * y))(X)))(X)
    np.testing.assert_allclose(mixed, 2.0 * X * 3.0 * X**2)


def test_an_inner_gradient_takes_the_outer_arrays_themselves() -> None:
    np.testing.assert_allclose(grad(lambda x: P.sum(grad(lambda y: P.sum(y * y * y))(x)))(X), 6.0 * X)


def test_a_gradient_penalty_on_a_network_equals_central_differences() -> None:
    D = Sequential(Linear(2, 4), Tanh(), Linear(4, 3), Tanh(), Linear(3, 1))
    rng = np.random.default_rng(0)
    d, x = D.init(rng, np.float64), rng.normal(size=(5, 2))

    def penalty(d: Parameters) -> Any:
        """mean over x of (|dD(x)/dx| - 1)^2   [Gulrajani et al. 2017, eq. 3]"""
        slopes = grad(lambda x: P.sum(D(d, x)))(x)
        norms = P.sqrt(P.sum(P.square(slopes), axis=1))
        return P.mean(P.square(norms - 1.0))

    def at(flat: np.ndarray) -> Any:
        moved = d.copy()
        moved.flat[...] = flat
        return penalty(moved)

    for code in (kernels.plain, nullcontext):
        with code():
            gradient = grad(penalty)(d).flat
            expected = [central_difference(at, d.flat, e) for e in np.eye(d.flat.size)]
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-11)


def test_a_step_of_one_player_can_be_differentiated_by_the_other() -> None:
    """An unrolled game: G's loss after D's answer d' = d - lr dL/dd   [Metz et al. 2017, eq. 7]."""
    G, D = Sequential(Linear(1, 3), Tanh(), Linear(3, 1)), Sequential(Linear(1, 3), Tanh(), Linear(3, 1))
    rng = np.random.default_rng(1)
    g, d = G.init(rng, np.float64), D.init(rng, np.float64)
    x, z = rng.normal(size=(6, 1)), rng.normal(size=(6, 1))

    def d_loss(d: Any, g: Any) -> Any:
        return P.mean(P.softplus(-D(d, x))) + P.mean(P.softplus(D(d, G(g, z))))

    def unrolled(g: Any) -> Any:
        slope = grad(d_loss)(d, g)
        answer = {name: d[name] - 0.5 * slope[name] for name in d}
        return P.mean(P.softplus(-D(answer, G(g, z))))

    def at(flat: np.ndarray) -> Any:
        moved = g.copy()
        moved.flat[...] = flat
        return unrolled(moved)

    expected = [central_difference(at, g.flat, e) for e in np.eye(g.flat.size)]
    np.testing.assert_allclose(grad(unrolled)(g).flat, expected, rtol=1e-8, atol=1e-10)


def test_stop_gradient_makes_a_constant_at_every_level() -> None:
    np.testing.assert_array_equal(grad(lambda x: P.sum(x * stop_gradient(x)))(X), X)
    twice = grad(lambda x: P.sum(grad(lambda y: P.sum(stop_gradient(y * x) * y * y))(x)))(X)
    np.testing.assert_allclose(twice, 2.0 * X**2)


def test_stop_gradient_leaves_a_plain_array_alone() -> None:
    assert stop_gradient(X) is X


# Together with HIPS autograd


def _mixed_loss(x: Any) -> Any:
    return P.sum(P.sigmoid(x) * P.leaky_relu(x, 0.3) - P.exp(x) / (P.square(x) + 1.0)) + P.mean(x[1:] * 2.0)


def test_autograds_grad_of_minigans_primitives_equals_minigans() -> None:
    np.testing.assert_allclose(autograd.grad(_mixed_loss)(X), grad(_mixed_loss)(X), rtol=1e-14)


def test_autograds_grad_sees_through_its_own_functions_and_minigans_in_one_loss() -> None:
    import autograd.numpy as anp

    slope = autograd.grad(lambda x: anp.sum(anp.sin(P.exp(x)) * x))(X)
    np.testing.assert_allclose(slope, np.cos(np.exp(X)) * np.exp(X) * X + np.sin(np.exp(X)))


def test_autograds_grad_takes_a_networks_parameters_in_a_dict() -> None:
    network = Sequential(Linear(2, 3), Tanh(), Linear(3, 1))
    p, x = network.init(np.random.default_rng(0), np.float64), np.ones((4, 2))
    loss = lambda p: P.mean(P.square(network(p, x)))
    found, expected = autograd.grad(loss)(dict(p)), grad(loss)(p)
    for name in p:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-13)


@pytest.mark.parametrize(
    ("outer", "inner"), [(autograd.grad, grad), (grad, autograd.grad), (autograd.grad, autograd.grad)]
)
def test_each_librarys_grad_goes_inside_the_others(outer: Any, inner: Any) -> None:
    nested = lambda outer, inner: outer(lambda x: P.sum(P.square(inner(_mixed_loss)(x))))(X)
    np.testing.assert_allclose(nested(outer, inner), nested(grad, grad), rtol=1e-13)


# Operators and arguments


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x + 2.0,
        lambda x: 2.0 + x,
        lambda x: x - 2,
        lambda x: 2 - x,
        lambda x: x * 2.0,
        lambda x: 2.0 * x,
        lambda x: x / 2,
        lambda x: 2 / x,
        lambda x: x**2,
        lambda x: x**0.5,
        lambda x: 2.0**x,
        lambda x: np.float32(2.0) * x,
        lambda x: np.array([1.0, 2.0, 3.0], np.float32) * x,
        lambda x: np.array([1.0, 2.0, 3.0], np.float32) - x,
        lambda x: np.array([1.0, 2.0, 3.0], np.float32) / x,
    ],
    ids=[
        *("x + n", "n + x", "x - n", "n - x", "x * n", "n * x", "x / n", "n / x", "x ** n", "x ** 0.5", "n ** x"),
        *("float32 * x", "array * x", "array - x", "array / x"),
    ],
)
def test_numbers_and_arrays_on_either_side_of_an_operator_keep_float32(f: Callable[..., Any]) -> None:
    x = np.array([0.5, 1.5, 2.0], np.float32)
    values = []

    def loss(x: Any) -> Any:
        values.append(f(x))
        return P.sum(values[-1])

    slope = grad(loss)(x)
    second = grad(lambda x: P.sum(P.square(grad(loss)(x))) + P.sum(x))(x)
    assert values[0].dtype == slope.dtype == second.dtype == np.float32
    np.testing.assert_allclose(stop_gradient(values[0]), f(x), rtol=1e-6)
    expected = [central_difference(lambda t: f(t).sum(), x.astype(np.float64), e) for e in np.eye(3)]
    np.testing.assert_allclose(slope, expected, rtol=1e-5)


def test_a_product_of_matrices_takes_a_plain_matrix_on_either_side() -> None:
    a, x = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(grad(lambda x: P.sum(a @ x))(x), a.T @ np.ones((2, 4)))
    np.testing.assert_array_equal(grad(lambda a: P.sum(a @ x))(a), np.ones((2, 4)) @ x.T)


def test_a_traced_array_tells_its_shape_like_any_array() -> None:
    seen = []

    def loss(x: Any) -> Any:
        seen.append((x.shape, x.ndim, x.size, x.dtype, len(x), x.T.shape, [row.shape for row in x]))
        return P.sum(x)

    grad(loss)(np.ones((2, 3), np.float32))
    assert seen == [((2, 3), 2, 6, np.float32, 2, (3, 2), [(3,), (3,)])]


@pytest.mark.parametrize(
    "f",
    [
        np.exp,
        np.sum,
        np.mean,
        np.asarray,
        lambda x: np.where(np.ones(3, bool), x, 0.0),
        lambda x: np.concatenate([x, x]),
        lambda x: np.reshape(x, (3, 1)),
        np.zeros_like,
        float,
    ],
    ids=["exp", "sum", "mean", "asarray", "where", "concatenate", "reshape", "zeros_like", "float"],
)
def test_numpys_functions_refuse_a_traced_array(f: Callable[..., Any]) -> None:
    def loss(x: Any) -> Any:
        with pytest.raises(TypeError):
            f(x)
        return P.sum(x)

    grad(loss)(X)


SETTINGS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sum": (lambda x: P.sum(x, 1, True), lambda x: P.sum(x=x, axis=1, keepdims=True)),
    "mean": (lambda x: P.mean(x, 1, True), lambda x: P.mean(x, keepdims=True, axis=1)),
    "reshape": (lambda x: P.reshape(x, (3, 2)), lambda x: P.reshape(x, shape=(3, 2))),
    "broadcast_to": (lambda x: P.broadcast_to(x, (2, 2, 3)), lambda x: P.broadcast_to(x, shape=(2, 2, 3))),
    "sum_to": (lambda x: sum_to(x, (3,)), lambda x: sum_to(x, shape=(3,))),
    "transpose": (lambda x: P.transpose(x, (1, 0)), lambda x: P.transpose(x, axes=(1, 0))),
    "index": (lambda x: P.index(x, 1), lambda x: P.index(x, at=1)),
    "put": (lambda x: put(x, slice(0, 4, 2), (4, 3)), lambda x: put(x, at=slice(0, 4, 2), shape=(4, 3))),
    "concatenate": (lambda x: P.concatenate([x, x], 1), lambda x: P.concatenate(arrays=[x, x], axis=1)),
    "flatten": (lambda x: P.flatten(x, 0), lambda x: P.flatten(x, start_dim=0)),
    "clamp": (lambda x: P.clamp(x, 0.6), lambda x: P.clamp(x, min=0.6)),
    "leaky_relu": (lambda x: P.leaky_relu(x, 0.2), lambda x: P.leaky_relu(x, negative_slope=0.2)),
    "elu": (lambda x: P.elu(x, 0.5), lambda x: P.elu(x, alpha=0.5)),
    "power": (lambda x: P.power(x, 3), lambda x: P.power(x, exponent=3)),
    "divide": (lambda x: P.divide(x, 2.0), lambda x: P.divide(x1=x, x2=2.0)),
    "matmul": (lambda x: P.matmul(x, P.transpose(x)), lambda x: P.matmul(x1=x, x2=P.transpose(x))),
    "linear": (lambda x: linear(x, x, x[0, :2]), lambda x: linear(x, bias=x[0, :2], weight=x)),
    "binary_cross_entropy": (
        lambda x: P.binary_cross_entropy(x, 1.0, "none"),
        lambda x: P.binary_cross_entropy(input=x, target=1.0, reduction="none"),
    ),
    "binary_cross_entropy_with_logits": (
        lambda x: P.binary_cross_entropy_with_logits(x, x, "sum"),
        lambda x: P.binary_cross_entropy_with_logits(x, target=x, reduction="sum"),
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_arguments_by_keyword_mean_what_they_mean_by_position(name: str) -> None:
    x = np.array([[0.3, 0.5, 0.9], [0.4, 0.8, 0.7]])
    by_position, by_keyword = (grad(lambda x, f=f: P.sum(P.exp(f(x))))(x) for f in SETTINGS[name])
    np.testing.assert_array_equal(by_keyword, by_position)


# Levels, exceptions, threads, memory


class LossError(Exception):
    pass


def test_an_exception_in_a_loss_leaves_gradients_working() -> None:
    def failing(x: Any) -> Any:
        grad(lambda y: P.sum(y * x))(X)
        raise LossError

    before = trace_stack.top
    with pytest.raises(LossError):
        grad(failing)(X)
    with pytest.raises(LossError):
        grad(lambda x: P.sum(grad(failing)(x)))(X)
    assert trace_stack.top == before
    np.testing.assert_allclose(grad(lambda x: P.sum(grad(lambda y: P.sum(y * y * y))(x)))(X), 6.0 * X)


def test_an_exception_in_an_inner_loss_can_be_handled_by_the_outer_one() -> None:
    def loss(x: Any) -> Any:
        with pytest.raises(LossError):
            grad(lambda y: _raise())(x)
        return P.sum(x * x)

    np.testing.assert_array_equal(grad(loss)(X), 2.0 * X)


def test_an_exception_in_a_loss_does_not_lock_other_threads_out() -> None:
    with pytest.raises(LossError):
        grad(lambda x: _raise())(X)
    with ThreadPoolExecutor(1) as pool:
        np.testing.assert_array_equal(pool.submit(grad(lambda x: P.sum(x * x)), X).result(timeout=10), 2.0 * X)


def test_threads_that_take_gradients_at_once_do_not_meet() -> None:
    """The second thread begins its outer gradient during the first's, and its inner one after it, if they let it."""
    first_is_inside, second_is_inside, first_is_done = threading.Event(), threading.Event(), threading.Event()

    def first() -> np.ndarray:
        def loss(x: Any) -> Any:
            first_is_inside.set()
            second_is_inside.wait(timeout=0.2)
            return P.sum(x * x)

        try:
            return grad(loss)(X)
        finally:
            first_is_done.set()

    def second() -> np.ndarray:
        def loss(x: Any) -> Any:
            second_is_inside.set()
            first_is_done.wait(timeout=10)
            return P.sum(grad(lambda y: P.sum(y * y * x))(x))

        first_is_inside.wait(timeout=10)
        return grad(loss)(X)

    with ThreadPoolExecutor(2) as pool:
        of_first, of_second = pool.submit(first), pool.submit(second)
        np.testing.assert_allclose(of_first.result(), 2.0 * X)
        np.testing.assert_allclose(of_second.result(), 4.0 * X)


class Watched:
    """Something that a derivative keeps."""


def test_what_a_derivative_keeps_is_freed_as_soon_as_the_sweep_has_passed_it() -> None:
    kept: list[weakref.ref[Watched]] = []
    alive: list[int] = []

    @primitive
    def layer(x: Any) -> Any:
        return x * 1.0

    def derivative(y: Any, x: Any) -> Any:
        watched = Watched()
        kept.append(weakref.ref(watched))

        def vjp(dy: Any, _: Watched = watched) -> Any:
            alive.append(sum(ref() is not None for ref in kept))
            return dy

        return vjp

    defvjp(layer, derivative)

    def loss(x: Any) -> Any:
        for _ in range(5):
            x = layer(x)
        return P.sum(x)

    grad(loss)(X)
    assert alive == [5, 4, 3, 2, 1]


def test_nothing_of_the_tape_outlives_the_gradient_even_without_the_garbage_collector() -> None:
    values: list[weakref.ref[np.ndarray]] = []

    def loss(x: Any) -> Any:
        for _ in range(5):
            x = P.tanh(x)
            values.append(weakref.ref(stop_gradient(x)))
        return P.sum(P.square(grad(lambda y: P.sum(P.square(y)))(x)))

    gc.disable()
    try:
        (_, aux), gradient = value_and_grad(lambda x: (loss(x), P.exp(x)), has_aux=True)(X)
        assert [ref() for ref in values] == [None] * 5
    finally:
        gc.enable()
    assert gradient.shape == aux.shape == X.shape


# The other player


def test_a_step_of_one_player_computes_no_gradient_of_the_others_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argument 0 is the input of a layer, 1 its weight, 2 its bias."""
    wanted: list[tuple[int, ...]] = []
    gradients = dense.linear_gradients
    monkeypatch.setattr(
        dense, "linear_gradients", lambda argnums, *rest: wanted.append(tuple(argnums)) or gradients(argnums, *rest)
    )
    rng = np.random.default_rng(0)
    G, D = toy.generator(4), toy.discriminator("raw", 8, 4)
    g, d = G.init(rng), D.init(rng)
    x, z = (rng.normal(size=(16, 1)).astype(np.float32) for _ in range(2))
    player_G, player_D = Player(G, g, optimizers.Adam(g)), Player(D, d, optimizers.Adam(d))
    d_loss, g_loss = losses(objectives.non_saturating)

    player_D.move(d_loss, x, player_G(z))
    assert wanted == [(0, 1, 2), (0, 1, 2), (1, 2)]  # D's layers from last to first, which does not pass its slope on

    wanted.clear()
    player_G.move(g_loss, player_D, z)
    assert wanted == [(0,), (0,), (0,), (0, 1, 2), (0, 1, 2), (1, 2)]  # D's three layers, then G's


def _raise() -> None:
    raise LossError


@pytest.mark.bits
def test_a_gradient_that_is_not_gathered_is_a_dict_with_the_same_numbers() -> None:
    p = Parameters({"w": np.arange(6.0).reshape(2, 3), "b": np.ones(2), "unread": np.ones(1)})
    x = np.linspace(-1.0, 1.0, 12).reshape(4, 3)

    def loss(p: Any) -> Any:
        return P.mean(P.square(P.linear(x, p["w"], p["b"])))

    value, gathered = value_and_grad(loss)(p)
    same, pieces = value_and_grad(loss, gather=False)(p)
    assert value == same
    assert type(gathered) is Parameters
    assert type(pieces) is dict
    assert list(pieces) == list(p)
    for name, g in gathered.items():
        np.testing.assert_array_equal(pieces[name], g)
