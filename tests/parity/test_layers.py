"""Layers name, shape and start their arrays as PyTorch's do, and compute the same, so state_dicts go both ways."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from minigan import (
    ELU,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Embedding,
    LeakyReLU,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    Sigmoid,
    Softplus,
    Tanh,
    Upsample,
    kernels,
)
from minigan.layers import Layer

torch = pytest.importorskip("torch")
nn = torch.nn

PAIRS: dict[str, tuple[Layer, Any]] = {
    "Linear": (Linear(3, 2), lambda: nn.Linear(3, 2)),
    "Linear without bias": (Linear(3, 2, bias=False), lambda: nn.Linear(3, 2, bias=False)),
    "ReLU": (ReLU(), nn.ReLU),
    "LeakyReLU": (LeakyReLU(), nn.LeakyReLU),
    "LeakyReLU 0.2": (LeakyReLU(0.2), lambda: nn.LeakyReLU(0.2)),
    "LeakyReLU below 0": (LeakyReLU(-0.5), lambda: nn.LeakyReLU(-0.5)),
    "ELU": (ELU(), nn.ELU),
    "ELU 0.3": (ELU(0.3), lambda: nn.ELU(0.3)),
    "Sigmoid": (Sigmoid(), nn.Sigmoid),
    "Tanh": (Tanh(), nn.Tanh),
    "Softplus": (Softplus(), nn.Softplus),
}


def _pair(layer: Layer, twin: Any) -> tuple[Sequential, Any]:
    return Sequential(Linear(4, 3), layer), nn.Sequential(nn.Linear(4, 3), twin())


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("code", ["kernels", "plain"])
def test_a_state_dict_of_pytorch_loads_and_gives_its_output(name: str, code: str) -> None:
    network, twin = _pair(*PAIRS[name])
    torch.manual_seed(0)
    twin = twin.double()
    p = network.init(np.random.default_rng(0), np.float64)
    p.load_state_dict({key: t.detach().numpy() for key, t in twin.state_dict().items()})
    x = np.random.default_rng(1).normal(size=(5, 4))
    expected = twin(torch.tensor(x)).detach().numpy()
    if code == "plain":
        with kernels.plain():
            y = network(p, x)
    else:
        y = network(p, x)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", PAIRS)
def test_a_state_dict_of_minigan_loads_into_pytorch_strictly(name: str) -> None:
    network, twin = _pair(*PAIRS[name])
    p, module = network.init(np.random.default_rng(0)), twin
    assert list(p.state_dict()) == list(module.state_dict())
    module.load_state_dict({key: torch.tensor(a) for key, a in p.state_dict().items()}, strict=True)
    for key, t in module.state_dict().items():
        np.testing.assert_array_equal(t.numpy(), p[key])


def test_names_of_nested_networks_are_pytorchs() -> None:
    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.main = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
            self.head = nn.Sequential(nn.Linear(2, 1))

    network = Sequential({"main": Sequential(Linear(2, 3), Tanh(), Linear(3, 2)), "head": Sequential(Linear(2, 1))})
    expected = {key: tuple(t.shape) for key, t in Generator().state_dict().items()}
    assert {key: spec.shape for key, spec in network.parameters().items()} == expected


@pytest.mark.parametrize("inputs", [1, 7, 100])
def test_numbers_start_on_pytorchs_intervals(inputs: int) -> None:
    p = Sequential(Linear(inputs, 2000)).init(np.random.default_rng(0))
    torch.manual_seed(0)
    twin = nn.Linear(inputs, 2000)
    for ours, theirs in [(p["0.weight"], twin.weight), (p["0.bias"], twin.bias)]:
        a, b = ours, theirs.detach().numpy()
        np.testing.assert_allclose([a.min(), a.max()], [b.min(), b.max()], rtol=0.01)
        np.testing.assert_allclose(a.std(), b.std(), rtol=0.05)


IMAGE_PAIRS: dict[str, tuple[Layer, Any, tuple[int, ...]]] = {
    "Conv2d": (
        Conv2d(3, 4, (3, 2), (2, 1), (1, 0), (1, 2)),
        lambda: nn.Conv2d(3, 4, (3, 2), (2, 1), (1, 0), (1, 2)),
        (2, 3, 7, 6),
    ),
    "Conv2d without bias": (
        Conv2d(3, 4, 4, 2, 1, bias=False),
        lambda: nn.Conv2d(3, 4, 4, 2, 1, bias=False),
        (2, 3, 8, 6),
    ),
    "ConvTranspose2d": (
        ConvTranspose2d(3, 4, (3, 2), (2, 3), (1, 0), (1, 2)),
        lambda: nn.ConvTranspose2d(3, 4, (3, 2), (2, 3), (1, 0), (1, 2)),
        (2, 3, 4, 3),
    ),
    "ConvTranspose2d, dilated": (
        ConvTranspose2d(3, 4, 3, output_padding=1, bias=False, dilation=2),
        lambda: nn.ConvTranspose2d(3, 4, 3, output_padding=1, bias=False, dilation=2),
        (2, 3, 4, 3),
    ),
    "BatchNorm1d": (BatchNorm1d(3), lambda: nn.BatchNorm1d(3), (5, 3)),
    "BatchNorm2d": (BatchNorm2d(3, 1e-3, 0.3), lambda: nn.BatchNorm2d(3, 1e-3, 0.3), (2, 3, 4, 2)),
    "BatchNorm2d without scale": (BatchNorm2d(3, affine=False), lambda: nn.BatchNorm2d(3, affine=False), (2, 3, 4, 2)),
    "BatchNorm2d without statistics": (
        BatchNorm2d(3, track_running_stats=False),
        lambda: nn.BatchNorm2d(3, track_running_stats=False),
        (2, 3, 4, 2),
    ),
    "MaxPool2d": (MaxPool2d(3, 2, 1), lambda: nn.MaxPool2d(3, 2, 1), (2, 3, 5, 6)),
    "AvgPool2d": (AvgPool2d((2, 3), padding=1), lambda: nn.AvgPool2d((2, 3), padding=1), (2, 3, 5, 6)),
    "Upsample": (Upsample(2), lambda: nn.Upsample(scale_factor=2), (2, 3, 2, 3)),
}


@pytest.mark.parametrize("name", IMAGE_PAIRS)
@pytest.mark.parametrize("behind", ["nothing", "ReLU"])
@pytest.mark.parametrize("code", [nullcontext, kernels.plain], ids=["kernels", "plain"])
def test_an_image_layers_state_dict_loads_and_gives_pytorchs_output_in_training_and_evaluation(
    name: str, behind: str, code: Any
) -> None:
    layer, twin, shape = IMAGE_PAIRS[name]
    torch.manual_seed(0)
    network = Sequential({"deep": Sequential(layer, *([ReLU()] if behind == "ReLU" else []))})
    module = nn.Sequential(OrderedDict(deep=nn.Sequential(twin(), *([nn.ReLU()] if behind == "ReLU" else [])))).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    p = network.init(np.random.default_rng(0), np.float64)
    assert [(k, tuple(t.shape)) for k, t in module.state_dict().items()] == [
        (k, a.shape) for k, a in p.state_dict().items()
    ]
    p.load_state_dict({key: t.detach().numpy() for key, t in module.state_dict().items()})
    rng = np.random.default_rng(1)
    for mode in (True, True, False):
        x = rng.normal(size=shape)
        expected = module.train(mode)(torch.tensor(x)).detach().numpy()
        with code():
            np.testing.assert_allclose(network(p, x, training=mode), expected, rtol=1e-11, atol=1e-13)
        for key, t in module.state_dict().items():
            np.testing.assert_allclose(p.state_dict()[key], t.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("ours", "theirs"), [(Conv2d, nn.Conv2d), (ConvTranspose2d, nn.ConvTranspose2d)])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 64), (64, 3)])
def test_convolutions_start_on_pytorchs_intervals(ours: Any, theirs: Any, inputs: int, outputs: int) -> None:
    p = Sequential(ours(inputs, outputs, (4, 5))).init(np.random.default_rng(0))
    torch.manual_seed(0)
    twin = theirs(inputs, outputs, (4, 5))
    a, b = p["0.weight"], twin.weight.detach().numpy()
    np.testing.assert_allclose([a.min(), a.max(), a.std()], [b.min(), b.max(), b.std()], rtol=0.05)
    bound = 1.0 / np.sqrt(a.shape[1] * 20)
    assert np.abs(p["0.bias"]).max() <= bound
    assert np.abs(twin.bias.detach().numpy()).max() <= bound


def test_an_embedding_is_named_and_starts_as_pytorchs_and_gives_its_output() -> None:
    network = Sequential({"label": Embedding(5, 2000)})
    torch.manual_seed(0)
    module = nn.Sequential(OrderedDict(label=nn.Embedding(5, 2000)))
    p, theirs = network.init(np.random.default_rng(0)), module.state_dict()
    assert list(p.state_dict()) == list(theirs)
    np.testing.assert_allclose(
        [p["label.weight"].mean(), p["label.weight"].std()],
        [theirs["label.weight"].mean(), theirs["label.weight"].std()],
        atol=0.03,
    )
    p.load_state_dict({key: t.numpy() for key, t in theirs.items()})
    labels = np.array([4, 0, 4])
    np.testing.assert_array_equal(network(p, labels), module(torch.from_numpy(labels)).detach().numpy())
