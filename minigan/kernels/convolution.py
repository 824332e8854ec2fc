"""conv2d and its two gradients, as tiles of patches times a matrix.

    y[n,o,oy,ox]  = sum over c, ky, kx   x[n,c,iy,ix] w[o,c,ky,kx]       iy = oy*s - p + ky*d, ix likewise
    dx[n,c,iy,ix] = sum over o, ky, kx   dy[n,o,oy,ox] w[o,c,ky,kx]      (also conv_transpose2d's forward)
    dw[o,c,ky,kx] = sum over n, oy, ox   dy[n,o,oy,ox] x[n,c,iy,ix]

The forward and the weight gradient multiply with patches of x; input_gradient has the ways to dx. Where they win, the
same three come from winograd (batches of small images) or k4s2 (kernel 4, stride 2, padding 1), with fewer
multiplications.
"""

from __future__ import annotations

import math

import numpy as np

from minigan.kernels import input_gradient, k4s2, winograd
from minigan.kernels.elementwise import Activation, finisher
from minigan.kernels.layout import channels_first, channels_last
from minigan.kernels.patches import Axis, Tile, bands, patches, tiles
from minigan.kernels.pool import chunks, cut, for_each, parallel_for
from minigan.kernels.products import multiply, multiply_transposed, panels
from minigan.kernels.scratch import Array, empty, scratch
from minigan.kernels.weights import once
from minigan.primitives.convolution import Pair, Window

_WINDOW = Window()
_SCATTER_CHANNELS = 8  # at most so many channels C, and dx is scattered in planes
_BLOCK_NUMBERS = 16  # or in blocks, if the kernel reaches two each way and they have this many numbers
_GATHER_SHARE = 0.7  # at most this share of the products that phases need, and only its rows are scattered
_GRAD_ROWS = 1 << 12  # least rows of one product in a weight gradient: enough to hide its addition to the sum
_GRAD_COLUMNS = 1 << 20  # numbers in its columns; thin kernels take more rows, for fewer and longer calls
_GRAD_STRIPS = 8  # sums over parts of the batch, added in order: the same bits on any number of threads
_FOLD_ROWS = 64  # so many rows of the sum are transposed at a time: a large matrix at once takes nine times as long


def conv2d(
    x: Array, weight: Array, bias: Array | None = None, window: Window = _WINDOW, f: Activation | None = None
) -> Array:
    """(N, C, H, W) by (O, C, kh, kw) -> (N, O, OH, OW), then bias and activation."""
    (N, C, H, W), (O, _, kh, kw) = x.shape, weight.shape
    OH, OW = window.places((H, W), (kh, kw))
    x, finish = channels_last(x), finisher(bias, f)
    y = empty((N, OH, OW, O), x.dtype)
    if plan := winograd.plan(N, C, O, (H, W), (kh, kw), window, x.dtype):
        winograd.conv2d(x, once(plan.forward_weight, weight), plan, y, finish)
    elif k4s2.wins(C, O, (H, W), (kh, kw), window) and k4s2.fills_blocks((H, W)):
        k4s2.conv2d(x, once(k4s2.forward_weight, weight), y, finish)
    else:
        w = once(_forward_weight, weight)
        vertical, horizontal = _forward_axes((kh, kw), window)

        def body(tile: Tile) -> None:
            out = y[tile.n0 : tile.n1, tile.q0 : tile.q1].reshape(-1, O)
            multiply(patches(x, tile, OW, vertical, horizontal), w, out=out)
            finish(out)

        for_each(tiles(N, OH, OW, kh * kw * C, x.itemsize), body)
    return channels_first(y)


def conv2d_input_grad(
    dy: Array, weight: Array, size: Pair, window: Window, bias: Array | None = None, f: Activation | None = None
) -> Array:
    """(N, O, OH, OW) by (O, C, kh, kw) -> (N, C, H, W) with (H, W) = size, then bias and activation.

    As conv_transpose2d's forward, O are its input channels and C its output channels.
    """
    (N, O, OH, OW), (_, C, kh, kw), (H, W) = dy.shape, weight.shape, size
    (sh, sw), padding, dilation = window
    dy, finish = channels_last(dy), finisher(bias, f)
    dx = empty((N, H, W, C), dy.dtype)
    if plan := winograd.plan(N, C, O, (H, W), (kh, kw), window, dy.dtype):
        winograd.conv2d_input_grad(dy, once(plan.backward_weight, weight), plan, dx, finish)
    elif k4s2.wins(C, O, (H, W), (kh, kw), window):
        k4s2.conv2d_input_grad(dy, once(k4s2.backward_weight, weight), dx, finish)
    elif N > 0:
        if (OH, OW) == (1, 1) and (kh, kw) == (H, W) and padding == (0, 0):
            way = input_gradient.spread_pixel
        elif C <= _SCATTER_CHANNELS:
            overlaps_once = kh <= 2 * sh and kw <= 2 * sw and dilation == (1, 1)
            blocks = overlaps_once and sh * sw * C >= _BLOCK_NUMBERS
            way = input_gradient.overlap_blocks if blocks else input_gradient.scatter_planes
        elif OH * OW * sh * sw < _GATHER_SHARE * H * W and dilation[1] == 1:
            way = input_gradient.gather_columns
        else:
            way = input_gradient.interleave_phases
        way(dy, channels_last(weight), dx, window, finish)
    return channels_first(dx)


