"""Thousands of random convolutions and poolings give PyTorch's values and gradients, or are refused where its are.

Each is run on the kernels and on the plain code, and compared with PyTorch in float64 on the same numbers: within 1e-10
of the norm in float64, 2e-5 in float32. MINIGAN_EXAMPLES=1 draws all of them (memory.py).
"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan import kernels, primitives, value_and_grad
from tests.memory import DTYPES, MEMORIES, TIMES, array, assert_close, examples

torch = pytest.importorskip("torch")
torch.set_num_threads(1)
functional = torch.nn.functional

DRAWN, AT_LEAST = 2800, 2000
PAIR = tuple[int, int]


class Config(NamedTuple):
    """One call: the shapes of its arrays (None for an absent bias), its settings as they are passed."""

    shapes: dict[str, tuple[int, ...] | None]
    settings: dict[str, Any]
    dtype: Any
    memory: str
    seed: int


@st.composite
def _pair_or_number(draw: Any, low: int, high: int) -> int | PAIR:
    n = st.integers(low, high)
    return draw(st.one_of(n, st.tuples(n, n)))


def _both(n: int | PAIR) -> PAIR:
    return (n, n) if isinstance(n, int) else n


def _sized(draw: Any, spans: list[int]) -> PAIR:
    """Sizes of which the kernel's span takes most, now and then one too few, and at times a single pixel."""
    H, W = (max(1, span + draw(st.integers(-1, 8))) for span in spans)
    return (H, W)


def _config(draw: Any, shapes: dict[str, Any], settings: dict[str, Any]) -> Config:
    return Config(shapes, settings, draw(DTYPES), draw(MEMORIES), draw(st.integers(0, 2**32)))


@st.composite
def convolutions(draw: Any) -> Config:
    """Arguments of conv2d."""
    N, C, O = draw(st.integers(0, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 5))
    kernel = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    stride, dilation = draw(_pair_or_number(1, 6)), draw(_pair_or_number(1, 3))
    padding = draw(_pair_or_number(0, 4))
    spans = [d * (k - 1) + 1 - 2 * p for k, p, d in zip(kernel, _both(padding), _both(dilation), strict=True)]
    shapes = {
        "x": (N, C, *_sized(draw, spans)),
        "weight": (O, C, *kernel),
        "bias": (O,) if draw(st.booleans()) else None,
    }
    return _config(draw, shapes, {"stride": stride, "padding": padding, "dilation": dilation})


@st.composite
def transposed_convolutions(draw: Any) -> Config:
    """Arguments of conv_transpose2d."""
    N, C, O = draw(st.integers(0, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 5))
    size, kernel = (tuple(draw(st.integers(1, high)) for _ in "HW") for high in (6, 5))
    shapes = {"x": (N, C, *size), "weight": (C, O, *kernel), "bias": (O,) if draw(st.booleans()) else None}
    stride, dilation = draw(_pair_or_number(1, 5)), draw(_pair_or_number(1, 3))
    most = min(max(s, d) for s, d in zip(_both(stride), _both(dilation), strict=True))
    settings = {
        "stride": stride,
        "padding": draw(_pair_or_number(0, draw(st.sampled_from([0, 1, 2, 4])))),
        "output_padding": draw(_pair_or_number(0, most - draw(st.sampled_from([0, 1, 1, 1])))),
        "dilation": dilation,
    }
    return _config(draw, shapes, settings)


@st.composite
def poolings(draw: Any) -> Config:
    """Arguments of max_pool2d and avg_pool2d."""
    kernel = draw(_pair_or_number(1, 5))
    most = min(_both(kernel)) // 2
    padding = draw(_pair_or_number(0, most + draw(st.sampled_from([0, 0, 0, 1]))))
    spans = [k - 2 * p for k, p in zip(_both(kernel), _both(padding), strict=True)]
    shapes = {"x": (draw(st.integers(0, 3)), draw(st.integers(1, 5)), *_sized(draw, spans))}
    settings = {"kernel_size": kernel, "stride": draw(st.none() | _pair_or_number(1, 6)), "padding": padding}
    return _config(draw, shapes, settings)


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d"])
def test_values_gradients_and_refusals_are_pytorchs(name: str) -> None:
    configs = {"conv2d": convolutions(), "conv_transpose2d": transposed_convolutions()}.get(name, poolings())
    seen: Counter[str] = Counter()

    @given(config=configs)
    @examples(DRAWN)
    def each(config: Config) -> None:
        seen["equal" if _agrees(name, config) else "refused"] += 1
        seen["no image"] += config.shapes["x"][0] == 0
        seen["one pixel"] += config.shapes["x"][2:] == (1, 1)
        seen["one row or column"] += 1 in config.shapes["x"][2:]

    each()
    assert seen["equal"] >= AT_LEAST * (TIMES or 1.0), seen
    assert min(seen["refused"], seen["no image"], seen["one pixel"], seen["one row or column"]) > 10, seen


