"""Trained by `play`, the image GANs at full width are where the installed PyTorch is after 10 steps.

In float64, every loss, weight, Adam moment and buffer is. In float32 wide convolutional GANs do not stay with
themselves: PyTorch's float32 is tens of percent away from PyTorch's float64 after a few steps, as ReLUs flip and Adam
divides small gradients by themselves. There minigan has to be as near to PyTorch's float64 as PyTorch's float32 is.
"""

import contextlib
from functools import cache

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from minigan import kernels
from tests import torch_images
from tests.image_trajectories import FULL, NARROW, differences, distance, minigan_trajectory
from tests.references import load_images

each_full_system = pytest.mark.parametrize("system", FULL, ids=str)
each_system = pytest.mark.parametrize("system", NARROW + FULL, ids=str)
with_kernels_and_without = pytest.mark.parametrize(
    "code", [contextlib.nullcontext, kernels.plain], ids=["kernels", "plain"]
)


@cache
def pytorch(system, dtype=torch.float64):
    return torch_images.trajectory(system, dtype)


@pytest.mark.slow
@each_full_system
@with_kernels_and_without
def test_after_10_steps_in_float64_every_number_is_pytorchs_to_eight_digits(system, code):
    with code():
        got = minigan_trajectory(system)
    worst = max(differences(system, got, pytorch(system)))
    assert worst.relative < 1e-8, worst


@with_kernels_and_without
def test_in_float32_every_number_of_the_mlp_is_pytorchs_float64_to_two_parts_in_a_thousand(code):
    with code():
        got = minigan_trajectory(FULL[0], np.float32)
    worst = max(differences(FULL[0], got, pytorch(FULL[0])))
    assert worst.relative < 2e-3, worst


@pytest.mark.slow
@pytest.mark.parametrize("system", FULL[1:3], ids=str)
@with_kernels_and_without
def test_in_float32_the_convolutional_systems_go_no_further_astray_than_pytorch(system, code):
    with code():
        ours = minigan_trajectory(system, np.float32)
    exact, theirs = pytorch(system), pytorch(system, torch.float32)
    assert distance(ours.losses[0], exact.losses[0]) < 2e-3
    for part in ("losses", "G", "D"):
        a, b, c = (getattr(side, part) for side in (exact, theirs, ours))
        assert np.linalg.norm(c - a) <= 3.0 * np.linalg.norm(b - a), part


@pytest.mark.parametrize("system", NARROW, ids=str)
def test_the_stored_references_are_what_pytorch_gives(system):
    worst = max(differences(system, pytorch(system), load_images(system)))
    assert worst.relative < 1e-10, worst


@each_system
def test_both_libraries_name_weights_and_buffers_alike(system):
    for theirs, ours in zip(torch_images.networks(system), system.networks().values(), strict=True):
        p = ours.init(np.random.default_rng(0))
        assert {k: tuple(t.shape) for k, t in theirs.state_dict().items()} == {
            k: a.shape for k, a in p.state_dict().items()
        }
        assert [name for name, _ in theirs.named_parameters()] == list(p)


@each_system
def test_pytorchs_state_dict_loads_and_gives_its_images_and_scores_in_training_and_evaluation(system):
    rng = np.random.default_rng(3)
    players = torch_images.networks(system)
    inputs = rng.normal(size=(4, system.noise)), rng.uniform(-1.0, 1.0, (4, *system.image))
    for module, network, x in zip(players, system.networks().values(), inputs, strict=True):
        module.double()
        for training in (True, True, False):
            module.train(training)
            p = network.init(np.random.default_rng(0), np.float64)
            p.load_state_dict({k: t.detach().numpy() for k, t in module.state_dict().items()})
            expected = module(torch.from_numpy(x)).detach().numpy()
            for code in (kernels.plain, contextlib.nullcontext):
                with code():
                    assert distance(network(p.copy(), x, training=training), expected) < 1e-10
            network(p, x, training=training)
            for k, t in module.state_dict().items():
                np.testing.assert_allclose(p.state_dict()[k], t.numpy(), rtol=1e-10, atol=1e-14, err_msg=k)
