"""Pooling and resampling: one number for each window, and the way back.

    max_pool2d     the largest of a window        dx: dy goes to the place it was taken from
    avg_pool2d     the mean of a window           dx: dy is shared out evenly
    upsample       each pixel s*s times           dx: the sum over its copies

Max pooling is two steps. `winners` finds for each window which of its kh*kw taps is the largest (the first of several
equals, as in PyTorch), as whole numbers; `pick` takes those. Picking is linear, its adjoint `spread` puts
numbers back where they were picked, and the two are each other's derivative: second derivatives need nothing new.

Windows are those of convolution.py, and so are the loops over taps. Read next: normalization.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from minigan.arrays import Array, array_module
from minigan.autodiff import defvjp, primitive, stop_gradient
from minigan.primitives.convolution import Pair, Size, Window, col2im, im2col, pair
from minigan.primitives.shaping import broadcast_to, put, reshape

Vjp = Callable[[Array], Array]


@primitive
def max_pool2d(x: Array, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> Array:
    """The largest number of each window.

    Args:
        x: (N, C, H, W).
        kernel_size, stride, padding: a number or a pair (vertical, horizontal). stride is kernel_size if None;
            padding at most half of kernel_size. What is padded never wins.

    Returns:
        (N, C, OH, OW) with OH = (H + 2 p - k) // s + 1, OW likewise.

    Raises:
        ValueError: if the window does not fit.
    """
    taps, window, places = pooled_places("max_pool2d", x, kernel_size, stride, padding)
    return pick(x, winners(x, taps, window, places), taps, window, places)


def _max_pool2d_vjp(y: Array, x: Array, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> Vjp:
    taps, window, places = pooled_places("max_pool2d", x, kernel_size, stride, padding)
    return lambda dy: spread(dy, winners(stop_gradient(x), taps, window, places), taps, window, x.shape[2:])


defvjp(max_pool2d, _max_pool2d_vjp)


def winners(x: Array, taps: Pair, window: Window, places: Pair) -> Array:
    """Which tap of each window is the largest, 0 ... kh*kw - 1: (N, C, H, W) -> (N, C, OH, OW) whole numbers."""
    xp, patches = array_module(x), _patches(x, taps, window, places, float("-inf"))
    largest = (patches == patches.max(axis=2, keepdims=True)) | xp.isnan(patches)  # NaN wins, as in PyTorch
    if window.padding != (0, 0):  # what is padded never wins, not even among -inf
        largest &= _patches(xp.ones_like(x), taps, window, places, 0.0) > 0.0
    return largest.argmax(axis=2)


@primitive
def pick(x: Array, won: Array, taps: Pair, window: Window, places: Pair) -> Array:
    """The number at tap won[n, c, i, j] of each window: (N, C, H, W) -> (N, C, OH, OW)."""
    patches = _patches(x, taps, window, places, 0.0)
    return array_module(x).take_along_axis(patches, won[:, :, None], axis=2)[:, :, 0]


@primitive
def spread(dy: Array, won: Array, taps: Pair, window: Window, size: Pair) -> Array:
    """Each number added where `pick` would have taken it: (N, C, OH, OW) -> (N, C, H, W)."""
    (N, C, OH, OW), n = dy.shape, taps[0] * taps[1]
    numbers = array_module(dy).arange(n).reshape(-1, 1, 1)
    patches = dy[:, :, None] * (won[:, :, None] == numbers)  # (N, C, kh*kw, OH, OW)
    return col2im(patches.reshape(N, C * n, OH * OW), size, taps, (OH, OW), window)


def _pick_vjp(y: Array, x: Array, won: Array, taps: Pair, window: Window, places: Pair) -> Vjp:
    size = x.shape[2:]
    return lambda dy: spread(dy, won, taps, window, size)


def _spread_vjp(dx: Array, dy: Array, won: Array, taps: Pair, window: Window, size: Pair) -> Vjp:
    places = dy.shape[2:]
    return lambda g: pick(g, won, taps, window, places)


defvjp(pick, _pick_vjp)
defvjp(spread, _spread_vjp)


@primitive
def avg_pool2d(x: Array, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> Array:
    """The mean of each window; what is padded counts as 0, as PyTorch does by default. Arguments as for max_pool2d."""
    taps, window, places = pooled_places("avg_pool2d", x, kernel_size, stride, padding)
    return _patches(x, taps, window, places, 0.0).mean(axis=2)


@primitive
def share_out(dy: Array, taps: Pair, window: Window, size: Pair) -> Array:
    """Each number shared out evenly over its window: (N, C, OH, OW) -> (N, C, H, W). The adjoint of avg_pool2d."""
    (N, C, OH, OW), n = dy.shape, taps[0] * taps[1]
    patches = array_module(dy).repeat((dy * (1.0 / n))[:, :, None], n, axis=2)  # (N, C, kh*kw, OH, OW)
    return col2im(patches.reshape(N, C * n, OH * OW), size, taps, (OH, OW), window)


def _avg_pool2d_vjp(y: Array, x: Array, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> Vjp:
    taps, window, _ = pooled_places("avg_pool2d", x, kernel_size, stride, padding)
    size = x.shape[2:]
    return lambda dy: share_out(dy, taps, window, size)


defvjp(avg_pool2d, _avg_pool2d_vjp)
defvjp(share_out, lambda dx, dy, taps, window, size: lambda g: avg_pool2d(g, taps, window.stride, window.padding))


def upsample(x: Array, scale_factor: int = 2) -> Array:
    """Each pixel scale_factor times in both directions (nearest neighbour): (N, C, H, W) -> (N, C, s H, s W)."""
    s = scale_factor
    if s < 1:
        raise ValueError(f"upsample: expected scale_factor >= 1, got {s}")
    N, C, H, W = x.shape
    copies = broadcast_to(reshape(x, (N, C, H, 1, W, 1)), (N, C, H, s, W, s))
    return reshape(copies, (N, C, H * s, W * s))  # (N, C, H, s, W, s) -> (N, C, H*s, W*s)


def pad(x: Array, padding: Sequence[int]) -> Array:
    """Zeros around the last axes: (left, right) or (left, right, top, bottom), as torch.nn.functional.pad has it."""
    if len(padding) not in (2, 4) or min(padding) < 0:
        raise ValueError(
            f"pad: expected (left, right) or (left, right, top, bottom), none negative, got {tuple(padding)}"
        )
    shape, at = list(x.shape), [slice(None)] * x.ndim
    for axis, (before, after) in enumerate(zip(padding[::2], padding[1::2], strict=True)):
        at[-1 - axis] = slice(before, before + shape[-1 - axis])
        shape[-1 - axis] += before + after
    return put(x, tuple(at), tuple(shape))


def pooled_places(
    name: str, x: Array, kernel_size: Size, stride: Size | None, padding: Size
) -> tuple[Pair, Window, Pair]:
    """How many taps a window has, how it moves, and how many places it takes, if it fits x."""
    if x.ndim != 4:
        raise ValueError(f"{name}: expected x of shape (N, C, H, W), got {x.shape}")
    taps = pair("kernel_size", kernel_size, 1)
    window = Window.of(taps if stride is None else stride, padding)
    if any(2 * p > k for p, k in zip(window.padding, taps, strict=True)):
        raise ValueError(f"{name}: expected padding of at most half of kernel_size {taps}, got {window.padding}")
    places = window.places(x.shape[2:], taps)
    if min(places) < 1:
        raise ValueError(f"{name}: expected x at least as large as the window {taps}, got {x.shape}")
    return taps, window, places


def _patches(x: Array, taps: Pair, window: Window, places: Pair, border: float) -> Array:
    """(N, C, H, W) -> (N, C, kh*kw, OH, OW): im2col with a border of any value."""
    N, C = x.shape[:2]
    return im2col(x, taps, places, window, border).reshape(N, C, taps[0] * taps[1], *places)
