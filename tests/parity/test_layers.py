"""Layers name, shape and start their arrays as PyTorch's do, and compute the same, so state_dicts go both ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigan import ELU, LeakyReLU, Linear, ReLU, Sequential, Sigmoid, Softplus, Tanh, kernels
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
