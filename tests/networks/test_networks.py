"""The image networks have the shapes, the sizes and the layers of their sources, and make and score images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks import lenet
from minigan import Adam, Player, Sequential, initializers, kernels, objectives, value_and_grad
from minigan.networks import conv28, dcgan, mlp
from minigan.primitives import cross_entropy
from tests.losses import losses, notes_and_gradient

NARROW: dict[str, tuple[Sequential, Sequential, int, tuple[int, ...]]] = {  # G, D, noise, an image
    "mlp": (mlp.generator(5, (4, 6), 9), mlp.discriminator(9, (6, 4)), 5, (9,)),
    "conv28": (conv28.generator(5, 2, 8), conv28.discriminator(2, 8), 5, (1, 28, 28)),
    "dcgan": (dcgan.generator(5, 2), dcgan.discriminator(2), 5, (3, 96, 96)),
}
every_system = pytest.mark.parametrize("name", NARROW)


def _count(network: Sequential) -> int:
    return sum(int(np.prod(spec.shape)) for spec in network.parameters().values())


def test_numbers_of_parameters_are_those_of_the_sources() -> None:
    assert _count(mlp.generator()) == 100 * 128 + 128 + 128 * 256 + 256 + 256 * 512 + 512 + 512 * 784 + 784
    assert _count(mlp.discriminator()) == 784 * 512 + 512 + 512 * 256 + 256 + 256 + 1
    assert _count(conv28.discriminator()) == 1_102_721
    assert _count(conv28.generator(noise=4)) == 6_580_801
    assert _count(dcgan.generator()) == 3_578_432
    assert _count(dcgan.discriminator()) == 2_767_296


@every_system
def test_counts_of_specs_are_counts_of_numbers(name: str) -> None:
    for network in NARROW[name][:2]:
        assert network.init(np.random.default_rng(0)).flat.size == _count(network)


@every_system
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_becomes_images_and_images_get_a_score_each(name: str, dtype: Any) -> None:
    G, D, noise, image = NARROW[name]
    rng = np.random.default_rng(0)
    g, d = G.init(rng, dtype), D.init(rng, dtype)
    x = G(g, rng.normal(size=(3, noise)).astype(dtype))
    assert (x.shape, x.dtype) == ((3, *image), dtype)
    assert np.abs(x).max() < 1.0
    scores = D(d, x)
    assert (scores.shape, scores.dtype) == ((3, 1), dtype)


@pytest.mark.bits
def test_dcgans_noise_may_come_as_pictures_of_one_pixel() -> None:
    G = dcgan.generator(5, 2)
    g, z = G.init(np.random.default_rng(0)), np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)
    np.testing.assert_array_equal(G(g, z), G(g, z[:, :, None, None]))


@pytest.mark.parametrize("size", [96, 64, 32])
def test_the_layer_next_to_the_pixels_decides_how_large_dcgans_images_are(size: int) -> None:
    G, D = dcgan.generator(5, 2, size=size), dcgan.discriminator(2, size=size)
    rng = np.random.default_rng(0)
    x = G(G.init(rng), rng.normal(size=(3, 5)).astype(np.float32))
    assert x.shape == (3, 3, size, size)
    assert D(D.init(rng), x).shape == (3, 1)


@pytest.mark.parametrize("build", [dcgan.generator, dcgan.discriminator])
def test_a_size_that_the_dcgan_does_not_have_is_refused(build: Any) -> None:
    with pytest.raises(ValueError, match="size: expected 96, 64, 32, got 128"):
        build(size=128)


def test_dcgans_own_initialisation_reaches_weights_and_batch_norm() -> None:
    normal, ones = initializers.normal(0.0, 0.02), initializers.normal(1.0, 0.02)
    for network in (dcgan.generator(100, 32, normal, ones), dcgan.discriminator(32, False, normal, ones)):
        for name, a in network.init(np.random.default_rng(0)).items():
            mean = 1.0 if a.ndim == 1 and name.endswith("weight") else 0.0
            std = 0.0 if name.endswith("bias") else 0.02
            assert abs(a.mean() - mean) <= 5 * std / np.sqrt(a.size), name
            assert abs(a.std() - std) <= 0.5 * std, name


@pytest.mark.parametrize("build", [mlp.discriminator, dcgan.discriminator])
def test_logits_are_the_scores_before_the_sigmoid(build: Any) -> None:
    settings: dict[str, Any] = {"widths": (4, 3)} if build is mlp.discriminator else {"width": 2}
    probabilities, logits = build(**settings), build(**settings, logits=True)
    d = probabilities.init(np.random.default_rng(0), np.float64)
    x = np.random.default_rng(1).normal(size=(4, 784) if build is mlp.discriminator else (4, 3, 96, 96))
    np.testing.assert_allclose(probabilities(d, x), 1.0 / (1.0 + np.exp(-logits(d, x))), rtol=1e-12)


@every_system
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-3), (np.float64, 1e-9)])
def test_losses_and_gradients_on_the_kernels_are_those_of_the_plain_code(
    name: str, dtype: Any, tolerance: float
) -> None:
    _compare_codes(*NARROW[name], rows=5, dtype=dtype, tolerance=tolerance)


def test_a_dcgan_wide_enough_for_every_kernel_gives_the_plain_codes_gradients() -> None:
    G, D = dcgan.generator(6, 32), dcgan.discriminator(32)
    _compare_codes(G, D, 6, (3, 96, 96), rows=3, dtype=np.float64, tolerance=1e-9)


def test_in_float32_it_is_as_near_to_float64_as_rounding_allows() -> None:
    """In the median of five draws: where one of 500,000 activations changes sides of its kink, errors are 1e-3."""
    G, D = dcgan.generator(6, 32), dcgan.discriminator(32)
    worst = []
    for seed in range(5):
        fast = _both_steps(G, D, 6, (3, 96, 96), 3, np.float32, seed)
        with kernels.plain():
            exact = _both_steps(G, D, 6, (3, 96, 96), 3, np.float64, seed)
        worst.append(max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(fast, exact, strict=True)))
    assert sorted(worst)[2] < 5e-6


@pytest.mark.bits
@pytest.mark.parametrize(("padding", "pixels"), [(2, 28), (0, 32)])
def test_lenet_gives_a_logit_a_class_and_its_two_halves_read_the_same_numbers(padding: int, pixels: int) -> None:
    net = lenet.classifier(padding)
    assert _count(net) == 61_706
    p = net.init(np.random.default_rng(0))
    x = np.random.default_rng(1).uniform(size=(3, 1, pixels, pixels)).astype(np.float32)
    logits, features = net(p, x), lenet.features(padding)(p, x)
    assert (logits.shape, features.shape) == ((3, 10), (3, 84))
    assert set(lenet.features().parameters()) | set(lenet.head().parameters()) == set(p)
    np.testing.assert_array_equal(lenet.head()(p, features), logits)


def test_lenet_learns_to_tell_where_a_blob_is() -> None:
    rng = np.random.default_rng(0)
    places = rng.integers(0, 4, 64)
    x = rng.uniform(0.0, 0.2, (64, 1, 28, 28)).astype(np.float32)
    for image, place in zip(x, places, strict=True):
        top, left = 4 + 12 * (place // 2), 4 + 12 * (place % 2)
        image[:, top : top + 8, left : left + 8] += 0.8
    net = lenet.classifier()
    p = net.init(rng)
    adam = Adam(p, lr=3e-3)
    loss_and_grad = value_and_grad(lambda p, rows: cross_entropy(net(p, x[rows]), places[rows]))
    for step in range(40):
        rows = slice(32 * (step % 2), 32 * (step % 2) + 32)
        adam.step(loss_and_grad(p, rows)[1])
    assert np.mean(net(p, x).argmax(1) == places) == 1.0


def _compare_codes(
    G: Sequential, D: Sequential, noise: int, image: tuple[int, ...], rows: int, dtype: Any, tolerance: float
) -> None:
    fast = _both_steps(G, D, noise, image, rows, dtype)
    with kernels.plain():
        expected = _both_steps(G, D, noise, image, rows, dtype)
    for a, b in zip(fast, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert np.linalg.norm(a - b) <= tolerance * np.linalg.norm(b)


def _both_steps(
    G: Sequential, D: Sequential, noise: int, image: tuple[int, ...], rows: int, dtype: Any, seed: int = 0
) -> list[np.ndarray]:
    """Losses, gradients and buffers of a step of D and one of G; the same float32 numbers in every dtype."""
    rng = np.random.default_rng(seed)
    g, d = G.init(rng, np.float32).astype(dtype), D.init(rng, np.float32).astype(dtype)
    x = rng.uniform(-1.0, 1.0, (rows, *image)).astype(np.float32).astype(dtype)
    z = rng.normal(size=(rows, noise)).astype(np.float32).astype(dtype)
    d_loss, g_loss = losses(objectives.non_saturating_with_logits, together=not D.buffers())
    of_d, d_gradient = notes_and_gradient(d_loss, D, d, x, G(g, z))
    of_g, g_gradient = notes_and_gradient(g_loss, G, g, Player(D, d, None), z)
    buffers = [b for p in (g, d) for b in p.buffers.values()]
    return [of_d["d_loss"], of_g["g_loss"], *d_gradient.values(), *g_gradient.values(), *buffers]
