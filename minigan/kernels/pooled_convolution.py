"""Convolution of few channels at stride 1, activation and 2x2 max-pooling in one pass, and the way back.

    z[n,r,q,o]   = sum over ky, kx, c   x[n,r+ky-p,q+kx-p,c] w[o,ky,kx,c]
    y[n,oy,ox,o] = f(b[o] + max over ty, tx in {0, 1} of z[n,2oy+ty,2ox+tx,o])        f(z) = max(z, a z)

with a slope a in [0, 1]: 0 is ReLU, more is leaky ReLU.

With few channels a convolution is little work and z is large, so most of the time z, its gradient and their copies are
on their way to memory and back. Here they stay in a tile's scratch. Forwards only y comes out, and four bits for each
of its numbers: which z was the largest, and whether f rises there. Backwards only dy and these bits go in.

Two neighbours, tx = 0 and 1, read kw + 1 columns of x. Copied out once, as strips (n, ox, row of x, (kx, c)), these
are all the patches there are: for the rows r of z, kh lines of a strip lie one after the other, and those of all n and
ox at even distances. So they are a matrix A[r], which BLAS multiplies where it lies, by two weights, the kernel with a
column of zeros behind it (tx = 0) or before it (tx = 1). A tile keeps its numbers in the order (oy, n, ox, o):

    z[ty,tx]       = A[2oy+ty] w[tx]                    for all oy, as planes: the maximum runs along long lines
    dw[tx]         = sum of A[2oy+ty]^T dz[ty,tx]       then the two are added, one column apart
    dstrips[r,...] = sum over tx   dz[ty,tx] w[tx]^T    for the kh lines from r on; dx adds up where strips overlap

With d = dy f'(y), d[0] + d[1] = d shared out to upper and lower rows, and dz[ty,1] = d[ty] where the right one won, the
left one's share is the rest, d[ty] - dz[ty,1]. It is never computed: both products are linear, so d[ty] goes to the
left and dz[ty,1] to right minus left.

The first of several equals wins, as in PyTorch: the right one if it is greater than the left, the lower row if it is
greater than the upper. Comparisons say nothing about NaN, and zeros times infinity are NaN, so where y is not finite
there are no bits, and the caller has to go the plain way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigan.kernels.layout import add_to_rows, bordered, channels_first, channels_last
from minigan.kernels.pool import cut, parallel_for
from minigan.kernels.products import multiply, panels
from minigan.kernels.scratch import Array, constant, constant_like, empty, scratch, zeros
from minigan.kernels.weights import once
from minigan.primitives.convolution import Pair, Window

_PATCH = 128  # numbers in a row of A, at most
_TILE = 1 << 19  # numbers of y
_GRAD_ROWS = 192  # rows of one product in the weight gradient, of those that are summed
_VECTOR = 16  # numbers


def takes(x_shape: Sequence[int], weight_shape: Sequence[int], window: Window, slope: float) -> bool:
    """Whether there is a kernel for this, and it is faster than a convolution and a pooling one after the other."""
    _, C, kh, kw = weight_shape
    return (
        window.stride == window.dilation == (1, 1)
        and C * kh * (kw + 1) <= _PATCH
        and 0 <= slope <= 1
        and min(_output_size(x_shape[2:], (kh, kw), window.padding)) > 0
    )


def conv2d_max_pool2d(
    x: Array, weight: Array, bias: Array | None = None, padding: Pair = (0, 0), slope: float = 1.0
) -> tuple[Array, Array | None]:
    """(N, C, H, W) by (O, C, kh, kw) -> y (N, O, OH, OW), OH = (H + 2p - kh + 1) // 2, and the bits for `gradients`.

    Where it hands back no bits, y is not to be used.
    """
    (N, _, H, W), (O, _, kh, kw) = x.shape, weight.shape
    OH, OW = _output_size((H, W), (kh, kw), padding)
    x, w = channels_last(x), once(_forward_weight, weight)
    y, bits = empty((N, OH, OW, O), x.dtype), empty((4 * N * OH * OW * O,), np.bool_)
    parts = _tiles(N, OH * OW * O)
    finite = [False] * len(parts)

    @np.errstate(invalid="ignore", over="ignore")
    def body(i: int) -> None:
        n = parts[i]
        images = n.stop - n.start
        a = _patches(_strips(x[n], OW, kw, padding), OH, OW, kh)
        z = scratch("z", (2, OH, images * OW, O), x.dtype)
        left, right = z.reshape(2, -1, O)
        upper = scratch("upper", left.shape, x.dtype)
        right_won, lower_won, positive = _of_tile(bits, n, OH * OW * O, left.shape)
        for ty in range(2):
            multiply(a[ty, None], w[:, None], out=z)
            np.greater(right, left, out=right_won[ty])
            np.maximum(left, right, out=left if ty else upper)
        np.greater(left, upper, out=lower_won)
        np.maximum(left, upper, out=left)
        if bias is not None:
            add_to_rows(left, bias)
        finite[i] = bool(np.isfinite(constant(1.0, len(left), x.dtype) @ left).all())
        result = left.reshape(OH, images, OW * O)
        out = y[n].reshape(images, OH, OW * O).swapaxes(0, 1)
        np.greater(left, 0, out=positive)
        least = np.multiply(left, slope, out=upper) if slope else constant_like(upper, 0)
        np.maximum(result, least.reshape(result.shape), out=out)

    parallel_for(len(parts), body)
    return channels_first(y), bits if all(finite) else None


def gradients(
    wanted: Sequence[int], dy: Array, bits: Array, x: Array, weight: Array, padding: Pair = (0, 0), slope: float = 1.0
) -> tuple[Array, ...]:
    """Those of dx, dw and db that are wanted, as numbers 0, 1 and 2, in this order."""
    (N, C, H, W), (O, _, kh, kw) = x.shape, weight.shape
    OH, OW = _output_size((H, W), (kh, kw), padding)
    dy, x = channels_last(dy), channels_last(x)
    parts = _tiles(N, OH * OW * O)
    wants_dx, wants_dw, wants_db = (i in wanted for i in range(3))
    dx = empty((N, H, W, C) if wants_dx else (0, 0, 0, 0), x.dtype)
    dws = scratch("weight_grad", (len(parts), 2, 2, kh * (kw + 1) * C, O), x.dtype)
    dbs = scratch("bias_grad", (len(parts), O), x.dtype)
    if wants_dx:
        w = once(_backward_weight, weight)
        # the lines of a strip, and what the last product has too many
        length = (H + 2 * padding[0] - kh) * (kw + 1) * C + w.shape[-3] * w.shape[-1]

    def body(i: int) -> None:
        n = parts[i]
        images = n.stop - n.start
        dz = scratch("dz", (3, OH, images * OW, O), x.dtype)
        lower, right, d = dz.reshape(3, -1, O)  # `lower` is the lower row's share; what is left of d is the upper's
        right_won, lower_won, positive = _of_tile(bits, n, OH * OW * O, d.shape)
        d[...] = positive
        if slope:
            np.maximum(d, constant_like(d, slope), out=d)
        in_rows = d.reshape(OH, images, OW * O)
        in_rows *= dy[n].reshape(images, OH, OW * O).swapaxes(0, 1)
        if wants_db:
            np.matmul(constant(1.0, len(d), x.dtype), d, out=dbs[i])
        if wants_dw:
            a = _patches(_strips(x[n], OW, kw, padding), OH, OW, kh)
        if wants_dx:
            lines = zeros("lines", (images * OW, length), x.dtype)
        for ty in (1, 0):
            if ty == 1:
                np.multiply(d, lower_won, out=lower)
                np.multiply(lower, right_won[1], out=right)
                planes = dz[:2]
            else:
                d -= lower
                np.multiply(d, right_won[0], out=right)
                planes = dz[:0:-1]
            if wants_dw:
                _sum_products(a[ty], planes, OW, out=dws[i, ty])
            if wants_dx:
                _add_products(planes, w, ty, (kw + 1) * C, lines)
        if wants_dx:
            _add_strips(lines, OW, kw, padding, out=dx[n])

    parallel_for(len(parts), body)
    dw = lambda: _one_kernel(np.sum(dws, axis=(0, 1)), weight.shape)
    results = lambda: channels_first(dx), dw, lambda: np.sum(dbs, axis=0)
    return tuple([results[i]() for i in wanted])


def _strips(x: Array, OW: int, kw: int, padding: Pair) -> Array:
    """x (n, H, W, C) -> (n, OW, H + 2p, (kw+1)*C): the columns 2ox ... 2ox + kw, zero outside of x."""
    x = bordered(x, padding, 0)
    n, H, W, C = x.shape
    strips = scratch("strips", (n, OW, H, (kw + 1) * C), x.dtype)
    pixel = C * x.itemsize
    run = np.dtype((np.void, (kw + 1) * pixel))  # as one item: half the time of a copy number by number
    strides = (H * W * pixel, 2 * pixel, W * pixel)
    strips.view(run)[..., 0] = np.ndarray((n, OW, H), run, x.data, 0, strides)
    return strips


def _patches(strips: Array, OH: int, OW: int, kh: int) -> Array:
    """A (2, OH, n*OW, kh * width): at [ty, oy, (n, ox)] the lines 2oy + ty ... of each strip; a view."""
    n, _, H, width = strips.shape
    line = width * strips.itemsize
    strides = (line, 2 * line, H * line, strips.itemsize)
    return np.ndarray((2, OH, n * OW, kh * width), strips.dtype, strips.data, 0, strides)


def _sum_products(a: Array, dz: Array, OW: int, out: Array) -> None:
    """out[tx] = the sum of a[oy]^T @ dz[tx, oy] over oy, and over pieces of their rows."""
    (OH, rows, K), O = a.shape, dz.shape[-1]
    piece = min(max(_GRAD_ROWS // OW, 1) * OW, rows)
    whole = rows // piece * piece
    for part, r in ((slice(0, whole), piece), (slice(whole, rows), rows - whole)):
        if r == 0:
            continue
        left = a[:, part].reshape(OH, -1, r, K).swapaxes(-1, -2)
        right = dz[:, :, part].reshape(2, OH, -1, 1, r, O)
        products = scratch("products", (2, *left.shape[:2], K, O), dz.dtype)
        multiply(left[None], right, out=products)
        if part.start == 0:
            np.sum(products, axis=(1, 2), out=out)
        else:
            out += np.sum(products, axis=(1, 2))


def _add_products(dz: Array, w: Array, ty: int, width: int, lines: Array) -> None:
    """lines[rows, r...] += the sum of dz[tx, oy] @ w[tx] over tx, for the rows r = 2oy + ty of z."""
    K = w.shape[-3] * w.shape[-1]
    shares = scratch("shares", (*dz.shape[:-1], K), dz.dtype)
    multiply(dz, w[:, None], out=shares)
    shares[0] += shares[1]
    for oy, share in enumerate(shares[0]):
        first = (2 * oy + ty) * width
        lines[:, first : first + K] += share


def _add_strips(lines: Array, OW: int, kw: int, padding: Pair, out: Array) -> None:
    """out (n, H, W, C) = the sum of strips (n, OW, H + 2p, kw + 1, C) where they overlap, less the border."""
    (n, H, W, C), (ph, pw) = out.shape, padding
    image = out if padding == (0, 0) else scratch("bordered", (n, H + 2 * ph, W + 2 * pw, C), out.dtype)
    strips = lines[:, : (H + 2 * ph) * (kw + 1) * C].reshape(n, OW, H + 2 * ph, kw + 1, C)
    image[...] = 0
    for kx in range(kw + 1):
        image[:, :, kx : kx + 2 * OW - 1 : 2] += strips[:, :, :, kx].swapaxes(1, 2)
    if image is not out:
        out[...] = image[:, ph : ph + H, pw : pw + W]


def _of_tile(bits: Array, n: slice, size: int, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """The tile's bits as arrays of this shape, size numbers an image: right_won (in rows 0, 1), lower_won, positive."""
    planes = bits[4 * n.start * size : 4 * n.stop * size].reshape(4, *shape)
    return planes[:2], planes[2], planes[3]


