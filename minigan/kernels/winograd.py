"""Convolution as a product of polynomials: fewer multiplications, by evaluating and interpolating.

A gradient dy of m outputs and a kernel w of r taps reach q = m + r - 1 pixels: along one axis, dx[h] is the sum of all
dy[a] w[k] with a + k = h. So dx holds the coefficients of a product of polynomials of degrees m - 1 and r - 1,

    dx(t) = dy(t) w(t).

Such a product is known from its values at q points. At each, two values are multiplied: q multiplications, where the
definition has m r. One of the points may be infinity, whose value is the leading coefficient (Toom and Cook):

    dx = B^T [(A^T dy) * (G w)]      A^T (q, m) and G (q, r) evaluate: powers of the points
                                     B^T (q, q) interpolates: the inverse of such a matrix with q powers

The convolution is the transposed map, and the weight gradient the third of the three (Winograd 1980; Lavin & Gray 2016,
arXiv:1509.09308, where this is F(m, r)):

    y  = A   [(B x)    * (G w)]
    dw = G^T [(A^T dy) * (B x)]

In two dimensions each matrix acts along rows and along columns. Channels are summed by a matrix product for each pair
(i, j) of points:

    V[i,j] (n, K)   from x           M[i,j] (n, O) = V[i,j] U[i,j]           y  from M
    U[i,j] (K, O)   from w           V[i,j] (n, K) = E[i,j] U[i,j]^T         dx from V
    E[i,j] (n, O)   from dy          U[i,j]^T (O, K) = E[i,j]^T V[i,j]       dw from U

A convolution of stride s is one of stride 1 on s*s phases, the pixels of one residue, which count as channels:
K = s*s*C. An axis with more than m outputs is cut into blocks; B and A have a band for each. Borders, and a last block
that ends in the air, are zeros in these matrices.

**Pixels come first in memory**, (H, W, n, K), so that every step is a matrix product with long rows. Additions by numpy
would take longer than the multiplications they save. One pixel that is infinite or NaN spoils its whole image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from minigan.kernels.elementwise import Finish
from minigan.kernels.pool import cut, for_each, parallel_for
from minigan.kernels.products import multiply, multiply_stack_transposed, panels
from minigan.kernels.scratch import Array, empty, scratch
from minigan.primitives.convolution import Pair, Window

_MIN_CHANNELS = 32  # below, the transforms take longer than the products they save
_MIN_IMAGES = 32  # an image is a row of each product
_MAX_BLOCKS = 4  # along an axis: with more, the matrices are mostly zeros
_MAX_WEIGHTS = 1 << 17  # numbers: of more, the values at all points take too long to read
_MAX_OUTPUTS = 4  # m
_TAPS = (2, 3, 5)  # r; with 4 (k4 s1) a published DCGAN's images were 2.8e-5 from PyTorch's, for 4e-6 by plain sums
_SHARE = 0.6  # of the multiplications may be left, at most

# All points but infinity, by their number m + r - 2: small and of both signs, so that their powers stay close to one
# another. Still float32 loses more with more points, up to a digit: tests/kernels/test_winograd.py has the bounds.
_POINTS = {
    2: (0, 1),
    3: (0, 1, -1),
    4: (1 / 3, -1 / 3, 4 / 3, -4 / 3),
    5: (0, 2 / 3, -2 / 3, 3 / 2, -3 / 2),
    7: (0, 1, -1, 1 / 2, -1 / 2, 2, -2),
}

_TILE_BYTES = 5 << 20  # of V with M or E
_ROWS = 8  # a tile has a multiple of so many images: BLAS takes several rows at a time
_ROUND_BYTES = 24 << 20  # of V and E in a round of the weight gradient
_ROUND_TILES = 4  # of a round
_PARTS = 4  # of a weight, each with its values at all points
_GRAD_CALL = 1 << 23  # multiplications in one call of the weight gradient, at least


class Axis:
    """One direction of a convolution with L outputs and H = L + r - 1 pixels in each of its s phases.

    Attributes:
        q, b: points, and blocks of outputs.
        G: (q, r).
        B, A: (q*b, H) and (L, q*b), with a band for each block.
        phases: for each phase, which of its pixels lie in the image, and where.
    """

    def __init__(self, m: int, L: int, size: int, k: int, s: int, p: int, dtype: np.dtype) -> None:
        r = -(-k // s)
        H, self.q, self.b = L + r - 1, m + r - 1, -(-L // m)
        points = _POINTS[self.q - 1]
        self.G = _powers(points, r).astype(dtype)
        evaluate, interpolate = _powers(points, m), np.linalg.inv(_powers(points, self.q))
        A = np.zeros((self.b * m, self.q, self.b))
        B = np.zeros((self.q, self.b, (self.b - 1) * m + self.q))
        for block in range(self.b):
            A[block * m : (block + 1) * m, :, block] = evaluate.T
            B[:, block, block * m : block * m + self.q] = interpolate.T
        self.A = np.ascontiguousarray(A[:L].reshape(L, -1), dtype)
        self.B = np.ascontiguousarray(B[:, :, :H].reshape(-1, H), dtype)
        self.phases = [_inside(f - p, s, H, size) for f in range(s)]


class Plan:
    """What a convolution needs to know beside its arrays, each vertical and horizontal.

    Attributes:
        strides, taps: s and r.
        pixels, outputs, components: H, L and q*b.
        points: (q, b, q, b).
        G: (q*q, r*r).
        phases: for each of the s*s, which it is, which of its pixels lie in the image, and where.
    """

    def __init__(self, vertical: Axis, horizontal: Axis, kernel_size: Pair) -> None:
        self.vertical, self.horizontal, self.kernel_size = vertical, horizontal, kernel_size
        self.strides = len(vertical.phases), len(horizontal.phases)
        self.phases = [
            ((f, g), (h, w), (lines, columns))
            for f, (h, lines) in enumerate(vertical.phases)
            for g, (w, columns) in enumerate(horizontal.phases)
        ]
        self.taps = vertical.G.shape[1], horizontal.G.shape[1]
        self.pixels = vertical.B.shape[1], horizontal.B.shape[1]
        self.outputs = len(vertical.A), len(horizontal.A)
        self.components = len(vertical.B), len(horizontal.B)
        self.points = vertical.q, vertical.b, horizontal.q, horizontal.b
        self.G = np.kron(vertical.G, horizontal.G)

    def forward_weight(self, weight: Array) -> Array:
        """U (q, 1, q, 1, K, O) of weight (O, C, kh, kw), in panels; it holds until the weight changes."""
        return self._values(panels(self._by_taps(weight).swapaxes(-1, -2)))

    def backward_weight(self, weight: Array) -> Array:
        """U^T (q, 1, q, 1, O, K) of weight (O, C, kh, kw), in panels; it holds until the weight changes."""
        return self._values(panels(self._by_taps(weight)))

    def _by_taps(self, weight: Array) -> Array:
        """(O, C, kh, kw) -> (r*r, O, K), with zeros where the phases have fewer taps."""
        (O, C, kh, kw), (r, t), (s, u) = weight.shape, self.taps, self.strides
        w = np.zeros((O, C, r * s, t * u), weight.dtype)
        w[:, :, :kh, :kw] = weight
        return w.reshape(O, C, r, s, t, u).transpose(2, 4, 0, 3, 5, 1).reshape(r * t, O, s * u * C)

    def _values(self, w: Array) -> Array:
        """w (r*r, ...) at all points, on a cache line."""
        U, w_flat = empty((len(self.G), w[0].size), w.dtype), w.reshape(len(w), -1)

        def body(part: slice) -> None:
            np.matmul(self.G, w_flat[:, part], out=U[:, part])

        _in_parts(w[0].size, 1, body)
        return U.reshape(self.vertical.q, 1, self.horizontal.q, 1, *w.shape[1:])


def plan(N: int, C: int, O: int, input_size: Pair, kernel_size: Pair, window: Window, dtype: np.dtype) -> Plan | None:
    """How to compute this convolution here; None if it is not one of ours, or too small to gain."""
    if N < _MIN_IMAGES or min(C, O) < _MIN_CHANNELS or C * O * math.prod(window.stride) > _MAX_WEIGHTS:
        return None
    return _plan(input_size, kernel_size, window, dtype)


@cache
def _plan(input_size: Pair, kernel_size: Pair, window: Window, dtype: np.dtype) -> Plan | None:
    output_size = window.places(input_size, kernel_size)
    axes = []
    for L, size, k, s, p, d in zip(output_size, input_size, kernel_size, *window, strict=True):
        r = -(-k // s)
        ways = [m for m in range(2, _MAX_OUTPUTS + 1) if m + r - 2 in _POINTS and m <= L <= _MAX_BLOCKS * m]
        if r not in _TAPS or d > 1 or not ways or (size + 2 * p - k) % s:
            return None
        m = min(ways, key=lambda m: -(-L // m) * (m + r - 1))
        axes.append(Axis(m, L, size, k, s, p, dtype))
    vertical, horizontal = axes
    (kh, kw), (sh, sw), (OH, OW) = kernel_size, window.stride, output_size
    if len(vertical.B) * len(horizontal.B) * sh * sw > _SHARE * kh * kw * OH * OW:
        return None
    return Plan(vertical, horizontal, kernel_size)


def _inside(start: int, s: int, H: int, size: int) -> tuple[slice, slice]:
    """Which of the pixels h < H at start + s*h lie in an image of this size, and where."""
    h0 = max(0, -(start // s))
    h1 = min(H, (size - 1 - start) // s + 1)
    if h0 >= h1:
        return slice(0, 0), slice(0, 0)
    return slice(h0, h1), slice(start + s * h0, start + s * (h1 - 1) + 1, s)


def _powers(points: tuple[float, ...], n: int) -> Array:
    """1, t, ... t^(n-1) for each point t, infinity last: (q, n)."""
    return np.vstack([np.vander(points, n, increasing=True), np.eye(n)[-1]])


def conv2d(x: Array, U: Array, plan: Plan, y: Array, finish: Finish) -> None:
    """(N, H, W, C) -> y (N, OH, OW, O), finished; U is forward_weight's."""
    C, O = x.shape[3], y.shape[3]

    def body(part: slice) -> None:
        n = part.stop - part.start
        V = scratch("V", (*plan.points, n, plan.strides[0] * plan.strides[1] * C), x.dtype)
        _from_pixels(x[part], plan, V.reshape(*plan.components, -1))
        M = scratch("M", (*plan.points, n, O), x.dtype)
        multiply(V, U, out=M)
        image = scratch("pixels", (*plan.outputs, n, O), x.dtype)
        _transform(plan.vertical.A, plan.horizontal.A, M, image)
        y[part] = image.transpose(2, 0, 1, 3)
        finish(y[part].reshape(-1, O))

    for_each(_tiles(len(x), _image_bytes(plan, C, O, x.dtype)), body)