def _agrees(name: str, config: Config) -> bool:
    """Compare one call with PyTorch's; False if both refuse it."""
    rng = np.random.default_rng(config.seed)
    arrays = {
        key: array(rng, shape, config.dtype, config.memory) for key, shape in config.shapes.items() if shape is not None
    }
    if name == "max_pool2d" and config.seed % 2:  # ties
        arrays = {"x": np.round(arrays["x"])}
    tensors = {key: torch.tensor(np.array(a, np.float64, order="C"), requires_grad=True) for key, a in arrays.items()}
    ours, theirs = getattr(primitives, name), getattr(functional, name)
    try:  # without images PyTorch does not look at everything
        theirs(
            torch.zeros(1, *arrays["x"].shape[1:], dtype=torch.float64),
            *_positional(config, tensors)[1:],
            **config.settings,
        )
        expected = theirs(*_positional(config, tensors), **config.settings)
    except RuntimeError:
        for code in (nullcontext, kernels.plain):
            with code(), pytest.raises((ValueError, TypeError), match=r"expected|nothing is left"):
                ours(*_positional(config, arrays), **config.settings)
        return False
    dy = array(rng, tuple(expected.shape), config.dtype, config.memory)
    slopes = torch.autograd.grad(expected, list(tensors.values()), torch.tensor(np.array(dy, np.float64, order="C")))

    def loss(arrays: dict[str, Any]) -> Any:
        y = ours(*_positional(config, arrays), **config.settings)
        return primitives.sum(y * dy), y

    for code in (nullcontext, kernels.plain):
        with code():
            (_, y), gradients = value_and_grad(loss, has_aux=True)(arrays)
        assert_close(y, expected.detach(), config.dtype, least=0.1)  # a single number may cancel
        for key, slope in zip(tensors, slopes, strict=True):
            assert_close(gradients[key], slope, config.dtype, least=0.1)
    return True


def _positional(config: Config, arrays: dict[str, Any]) -> list[Any]:
    return [arrays.get(key) for key in config.shapes]


