"""Layers: the names they give, how their numbers start, what they refuse, and that joining two changes nothing."""

from __future__ import annotations

import copy
import math
import pickle
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from scipy import stats

from minigan import (
    ELU,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    LeakyReLU,
    Linear,
    MaxPool2d,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
    Softplus,
    Tanh,
    Upsample,
    grad,
    initializers,
    kernels,
)
from minigan import primitives as P  # noqa: N812  formulas are full of it
from minigan.initializers import Initializer
from minigan.kernels import pooled_convolution
from minigan.layers import Layer
from minigan.networks import conv28, toy

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


@pytest.mark.bits
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


@pytest.mark.bits
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


def test_a_network_can_be_copied_and_pickled() -> None:
    D = Sequential(conv28.discriminator(2, 8), Tanh())
    d, x = D.init(np.random.default_rng(0)), np.random.default_rng(1).normal(size=(2, 1, 28, 28)).astype(np.float32)
    for twin in (copy.deepcopy(D), pickle.loads(pickle.dumps(D))):
        assert repr(twin) == repr(D)
        np.testing.assert_array_equal(twin(d, x), D(d, x))


def test_a_layer_that_computes_something_else_is_not_joined() -> None:
    class Doubled(Linear):
        def __call__(self, p: Any, x: Any, path: str = "", training: bool = True) -> Any:
            return 2.0 * super().__call__(p, x, path, training)

    network = Sequential(Doubled(2, 3), Tanh())
    p, x = network.init(np.random.default_rng(0), np.float64), np.ones((1, 2))
    np.testing.assert_allclose(network(p, x), np.tanh(2.0 * P.linear(x, *p.values())), rtol=1e-13)


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


# Layers of images


def test_buffers_have_pytorchs_names_through_nested_networks() -> None:
    network = Sequential({"main": Sequential(Conv2d(3, 4, 3), BatchNorm2d(4), Flatten()), "head": BatchNorm1d(6)})
    p = network.init(np.random.default_rng(0))
    assert list(p) == ["main.0.weight", "main.0.bias", "main.1.weight", "main.1.bias", "head.weight", "head.bias"]
    kept = ["running_mean", "running_var", "num_batches_tracked"]
    assert list(p.buffers) == [f"{path}.{name}" for path in ("main.1", "head") for name in kept]
    assert p.buffers["head.num_batches_tracked"].dtype == np.int64
    np.testing.assert_array_equal(p.buffers["main.1.running_var"], np.ones(4, np.float32))


def test_batch_norm_without_scale_or_statistics_keeps_none() -> None:
    p = Sequential(BatchNorm2d(4, affine=False, track_running_stats=False)).init(np.random.default_rng(0))
    assert p.state_dict() == {}


def test_batch_norm_records_the_unbiased_variance_and_counts() -> None:
    network = Sequential(BatchNorm1d(2, momentum=0.25))
    p, x = network.init(np.random.default_rng(0), np.float64), np.array([[1.0, 5.0], [3.0, -1.0]])
    network(p, x)
    np.testing.assert_allclose(p.buffers["0.running_mean"], 0.25 * np.array([2.0, 2.0]))
    np.testing.assert_allclose(p.buffers["0.running_var"], 0.75 + 0.25 * np.array([2.0, 18.0]))
    assert p.buffers["0.num_batches_tracked"] == 1


def test_evaluation_uses_the_running_statistics_and_leaves_them() -> None:
    network = Sequential(BatchNorm2d(2, eps=1.0))
    p = network.init(np.random.default_rng(0), np.float64)
    p.buffers["0.running_mean"][...], p.buffers["0.running_var"][...] = [1.0, -1.0], [3.0, 8.0]
    before = {name: b.copy() for name, b in p.buffers.items()}
    x = np.random.default_rng(1).normal(size=(1, 2, 1, 3))  # one image will do
    expected = (x - np.array([1.0, -1.0])[:, None, None]) / np.array([2.0, 3.0])[:, None, None]
    np.testing.assert_allclose(network(p, x, training=False), expected, rtol=1e-13)
    for name, b in before.items():
        np.testing.assert_array_equal(p.buffers[name], b)


def test_two_batches_may_pass_as_one_where_no_batch_norm_lets_rows_see_each_other() -> None:
    mixing = Sequential({"main": Sequential(Linear(2, 3), BatchNorm1d(3), Linear(3, 1))})
    apart = Sequential(Linear(2, 3), ReLU(), Linear(3, 1))
    rng = np.random.default_rng(0)
    x, fake = rng.normal(size=(2, 4, 2))
    for D in (mixing, apart):
        d = D.init(rng, np.float64)
        one_by_one = np.concatenate([D(d, x), D(d, fake)])
        counters = [k for k in d.buffers if k.endswith("num_batches_tracked")]
        assert [d.buffers[k] for k in counters] == ([2] if D is mixing else [])
        at_once = D(d, np.concatenate([x, fake]))
        assert np.allclose(at_once, one_by_one, rtol=1e-12) == (D is apart)


