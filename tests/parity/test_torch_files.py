"""PyTorch's weight files go both ways, and what is broken in them is refused in plain words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigan import BatchNorm1d, Linear, Sequential
from minigan.files.torch import load_pth, save_pth
from minigan.files.weights import CheckpointError, load_weights, save_weights
from tests.files.damage import mutated

torch = pytest.importorskip("torch")
nn = torch.nn


def _pair() -> tuple[Any, Any]:
    return Sequential(Linear(3, 4), BatchNorm1d(4)), nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_a_state_dict_of_pytorch_becomes_parameters_of_minigan(tmp_path: Path) -> None:
    G, net = _pair()
    net(torch.randn(8, 3))  # moves the buffers
    torch.save(net.state_dict(), tmp_path / "G.pth")
    arrays = load_pth(tmp_path / "G.pth")
    assert list(arrays) == list(net.state_dict())
    g = G.init(np.random.default_rng(0))
    g.load_state_dict(arrays)
    for name, tensor in net.state_dict().items():
        np.testing.assert_array_equal(g.state_dict()[name], tensor.numpy())
        assert arrays[name].dtype == tensor.numpy().dtype
        assert arrays[name].shape == tuple(tensor.shape)


@pytest.mark.parametrize("way", ["pth", "safetensors"])
def test_parameters_of_minigan_become_a_state_dict_of_pytorch(tmp_path: Path, way: str) -> None:
    G, net = _pair()
    g = G.init(np.random.default_rng(0))
    if way == "pth":
        save_pth(tmp_path / "G.pth", g)
        state = torch.load(tmp_path / "G.pth", weights_only=True)
    else:
        from safetensors.torch import load_file

        save_weights(tmp_path / "G.safetensors", g)
        state = load_file(tmp_path / "G.safetensors")
    net.load_state_dict(state)
    x = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    net.train()
    np.testing.assert_allclose(G(g, x), net(torch.from_numpy(x)).detach().numpy(), atol=1e-6)


def test_weights_pass_from_pth_to_safetensors_and_back_bit_for_bit(tmp_path: Path) -> None:
    tensors = {
        "half": torch.randn(3).half(),
        "transposed": torch.randn(3, 2).T,
        "row of many": torch.randn(4, 5)[1],
        "count": torch.tensor(7),
        "none": torch.zeros(0, 3),
        "on": torch.tensor([True, False]),
        "parameter": nn.Parameter(torch.randn(2)),
    }
    torch.save(tensors, tmp_path / "a.pth")
    save_weights(tmp_path / "a.safetensors", load_pth(tmp_path / "a.pth"))
    save_pth(tmp_path / "b.pth", load_weights(tmp_path / "a.safetensors"))
    back = torch.load(tmp_path / "b.pth", weights_only=True)
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(back[name], tensor)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(2)], "expected a state_dict, got list"),
        ({"netG": {"a": torch.ones(2)}}, "expected a tensor, got dict for 'netG'"),
        ({"a": torch.ones(2, dtype=torch.bfloat16)}, r"NumPy cannot hold 'a' \(torch.bfloat16\)"),
        (nn.Linear(1, 1), "PyTorch cannot read it: Weights only load failed"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=rf"a\.pth: {message}"):
        load_pth(tmp_path / "a.pth")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a\.pth: there is no such file"):
        load_pth(tmp_path / "a.pth")


@pytest.mark.filterwarnings("ignore::UserWarning")  # of PyTorch, about pickles it does not know
def test_nothing_but_the_documented_error_comes_of_broken_files(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "a.pth"
    save_pth(path, {"a": np.arange(6.0), "b": np.float32([1])})
    whole, refused = path.read_bytes(), 0
    for _ in range(500):
        path.write_bytes(mutated(rng, whole))
        try:
            load_pth(path)
        except CheckpointError:
            refused += 1
    assert refused > 200
