"""Five ways to the gradient of a convolution with respect to its input.

    dx[n,iy,ix,c] = sum over o, ky, kx   dy[n,oy,ox,o] w[o,ky,kx,c]        iy = oy*s - p + ky*d,  ix likewise

interleave_phases gathers: with stride s, the pixels iy of one residue modulo s (a phase) read dy without
gaps, by the taps ky of one residue, so dx is s*s interleaved convolutions of stride 1. Its products are the
fattest, so it is the rule. The others scatter: where dy is much smaller than dx, as after a large kernel
without padding, phases would mostly multiply the zeros around dy, so columns are gathered and rows scattered;
with few channels C their products are thin, so all taps share one, by blocks of pixels where the stride is
large enough; and one pixel of dy is one product.

Everything here is channels-last: dy (N, OH, OW, O), w (O, kh, kw, C), dx (N, H, W, C), which is written.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minigan.kernels.elementwise import Finish
from minigan.kernels.patches import Axis, Tile, patches, tiles
from minigan.kernels.pool import cut, for_each, get_num_threads
from minigan.kernels.products import multiply, panels
from minigan.kernels.scratch import Array, scratch, zeros
from minigan.primitives.convolution import Pair, Window

_GATHER_ROWS = 512  # rows (n, oy) of one product
_VECTOR = 16  # numbers


def interleave_phases(dy: Array, w: Array, dx: Array, window: Window, finish: Finish) -> None:
    """Convolutions of stride 1, one for each phase of dx."""
    _, kh, kw, C = w.shape
    (N, H, W, _), ((sh, sw), (ph, pw), (dh, dw)) = dx.shape, window
    vertical = _phases(H, kh, sh, ph, dh)
    horizontal = _phases(W, kw, sw, pw, dw)
    # (O, kh, kw, C) -> (taps, taps, O, C) -> (K, C), in panels
    matrices = {
        (a.first, b.first): panels(w[:, a.taps][:, :, b.taps].transpose(1, 2, 0, 3).reshape(-1, C))
        for a in vertical
        for b in horizontal
    }
    K = max(matrix.shape[1] for matrix in matrices.values())

    def body(tile: Tile) -> None:
        n0, n1, q0, _ = tile
        for a in vertical:
            q1 = min(tile.q1, a.pixels)
            if q1 <= q0:
                continue
            for b in horizontal:
                out = scratch("phase", (n1 - n0, q1 - q0, b.pixels, C), dy.dtype)
                flat = out.reshape(-1, C)
                if a.taps and b.taps:
                    columns = patches(dy, Tile(n0, n1, q0, q1), b.pixels, a.axis, b.axis)
                    multiply(columns, matrices[a.first, b.first], out=flat)
                else:
                    flat[...] = 0
                finish(flat)
                dx[n0:n1, a.first + q0 * sh : a.first + (q1 - 1) * sh + 1 : sh, b.first :: sw] = out

    for_each(tiles(N, vertical[0].pixels, horizontal[0].pixels, max(K, 1), dy.itemsize), body)


def gather_columns(dy: Array, w: Array, dx: Array, window: Window, finish: Finish) -> None:
    """Columns of dx are gathered, rows scattered; horizontally without dilation.

        shares[n,oy,ix,ky,c] = sum over kx, o   dy[n,oy,ox,o] w[o,ky,kx,c]        ix = ox*s - p + kx
        dx[n,iy,ix,c]        = sum over ky      shares[n,oy,ix,ky,c]              iy = oy*s - p + ky*d

    The ox that reach one ix are neighbours, so they are a slice of dy's rows and are multiplied where they lie; what
    lies outside of dy is not multiplied at all. The shares of one oy are added to kh lines, which are neighbours in an
    image that holds its columns one after the other.
    """
    (N, OH, OW, O), (_, kh, kw, C), (_, H, W, _) = dy.shape, w.shape, dx.shape
    (sh, sw), (ph, pw), (dh, dw) = window
    height, _ = _reached((OH, OW), (kh, kw), (H, W), window)
    horizontal = _phases(W, kw, sw, pw, dw)
    # (O, kh, taps, C) -> (taps*O, kh*C), in panels
    matrices = [panels(w[:, :, phase.taps].transpose(2, 0, 1, 3).reshape(-1, kh * C)) for phase in horizontal]
    n_tiles = max(-(-N * OH // _GATHER_ROWS), min(N, get_num_threads()))

    def body(n: slice) -> None:
        rows = dy[n].reshape(-1, OW * O)
        shares = scratch("shares", (n.stop - n.start, OH, W, kh, C), dy.dtype)
        columns = shares.reshape(len(rows), W, kh * C)
        for phase, matrix in zip(horizontal, matrices, strict=True):
            for q in range(phase.pixels):
                out = columns[:, phase.first + q * sw]
                start = phase.axis.start + q
                u0, u1 = max(start, 0), min(start + len(phase.taps), OW)
                if u0 < u1:
                    multiply(rows[:, u0 * O : u1 * O], matrix[:, (u0 - start) * O : (u1 - start) * O], out)
                else:
                    out[...] = 0
        image = zeros("image", (n.stop - n.start, W, height, C), dy.dtype)
        for oy in range(OH):
            image[:, :, oy * sh : oy * sh + (kh - 1) * dh + 1 : dh] += shares[:, oy]
        dx[n] = image[:, :, ph : ph + H].transpose(0, 2, 1, 3)
        finish(dx[n].reshape(-1, C))

    for_each(cut(N, n_tiles), body)


def scatter_planes(dy: Array, w: Array, dx: Array, window: Window, finish: Finish) -> None:
    """Each tap's share of dx as planes (C, n, OH, OW), all by one product, added where the tap points."""
    (N, OH, OW, O), (_, kh, kw, C), (_, H, W, _) = dy.shape, w.shape, dx.shape
    ph, pw = window.padding
    height, width = _reached((OH, OW), (kh, kw), (H, W), window)
    matrix = w.reshape(O, kh * kw * C)
    n_tiles = -(-N // max(1, tiles(N, OH, OW, kh * kw * C, dy.itemsize)[0].n1))

    def body(part: slice) -> None:
        n = part.stop - part.start
        shares = scratch("columns", (kh, kw, C, n, OH, OW), dy.dtype)
        np.matmul(matrix.T, dy[part].reshape(-1, O).T, out=shares.reshape(kh * kw * C, -1))
        planes = zeros("planes", (C, n, height, width), dy.dtype)
        for ky, kx, (lines, columns) in window.slices((kh, kw), (OH, OW)):
            planes[:, :, lines, columns] += shares[ky, kx]
        dx[part] = planes[:, :, ph : ph + H, pw : pw + W].transpose(1, 2, 3, 0)
        finish(dx[part].reshape(-1, C))

    for_each(cut(N, n_tiles), body)


def overlap_blocks(dy: Array, w: Array, dx: Array, window: Window, finish: Finish) -> None:
    """A pixel of dy reaches blocks of s*s pixels of dx: two each way if the kernel is at most 2s wide.

    With iy + p = s*b + f and ky = s*a + f, where b counts blocks and f the pixels in one,

        dx[b,f] = sum over a   dy[b - a] w[s*a + f]

    so each block a is one product, and its share of all blocks b is added as it lies in memory. No dilation.
    """
    (N, OH, OW, O), (_, kh, kw, C), (_, H, W, _) = dy.shape, w.shape, dx.shape
    (sh, sw), (ph, pw), _ = window
    A, B = -(-kh // sh), -(-kw // sw)
    BH, BW = max(OH + A - 1, -(-(H + ph) // sh)), max(OW + B - 1, -(-(W + pw) // sw))
    block = sh * sw * C
    K = -(-block // _VECTOR) * _VECTOR  # full vectors are faster than fewer columns
    whole = np.zeros((O, A * sh, B * sw, C), w.dtype)
    whole[:, :kh, :kw] = w
    matrices = np.zeros((A, B, O, K), w.dtype)
    # o, a, f, b, g, c -> a, b, o, f, g, c
    matrices[..., :block] = whole.reshape(O, A, sh, B, sw, C).transpose(1, 3, 0, 2, 4, 5).reshape(A, B, O, block)
    matrices = panels(matrices.reshape(A * B, O, K))
    n_tiles = -(-N // max(1, tiles(N, OH, OW, K, dy.itemsize)[0].n1))

    def body(part: slice) -> None:
        n = part.stop - part.start
        shares = scratch("columns", (A, B, n, OH, OW, K), dy.dtype)
        multiply(dy[part].reshape(1, -1, O), matrices, out=shares.reshape(A * B, -1, K))
        blocks = zeros("blocks", (n, BH, BW, K), dy.dtype)
        for a in range(A):
            for b in range(B):
                blocks[:, a : a + OH, b : b + OW] += shares[a, b]
        image = scratch("image", (n, BH, sh, BW, sw * C), dy.dtype)
        image[...] = blocks[..., :block].reshape(n, BH, BW, sh, sw * C).swapaxes(2, 3)
        dx[part] = image.reshape(n, BH * sh, BW * sw, C)[:, ph : ph + H, pw : pw + W]
        finish(dx[part].reshape(-1, C))

    for_each(cut(N, n_tiles), body)


def spread_pixel(dy: Array, w: Array, dx: Array, window: Window, finish: Finish) -> None:
    """dy has one pixel and the kernel covers the image: dx is one product, cut into blocks of pixels."""
    (N, H, W, C), O = dx.shape, len(w)

    def body(pixels: slice) -> None:
        block = slice(pixels.start * C, pixels.stop * C)
        out = scratch("columns", (N, block.stop - block.start), dy.dtype)
        np.matmul(dy.reshape(N, O), w.reshape(O, -1)[:, block], out=out)
        finish(out.reshape(-1, C))
        dx.reshape(N, -1)[:, block] = out

    for_each(cut(H * W, min(H * W, 4 * get_num_threads())), body)


class _Phase(NamedTuple):
    """So many pixels of dx, first, first + s, ...: where they read dy, and by which taps."""

    first: int
    pixels: int
    axis: Axis
    taps: list[int]


def _phases(size: int, k: int, s: int, p: int, d: int) -> list[_Phase]:
    """The phases along one axis of dx. A phase may have no taps: those pixels got past every kernel."""
    phases = []
    for first in range(min(s, size)):
        # tap ky of pixel first + s*q is dy at (first + p - ky*d)/s + q; ascending for descending ky
        taps = [ky for ky in reversed(range(k)) if (first + p - ky * d) % s == 0]
        starts = [(first + p - ky * d) // s for ky in taps]
        step = starts[1] - starts[0] if len(starts) > 1 else 1
        axis = Axis(starts[0] if starts else 0, 1, step, len(taps))
        phases.append(_Phase(first, -(-(size - first) // s), axis, taps))
    return phases


def _reached(output_size: Pair, kernel_size: Pair, input_size: Pair, window: Window) -> Pair:
    """The size of an image for all that taps reach and all that dx asks for; its pixel m is iy = m - p."""
    height, width = (
        max((out - 1) * s + (k - 1) * d + 1, size + p)
        for out, k, size, s, p, d in zip(output_size, kernel_size, input_size, *window, strict=True)
    )
    return height, width
