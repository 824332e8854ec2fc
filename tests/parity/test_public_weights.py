"""Weights that others trained in PyTorch load key for key, and give PyTorch's outputs.

    MINIGAN_DATA=DIR python -m pytest tests/parity/test_public_weights.py

DIR/pretrained holds the weights as benchmarks/public_networks.py says, and arch.json, which describes each network
layer for layer; the PyTorch side is built from that description and not from minigan's. DIR/mnist holds MNIST's files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import lenet
from benchmarks.classifier import read_images
from benchmarks.public_networks import GENERATORS, SCORES, PublicNetwork
from minigan import kernels, primitives
from minigan.files.weights import load_weights

torch = pytest.importorskip("torch")
functional = torch.nn.functional

DATA = os.environ.get("MINIGAN_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="MINIGAN_DATA names no folder with public weights")

LENET = PublicNetwork(lenet.classifier(padding=0), "mnist_lenet.weights.npz", "net")
NETWORKS: dict[str, tuple[PublicNetwork, tuple[str, str]]] = {  # and where arch.json describes it
    "csinva MLP GAN, G": (GENERATORS["csinva MLP GAN"], ("csinva_mlp_gan", "G")),
    "csinva MLP GAN, D": (SCORES["csinva MLP GAN"], ("csinva_mlp_gan", "D")),
    "Digit DCGAN, G": (GENERATORS["Digit DCGAN"], ("mnist_dcgan", "G (Ryhan9834/DigitDCGAN)")),
    "csinva DCGAN, D": (SCORES["csinva DCGAN"], ("mnist_dcgan", "D (csinva mnist_dcgan netD)")),
    "Digit WGAN-GP, G": (GENERATORS["Digit WGAN-GP"], ("mnist_dcgan", "G (Ryhan9834/DigitDCGAN)")),
    "Digit WGAN-GP, critic": (SCORES["Digit WGAN-GP"], ("mnist_wgan_gp", "C (critic)")),
    "MNIST cGAN, G": (GENERATORS["MNIST cGAN"], ("mnist_cgan", "G (HayatoHongo/MNIST-Conditional-WGAN-gp)")),
    "LeNet": (LENET, ("mnist_lenet", "net")),
}
LAYERS: dict[str, Callable[..., Any]] = {  # (x, description, the layer's numbers) -> y
    "Linear": lambda x, a, w: functional.linear(x, **w),
    "Conv2d": lambda x, a, w: functional.conv2d(x, **w, stride=a.get("stride", 1), padding=a.get("pad", 0)),
    "ConvTranspose2d": lambda x, a, w: functional.conv_transpose2d(x, **w, stride=a["stride"], padding=a["pad"]),
    "BatchNorm2d": lambda x, a, w: functional.batch_norm(
        x, w["running_mean"], w["running_var"], w["weight"], w["bias"], training=False, eps=a["eps"]
    ),
    "Embedding": lambda x, a, w: (x[0], functional.embedding(x[1], **w)),
    "ReLU": lambda x, a, w: torch.relu(x),
    "LeakyReLU": lambda x, a, w: functional.leaky_relu(x, a["slope"]),
    "Tanh": lambda x, a, w: torch.tanh(x),
    "Sigmoid": lambda x, a, w: torch.sigmoid(x),
    "LogSoftmax": lambda x, a, w: torch.log_softmax(x, 1),
    "MaxPool2d": lambda x, a, w: functional.max_pool2d(x, a["k"], a["stride"]),
    "Upsample nearest x2": lambda x, a, w: functional.interpolate(x, scale_factor=2, mode="nearest"),
    "concat [z, emb] -> (N,20)": lambda x, a, w: torch.cat(x, 1),
    "reshape (N,128,7,7)": lambda x, a, w: x.reshape(-1, 128, 7, 7),
    "flatten": lambda x, a, w: x.flatten(1),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("code", [nullcontext, kernels.plain], ids=["kernels", "plain"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_public_weights_load_key_for_key_and_give_pytorchs_output(
    name: str, code: Any, dtype: Any, tolerance: float
) -> None:
    public, description = NETWORKS[name]
    p = public.load(_folder("pretrained")).astype(dtype)
    x = _input(name, np.random.default_rng(0), dtype)
    with torch.no_grad():
        expected = _run_pytorch(public, description, x).numpy()
    with code():
        y = public.network(p, x, training=False)
        if name == "LeNet":
            y = primitives.log_softmax(y)
    assert (y.shape, y.dtype, expected.dtype) == (expected.shape, dtype, dtype)
    assert np.abs(y - expected).max() <= tolerance * np.abs(expected).max()


def test_the_public_lenet_is_right_on_9907_test_images() -> None:
    images = read_images(_folder("mnist"), "t10k")
    pixels = np.round(images.x[:, 0] * 255.0).astype(np.uint8)
    large = np.stack([np.asarray(Image.fromarray(x).resize((32, 32), Image.Resampling.BILINEAR)) for x in pixels])
    x = large[:, None].astype(np.float32) / np.float32(255.0)
    p = LENET.load(_folder("pretrained"))
    said = np.concatenate([LENET.network(p, x[i : i + 1000]).argmax(1) for i in range(0, len(x), 1000)])
    assert np.sum(said == images.labels) == 9907


def _folder(name: str) -> Path:
    assert DATA
    return Path(DATA) / name


def _input(name: str, rng: np.random.Generator, dtype: Any) -> Any:
    """32 rows of what the network reads: noise, noise and labels, or digits."""
    public = NETWORKS[name][0]
    if public.noise:
        z = rng.normal(size=(32, public.noise)).astype(dtype)
        return (z, rng.integers(0, 10, 32)) if public.conditional else z
    x = read_images(_folder("mnist"), "t10k").x[:32].astype(dtype)
    if name == "LeNet":
        return np.pad(x, [(0, 0), (0, 0), (2, 2), (2, 2)])
    return 2.0 * (x.reshape(32, 784) if name == "csinva MLP GAN, D" else x) - 1.0


def _run_pytorch(public: PublicNetwork, description: tuple[str, str], x: Any) -> Any:
    """What PyTorch's functions make of x with the numbers of the file, one line of arch.json after the other."""
    state = load_weights(_folder("pretrained") / public.file)
    arch = json.loads((_folder("pretrained") / "arch.json").read_text())[description[0]][description[1]]
    x = tuple(map(torch.from_numpy, x)) if isinstance(x, tuple) else torch.from_numpy(x)
    layers = arch if isinstance(arch, list) else arch["layers"]
    if layers[0].get("layer") == "ConvTranspose2d":
        x = x[:, :, None, None]
    for a in layers:
        own = f"{public.part}/{a['name']}." if "name" in a else None
        w = {k.removeprefix(own): _as_x(v, x) for k, v in state.items() if own and k.startswith(own)}
        x = LAYERS[a.get("layer") or a["op"]](x, a, w)
    return x


def _as_x(numbers: np.ndarray, x: Any) -> Any:
    """A layer's numbers in the dtype of what it reads."""
    return torch.from_numpy(numbers).to((x[0] if isinstance(x, tuple) else x).dtype)
