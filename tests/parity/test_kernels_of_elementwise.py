"""The kernels of activations and of Adam equal PyTorch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan import Adam, Parameters
from minigan.kernels.elementwise import activation as fast
from minigan.kernels.elementwise import apply, times_slope
from minigan.primitives.elementwise import elu, leaky_relu, relu, sigmoid, tanh
from tests.memory import DTYPES, MEMORIES, array, assert_close, examples

torch = pytest.importorskip("torch")
F = torch.nn.functional
torch.set_num_threads(1)

SLOPES = (0.01, 0.2, 1.0, 1.5)
FAST = {
    "relu": fast(relu),
    **{f"leaky_relu {a}": fast(leaky_relu, a) for a in SLOPES},
    "elu": fast(elu),
    "tanh": fast(tanh),
    "sigmoid": fast(sigmoid),
}
TORCH = {
    "relu": torch.relu,
    **{f"leaky_relu {a}": lambda x, a=a: F.leaky_relu(x, a) for a in SLOPES},
    "elu": F.elu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
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
    activation=st.sampled_from(list(FAST)),
    zeros=st.booleans(),
    seed=st.integers(0, 2**32),
)
@examples(250)
def test_values_and_slopes_agree_with_pytorch(shape, dtype, memory, other, activation, zeros, seed):
    rng = np.random.default_rng(seed)
    x, dy = 3 * array(rng, shape, dtype, memory), array(rng, shape, dtype, other)
    if zeros:
        x = x * (x > 1)
    y = apply(x, FAST[activation])
    tx = torch.tensor(x.copy(), requires_grad=True)
    ty = TORCH[activation](tx)
    assert_close(y, ty.detach(), dtype, 0.1)
    (dx,) = torch.autograd.grad(ty, tx, torch.tensor(dy.copy()))
    assert_close(times_slope(dy, y, FAST[activation]), dx, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_inputs_stay_finite_and_nan_stays_nan(dtype):
    x = np.array([-np.inf, -1e30, -100, 100, 1e30, np.inf, np.nan], dtype)
    for activation in ("tanh", "sigmoid"):
        y = apply(x, FAST[activation])
        assert np.isfinite(y[:-1]).all()
        np.testing.assert_allclose(y, TORCH[activation](torch.tensor(x)), atol=1e-37)
    for f in FAST.values():
        assert np.isnan(apply(x, f)[-1])


def test_minus_zero_gets_no_gradient_through_relu():
    x = np.full(100, -0.0, np.float32)
    f = FAST["relu"]
    assert (times_slope(np.ones_like(x), apply(x, f), f) == 0).all()


@pytest.mark.parametrize("f", [(leaky_relu, -0.1), (leaky_relu, 0.0), (elu, 0.5)])
def test_where_only_the_definition_is_right_there_is_no_kernel(f):
    assert fast(*f) is None


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