def test_a_convolution_its_activation_and_pooling_run_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    kernel = pooled_convolution.conv2d_max_pool2d
    monkeypatch.setattr(
        pooled_convolution, "conv2d_max_pool2d", lambda x, *rest: seen.append(x.shape) or kernel(x, *rest)
    )
    D = conv28.discriminator(8, 64)
    d, x = D.init(np.random.default_rng(0)), np.zeros((3, 1, 28, 28), np.float32)
    D(d, x)
    assert seen == [(3, 1, 28, 28)]  # the second has too many channels
    with kernels.plain():
        D(d, x)
    assert len(seen) == 1


IMAGE_LAYERS: list[tuple[Layer, tuple[int, ...]]] = [
    (Conv2d(2, 3, (2, 3), (2, 1), (0, 1), (1, 2)), (4, 2, 6, 7)),
    (Conv2d(2, 3, 3, bias=False), (4, 2, 6, 7)),
    (ConvTranspose2d(2, 3, (2, 3), (2, 1), (0, 1), (1, 0)), (4, 2, 3, 4)),
    (ConvTranspose2d(2, 3, 4, 2, 1, bias=False), (4, 2, 3, 4)),
    (BatchNorm1d(3), (5, 3)),
    (BatchNorm2d(2), (4, 2, 3, 4)),
    (BatchNorm2d(2, affine=False), (4, 2, 3, 4)),
    (BatchNorm2d(2, track_running_stats=False), (4, 2, 3, 4)),
]


@pytest.mark.bits
@every_activation
@pytest.mark.parametrize(("layer", "shape"), IMAGE_LAYERS, ids=repr)
@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
def test_an_image_layer_joined_with_its_activation_computes_what_they_compute_apart(
    activation: Layer, layer: Any, shape: tuple[int, ...], mode: bool
) -> None:
    network = Sequential(layer, activation, MaxPool2d(2)) if len(shape) == 4 else Sequential(layer, activation)
    start = network.init(np.random.default_rng(0), np.float64)
    start.flat[...] = np.random.default_rng(1).normal(size=start.flat.shape)
    x = np.random.default_rng(2).normal(size=shape)

    def apart(p: Any, x: Any) -> Any:
        y = activation(p, layer(p, x, "0.", mode))
        return P.max_pool2d(y, 2) if len(shape) == 4 else y

    for code in (kernels.plain, nullcontext):
        p, q = start.copy(), start.copy()
        with code():
            np.testing.assert_allclose(network(p, x, training=mode), apart(q, x), rtol=1e-12, atol=1e-14)
            for name, b in p.buffers.items():
                np.testing.assert_array_equal(b, q.buffers[name])
            dx, expected = (
                grad(lambda x, f=f: P.sum(P.square(f(x))))(x)
                for f in (lambda x, p=p: network(p, x, training=mode), lambda x, q=q: apart(q, x))
            )
            np.testing.assert_allclose(dx, expected, rtol=1e-10, atol=1e-12)
            if start:
                together = grad(lambda p: P.sum(P.square(network(p, x, training=mode))))(p)
                one_by_one = grad(lambda q: P.sum(P.square(apart(q, x))))(q)
                np.testing.assert_allclose(together.flat, one_by_one.flat, rtol=1e-10, atol=1e-12)


REFUSED_INPUTS: list[tuple[Layer, tuple[int, ...], str]] = [
    (Conv2d(3, 4, 2), (2, 4, 5, 5), r"Conv2d\(3, 4, .*expected x of shape \(N, 3, H, W\), got \(2, 4, 5, 5\)"),
    (Conv2d(3, 4, 2), (3, 5, 5), r"Conv2d\(3, 4, .*expected x of shape \(N, 3, H, W\), got \(3, 5, 5\)"),
    (Conv2d(3, 4, 6), (2, 3, 5, 5), r"conv2d: expected x at least as large as the kernel .* got \(2, 3, 5, 5\)"),
    (ConvTranspose2d(3, 4, 2), (2, 4, 5, 5), r"ConvTranspose2d\(3, 4, .*\(N, 3, H, W\), got \(2, 4, 5, 5\)"),
    (ConvTranspose2d(3, 4, 2, 1, 3), (2, 3, 1, 1), r"nothing is left .*\(-4, -4\)"),
    (BatchNorm1d(3), (2, 4), r"BatchNorm1d\(3\): expected x of shape \(N, 3\), got \(2, 4\)"),
    (BatchNorm1d(3), (2, 3, 1, 1), r"BatchNorm1d\(3\): expected x of shape \(N, 3\), got \(2, 3, 1, 1\)"),
    (BatchNorm2d(3), (2, 4, 5, 5), r"BatchNorm2d\(3\): expected x of shape \(N, 3, H, W\), got \(2, 4, 5, 5\)"),
    (BatchNorm2d(3), (2, 3), r"BatchNorm2d\(3\): expected x of shape \(N, 3, H, W\), got \(2, 3\)"),
    (BatchNorm2d(3), (1, 3, 1, 1), r"expected more than one number a channel in training, got x of .*\(1, 3, 1, 1\)"),
    (BatchNorm1d(3), (0, 3), r"expected more than one number a channel in training, got x of shape \(0, 3\)"),
    (MaxPool2d(3), (1, 1, 2, 5), r"max_pool2d: expected x at least as large as the window .* got \(1, 1, 2, 5\)"),
    (AvgPool2d(3), (1, 1, 2, 5), r"avg_pool2d: expected x at least as large as the window .* got \(1, 1, 2, 5\)"),
    (MaxPool2d(2, padding=2), (1, 1, 4, 4), r"max_pool2d: expected padding of at most half of kernel_size"),
    (MaxPool2d(2), (4, 4), r"max_pool2d: expected x of shape \(N, C, H, W\), got \(4, 4\)"),
]