def conv2d_weight_grad(x: Array, dy: Array, kernel_size: Pair, window: Window = _WINDOW) -> Array:
    """(N, C, H, W) and (N, O, OH, OW) -> (O, C, kh, kw)."""
    (N, C, H, W), (_, O, _, _) = x.shape, dy.shape
    x, dy = channels_last(x), channels_last(dy)
    if plan := winograd.plan(N, C, O, (H, W), kernel_size, window, x.dtype):
        dw = winograd.conv2d_weight_grad(x, dy, plan)
    elif k4s2.wins(C, O, (H, W), kernel_size, window) and k4s2.fills_blocks((H, W)):
        dw = k4s2.conv2d_weight_grad(x, dy)
    elif dy.size == 0:
        dw = np.zeros((O, *kernel_size, C), x.dtype)
    else:
        dw = _patches_times_gradient(x, dy, kernel_size, window)
    return channels_first(dw)


def _patches_times_gradient(x: Array, dy: Array, kernel_size: Pair, window: Window) -> Array:
    """(N, H, W, C) and (N, OH, OW, O) -> (O, kh, kw, C), strip by strip of the batch."""
    (N, OH, OW, O), C, (kh, kw) = dy.shape, x.shape[3], kernel_size
    vertical, horizontal = _forward_axes((kh, kw), window)
    # one row of taps at a time, unless that is too thin a matrix
    group = min(kh, -(-64 // (kw * C)))
    groups = [(ky, min(ky + group, kh)) for ky in range(0, kh, group)]
    rows = max(_GRAD_ROWS, _GRAD_COLUMNS // (group * kw * C))
    strips = cut(N, min(_GRAD_STRIPS, max(1, N * OH * OW // _GRAD_ROWS), N))
    sums = scratch("weight_grad", (len(strips), kh, kw * C, O), x.dtype)

    def body(i: int) -> None:
        strip, (k0, k1) = i // len(groups), groups[i % len(groups)]
        out = sums[strip, k0:k1].reshape(-1, O)
        axis = vertical._replace(start=vertical.start + k0 * vertical.step, taps=k1 - k0)
        for j, tile in enumerate(_grad_tiles(strips[strip], OH, OW, rows)):
            g = dy[tile.n0 : tile.n1, tile.q0 : tile.q1].reshape(-1, O)
            product = out if j == 0 else scratch("product", out.shape, x.dtype)
            multiply_transposed(patches(x, tile, OW, axis, horizontal), g, out=product)
            if j > 0:
                out += product

    parallel_for(len(strips) * len(groups), body)
    dw = empty((O, kh * kw * C), x.dtype)
    sums = sums.reshape(len(strips), -1, O)

    def fold(k: slice) -> None:
        dw[:, k] = np.sum(sums[:, k], axis=0).T

    for_each(chunks(dw.shape[1], _FOLD_ROWS), fold)
    return dw.reshape(O, kh, kw, C)


def _forward_weight(weight: Array) -> Array:
    """The matrix (kh*kw*C, O) of weight (O, C, kh, kw), in panels."""
    return panels(channels_last(weight).reshape(len(weight), -1).T)


def _forward_axes(kernel_size: Pair, window: Window) -> tuple[Axis, Axis]:
    vertical, horizontal = (Axis(-p, s, d, k) for k, s, p, d in zip(kernel_size, *window, strict=True))
    return vertical, horizontal


def _grad_tiles(n: slice, OH: int, OW: int, rows: int) -> list[Tile]:
    """Tiles of about so many rows of the images n."""
    if rows < OH * OW:
        return bands(n.start, n.stop, OH, OW, rows)
    images = n.stop - n.start
    parts = cut(images, math.ceil(images * OH * OW / rows))
    return [Tile(n.start + part.start, n.start + part.stop, 0, OH) for part in parts if part.stop > part.start]
