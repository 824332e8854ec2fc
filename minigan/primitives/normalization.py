"""Batch norm: give each channel of a batch mean 0 and variance 1, then a scale and a shift of its own.

    xhat = (x - mu) r        mu, var  the mean and the biased variance of x over all but the channels
    y    = w xhat + b        r = 1 / sqrt(var + eps)                       [Ioffe & Szegedy 2015, alg. 1]

mu and r depend on every x, so every x feels every dy of its channel. With <.> the mean over a channel,

    dw = sum dy xhat      db = sum dy      dx = w r (dy - <dy> - xhat <dy xhat>)

Why: dy passes straight through x, less what moving mu takes back, <dy>, and what moving r takes back, xhat <dy xhat>.
The derivative is written in primitives, mu and r computed again from x, so its own derivative is right too; peers that
treat mu and r as constants there are silently wrong in a gradient penalty.

At evaluation the running statistics stand in for mu and var, and y is simply a x + b. They are recorded in training as

    running = (1 - momentum) running + momentum new        new variance: the unbiased one, as PyTorch records it

Read next: ../initializers.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from minigan.arrays import Array
from minigan.autodiff import defvjp_joint, primitive
from minigan.primitives.elementwise import square
from minigan.primitives.shaping import mean, reshape, sum


@primitive
def batch_norm(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array | None,
    running_var: Array | None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Array:
    """Normalise each channel, with the batch's statistics in training and the running ones at evaluation.

    Args:
        x: (N, C) or (N, C, H, W); in training more than one number a channel.
        weight, bias: (C,), or both None.
        running_mean, running_var: (C,), updated in place in training; may be None in training.
        momentum: the share of the new statistics in the running ones.
        eps: added to the variance.

    Returns:
        Like x.

    Raises:
        ValueError: if shapes do not fit, or there is one number a channel in training.
    """
    check_batch_norm(x, weight, bias, running_mean, running_var, training)
    mu: Array = running_mean
    var: Array = running_var
    kept = _kept(x)
    if training:
        axes = _all_but_channels(x)
        mu = x.mean(axes)
        d = x - mu.reshape(kept)
        var = (d * d).mean(axes)
        record(x, mu, var, running_mean, running_var, momentum)
    a = (var + eps) ** -0.5
    b = -mu * a
    if weight is not None:
        a, b = a * weight, b * weight + bias
    return x * a.reshape(kept) + b.reshape(kept)


def _batch_norm_vjp(
    argnums: Sequence[int],
    y: Array,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array | None,
    running_var: Array | None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Callable[[Array], tuple[Array, ...]]:
    axes, kept = _all_but_channels(x), _kept(x)
    if not training:
        mean_now: Array = running_mean
        var_now: Array = running_var
        mu, r = mean_now.reshape(kept).copy(), (var_now.reshape(kept) + eps) ** -0.5

    def statistics() -> tuple[Array, Array]:
        """x - mu and r; in training as functions of x, so that dx has a derivative in x too."""
        if not training:
            return x - mu, r
        d = x - mean(x, axes, keepdims=True)
        return d, (mean(square(d), axes, keepdims=True) + eps) ** -0.5

    def vjp(dy: Array) -> tuple[Array, ...]:
        d, r = statistics()
        xhat = d * r

        def wrt_x() -> Array:
            scale = r if weight is None else r * reshape(weight, kept)
            if not training:
                return scale * dy
            return scale * (dy - mean(dy, axes, keepdims=True) - xhat * mean(dy * xhat, axes, keepdims=True))

        wrt = (wrt_x, lambda: sum(dy * xhat, axes), lambda: sum(dy, axes))
        return tuple([wrt[i]() for i in argnums])

    return vjp


defvjp_joint(batch_norm, _batch_norm_vjp)


def record(
    x: Array, mu: Array, var: Array, running_mean: Array | None, running_var: Array | None, momentum: float
) -> None:
    """Move the running statistics towards mu and var, those of x, if there are any."""
    if running_mean is not None and running_var is not None:
        n = x.size // x.shape[1]
        running_mean += momentum * (mu - running_mean)
        running_var += momentum * (var * (n / (n - 1)) - running_var)


def check_batch_norm(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array | None,
    running_var: Array | None,
    training: bool,
) -> None:
    """Refuse what does not fit together, in words."""
    if x.ndim not in (2, 4):
        raise ValueError(f"batch_norm: expected x of shape (N, C) or (N, C, H, W), got {x.shape}")
    for name, a in [("weight", weight), ("bias", bias), ("running_mean", running_mean), ("running_var", running_var)]:
        if a is not None and a.shape != (x.shape[1],):
            raise ValueError(f"batch_norm: expected {name} of shape ({x.shape[1]},), one a channel, got {a.shape}")
    if training and x.size // max(x.shape[1], 1) <= 1:
        raise ValueError(f"batch_norm: expected more than one number a channel in training, got x of shape {x.shape}")
    if not training and (running_mean is None or running_var is None):
        raise ValueError("batch_norm: expected running_mean and running_var at evaluation, got None")


def _all_but_channels(x: Array) -> tuple[int, ...]:
    return tuple(i for i in range(x.ndim) if i != 1)


def _kept(x: Array) -> tuple[int, ...]:
    """(1, C) or (1, C, 1, 1): the shape of one number a channel beside x."""
    return tuple(n if i == 1 else 1 for i, n in enumerate(x.shape))
