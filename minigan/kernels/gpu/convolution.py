"""The three faces of convolution as im2col or its adjoint beside one matrix product, for a tile of images at a time.

    conv2d              z = W im2col(x)           (O, n L) = (O, C kh kw) (C kh kw, n L),    y = f(z + b)
    conv2d_input_grad   x = f(col2im(W^T g) + b)  (C kh kw, n L) = (C kh kw, O) (O, n L)
    conv2d_weight_grad  dw = g im2col(x)^T        (O, C kh kw) = (O, n L) (n L, C kh kw),    added up over the tiles

L = OH OW places of each of a tile's n images stand side by side, so that a product is one large matrix product however
small the images are; g (n, O, L) becomes (O, n L) by im2col with a 1x1 kernel. The plain code in primitives/ has a
product an image and a launch a tap.

**Scratch memory.** The columns and the other matrix of a tile take (C kh kw + O) n L numbers. n is as large as fits
into 128 MiB, and 1 where even that does not fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minigan.kernels.gpu.elementwise import NO_ACTIVATION, Code, bias_activation
from minigan.kernels.gpu.launch import Array, launch

Pair = tuple[int, int]
Window = tuple[Pair, Pair, Pair]  # stride, padding, dilation

_SCRATCH = 1 << 27  # bytes
_AS_IT_IS: Window = (1, 1), (0, 0), (1, 1)


def conv2d(
    xp: Any,
    x: Array,
    weight: Array,
    bias: Array | None,
    window: Window,
    places: Pair,
    code: Code = NO_ACTIVATION,
) -> Array:
    """f(W im2col(x) + b): (N, C, H, W), (O, C, kh, kw), (O,) -> (N, O, *places)."""
    matrix, kernel = weight.reshape(len(weight), -1), weight.shape[2:]
    y = xp.empty((len(x), len(weight), *places), x.dtype)
    for n in _tiles(y, weight):
        bias_activation(xp, matrix @ _im2col(xp, x[n], kernel, places, window), bias, code, y[n])
    return y


def conv2d_input_grad(
    xp: Any,
    dy: Array,
    weight: Array,
    bias: Array | None,
    window: Window,
    size: Pair,
    code: Code = NO_ACTIVATION,
) -> Array:
    """f(col2im(W^T dy) + b): (N, O, OH, OW), (O, C, kh, kw), (C,) -> (N, C, *size)."""
    matrix, (C, *kernel), places = weight.reshape(len(weight), -1), weight.shape[1:], dy.shape[2:]
    x = xp.empty((len(dy), C, *size), dy.dtype)
    for n in _tiles(dy, weight):
        cols = matrix.T @ _im2col(xp, dy[n], (1, 1), places, _AS_IT_IS)
        biases = cols if bias is None else bias  # some address, not read
        shape = (*x[n].shape, *kernel, *places, *window[0], *window[1], *window[2])
        launch(xp, "col2im", x[n].size, (cols, biases), (x[n],), *shape, int(bias is not None), *code)
        del cols, biases  # before the next tile's are made
    return x


def conv2d_weight_grad(xp: Any, x: Array, dy: Array, window: Window, kernel: Pair) -> Array:
    """dy im2col(x)^T, summed over images: (N, C, H, W), (N, O, OH, OW) -> (O, C, *kernel)."""
    places = dy.shape[2:]
    dw = xp.zeros((dy.shape[1], x.shape[1], *kernel), x.dtype)
    matrix = dw.reshape(len(dw), -1)
    for n in _tiles(dy, dw):
        matrix += _im2col(xp, dy[n], (1, 1), places, _AS_IT_IS) @ _im2col(xp, x[n], kernel, places, window).T
    return dw


def _im2col(xp: Any, x: Array, kernel: Pair, places: Pair, window: Window) -> Array:
    """(n, C, H, W) -> (C*kh*kw, n*OH*OW)"""
    (_, C, H, W), columns = x.shape, len(x) * places[0] * places[1]
    cols = xp.empty((C * kernel[0] * kernel[1], columns), x.dtype)
    shape = (C, H, W, *kernel, *places, *window[0], *window[1], *window[2])
    launch(xp, "im2col", C * columns, (x,), (cols,), *shape)
    return cols


def _tiles(y: Array, weight: Array) -> Iterator[slice]:
    """Tiles of the N images, for y (N, O, OH, OW) and weight (O, C, kh, kw)."""
    (N, O, OH, OW), (_, C, kh, kw) = y.shape, weight.shape
    image = (C * kh * kw + O) * OH * OW * y.itemsize  # bytes of scratch
    n = max(1, _SCRATCH // max(1, image))
    for start in range(0, N, n):
        yield slice(start, start + n)