def conv2d_input_grad(dy: Array, U: Array, plan: Plan, dx: Array, finish: Finish) -> None:
    """(N, OH, OW, O) -> dx (N, H, W, C), finished: conv_transpose2d's forward. U is backward_weight's."""
    O, C, (sh, sw) = dy.shape[3], dx.shape[3], plan.strides

    def body(part: slice) -> None:
        n = part.stop - part.start
        E = scratch("E", (*plan.points, n, O), dy.dtype)
        _from_outputs(dy[part], plan, E.reshape(*plan.components, -1))
        V = scratch("V", (*plan.points, n, sh * sw * C), dy.dtype)
        multiply(E, U, out=V)
        phases = scratch("pixels", (*plan.pixels, n, sh, sw, C), dy.dtype)
        _transform(plan.vertical.B.T, plan.horizontal.B.T, V, phases)
        for (f, g), (h, w), (lines, columns) in plan.phases:
            dx[part, lines, columns] = phases[h, w, :, f, g].transpose(2, 0, 1, 3)
        finish(dx[part].reshape(-1, C))

    for_each(_tiles(len(dy), _image_bytes(plan, C, O, dy.dtype)), body)


def conv2d_weight_grad(x: Array, dy: Array, plan: Plan) -> Array:
    """(N, H, W, C) and (N, OH, OW, O) -> (O, kh, kw, C).

    Round by round over the batch: transform some images, then add each component's product to its sum. A sum has one
    owner and a fixed order, so any number of threads gives the same bits.
    """
    N, C, O = len(x), x.shape[3], dy.shape[3]
    (r, t), (s, u), (kh, kw) = plan.taps, plan.strides, plan.kernel_size
    sums = scratch("U", (plan.vertical.q, plan.horizontal.q, O, s * u * C), x.dtype)
    for n in cut(N, -(-N * _image_bytes(plan, C, O, x.dtype) // _ROUND_BYTES)):
        _add_products(x[n], dy[n], plan, sums, first=n.start == 0)
    dw, sums = empty((O, r, s, t, u, C), x.dtype), sums.reshape(len(plan.G), -1)

    def fold(part: slice) -> None:
        w = np.matmul(plan.G.T, sums[:, part]).reshape(r, t, -1, s, u, C)
        K = s * u * C
        dw[part.start // K : part.stop // K] = w.transpose(2, 0, 3, 1, 4, 5)

    _in_parts(O, s * u * C, fold)
    return dw.reshape(O, r * s, t * u, C)[:, :kh, :kw]


def _add_products(x: Array, dy: Array, plan: Plan, sums: Array, first: bool) -> None:
    """sums[i,j] = or += E[i,j]^T V[i,j] over these images."""
    N, O, K = len(x), *sums.shape[2:]
    V = scratch("V of a round", (*plan.points, N, K), x.dtype)
    E = scratch("E of a round", (*plan.points, N, O), x.dtype)

    def transform(n: slice) -> None:
        _from_pixels(x[n], plan, V.reshape(*plan.components, -1)[:, :, n.start * K : n.stop * K])
        _from_outputs(dy[n], plan, E.reshape(*plan.components, -1)[:, :, n.start * O : n.stop * O])

    q, b, p, c = plan.points
    group = min(-(-_GRAD_CALL // (b * c * N * K * O)), p)
    n_groups = -(-p // group)

    def add_products(task: int) -> None:
        i, j = task // n_groups, slice(task % n_groups * group, (task % n_groups + 1) * group)
        # block, point, block -> point, block, block
        e, v = E[i, :, j].swapaxes(0, 1), V[i, :, j].swapaxes(0, 1)
        products = scratch("products", (*e.shape[:3], O, K), x.dtype)
        multiply_stack_transposed(e, v, out=products)
        out = sums[i, j]
        if first:
            np.sum(products, axis=(1, 2), out=out)
        else:
            out += np.sum(products, axis=(1, 2))

    for_each(cut(N, _ROUND_TILES), transform)
    parallel_for(q * n_groups, add_products)


def _from_pixels(x: Array, plan: Plan, V: Array) -> None:
    """V (q*b, q*b, n*K) of images x (n, H, W, C)."""
    n, _, _, C = x.shape
    phases = scratch("pixels", (*plan.pixels, n, *plan.strides, C), x.dtype)
    for (f, g), (h, w), (lines, columns) in plan.phases:
        phase = phases[:, :, :, f, g]
        phase[: h.start] = 0
        phase[h.stop :] = 0
        phase[:, : w.start] = 0
        phase[:, w.stop :] = 0
        phase[h, w] = x[:, lines, columns].transpose(1, 2, 0, 3)
    _transform(plan.vertical.B, plan.horizontal.B, phases, V)


def _from_outputs(dy: Array, plan: Plan, E: Array) -> None:
    """E (q*b, q*b, n*O) of gradients dy (n, OH, OW, O)."""
    n, OH, OW, O = dy.shape
    image = scratch("pixels", (OH, OW, n, O), dy.dtype)
    image[...] = dy.transpose(1, 2, 0, 3)
    _transform(plan.vertical.A.T, plan.horizontal.A.T, image, E)


def _transform(rows: Array, columns: Array, x: Array, out: Array) -> None:
    """out[i,j] = sum over h, w  rows[i,h] columns[j,w] x[h,w], where each x[h,w] and out[i,j] is a row of numbers."""
    (I, H), (J, W) = rows.shape, columns.shape
    x = x.reshape(H, W, -1)
    half = scratch("half", (I, W, x.shape[2]), x.dtype)
    np.matmul(rows, x.swapaxes(0, 1), out=half.swapaxes(0, 1))
    np.matmul(columns, half, out=out.reshape(I, J, -1))


def _in_parts(n: int, size: int, body: Callable[[slice], None]) -> None:
    """body(part) for parts of n items of this size, on the pool: BLAS's threads, once awake, would be in its way."""
    for_each([slice(p.start * size, p.stop * size) for p in cut(n, min(_PARTS, n))], body)


def _image_bytes(plan: Plan, C: int, O: int, dtype: np.dtype) -> int:
    """Of V and E of one image."""
    (c, d), (s, u) = plan.components, plan.strides
    return c * d * (s * u * C + O) * dtype.itemsize


def _tiles(N: int, image_bytes: int) -> list[slice]:
    """Tiles of images; as many for one thread of two as for the other."""
    most = max(_TILE_BYTES // image_bytes // _ROWS, 1) * _ROWS
    return cut(N, -(-N // (2 * most)) * 2)
