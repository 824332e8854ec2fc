"""Convolution, and why it comes in threes.

    y[n,o,i,j] = b[o] + sum over c, u, v of  w[o,c,u,v] x[n,c, i s - p + u d, j s - p + v d]

(x is 0 outside its borders; s stride, p padding, d dilation, each a pair for the two directions.)

**im2col.** Every output pixel (i, j) reads one patch of x. Copy all patches out, side by side, and convolution is
one matrix product:

    cols = im2col(x)      (N, C*kh*kw, OH*OW)      a column is the patch that one output pixel reads
    y    = W cols         W (O, C*kh*kw)           y (N, O, OH*OW)

A 2x2 window on a 3x3 image, stride 1, takes four places:

    x = 1 2 3          im2col(x) = 1 2 4 5     the upper left number of each patch, tap (0, 0)
        4 5 6                      2 3 5 6     tap (0, 1)
        7 8 9                      4 5 7 8     tap (1, 0)
                                   5 6 8 9     tap (1, 1)

A row of im2col(x) is a slice of x, so building it is a loop over the taps and not over the places. im2col only
copies: 5 stands in four columns, since four patches hold it. Its adjoint, `col2im`, therefore adds four numbers up
where the 5 came from; col2im(im2col(x)) is 1 4 3 / 8 20 12 / 7 16 9. The two functions below are the same loop, one
reading slices and the other adding to them, and sum(im2col(x) * c) = sum(x * col2im(c)) for any c: that is what makes
one the derivative of the other.

**The three faces.** y is linear in x and linear in w, so S = sum of g * conv2d(x, w) is linear in each of g, x and w.
Its three partial derivatives are

    dS/dg = conv2d(x, w)                 W cols
    dS/dx = conv2d_input_grad(g, w)      col2im(W^T g)
    dS/dw = conv2d_weight_grad(x, g)     g cols^T

and each of the three functions is linear in its own two arguments, with the other two as its derivatives. That closes
the circle: convolutions can be differentiated as often as one likes and nothing new ever appears.

**Transposed convolution** is the middle face used forwards: conv_transpose2d(x, w) spreads each pixel of x over a
patch, as conv2d_input_grad spreads dy. PyTorch's weight layout for it, (in, out, kh, kw), is already the right one.

Read next: pooling.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from typing import Any, NamedTuple

from minigan.arrays import Array, array_module
from minigan.autodiff import defvjp_joint, primitive
from minigan.primitives.shaping import sum

Pair = tuple[int, int]
Size = int | Pair


class Window(NamedTuple):
    """How a window of taps moves over an image: vertical and horizontal stride, padding and dilation."""

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    @classmethod
    def of(cls, stride: Size, padding: Size, dilation: Size = 1) -> Window:
        """From numbers or pairs."""
        return cls(pair("stride", stride, 1), pair("padding", padding, 0), pair("dilation", dilation, 1))

    def places(self, size: Sequence[int], taps: Sequence[int]) -> Pair:
        """How many places a window of (kh, kw) taps takes: (OH, OW) on an image (H, W); less than 1 if it is larger."""
        OH, OW = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(size, taps, *self, strict=True))
        return OH, OW

    def check_output_padding(self, extra: Pair) -> None:
        """Refuse rows and columns that no pixel of the input would reach."""
        if any(e >= max(s, d) for e, s, d in zip(extra, self.stride, self.dilation, strict=True)):
            raise ValueError(f"output_padding: expected less than stride or dilation, got {extra} with {self}")

    def transposed_size(self, size: Sequence[int], taps: Sequence[int], extra: Pair) -> Pair:
        """The image (H, W) on which the window would take size[0] * size[1] places."""
        H, W = (
            (n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, k, e, s, p, d in zip(size, taps, extra, *self, strict=True)
        )
        if H < 1 or W < 1:
            raise ValueError(f"conv_transpose2d: nothing is left of the output: its size would be {(H, W)}")
        return H, W

    def slices(self, taps: Sequence[int], places: Sequence[int]) -> Iterator[tuple[int, int, tuple[slice, slice]]]:
        """For each tap (u, v) of the window, the slices of the padded image that it meets at all places."""
        (sh, sw), _, (dh, dw) = self
        for u in range(taps[0]):
            for v in range(taps[1]):
                top, left = u * dh, v * dw
                rows = slice(top, top + sh * (places[0] - 1) + 1, sh)
                columns = slice(left, left + sw * (places[1] - 1) + 1, sw)
                yield u, v, (rows, columns)


def pair(name: str, value: Size, least: int) -> Pair:
    """A number for both directions, or (vertical, horizontal), each at least `least`.

    Raises:
        ValueError: naming the argument.
    """
    both = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(both) != 2 or not all(isinstance(n, Integral) and not isinstance(n, bool) and n >= least for n in both):
        raise ValueError(f"{name}: expected a whole number >= {least} or a pair of them, got {value!r}")
    return int(both[0]), int(both[1])


def im2col(x: Array, taps: Sequence[int], places: Sequence[int], window: Window, border: float = 0.0) -> Array:
    """Copy patches out: (N, C, H, W) -> (N, C*kh*kw, OH*OW), column by column the patch of one place."""
    N, C, H, W = x.shape
    (kh, kw), (OH, OW), (ph, pw) = taps, places, window.padding
    xp = array_module(x)
    padded = xp.full((N, C, H + 2 * ph, W + 2 * pw), border, x.dtype)
    padded[:, :, ph : ph + H, pw : pw + W] = x
    cols = xp.empty((N, C, kh, kw, OH, OW), x.dtype)
    for u, v, (rows, columns) in window.slices(taps, places):
        cols[:, :, u, v] = padded[:, :, rows, columns]
    return cols.reshape(N, C * kh * kw, OH * OW)  # (N, C, kh, kw, OH, OW) -> (N, C*kh*kw, OH*OW)


def col2im(cols: Array, size: Sequence[int], taps: Sequence[int], places: Sequence[int], window: Window) -> Array:
    """Add patches up where they came from: (N, C*kh*kw, OH*OW) -> (N, C, H, W). The adjoint of im2col."""
    (H, W), (kh, kw), (OH, OW), (ph, pw) = size, taps, places, window.padding
    N, C = cols.shape[0], cols.shape[1] // (kh * kw)
    cols = cols.reshape(N, C, kh, kw, OH, OW)  # (N, C*kh*kw, OH*OW) -> (N, C, kh, kw, OH, OW)
    padded = array_module(cols).zeros((N, C, H + 2 * ph, W + 2 * pw), cols.dtype)
    for u, v, (rows, columns) in window.slices(taps, places):
        padded[:, :, rows, columns] += cols[:, :, u, v]
    return padded[:, :, ph : ph + H, pw : pw + W]


# --- The three faces: each one's derivatives are the other two ------------------------------------------------------


@primitive
def conv2d_product(x: Array, weight: Array, window: Window, places: Pair) -> Array:
    """W im2col(x): (N, C, H, W), (O, C, kh, kw) -> (N, O, *places)."""
    N, (O, _, kh, kw) = len(x), weight.shape
    cols = im2col(x, (kh, kw), places, window)
    return (weight.reshape(O, -1) @ cols).reshape(N, O, *places)  # (O, C*kh*kw) @ (N, C*kh*kw, OH*OW)


@primitive
def conv2d_input_grad(dy: Array, weight: Array, window: Window, size: Pair) -> Array:
    """col2im(W^T dy): (N, O, OH, OW), (O, C, kh, kw) -> (N, C, *size)."""
    (N, O, OH, OW), (_, _, kh, kw) = dy.shape, weight.shape
    cols = weight.reshape(O, -1).T @ dy.reshape(N, O, OH * OW)  # (C*kh*kw, O) @ (N, O, OH*OW)
    return col2im(cols, size, (kh, kw), (OH, OW), window)


@primitive
def conv2d_weight_grad(x: Array, dy: Array, window: Window, taps: Pair) -> Array:
    """dy im2col(x)^T, summed over images: (N, C, H, W), (N, O, OH, OW) -> (O, C, *taps)."""
    (N, O, OH, OW), C = dy.shape, x.shape[1]
    cols = im2col(x, taps, (OH, OW), window)
    dw = array_module(x).tensordot(dy.reshape(N, O, OH * OW), cols, axes=((0, 2), (0, 2)))  # over images and places
    return dw.reshape(O, C, *taps)


Vjp = Callable[[Array], tuple[Array, ...]]
Faces = tuple[Callable[[Array], Array], Callable[[Array], Array]]


def _only(argnums: Sequence[int], *vjps: Callable[[Array], Array]) -> Vjp:
    return lambda dy: tuple([vjps[i](dy) for i in argnums])


def _product_wrt(x: Array, weight: Array, window: Window) -> Faces:
    size, taps = x.shape[2:], weight.shape[2:]
    return (lambda g: conv2d_input_grad(g, weight, window, size), lambda g: conv2d_weight_grad(x, g, window, taps))


def _input_grad_wrt(dy: Array, weight: Array, window: Window) -> Faces:
    places, taps = dy.shape[2:], weight.shape[2:]
    return (lambda g: conv2d_product(g, weight, window, places), lambda g: conv2d_weight_grad(g, dy, window, taps))


def _weight_grad_wrt(x: Array, dy: Array, window: Window) -> Faces:
    places, size = dy.shape[2:], x.shape[2:]
    return (lambda g: conv2d_input_grad(dy, g, window, size), lambda g: conv2d_product(x, g, window, places))


defvjp_joint(conv2d_product, lambda of, y, x, w, window, places: _only(of, *_product_wrt(x, w, window)))
defvjp_joint(conv2d_input_grad, lambda of, dx, dy, w, window, size: _only(of, *_input_grad_wrt(dy, w, window)))
defvjp_joint(conv2d_weight_grad, lambda of, dw, x, dy, window, taps: _only(of, *_weight_grad_wrt(x, dy, window)))


# --- The two layers: a face, plus bias ------------------------------------------------------------------------------


@primitive
def conv2d(
    x: Array, weight: Array, bias: Array | None = None, stride: Size = 1, padding: Size = 0, dilation: Size = 1
) -> Array:
    """Convolution (cross-correlation, as everywhere in this field).

    Args:
        x: (N, C, H, W).
        weight: (O, C, kh, kw), of x's dtype.
        bias: (O,) or None.
        stride, dilation: at least 1; padding: at least 0; a number or a pair (vertical, horizontal).

    Returns:
        (N, O, OH, OW) with OH = (H + 2 p - d (kh - 1) - 1) // s + 1, OW likewise.

    Raises:
        ValueError: if the shapes do not fit or the weight is larger than the padded x.
        TypeError: if x and weight differ in dtype.
    """
    window, places = conv2d_places(x, weight, bias, stride, padding, dilation)
    return _plus(conv2d_product(x, weight, window, places), bias)


@primitive
def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
) -> Array:
    """Transposed convolution: each pixel of x is spread over a patch of y.

    Args:
        x: (N, C, H, W).
        weight: (C, O, kh, kw), of x's dtype.
        bias: (O,) or None.
        stride, dilation: at least 1; padding: at least 0, it crops y's borders; a number or a pair.
        output_padding: rows and columns added below and at the right, less than stride or dilation.

    Returns:
        (N, O, OH, OW) with OH = (H - 1) s - 2 p + d (kh - 1) + output_padding + 1, OW likewise.

    Raises:
        ValueError: if the shapes do not fit or nothing is left of y.
        TypeError: if x and weight differ in dtype.
    """
    window, size = conv_transpose2d_size(x, weight, bias, stride, padding, output_padding, dilation)
    return _plus(conv2d_input_grad(x, weight, window, size), bias)


def _plus(y: Array, bias: Array | None) -> Array:
    return y if bias is None else y + bias.reshape(-1, 1, 1)


def _bias_grad(dy: Array) -> Array:
    return sum(dy, (0, 2, 3))


def _conv2d_vjp(
    argnums: Any, y: Any, x: Any, weight: Any, bias: Any = None, stride: Size = 1, padding: Size = 0, dilation: Size = 1
) -> Vjp:
    return _only(argnums, *_product_wrt(x, weight, Window.of(stride, padding, dilation)), _bias_grad)


def _conv_transpose2d_vjp(
    argnums: Sequence[int],
    y: Array,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
) -> Vjp:
    return _only(argnums, *_input_grad_wrt(x, weight, Window.of(stride, padding, dilation)), _bias_grad)


defvjp_joint(conv2d, _conv2d_vjp)
defvjp_joint(conv_transpose2d, _conv_transpose2d_vjp)


def conv2d_places(
    x: Array, weight: Array, bias: Array | None, stride: Size, padding: Size, dilation: Size
) -> tuple[Window, Pair]:
    """How the weight moves over x and how many places it takes, if all that conv2d is given fits together."""
    window = Window.of(stride, padding, dilation)
    _check("conv2d", x, weight, weight.shape[1], bias, weight.shape[0])
    places = window.places(x.shape[2:], weight.shape[2:])
    if min(places) < 1:
        raise ValueError(
            f"conv2d: expected x at least as large as the kernel {weight.shape}, got {x.shape} with {window}"
        )
    return window, places


def conv_transpose2d_size(
    x: Array, weight: Array, bias: Array | None, stride: Size, padding: Size, output_padding: Size, dilation: Size
) -> tuple[Window, Pair]:
    """How the weight moves over y and how large y is, if all that conv_transpose2d is given fits together."""
    window, extra = Window.of(stride, padding, dilation), pair("output_padding", output_padding, 0)
    window.check_output_padding(extra)
    _check("conv_transpose2d", x, weight, weight.shape[0], bias, weight.shape[1])
    return window, window.transposed_size(x.shape[2:], weight.shape[2:], extra)


def _check(name: str, x: Array, weight: Array, channels: int, bias: Array | None, outputs: int) -> None:
    if x.ndim != 4 or weight.ndim != 4 or x.shape[1] != channels:
        raise ValueError(
            f"{name}: expected x of shape (N, {channels}, H, W) for weight of shape {weight.shape}, got {x.shape}"
        )
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(f"{name}: expected bias of shape ({outputs},), got {bias.shape}")
    for argument, a in [("x", x), ("bias", bias)]:
        if a is not None and a.dtype != weight.dtype:
            raise TypeError(f"{name}: expected {argument} of the weight's dtype {weight.dtype}, got {a.dtype}")
