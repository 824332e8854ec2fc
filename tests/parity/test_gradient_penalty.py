"""The gradient of a gradient penalty equals PyTorch's double backward, weight for weight."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from minigan import ELU, LeakyReLU, Linear, Sequential, Tanh, grad, kernels, primitives, value_and_grad
from minigan.networks import dcgan
from minigan.parameters import Parameters
from tests import image_trajectories

torch = pytest.importorskip("torch")
from tests import torch_images

ACTIVATIONS = {
    "Tanh": (Tanh(), torch.nn.Tanh()),
    "LeakyReLU": (LeakyReLU(0.2), torch.nn.LeakyReLU(0.2)),
    "ELU": (ELU(), torch.nn.ELU()),
    "ELU 0.5": (ELU(0.5), torch.nn.ELU(0.5)),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_wgan_gp_critics_loss_and_gradient_equal_pytorchs(activation: str, dtype: Any) -> None:
    ours, theirs = ACTIVATIONS[activation]
    D = Sequential(Linear(2, 8), ours, Linear(8, 5), ours, Linear(5, 1))
    rng = np.random.default_rng(0)
    d = D.init(rng, dtype)
    real, fake, mixed = (rng.normal(size=(6, 2)).astype(dtype) for _ in range(3))

    def loss(d: Parameters) -> Any:
        slopes = grad(lambda x: primitives.sum(D(d, x)))(mixed)
        norms = primitives.sqrt(primitives.sum(primitives.square(slopes), axis=1))
        penalty = primitives.mean(primitives.square(norms - 1.0))
        return primitives.mean(D(d, fake)) - primitives.mean(D(d, real)) + 10.0 * penalty

    value, gradient = value_and_grad(loss)(d)

    twin = torch.nn.Sequential(torch.nn.Linear(2, 8), theirs, torch.nn.Linear(8, 5), theirs, torch.nn.Linear(5, 1)).to(
        torch.from_numpy(real).dtype
    )
    twin.load_state_dict({name: torch.tensor(a) for name, a in d.state_dict().items()})
    x = torch.tensor(mixed, requires_grad=True)
    (slopes,) = torch.autograd.grad(twin(x).sum(), x, create_graph=True)
    penalty = ((slopes.norm(dim=1) - 1.0) ** 2).mean()
    expected = twin(torch.tensor(fake)).mean() - twin(torch.tensor(real)).mean() + 10.0 * penalty
    expected.backward()

    rtol, atol = (1e-11, 1e-13) if dtype is np.float64 else (1e-4, 1e-5)
    np.testing.assert_allclose(value, expected.item(), rtol=rtol)
    for name, p in twin.named_parameters():
        np.testing.assert_allclose(gradient[name], p.grad.numpy(), rtol=rtol, atol=atol, err_msg=name)


def _critics(name: str) -> tuple[Any, Any, tuple[int, ...]]:
    """minigan's critic, PyTorch's, and the shape of an image. DCGAN's has batch norm, which mixes the rows."""
    system = image_trajectories.System(*CRITICS[name])
    _, module = torch_images.started(system)
    if name.startswith("dcgan"):
        module.main.pop(-1)  # the sigmoid
        return dcgan.discriminator(*system.widths, logits=True), module, system.image
    return system.networks()["D"], module, system.image


CRITICS = {
    "conv28, narrow": ("conv28", 1, (4, 16), (1, 28, 28), 3),
    "conv28": ("conv28", 1, (32, 1024), (1, 28, 28), 3),
    "dcgan, narrow": ("dcgan", 1, (3,), (3, 96, 96), 3),
    "dcgan": ("dcgan", 1, (64,), (3, 96, 96), 3),
}


@pytest.mark.parametrize("name", CRITICS)
@pytest.mark.parametrize("code", [nullcontext, kernels.plain], ids=["kernels", "plain"])
def test_a_penalty_through_an_image_critic_has_the_gradient_of_pytorchs_double_backward(name: str, code: Any) -> None:
    D, module, image = _critics(name)
    d = D.init(np.random.default_rng(0), np.float64)
    d.load_state_dict({key: t.detach().numpy() for key, t in module.state_dict().items()})
    rng = np.random.default_rng(1)
    real, fake = rng.uniform(-1.0, 1.0, (2, 3, *image))
    share = rng.random((3, 1, 1, 1))
    mixed = share * real + (1.0 - share) * fake

    def penalty(d: Parameters) -> Any:
        slopes = primitives.flatten(grad(lambda x: primitives.sum(D(d, x)))(mixed))
        norms = primitives.sqrt(primitives.sum(primitives.square(slopes), axis=1))
        return primitives.mean(primitives.square(norms - 1.0))

    with code():
        value, gradient = value_and_grad(penalty)(d)

    x = torch.tensor(mixed, requires_grad=True)
    (slopes,) = torch.autograd.grad(module(x).sum(), x, create_graph=True)
    expected = ((slopes.flatten(1).norm(dim=1) - 1.0) ** 2).mean()
    expected.backward()
    np.testing.assert_allclose(value, expected.item(), rtol=1e-9)
    for key, p in module.named_parameters():
        theirs = np.zeros(p.shape) if p.grad is None else p.grad.numpy()
        gap = np.linalg.norm(gradient[key] - theirs)
        assert gap <= 1e-9 * max(np.linalg.norm(theirs), 1e-6), key  # the last bias moves no slope: exactly 0
    for key, b in module.named_buffers():
        gap = np.linalg.norm(d.buffers[key] - b.numpy())  # of the whole: a mean near 0 has the rounding of its numbers
        assert gap <= 1e-12 * np.linalg.norm(b.numpy()), key