@pytest.mark.parametrize(("layer", "shape", "message"), REFUSED_INPUTS, ids=str)
@pytest.mark.parametrize("behind", [(), (Tanh(),)], ids=["alone", "joined"])
@pytest.mark.parametrize("code", [nullcontext, kernels.plain], ids=["kernels", "plain"])
def test_an_image_that_does_not_fit_is_refused_by_name(
    layer: Layer, shape: tuple[int, ...], message: str, behind: Any, code: Any
) -> None:
    network = Sequential(layer, *behind)
    p = network.init(np.random.default_rng(0))
    before = {name: b.copy() for name, b in p.buffers.items()}
    with code(), pytest.raises(ValueError, match=message):
        network(p, np.ones(shape, np.float32))
    for name in ("running_mean", "running_var"):
        for key in [k for k in before if k.endswith(name)]:
            np.testing.assert_array_equal(p.buffers[key], before[key])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2d(0, 1, 3), "Conv2d: expected in_channels >= 1, got 0"),
        (lambda: Conv2d(1, 0, 3), "Conv2d: expected out_channels >= 1, got 0"),
        (lambda: Conv2d(1, 1, 0), "kernel_size: expected a whole number >= 1 or a pair of them, got 0"),
        (lambda: Conv2d(1, 1, (3, 0)), r"kernel_size: expected .* got \(3, 0\)"),
        (lambda: Conv2d(1, 1, 3, stride=0), "stride: expected .* got 0"),
        (lambda: Conv2d(1, 1, 3, padding=-1), "padding: expected .* got -1"),
        (lambda: Conv2d(1, 1, 3, dilation=(1, 2, 3)), r"dilation: expected .* got \(1, 2, 3\)"),
        (lambda: ConvTranspose2d(-1, 1, 3), "ConvTranspose2d: expected in_channels >= 1, got -1"),
        (
            lambda: ConvTranspose2d(1, 1, 3, 2, output_padding=2),
            "output_padding: expected less than stride or dilation",
        ),
        (lambda: BatchNorm1d(0), "BatchNorm1d: expected num_features >= 1, got 0"),
        (lambda: BatchNorm2d(1, eps=0.0), "BatchNorm2d: expected eps > 0, got 0"),
        (lambda: BatchNorm2d(1, momentum=1.5), r"BatchNorm2d: expected momentum in \[0, 1\], got 1.5"),
        (lambda: Upsample(0), "Upsample: expected scale_factor >= 1, got 0"),
    ],
)
def test_constructor_arguments_out_of_range_are_refused_by_name(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_state_dict_of_another_shape_is_refused_by_name_before_anything_is_written() -> None:
    p = Sequential(Conv2d(2, 3, 3), BatchNorm2d(3)).init(np.random.default_rng(0))
    before = p.copy()
    state = {name: np.zeros_like(a) for name, a in p.state_dict().items()}
    state["1.running_var"] = np.zeros(4, np.float32)
    with pytest.raises(ValueError, match=r"'1.running_var': expected shape \(3,\), got \(4,\)"):
        p.load_state_dict(state)
    np.testing.assert_array_equal(p.flat, before.flat)


def test_shaping_layers_and_pooling_give_the_shapes_they_name() -> None:
    x = np.arange(2 * 3 * 4 * 6, dtype=np.float32).reshape(2, 3, 4, 6)
    shapes = {
        Flatten(): (2, 72),
        Reshape(9, 8): (2, 9, 8),
        Upsample(3): (2, 3, 12, 18),
        MaxPool2d((2, 3)): (2, 3, 2, 2),
        AvgPool2d(3, 1, 1): (2, 3, 4, 6),
    }
    for layer, shape in shapes.items():
        assert Sequential(layer)({}, x).shape == shape


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