def _forward_weight(weight: Array) -> Array:
    """(O, C, kh, kw) -> (tx, kh*(kw+1)*C, O), in panels."""
    return panels(_both(weight).reshape(2, -1, len(weight)))


def _backward_weight(weight: Array) -> Array:
    """(O, C, kh, kw) -> left and right minus left (2, O, kh*(kw+1)*C and zeros up to a full vector), in panels."""
    w = _both(weight).reshape(2, -1, len(weight)).swapaxes(1, 2)
    _, O, K = w.shape
    whole = np.zeros((2, O, -(-K // _VECTOR) * _VECTOR), weight.dtype)
    whole[0, :, :K] = w[0]
    whole[1, :, :K] = w[1] - w[0]
    return panels(whole)


def _both(weight: Array) -> Array:
    """(O, C, kh, kw) -> (tx, kh, kw+1, C, O), zero in the last column and in the first."""
    O, C, kh, kw = weight.shape
    w = np.zeros((2, kh, kw + 1, C, O), weight.dtype)
    w[0, :, :kw] = w[1, :, 1:] = weight.transpose(2, 3, 1, 0)
    return w


def _one_kernel(dw: Array, shape: tuple[int, ...]) -> Array:
    """The gradients of left and of right minus left (2, kh*(kw+1)*C, O) -> that of the weight (O, C, kh, kw)."""
    O, C, kh, kw = shape
    left, right = dw.reshape(2, kh, kw + 1, C, O)
    result = empty((O, kh, kw, C), dw.dtype)
    result[...] = ((left - right)[:, :kw] + right[:, 1:]).transpose(3, 0, 1, 2)
    return channels_first(result)


def _output_size(input_size: Sequence[int], kernel_size: Pair, padding: Pair) -> Pair:
    OH, OW = Window(padding=padding).places(input_size, kernel_size)
    return OH // 2, OW // 2


def _tiles(N: int, size: int) -> list[slice]:
    """Tiles of whole images, size numbers of y each; an even number of them, for two threads."""
    n_tiles = min(2 * max(-(-N * size // (2 * _TILE)), 1), N)
    return cut(N, n_tiles)
