"""The kernels of pooling equal PyTorch, ties included."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minigan.kernels.pooling import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
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
    tx = torch.tensor(np.ascontiguousarray(x), requires_grad=True)
    for pool, ours in ((F.max_pool2d, max_pool2d), (F.avg_pool2d, avg_pool2d)):
        ty = pool(tx, kernel, stride, padding)
        y = ours(x, kernel, stride, padding)
        assert_close(y, ty.detach(), dtype)
        dy = array(rng, y.shape, dtype, memory)
        (expected,) = torch.autograd.grad(ty, tx, torch.tensor(np.ascontiguousarray(dy)))
        if ours is max_pool2d:
            dx = max_pool2d_backward(dy, x, y, kernel, stride, padding)
        else:
            dx = avg_pool2d_backward(dy, size, kernel, stride, padding)
        assert_close(dx, expected, dtype)


def test_impossible_windows_are_refused():
    with pytest.raises(ValueError, match="exceeds"):
        max_pool2d(np.zeros((1, 1, 2, 2)), (3, 3), (1, 1))
    with pytest.raises(ValueError, match="half"):
        avg_pool2d(np.zeros((1, 1, 2, 2)), (2, 2), (1, 1), (2, 2))
