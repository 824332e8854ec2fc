"""The kernels of batch norm equal PyTorch, forward and backward, with an activation and without."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan import primitives
from minigan.kernels.elementwise import activation as fast
from minigan.kernels.normalization import batch_norm_backward, moments, normalize
from minigan.primitives.elementwise import leaky_relu, relu, tanh
from tests.memory import DTYPES, MEMORIES, array, assert_close, examples

torch = pytest.importorskip("torch")
F = torch.nn.functional
torch.set_num_threads(1)

FAST = {None: None, "relu": fast(relu), "leaky_relu": fast(leaky_relu, 0.2), "tanh": fast(tanh)}
TORCH = {None: lambda y: y, "relu": torch.relu, "leaky_relu": lambda y: F.leaky_relu(y, 0.2), "tanh": torch.tanh}
SHAPES = st.one_of(
    st.tuples(st.integers(2, 300), st.integers(1, 60)),
    st.tuples(st.integers(2, 9), st.integers(1, 30), st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from([(70, 40, 16, 16), (9, 3, 60, 61), (3000, 50), (2, 70_000), (33, 512, 4, 4)]),
)


@given(
    shape=SHAPES,
    dtype=DTYPES,
    memory=MEMORIES,
    other=MEMORIES,
    activation=st.sampled_from(list(TORCH)),
    shift=st.sampled_from([0.0, 1.0, -10.0]),
    seed=st.integers(0, 2**32),
)
@examples(250)
def test_forward_and_backward_agree_with_pytorch(shape, dtype, memory, other, activation, shift, seed):
    rng = np.random.default_rng(seed)
    C = shape[1]
    x = array(rng, shape, dtype, memory) + dtype(shift)
    dy = array(rng, shape, dtype, other)
    weight, bias = array(rng, (C,), dtype), array(rng, (C,), dtype)
    eps = 1e-2  # few rows may lie close together, where no float32 code is precise
    mean, var = moments(x)
    y = normalize(x, weight, bias, mean, var, eps, FAST[activation])
    tx, tw, tb = (torch.tensor(a.astype(np.float64), requires_grad=True) for a in (x, weight, bias))
    ty = F.batch_norm(tx, None, None, tw, tb, training=True, eps=eps)
    tz = TORCH[activation](ty)
    axes = tuple(i for i in range(x.ndim) if i != 1)
    assert_close(y, tz.detach(), dtype)
    assert_close(mean, x.astype(np.float64).mean(axes), dtype)
    assert_close(var, x.astype(np.float64).var(axes), dtype)
    # the slope is read off our y, which may lie on the other side of the kink
    factor = torch.autograd.grad(tz.sum(), ty, retain_graph=True)[0] if activation else torch.ones_like(ty)
    kink = np.abs(ty.detach().numpy()) < 1e-5
    dy = np.where(kink, 0, dy).astype(dtype)
    grads = torch.autograd.grad(ty, (tx, tw, tb), factor * torch.tensor(dy.astype(np.float64)))
    results = batch_norm_backward(dy, x, weight, mean, var, eps, y, FAST[activation])
    scale = max(1.0, abs(shift))
    for actual, expected in zip(results, grads, strict=True):
        assert actual.dtype == dtype
        tolerance = (1e-10 if dtype == np.float64 else 2e-5) * scale
        # gradients cancel: with two rows they may vanish altogether, so dy gives the scale
        size = max(np.linalg.norm(expected), np.linalg.norm(dy) * np.linalg.norm(weight) / C**0.5, 1e-3)
        assert np.linalg.norm(actual - expected.numpy()) <= tolerance * size


@pytest.mark.parametrize("mean", [1e3, 1e4])
def test_a_large_mean_does_not_drown_a_small_variance(mean):
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((64, 16, 32, 32)) + mean).astype(np.float32)
    exact = x.astype(np.float64)
    got_mean, got_var = moments(x)
    np.testing.assert_allclose(got_mean, exact.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(got_var, exact.var((0, 2, 3)), rtol=1e-5)


@pytest.mark.bits
def test_statistics_have_the_same_bits_on_any_number_of_threads():
    from minigan.kernels import pool

    x = array(np.random.default_rng(0), (64, 16, 32, 32), np.float32)
    one = np.ones(16, np.float32)
    before = pool.get_num_threads()
    try:
        results = []
        for n in (1, 2, 3):
            pool.set_num_threads(n)
            mean, var = moments(x)
            results.append((mean, var, *batch_norm_backward(x, x, one, mean, var, 1e-5, x, None)))
    finally:
        pool.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="batch_norm: expected more than one number a channel"):
        primitives.batch_norm(np.zeros((0, 3)), np.ones(3), np.ones(3), None, None)