@pytest.mark.parametrize(
    ("name", "shapes", "settings"),
    [
        ("conv2d", [(1, 3, 5, 5), (2, 4, 3, 3)], {}),
        ("conv2d", [(1, 3, 5, 5), (2, 3, 6, 3)], {}),
        ("conv2d", [(1, 3, 5, 5), (2, 3, 3, 3)], {"dilation": (1, 3)}),
        ("conv2d", [(1, 3, 5, 5), (2, 3, 3, 3), (3,)], {}),
        ("conv2d", [(1, 3, 5, 5), (2, 3, 3, 3), (2, 1)], {}),
        ("conv2d", [(3, 5), (2, 3, 3, 3)], {}),
        ("conv2d", [(1, 3, 5, 5), (2, 3, 3)], {}),
        ("conv2d", [(1, 3, 5, 5), (2, 3, 3, 3)], {"stride": 0}),
        ("conv2d", [(1, 3, 5, 5), (2, 3, 3, 3)], {"stride": (1, -1)}),
        ("conv2d", [(1, 3, 5, 5), (2, 3, 3, 3)], {"padding": -1}),
        ("conv2d", [(1, 3, 5, 5), (2, 3, 3, 3)], {"dilation": 0}),
        ("conv2d", [(1, 3, 5, 5), (2, 3, 3, 3)], {"stride": (1, 1, 1)}),
        ("conv2d", [(1, 3, 5, 5), (2, 3, 3, 3)], {"stride": 1.5}),
        ("conv_transpose2d", [(1, 3, 5, 5), (2, 4, 3, 3)], {}),
        ("conv_transpose2d", [(1, 3, 5, 5), (3, 4, 3, 3), (3,)], {}),
        ("conv_transpose2d", [(3, 5), (3, 2, 3, 3)], {}),
        ("conv_transpose2d", [(1, 3, 1, 1), (3, 4, 2, 2)], {"padding": 1}),
        ("conv_transpose2d", [(1, 3, 5, 5), (3, 4, 3, 3)], {"stride": 2, "output_padding": 2}),
        ("conv_transpose2d", [(1, 3, 5, 5), (3, 4, 3, 3)], {"stride": (2, 3), "output_padding": (2, 1)}),
        ("conv_transpose2d", [(1, 3, 5, 5), (3, 4, 3, 3)], {"output_padding": -1}),
        ("conv_transpose2d", [(1, 3, 5, 5), (3, 4, 3, 3)], {"stride": 0}),
        ("max_pool2d", [(1, 3, 5, 5)], {"kernel_size": 6}),
        ("max_pool2d", [(1, 3, 5, 5)], {"kernel_size": 3, "padding": 2}),
        ("max_pool2d", [(1, 3, 5, 5)], {"kernel_size": 0}),
        ("max_pool2d", [(1, 3, 5, 5)], {"kernel_size": 2, "stride": 0}),
        ("max_pool2d", [(5, 5)], {"kernel_size": 2}),
        ("avg_pool2d", [(1, 3, 5, 5)], {"kernel_size": (2, 6)}),
        ("avg_pool2d", [(1, 3, 5, 5)], {"kernel_size": 3, "padding": (1, 2)}),
        ("avg_pool2d", [(1, 3, 5, 5)], {"kernel_size": 2, "padding": -1}),
        ("avg_pool2d", [(5, 5)], {"kernel_size": 2}),
    ],
)
def test_what_pytorch_refuses_is_refused_in_words(name: str, shapes: Any, settings: dict[str, Any]) -> None:
    with pytest.raises((RuntimeError, TypeError, IndexError)):
        getattr(functional, name)(*map(torch.zeros, shapes), **settings)
    for code in (nullcontext, kernels.plain):
        with code(), pytest.raises((ValueError, TypeError), match=r"expected|nothing is left"):
            getattr(primitives, name)(*[np.zeros(shape, np.float32) for shape in shapes], **settings)


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
@pytest.mark.parametrize("other", ["x", "weight", "bias"])
def test_one_array_of_another_dtype_is_refused_in_words(name: str, other: str) -> None:
    shapes = {"x": (1, 2, 3, 3), "weight": (2, 2, 2, 2), "bias": (2,)}
    arrays = {key: np.zeros(shape, np.float64 if key == other else np.float32) for key, shape in shapes.items()}
    if (name, other) != ("conv_transpose2d", "bias"):  # there PyTorch computes on
        with pytest.raises(RuntimeError):
            getattr(functional, name)(*map(torch.from_numpy, arrays.values()))
    for code in (nullcontext, kernels.plain):
        with code(), pytest.raises(TypeError, match=f"{name}: expected .*dtype"):
            getattr(primitives, name)(*arrays.values())


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
@pytest.mark.parametrize("code", [nullcontext, kernels.plain], ids=["kernels", "plain"])
def test_pooling_hands_nan_and_infinity_on_as_pytorch_does(name: str, code: Any) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 6))
    x[0, 0, 0, 0], x[0, 1, 2, 3], x[1, 2, 5, 5] = np.nan, np.inf, -np.inf
    x[1, 0] = -np.inf
    dy = np.random.default_rng(1).normal(size=(2, 3, 6, 6))
    t = torch.tensor(x, requires_grad=True)
    expected = getattr(functional, name)(t, 3, 1, 1)
    (slope,) = torch.autograd.grad(expected, t, torch.tensor(dy))

    def loss(x: Any) -> Any:
        y = getattr(primitives, name)(x, 3, 1, 1)
        return primitives.sum(y * dy), y

    with code(), np.errstate(invalid="ignore"):
        (_, y), dx = value_and_grad(loss, has_aux=True)(x)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(dx, slope.numpy(), rtol=1e-12, atol=1e-14)
