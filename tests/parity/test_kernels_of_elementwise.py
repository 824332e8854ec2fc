"""The kernels of activations and of Adam equal PyTorch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan import Adam, Parameters
from minigan.kernels.elementwise import ACTIVATIONS, activate, activation_grad
from tests.memory import DTYPES, MEMORIES, array, assert_close, examples

torch = pytest.importorskip("torch")
F = torch.nn.functional
torch.set_num_threads(1)

TORCH = {
    "relu": lambda x, a: torch.relu(x),
    "leaky_relu": F.leaky_relu,
    "tanh": lambda x, a: torch.tanh(x),
    "sigmoid": lambda x, a: torch.sigmoid(x),
}
SHAPES = st.one_of(
    st.tuples(st.integers(0, 300)),
    st.tuples(st.integers(1, 5), st.integers(1, 70)),
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)),
    st.just((3, 16, 80, 81)),
)


@given(
    shape=SHAPES,
    dtype=DTYPES,
    memory=MEMORIES,
    other=MEMORIES,
    activation=st.sampled_from(ACTIVATIONS),
    slope=st.sampled_from([0.0, 0.01, 0.2, 1.0, 1.5]),
    zeros=st.booleans(),
    seed=st.integers(0, 2**32),
)
@examples(250)
def test_values_and_slopes_agree_with_pytorch(shape, dtype, memory, other, activation, slope, zeros, seed):
    rng = np.random.default_rng(seed)
    x, dy = 3 * array(rng, shape, dtype, memory), array(rng, shape, dtype, other)
    if zeros:
        x = x * (x > 1)
    y = activate(x, activation, slope)
    tx = torch.tensor(x.copy(), requires_grad=True)
    ty = TORCH[activation](tx, slope)
    assert_close(y, ty.detach(), dtype, 0.1)
    (dx,) = torch.autograd.grad(ty, tx, torch.tensor(dy.copy()))
    if not (activation == "leaky_relu" and slope == 0):  # PyTorch refuses
        assert_close(activation_grad(dy, y, activation, slope), dx, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_inputs_stay_finite_and_nan_stays_nan(dtype):
    x = np.array([-np.inf, -1e30, -100, 100, 1e30, np.inf, np.nan], dtype)
    for activation in ("tanh", "sigmoid"):
        y = activate(x, activation)
        assert np.isfinite(y[:-1]).all()
        np.testing.assert_allclose(y, TORCH[activation](torch.tensor(x), 0), atol=1e-37)
    assert np.isnan(activate(x, "relu")[-1])
    assert np.isnan(activate(x, "leaky_relu", 0.2)[-1])


def test_minus_zero_gets_no_gradient_through_relu():
    x = np.full(100, -0.0, np.float32)
    assert (activation_grad(np.ones_like(x), activate(x, "relu"), "relu") == 0).all()


def test_a_negative_slope_is_refused():
    with pytest.raises(ValueError, match="slope"):
        activate(np.ones(3), "leaky_relu", -0.1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 1000, 100_000, 1_200_000])
def test_adam_follows_pytorch_on_vectors_of_any_length(dtype, size):
    rng = np.random.default_rng(0)
    p = Parameters({"p": rng.standard_normal(size).astype(dtype)})
    tp = torch.tensor(p.flat.copy(), requires_grad=True)
    ours = Adam(p, lr=1e-2, betas=(0.5, 0.99), eps=1e-6)
    theirs = torch.optim.Adam([tp], lr=1e-2, betas=(0.5, 0.99), eps=1e-6)
    for _ in range(5):
        g = rng.standard_normal(size).astype(dtype)
        ours.step(Parameters({"p": g}))
        tp.grad = torch.tensor(g)
        theirs.step()
        assert_close(p.flat, tp.detach(), dtype, 0.1)
    assert_close(ours.exp_avg, theirs.state[tp]["exp_avg"], dtype, 0.1)
    assert_close(ours.exp_avg_sq, theirs.state[tp]["exp_avg_sq"], dtype, 0.1)
