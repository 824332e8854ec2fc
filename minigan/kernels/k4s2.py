"""Kernel 4, stride 2, padding 1 with 9 multiplications where the definition has 16.

Along one axis the kernel's taps k = 2a + r meet only padded pixels 2q + r of the same parity r (a phase), so
each phase is a stride-1 convolution with 2 taps w0, w1. Two neighbouring outputs of it read three pixels d0,
d1, d2:

    y0 = d0 w0 + d1 w1        m0 = (d0 - d1) w0        y0 = m0 + m1
    y1 = d1 w0 + d2 w1        m1 = d1 (w0 + w1)        y1 = m1 + m2
                              m2 = (d2 - d1) w1

3 multiplications for 4: Winograd's F(2, 2) (Lavin & Gray 2016, arXiv:1509.09308). In two dimensions 9
components for 16, over blocks of 2x2 outputs; in each component phases and channels are summed by one matrix
product:

    V[i,j] (blocks, 4C)   pixels,   from x  by (d0 - d1, d1, d2 - d1) along rows, then columns
    U[i,j] (4C, O)        weights,  from w  by (w0, w0 + w1, w1)
    M[i,j] (blocks, O)  = V[i,j] @ U[i,j];  y by (m0 + m1, m1 + m2)

The gradients are the transposed maps around the transposed products:

    E[i,j] (blocks, O)    from dy by (e0, e0 + e1, e1)
    input gradient        E[i,j] @ U[i,j]^T,  then dx by (v0, v1 - v0 - v2, v2); blocks overlap
    weight gradient       V[i,j]^T @ E[i,j],  then dw by (u0 + u1, u1 + u2)

All coefficients are 0 and +-1, so float32 loses hardly more than in the plain sum. Images with an odd number
of outputs are padded with zeros to whole blocks.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minigan.kernels.elementwise import Finish
from minigan.kernels.layout import cropped
from minigan.kernels.pool import chunks, cut, for_each, get_num_threads, parallel_for
from minigan.kernels.products import multiply, multiply_transposed, panel_width, panels
from minigan.kernels.scratch import Array, empty, scratch, zeros
from minigan.primitives.convolution import Pair, Window

_MIN_CHANNELS = 32  # below, the transforms cost more than the products save
_PADDED = 1.25  # outputs with padding, for one without
_BLOCKS = 256  # blocks in a tile: rows of each of its nine products
_GRAD_BLOCKS = 1024  # blocks in a round of the weight gradient, at least
_GRAD_NUMBERS = 1 << 22  # numbers in its V, if they are more blocks
_GRAD_ROWS = 256  # blocks in one of its products: enough to hide the addition to the sums


def wins(C: int, O: int, input_size: Pair, kernel_size: Pair, window: Window) -> bool:
    """Whether this convolution is one of ours, and large enough to gain."""
    return (
        (kernel_size, window) == ((4, 4), ((2, 2), (1, 1), (1, 1)))
        and input_size[0] % 2 == 0 == input_size[1] % 2
        and min(input_size) >= 4
        and min(C, O) >= _MIN_CHANNELS
    )


def fills_blocks(input_size: Pair) -> bool:
    """Whether most of the blocks are outputs and not padding: else the products that transforms save are lost again.

    (7, 7) outputs in (4, 4) blocks are too few for the forward and the weight gradient. The input gradient, whose other
    way is slower, gains even so.
    """
    OH, OW = (size // 2 for size in input_size)
    return (OH + OH % 2) * (OW + OW % 2) <= _PADDED * OH * OW


def forward_weight(weight: Array) -> Array:
    """U (3, 3, 4C, O) of weight (O, C, 4, 4), in panels; it holds until the weight changes."""
    O, C, _, _ = weight.shape
    width = panel_width(O)
    U = empty((3, 3, O // width, 2, 2, C, width), weight.dtype)
    # q, o, c, a, r, b, r' -> a, b, q, r, r', c, o
    phases = weight.reshape(O // width, width, C, 2, 2, 2, 2).transpose(3, 5, 0, 4, 6, 2, 1)
    _transform_weight(phases, U)
    return U.reshape(3, 3, O // width, 4 * C, width)


def backward_weight(weight: Array) -> Array:
    """U^T (3, 3, O, 4C) of weight (O, C, 4, 4), in panels; it holds until the weight changes."""
    O, C, _, _ = weight.shape
    width = panel_width(4 * C)
    if C % width:  # a panel has more than one phase
        U = empty((3, 3, O, 2, 2, C), weight.dtype)
        # o, c, a, r, b, r' -> a, b, o, r, r', c
        _transform_weight(weight.reshape(O, C, 2, 2, 2, 2).transpose(2, 4, 0, 3, 5, 1), U)
        return panels(U.reshape(3, 3, O, 4 * C))
    U = empty((3, 3, 2, 2, C // width, O, width), weight.dtype)
    # o, q, c, a, r, b, r' -> a, b, r, r', q, o, c
    _transform_weight(weight.reshape(O, C // width, width, 2, 2, 2, 2).transpose(3, 5, 4, 6, 1, 0, 2), U)
    return U.reshape(3, 3, 4 * C // width, O, width)


def _transform_weight(phases: Array, U: Array) -> None:
    """U (3, 3, ...) of phases (a, b, ...), both with the same axes behind."""
    axis = int(np.argmax(U.shape[2:])) + 2

    def body(part: slice) -> None:
        at = (slice(None),) * axis + (part,)
        u, w = U[at], phases[at]
        u[::2, ::2] = w
        np.add(u[0, ::2], u[2, ::2], out=u[1, ::2])
        np.add(u[:, 0], u[:, 2], out=u[:, 1])

    for_each(chunks(U.shape[axis], 16), body)


def conv2d(x: Array, U: Array, y: Array, finish: Finish) -> None:
    """(N, 2 OH, 2 OW, C) -> y (N, OH, OW, O), finished; U is forward_weight's."""
    (N, OH, OW, O), C = y.shape, x.shape[3]
    TH, TW = -(-OH // 2), -(-OW // 2)
    exact = (OH, OW) == (2 * TH, 2 * TW)

    def body(part: slice) -> None:
        n = part.stop - part.start
        V = scratch("V", (3, 3, n, TH, TW, 4 * C), x.dtype)
        _transform_pixels(x[part], V)
        M = scratch("M", (3, 3, n, TH, TW, O), x.dtype)
        multiply(V.reshape(3, 3, -1, 4 * C), U, out=M.reshape(3, 3, -1, O))
        M[::2] += M[1]
        out = y[part] if exact else scratch("image", (n, 2 * TH, 2 * TW, O), x.dtype)
        # n, t, a, u, b, o -> a, b, n, t, u, o
        blocks = out.reshape(n, TH, 2, TW, 2, O).transpose(2, 4, 0, 1, 3, 5)
        np.add(M[::2, :2], M[::2, 1:], out=blocks)
        if not exact:
            y[part] = out[:, :OH, :OW]
        finish(y[part].reshape(-1, O))

    for_each(_image_tiles(N, TH * TW), body)


def conv2d_input_grad(dy: Array, U: Array, dx: Array, finish: Finish) -> None:
    """(N, OH, OW, O) -> dx (N, 2 OH, 2 OW, C), finished: conv_transpose2d's forward. U is backward_weight's."""
    (N, OH, OW, O), C = dy.shape, dx.shape[3]
    TH, TW = -(-OH // 2), -(-OW // 2)
    exact = (OH, OW) == (2 * TH, 2 * TW)

    def body(part: slice) -> None:
        n = part.stop - part.start
        E = scratch("E", (3, 3, n, TH, TW, O), dy.dtype)
        _transform_outputs(dy[part], E)
        V = scratch("V", (3, 3, n, TH, TW, 4 * C), dy.dtype)
        multiply(E.reshape(3, 3, -1, O), U, out=V.reshape(3, 3, -1, 4 * C))
        out = dx[part] if exact else scratch("image", (n, 4 * TH, 4 * TW, C), dy.dtype)
        _gather_pixels(V, out)
        if not exact:
            dx[part] = out[:, : 2 * OH, : 2 * OW]
        finish(dx[part].reshape(-1, C))

    for_each(_image_tiles(N, TH * TW), body)


def conv2d_weight_grad(x: Array, dy: Array) -> Array:
    """(N, 2 OH, 2 OW, C) and (N, OH, OW, O) -> (O, 4, 4, C).

    Round by round over the batch: transform some images, then add each component's product to its sum. A sum
    has one owner and a fixed order, so any number of threads gives the same bits.
    """
    (N, OH, OW, O), C = dy.shape, x.shape[3]
    sums = zeros("U", (9, O, 4 * C), x.dtype)
    blocks = max(_GRAD_BLOCKS, _GRAD_NUMBERS // (9 * 4 * C))
    n_round = max(1, blocks // (-(-OH // 2) * -(-OW // 2)))
    for n in chunks(N, n_round):
        _add_products(x[n], dy[n], sums)
    dw = empty((O, 4, 4, C), x.dtype)
    u = sums.reshape(3, 3, O, 2, 2, C)
    # o, a, r, b, r', c -> a, b, o, r, r', c
    w = dw.reshape(O, 2, 2, 2, 2, C).transpose(1, 3, 0, 2, 4, 5)

    def fold(o: slice) -> None:
        rows = u[:2, :, o] + u[1:, :, o]
        np.add(rows[:, :2], rows[:, 1:], out=w[:, :, o])

    for_each(chunks(O, 32), fold)
    return dw


def _add_products(x: Array, dy: Array, sums: Array) -> None:
    """sums[i,j] += E[i,j]^T @ V[i,j] over these images."""
    (N, OH, OW, O), C = dy.shape, x.shape[3]
    TH, TW = -(-OH // 2), -(-OW // 2)
    V = scratch("V of a round", (3, 3, N, TH, TW, 4 * C), x.dtype)
    E = scratch("E of a round", (3, 3, N, TH, TW, O), x.dtype)
    blocks = N * TH * TW

    def transform(n: slice) -> None:
        _transform_pixels(x[n], V[:, :, n])
        _transform_outputs(dy[n], E[:, :, n])

    def add_products(i: int) -> None:
        e, v = E.reshape(9, blocks, O)[i], V.reshape(9, blocks, 4 * C)[i]
        product = scratch("M", (O, 4 * C), x.dtype)
        for rows in cut(blocks, -(-blocks // _GRAD_ROWS)):
            multiply_transposed(e[rows], v[rows], out=product)
            sums[i] += product

    for_each(cut(N, min(N, 2 * get_num_threads())), transform)
    parallel_for(9, add_products)


def _transform_pixels(x: Array, V: Array) -> None:
    """V (3, 3, n, TH, TW, 4C) of whole images x (n, H, W, C)."""
    (_, _, n, TH, TW, _), C = V.shape, x.shape[3]
    pairs = cropped(x, (-1, 4 * TH + 1), (-1, 4 * TW + 1)).reshape(n, 2 * TH + 1, 2, 4 * TW + 2, C)
    d1 = pairs[:, 1::2]
    rows = scratch("rows", (3, n, TH, 2, 4 * TW + 2, C), x.dtype)
    np.subtract(_with_next(pairs[:, ::2], 1), d1, out=rows[::2])
    rows[1] = d1
    columns = _columns(rows)
    c1 = columns[:, :, :, 1::2]
    blocks = V.reshape(3, 3, n, TH, TW, 2, 2 * C).swapaxes(0, 1)
    np.subtract(_with_next(columns[:, :, :, ::2], 3), c1, out=blocks[::2])
    blocks[1] = c1


def _gather_pixels(V: Array, dx: Array) -> None:
    """The transposed map: V (3, 3, n, TH, TW, 4C), spoilt here -> contiguous dx (n, 4 TH, 4 TW, C)."""
    (_, _, n, TH, TW, _), C = V.shape, dx.shape[3]
    v0, v1, v2 = V.reshape(3, 3, n, TH, TW, 2, 2 * C).swapaxes(0, 1)
    rows = scratch("rows", (3, n, TH, 2, 4 * TW + 2, C), dx.dtype)
    columns = _columns(rows)
    columns[:, :, :, 0] = v0[:, :, :, 0]
    np.add(v0[:, :, :, 1:], v2[:, :, :, :-1], out=columns[:, :, :, 2:-1:2])
    columns[:, :, :, -1] = v2[:, :, :, -1]
    v1 -= v0
    np.subtract(v1, v2, out=columns[:, :, :, 1::2])
    rows[1] -= rows[0]
    r0, r1, r2 = rows[:, :, :, :, 1:-1]  # the border's columns are dropped, below its rows
    block = dx.reshape(n, TH, 4, 4 * TW, C)
    np.subtract(r1, r2, out=block[:, :, 1:3])
    block[:, 0, 0] = r0[:, 0, 1]
    np.add(r0[:, 1:, 1], r2[:, :-1, 1], out=block[:, 1:, 0])
    np.add(r2[:, :-1, 0], r0[:, 1:, 0], out=block[:, :-1, 3])
    block[:, -1, 3] = r2[:, -1, 0]


def _columns(rows: Array) -> Array:
    """(3, n, TH, r, (u, a, r'), c) -> (3, n, TH, (u, a), r, (r', c))"""
    _, n, TH, _, W, C = rows.shape
    return rows.reshape(3, n, TH, 2, W // 2, 2 * C).swapaxes(3, 4)


def _with_next(x: Array, axis: int) -> Array:
    """x without the last and x without the first along an axis, as one view (2, ...)."""
    shape = (2, *x.shape[:axis], x.shape[axis] - 1, *x.shape[axis + 1 :])
    return as_strided(x, shape, (x.strides[axis], *x.strides), writeable=False)


def _transform_outputs(dy: Array, E: Array) -> None:
    """E (3, 3, n, TH, TW, O) of whole images dy (n, OH, OW, O)."""
    _, _, n, TH, TW, O = E.shape
    _, OH, OW, _ = dy.shape
    if (OH, OW) == (2 * TH, 2 * TW):
        # n, t, a, u, b, o -> a, b, n, t, u, o
        E[::2, ::2] = dy.reshape(n, TH, 2, TW, 2, O).transpose(2, 4, 0, 1, 3, 5)
    else:
        E[::2, ::2] = 0
        for a in range(2):
            for b in range(2):
                E[2 * a, 2 * b, :, : (OH + 1 - a) // 2, : (OW + 1 - b) // 2] = dy[:, a::2, b::2]
    np.add(E[0, ::2], E[2, ::2], out=E[1, ::2])
    np.add(E[:, 0], E[:, 2], out=E[:, 1])


def _image_tiles(N: int, blocks: int) -> list[slice]:
    """Tiles of N images of so many blocks each."""
    n = max(1, min(_BLOCKS // blocks, math.ceil(N / (2 * get_num_threads()))))
    return cut(N, -(-N // n))
