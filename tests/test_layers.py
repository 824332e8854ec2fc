"""Layers: the names they give, how their numbers start, what they refuse, and that joining two changes nothing."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from scipy import stats

from minigan import ELU, LeakyReLU, Linear, ReLU, Sequential, Sigmoid, Softplus, Tanh, grad, initializers, kernels
from minigan import primitives as P  # noqa: N812  formulas are full of it
from minigan.initializers import Initializer
from minigan.layers import Layer
from minigan.networks import toy

ACTIVATIONS: list[Layer] = [
    ReLU(),
    LeakyReLU(),
    LeakyReLU(0.2),
    LeakyReLU(0.0),
    LeakyReLU(1.5),
    LeakyReLU(-0.5),
    ELU(),
    ELU(0.5),
    ELU(0.0),
    Sigmoid(),
    Tanh(),
    Softplus(),
]
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)


# Names


def test_layers_in_a_row_are_numbered() -> None:
    network = Sequential(Linear(2, 3), ReLU(), Linear(3, 1, bias=False))
    shapes = {name: spec.shape for name, spec in network.parameters().items()}
    assert shapes == {"0.weight": (3, 2), "0.bias": (3,), "2.weight": (1, 3)}
    assert list(network.init(np.random.default_rng(0))) == list(shapes)


def test_layers_in_a_dict_have_names_that_join_with_dots() -> None:
    network = Sequential({"main": Sequential({"first": Linear(2, 3), "act": Tanh()}), "head": Sequential(Linear(3, 1))})
    p = network.init(np.random.default_rng(0))
    assert list(p) == ["main.first.weight", "main.first.bias", "head.0.weight", "head.0.bias"]


def test_a_nested_network_computes_what_its_layers_compute() -> None:
    nested = Sequential({"main": Sequential(Linear(2, 3), Tanh()), "head": Sequential(Linear(3, 1), Sigmoid())})
    p = nested.init(np.random.default_rng(0), np.float64)
    x = np.random.default_rng(1).normal(size=(5, 2))
    hidden = np.tanh(x @ p["main.0.weight"].T + p["main.0.bias"])
    expected = 1.0 / (1.0 + np.exp(-(hidden @ p["head.0.weight"].T + p["head.0.bias"])))
    np.testing.assert_allclose(nested(p, x), expected, rtol=1e-13)


def test_a_network_is_called_under_the_path_where_its_numbers_are() -> None:
    inner, outer = Sequential(Linear(2, 3), Tanh()), Sequential({"deep": Sequential(Linear(2, 3), Tanh())})
    p = outer.init(np.random.default_rng(0))
    x = np.ones((4, 2), np.float32)
    np.testing.assert_array_equal(inner(p, x, path="deep."), outer(p, x))


def test_two_layers_made_from_one_description_have_numbers_of_their_own() -> None:
    layer = Linear(2, 2)
    network = Sequential(layer, layer)
    p = network.init(np.random.default_rng(0))
    assert list(p) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert not np.array_equal(p["0.weight"], p["1.weight"])


def test_a_network_without_layers_hands_its_input_through() -> None:
    network, x = Sequential(), np.ones((2, 3))
    assert network(network.init(np.random.default_rng(0)), x) is x


def test_descriptions_read_as_they_were_written() -> None:
    network = Sequential({"map": Linear(2, 3), "act": LeakyReLU(0.2), "last": Sequential(Linear(3, 1), Tanh())})
    expected = "Sequential(map: Linear(2, 3), act: LeakyReLU(0.2), last: Sequential(0: Linear(3, 1), 1: Tanh()))"
    assert repr(network) == expected


# Joined layers


@every_activation
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(3, 4), (1, 4), (3, 1)])
def test_a_layer_joined_with_its_activation_computes_what_they_compute_apart(
    activation: Layer, bias: bool, sizes: tuple[int, int]
) -> None:
    layer = Linear(*sizes, bias=bias)
    network = Sequential(layer, activation)
    p = network.init(np.random.default_rng(0), np.float64)
    x = np.random.default_rng(1).normal(size=(6, sizes[0]))

    def loss(p: Any, together: bool) -> Any:
        y = network(p, x) if together else activation(p, layer(p, x, "0."))
        return P.sum(P.square(y))

    with kernels.plain():
        np.testing.assert_array_equal(network(p, x), activation(p, layer(p, x, "0.")))
        np.testing.assert_array_equal(grad(loss)(p, True).flat, grad(loss)(p, False).flat)
    np.testing.assert_allclose(network(p, x), activation(p, layer(p, x, "0.")), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(grad(loss)(p, True).flat, grad(loss)(p, False).flat, rtol=1e-12, atol=1e-14)


def test_an_activation_without_a_layer_before_it_stands_alone() -> None:
    network = Sequential(Tanh(), Tanh(), Linear(2, 2), Tanh(), Tanh())
    p = network.init(np.random.default_rng(0), np.float64)
    x = np.random.default_rng(1).normal(size=(3, 2))
    inner = np.tanh(np.tanh(x)) @ p["2.weight"].T + p["2.bias"]
    np.testing.assert_allclose(network(p, x), np.tanh(np.tanh(inner)), rtol=1e-13)


def test_joining_leaves_the_description_as_it_was() -> None:
    layers = (Linear(2, 2), Tanh(), Linear(2, 2), Sigmoid())
    assert tuple(Sequential(*layers).layers.values()) == layers


def test_a_linear_layer_is_x_w_transposed_plus_b() -> None:
    p = {"weight": np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), "bias": np.array([0.5, 0.0, -0.5])}
    np.testing.assert_array_equal(Linear(2, 3)(p, np.array([[1.0, -1.0]])), [[-0.5, -1.0, -1.5]])


# What is refused


@pytest.mark.parametrize(
    ("sizes", "name"), [((0, 1), "in_features"), ((1, 0), "out_features"), ((-2, 1), "in_features")]
)
def test_sizes_below_one_are_refused(sizes: tuple[int, int], name: str) -> None:
    with pytest.raises(ValueError, match=f"Linear: expected {name} >= 1, got {min(sizes)}"):
        Linear(*sizes)


def test_a_negative_alpha_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ELU: expected alpha >= 0, got -0\.5"):
        ELU(-0.5)


@pytest.mark.parametrize("layers", [(Linear(3, 2),), (Linear(3, 2), Tanh())], ids=["alone", "joined"])
@pytest.mark.parametrize("code", [nullcontext, kernels.plain], ids=["kernels", "plain"])
@pytest.mark.parametrize("shape", [(4, 2), (3,), (2, 4, 3), ()])
def test_an_input_of_the_wrong_shape_is_refused_in_words(layers: Any, code: Any, shape: tuple[int, ...]) -> None:
    network = Sequential(*layers)
    p = network.init(np.random.default_rng(0))
    message = r"linear: expected x of shape \(N, 3\) for weight of shape \(2, 3\), got \("
    with code(), pytest.raises(ValueError, match=message):
        network(p, np.ones(shape, np.float32))


@pytest.mark.parametrize("layers", [(Linear(3, 2),), (Linear(3, 2), Tanh())], ids=["alone", "joined"])
def test_an_input_of_another_dtype_is_refused_in_words(layers: Any) -> None:
    network = Sequential(*layers)
    with pytest.raises(TypeError, match="expected x of the weight's dtype float32, got float64"):
        network(network.init(np.random.default_rng(0)), np.ones((4, 3)))


def test_a_bias_that_does_not_fit_is_refused() -> None:
    x, weight = np.ones((2, 3)), np.ones((4, 3))
    for bias in (np.ones(1), np.ones((2, 4)), np.ones(3)):
        with pytest.raises(ValueError, match="linear: expected bias"):
            P.linear(x, weight, bias)


@pytest.mark.parametrize("shape", [(7, 1), (8,), (8, 2)])
def test_the_toys_discriminator_refuses_what_does_not_make_whole_rows(shape: tuple[int, ...]) -> None:
    D = toy.discriminator("raw", minibatch=4)
    with pytest.raises(ValueError, match=r"Look: expected x of shape \(rows \* 4, 1\), got \("):
        D(D.init(np.random.default_rng(0)), np.ones(shape, np.float32))


def test_the_toys_discriminator_refuses_an_unknown_preprocess_and_an_empty_minibatch() -> None:
    with pytest.raises(ValueError, match="expected one of raw, variances, diffs, moments, pointwise, got 'std'"):
        toy.discriminator("std")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="minibatch: expected at least 1, got 0"):
        toy.discriminator("raw", minibatch=0)


# The toy's networks


ROWS = np.array([[1.0, 2.0, 3.0, 6.0], [0.0, 0.0, 4.0, 4.0]])


def test_variances_are_the_numbers_and_their_squared_deviations() -> None:
    np.testing.assert_array_equal(toy.variances(ROWS), np.hstack([ROWS, [[4.0, 1.0, 0.0, 9.0], [4.0] * 4]]))


def test_diffs_are_the_numbers_and_their_deviations() -> None:
    expected = np.hstack([ROWS, [[-2.0, -1.0, 0.0, 3.0], [-2.0, -2.0, 2.0, 2.0]]])
    np.testing.assert_array_equal(toy.diffs(ROWS), expected)


@pytest.mark.parametrize("look", [toy.variances, toy.diffs])
def test_variances_and_diffs_take_the_mean_of_a_row_for_a_constant(look: Any) -> None:
    constant = ROWS.mean(axis=1, keepdims=True)
    power = 2 if look is toy.variances else 1
    expected = grad(lambda x: P.sum(P.exp(P.concatenate([x, (x - constant) ** power], 1))))(ROWS)
    np.testing.assert_array_equal(grad(lambda x: P.sum(P.exp(look(x))))(ROWS), expected)


def test_moments_are_scipys() -> None:
    x = np.random.default_rng(0).gamma(2.0, size=(3, 500))
    expected = [x.mean(1), x.std(1), stats.skew(x, 1), stats.kurtosis(x, 1)]
    np.testing.assert_allclose(toy.moments(x), np.transpose(expected), rtol=1e-10)


def test_moments_of_a_collapsed_row_have_finite_slopes() -> None:
    slopes = grad(lambda x: P.sum(toy.moments(x)))(np.full((1, 5), 3.0))
    assert np.isfinite(slopes).all()


@pytest.mark.parametrize("preprocess", ["raw", "variances", "diffs", "moments"])
def test_the_toys_discriminator_gives_one_probability_a_row(preprocess: toy.Preprocess) -> None:
    D = toy.discriminator(preprocess, minibatch=4, hidden=5)
    scores = D(D.init(np.random.default_rng(0)), np.random.default_rng(1).normal(size=(12, 1)).astype(np.float32))
    assert scores.shape == (3, 1)
    assert ((scores > 0.0) & (scores < 1.0)).all()


def test_the_pointwise_discriminator_gives_one_probability_a_number() -> None:
    D = toy.discriminator("pointwise", minibatch=4, hidden=5)
    assert D(D.init(np.random.default_rng(0)), np.ones((7, 1), np.float32)).shape == (7, 1)


@pytest.mark.parametrize("preprocess", ["raw", "variances", "diffs", "moments", "pointwise"])
def test_logits_are_the_scores_before_the_sigmoid(preprocess: toy.Preprocess) -> None:
    rng = np.random.default_rng(0)
    scores, logits = (toy.discriminator(preprocess, 4, 5, logits=logits) for logits in (False, True))
    p, x = scores.init(rng, np.float64), rng.normal(size=(8, 1))
    np.testing.assert_allclose(scores(p, x), 1.0 / (1.0 + np.exp(-logits(p, x))), rtol=1e-13)


# How numbers start


def test_one_seed_gives_one_network_in_every_dtype_up_to_rounding() -> None:
    network = Sequential(Linear(3, 4, weight_init=initializers.normal()), ELU(), Linear(4, 2))
    p = network.init(np.random.default_rng(5), np.float64)
    q = network.init(np.random.default_rng(5), np.float32)
    assert q.flat.dtype == np.float32
    np.testing.assert_array_equal(p.flat.astype(np.float32), q.flat)
    assert not np.array_equal(q.flat, network.init(np.random.default_rng(6)).flat)


FANS = (30, 50)
INITIALIZERS: dict[str, tuple[Initializer, float, float, float]] = {
    "torch_uniform": (initializers.torch_uniform, 0.0, 1 / math.sqrt(3 * 30), 1 / math.sqrt(30)),
    "normal": (initializers.normal(), 0.0, 0.02, math.inf),
    "normal(1, 0.5)": (initializers.normal(1.0, 0.5), 1.0, 0.5, math.inf),
    "xavier_uniform": (initializers.xavier_uniform(), 0.0, math.sqrt(2 / 80), math.sqrt(6 / 80)),
    "xavier_uniform(2)": (initializers.xavier_uniform(2.0), 0.0, 2 * math.sqrt(2 / 80), 2 * math.sqrt(6 / 80)),
    "xavier_normal": (initializers.xavier_normal(), 0.0, math.sqrt(2 / 80), math.inf),
    "xavier_normal(2)": (initializers.xavier_normal(2.0), 0.0, 2 * math.sqrt(2 / 80), math.inf),
}


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializers_draw_from_the_distribution_they_name(name: str) -> None:
    initializer, mean, std, bound = INITIALIZERS[name]
    x = initializer(np.random.default_rng(0), (400, 500), *FANS)
    assert (x.shape, x.dtype) == ((400, 500), np.float64)
    assert np.abs(x).max() <= bound
    if math.isfinite(bound):
        named = stats.uniform(-bound, 2 * bound)
        assert np.abs(x).max() > 0.999 * bound
    else:
        named = stats.norm(mean, std)
    assert stats.kstest(x.ravel(), named.cdf).pvalue > 0.01
    np.testing.assert_allclose([x.mean(), x.std()], [mean, std], atol=5 * std / math.sqrt(x.size))


def test_constant_fills() -> None:
    np.testing.assert_array_equal(
        initializers.constant(0.5)(np.random.default_rng(0), (2, 3), 1, 1), np.full((2, 3), 0.5)
    )


def test_nothing_flowing_in_starts_pytorchs_layer_at_zero() -> None:
    np.testing.assert_array_equal(initializers.torch_uniform(np.random.default_rng(0), (3,), 0, 1), np.zeros(3))


def test_layers_start_weights_and_biases_as_they_are_told() -> None:
    layer = Linear(3, 2, weight_init=initializers.constant(2.0), bias_init=initializers.constant(-1.0))
    p = Sequential(layer).init(np.random.default_rng(0))
    np.testing.assert_array_equal(p.flat, [2.0] * 6 + [-1.0] * 2)
