"""The kernels of pooling equal PyTorch, ties included."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minigan import primitives
from minigan.kernels import pooled_convolution
from minigan.kernels.pooling import max_pool2d, max_pool2d_backward
from minigan.primitives.convolution import Window
from tests.memory import DTYPES, MEMORIES, array, assert_close, examples, pairs

torch = pytest.importorskip("torch")
F = torch.nn.functional
torch.set_num_threads(1)


@given(
    N=st.integers(0, 9),
    C=st.integers(1, 40),
    size=pairs(1, 13),
    kernel=pairs(1, 4),
    stride=pairs(1, 5),
    padding=pairs(0, 2),
    ties=st.booleans(),
    dtype=DTYPES,
    memory=MEMORIES,
    seed=st.integers(0, 2**32),
)
@examples(250)
def test_pooling_agrees_with_pytorch(N, C, size, kernel, stride, padding, ties, dtype, memory, seed):
    assume(all(2 * p <= k <= s + 2 * p for p, k, s in zip(padding, kernel, size, strict=True)))
    rng = np.random.default_rng(seed)
    x = array(rng, (N, C, *size), dtype, memory)
    if ties:
        x = np.round(x)
    tx = torch.tensor(x.copy(), requires_grad=True)
    ty = F.max_pool2d(tx, kernel, stride, padding)
    window = Window(stride, padding)
    y = max_pool2d(x, kernel, window)
    assert_close(y, ty.detach(), dtype)
    dy = array(rng, y.shape, dtype, memory)
    (expected,) = torch.autograd.grad(ty, tx, torch.tensor(dy.copy()))
    assert_close(max_pool2d_backward(dy, x, y, kernel, window), expected, dtype)


@given(
    N=st.integers(0, 9),
    C=st.integers(1, 5),
    O=st.integers(1, 40),
    size=pairs(1, 13),
    kernel=pairs(1, 6),
    padding=pairs(0, 3),
    bias=st.booleans(),
    slope=st.sampled_from([0.0, 0.01, 1.0]),
    wanted=st.sampled_from([(0, 1, 2), (2, 1), (0,), (1,), (1, 0)]),
    ties=st.booleans(),
    dtype=DTYPES,
    memory=MEMORIES,
    seed=st.integers(0, 2**32),
)
@examples(300)
def test_pooled_convolution_agrees_with_pytorch(
    N, C, O, size, kernel, padding, bias, slope, wanted, ties, dtype, memory, seed
):
    shapes = (N, C, *size), (O, C, *kernel)
    assume(pooled_convolution.takes(*shapes, Window(padding=padding), slope))
    rng = np.random.default_rng(seed)
    arrays = [array(rng, shape, dtype, memory) for shape in (*shapes, (O,))]
    if ties:
        arrays = [np.round(a) for a in arrays]
    x, w, b = arrays
    tx, tw, tb = (torch.tensor(np.array(a, order="C"), requires_grad=True) for a in arrays)
    tz = F.conv2d(tx, tw, tb if bias else None, 1, padding)
    ty = F.max_pool2d(F.leaky_relu(tz, slope) if slope else F.relu(tz), 2)
    y, bits = pooled_convolution.conv2d_max_pool2d(x, w, b if bias else None, padding, slope)
    assert_close(y, ty.detach(), dtype)
    dy = array(rng, y.shape, dtype, memory)
    wanted = [i for i in wanted if bias or i != 2]
    expected = torch.autograd.grad(ty, [(tx, tw, tb)[i] for i in wanted], torch.tensor(np.array(dy, order="C")))
    found = pooled_convolution.gradients(wanted, dy, bits, x, w, padding, slope)
    for g, e in zip(found, expected, strict=True):
        assert_close(g, e, dtype)


def test_impossible_windows_are_refused():
    with pytest.raises(ValueError, match="expected x at least as large as the window"):
        primitives.max_pool2d(np.zeros((1, 1, 2, 2)), (3, 3), (1, 1))
    with pytest.raises(ValueError, match="half"):
        primitives.avg_pool2d(np.zeros((1, 1, 2, 2)), (2, 2), (1, 1), (2, 2))
