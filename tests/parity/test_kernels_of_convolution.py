"""The kernels of convolution equal PyTorch: any geometry, both gradients, bias and activation."""

from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minigan import primitives
from minigan.kernels import k4s2, plain, pool
from minigan.kernels.convolution import conv2d, conv2d_input_grad, conv2d_weight_grad
from minigan.kernels.elementwise import activation as fast
from minigan.kernels.layout import channels_last
from minigan.primitives.convolution import Window
from minigan.primitives.elementwise import leaky_relu, relu, sigmoid, tanh
from tests.memory import DTYPES, MEMORIES, array, assert_close, examples, pairs

torch = pytest.importorskip("torch")
F = torch.nn.functional
torch.set_num_threads(1)

FAST = {
    None: None,
    "relu": fast(relu),
    "leaky_relu": fast(leaky_relu, 0.2),
    "tanh": fast(tanh),
    "sigmoid": fast(sigmoid),
}
ACTIVATIONS = st.sampled_from(list(FAST))
TORCH = {
    None: lambda y: y,
    "relu": torch.relu,
    "leaky_relu": lambda y: F.leaky_relu(y, 0.2),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


def check(N, C, O, size, kernel, stride, padding, dilation, dtype, memory, activation=None, seed=0):
    """Forward, both gradients and the transposed forward, bias and activation, against float64 PyTorch."""
    rng = np.random.default_rng(seed)
    window, f = Window(stride, padding, dilation), FAST[activation]
    out = window.places(size, kernel)
    x = array(rng, (N, C, *size), dtype, memory)
    w = array(rng, (O, C, *kernel), dtype, memory)
    dy = array(rng, (N, O, *out), dtype, memory)
    b, c = array(rng, (O,), dtype), array(rng, (C,), dtype)
    tx, tw, tdy, tb, tc = (torch.tensor(a.astype(np.float64, order="C")) for a in (x, w, dy, b, c))
    tx.requires_grad_()
    tw.requires_grad_()
    ty = F.conv2d(tx, tw, None, *window)
    dx, dw = torch.autograd.grad(ty, (tx, tw), tdy)
    # a float32 ReLU may fall on the other side of its kink, so the error is measured before it, too
    expected = TORCH[activation](ty.detach() + tb[:, None, None])
    assert_close(conv2d(x, w, b, window, f), expected, dtype, 2)
    assert_close(conv2d(x, w, None, window), ty.detach(), dtype)
    assert_close(conv2d_input_grad(dy, w, size, window), dx, dtype)
    assert_close(conv2d_weight_grad(x, dy, kernel, window), dw, dtype)
    transposed = TORCH[activation](dx + tc[:, None, None])
    assert_close(conv2d_input_grad(dy, w, size, window, c, f), transposed, dtype, 2)


@given(
    N=st.integers(0, 5),
    C=st.integers(1, 20),
    O=st.integers(1, 20),
    size=pairs(1, 14),
    kernel=pairs(1, 5),
    stride=pairs(1, 6),
    padding=pairs(0, 6),
    dilation=pairs(1, 3),
    dtype=DTYPES,
    memory=MEMORIES,
    activation=ACTIVATIONS,
    seed=st.integers(0, 2**32),
)
@examples(250)
def test_any_geometry_agrees_with_pytorch(
    N, C, O, size, kernel, stride, padding, dilation, dtype, memory, activation, seed
):
    assume(min(Window(stride, padding, dilation).places(size, kernel)) >= 1)
    check(N, C, O, size, kernel, stride, padding, dilation, dtype, memory, activation, seed)


@given(
    N=st.integers(0, 70),
    C=st.sampled_from([32, 33, 48]),
    O=st.sampled_from([32, 35, 64]),
    half=pairs(2, 6),
    dtype=DTYPES,
    memory=MEMORIES,
    activation=ACTIVATIONS,
    seed=st.integers(0, 2**32),
)
@examples(250)
def test_kernel_4_stride_2_agrees_with_pytorch(N, C, O, half, dtype, memory, activation, seed):
    size = (2 * half[0], 2 * half[1])
    assert k4s2.wins(C, O, size, (4, 4), Window((2, 2), (1, 1), (1, 1)))
    check(N, C, O, size, (4, 4), (2, 2), (1, 1), (1, 1), dtype, memory, activation, seed)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("N", "C", "O", "size", "kernel", "stride", "padding"),
    [
        (300, 3, 64, (20, 20), (5, 5), (3, 3), (1, 1)),
        (300, 1, 64, (28, 28), (4, 4), (2, 2), (1, 1)),
        (300, 1, 32, (20, 20), (5, 5), (1, 1), (0, 0)),
        (2, 16, 24, (150, 130), (3, 3), (1, 1), (1, 1)),
        (1, 4, 4, (1, 9000), (1, 3), (1, 2), (0, 1)),
        (64, 40, 24, (12, 12), (5, 5), (1, 1), (0, 0)),
        (64, 32, 100, (4, 4), (4, 4), (1, 1), (0, 0)),
        (64, 32, 100, (1, 1), (1, 1), (1, 1), (0, 0)),
        (3, 130, 7, (8, 8), (3, 3), (2, 2), (1, 1)),
    ],
)
def test_many_tiles_agree_with_pytorch(N, C, O, size, kernel, stride, padding, dtype):
    check(N, C, O, size, kernel, stride, padding, (1, 1), dtype, "last", "leaky_relu")


@pytest.mark.bits
def test_gradients_have_the_same_bits_on_any_number_of_threads():
    rng = np.random.default_rng(0)
    x, dy = array(rng, (40, 32, 16, 16), np.float32), array(rng, (40, 64, 8, 8), np.float32)
    x3, dy3 = array(rng, (40, 3, 30, 30), np.float32), array(rng, (40, 16, 28, 28), np.float32)
    w1 = array(rng, (64, 1, 4, 4), np.float32)
    results = []
    before = pool.get_num_threads()
    try:
        for n in (1, 2, 3):
            pool.set_num_threads(n)
            weight_grads = k4s2.conv2d_weight_grad(*map(channels_last, (x, dy))), conv2d_weight_grad(x3, dy3, (3, 3))
            results.append((*weight_grads, conv2d_input_grad(dy, w1, (16, 16), Window((2, 2), (1, 1)))))
    finally:
        pool.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_results_are_channels_last():
    rng = np.random.default_rng(0)
    x, w = array(rng, (2, 3, 8, 8), np.float32), array(rng, (5, 3, 3, 3), np.float32)
    y = conv2d(x, w)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    assert conv2d_input_grad(y, w, (8, 8), Window()).transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("code", [nullcontext, plain], ids=["kernels", "plain"])
def test_wrong_arguments_are_named(code):
    x, w = np.zeros((2, 3, 8, 8)), np.zeros((5, 4, 3, 3))
    with code():
        with pytest.raises(ValueError, match="conv2d: expected x of shape"):
            primitives.conv2d(x, w)
        with pytest.raises(TypeError, match="expected x of the weight's dtype float64, got float32"):
            primitives.conv2d(x.astype(np.float32), w[:, :3])
        with pytest.raises(ValueError, match="expected x at least as large as the kernel"):
            primitives.conv2d(x[:, :, :2], w[:, :3])
        with pytest.raises(ValueError, match="conv_transpose2d: expected x of shape"):
            primitives.conv_transpose2d(np.zeros((2, 4, 7, 7)), w)
