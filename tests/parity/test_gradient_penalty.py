"""The gradient of a gradient penalty equals PyTorch's double backward, weight for weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigan import ELU, LeakyReLU, Linear, Sequential, Tanh, grad, primitives, value_and_grad
from minigan.parameters import Parameters

torch = pytest.importorskip("torch")

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
