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

Read next: ../layers.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from minigan import kernels
from minigan.arrays import Array, array_module
from minigan.autodiff import defvjp_joint, primitive, stop_gradient
from minigan.kernels import gpu, normalization
from minigan.primitives.elementwise import Activation, for_gpu, for_kernels, square, times_slope
from minigan.primitives.shaping import mean, reshape, sum


def batch_norm(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array | None,
    running_var: Array | None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    activation: Activation | None = None,
) -> Array:
    """Normalise each channel, with the batch's statistics in training and the running ones at evaluation.

    Args:
        x: (N, C) or (N, C, H, W); in training more than one number a channel.
        weight, bias: (C,), or both None.
        running_mean, running_var: (C,), updated in place in training; may be None in training.
        momentum: the share of the new statistics in the running ones.
        eps: added to the variance.
        activation: applied to the result, in the same node.

    Returns:
        Like x.

    Raises:
        ValueError: if shapes do not fit, or there is one number a channel in training.
    """
    if x.ndim not in (2, 4):
        raise ValueError(f"batch_norm: expected x of shape (N, C) or (N, C, H, W), got {x.shape}")
    for name, a in [("weight", weight), ("bias", bias), ("running_mean", running_mean), ("running_var", running_var)]:
        if a is not None and a.shape != (x.shape[1],):
            raise ValueError(f"batch_norm: expected {name} of shape ({x.shape[1]},), one a channel, got {a.shape}")
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: expected running_mean and running_var at evaluation, got None")
        return _evaluated(x, weight, bias, running_mean, running_var, eps, activation)
    n = x.size // max(x.shape[1], 1)
    if n <= 1:
        raise ValueError(f"batch_norm: expected more than one number a channel in training, got x of shape {x.shape}")
    mu, var = statistics(stop_gradient(x))
    if running_mean is not None and running_var is not None:
        running_mean += momentum * (mu - running_mean)
        running_var += momentum * (var * (n / (n - 1)) - running_var)
    return batch_norm_activation(x, weight, bias, mu, var, eps, activation)


def statistics(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each channel of a plain array, (C,) each."""
    if kernels.takes(x):
        return normalization.moments(x)
    axes = _reduced(x)
    mu = x.mean(axes)
    d = x - _as_channels(mu, x)
    return mu, (d * d).mean(axes)


@primitive
def batch_norm_activation(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mu: Array,
    var: Array,
    eps: float,
    activation: Activation | None,
) -> Array:
    """f(w xhat + b), where mu and var are those of x: handed in, since they are needed outside as well."""
    named = for_kernels(activation)
    if named and weight is not None and bias is not None and kernels.takes(x):
        return normalization.normalize(x, weight, bias, mu, var, eps, *named)
    code = for_gpu(activation)
    if code and kernels.takes_gpu(x, weight, bias, mu, var):
        return gpu.batch_norm(array_module(x), x, weight, bias, mu, var, eps, code)
    a = (var + eps) ** -0.5
    b = -mu * a
    if weight is not None:
        a, b = a * weight, b * weight + bias
    y = x * _as_channels(a, x) + _as_channels(b, x)
    return y if activation is None else activation.f(y, *activation.args)


def _batch_norm_vjp(
    argnums: Sequence[int],
    y: Array,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mu: Array,
    var: Array,
    eps: float,
    activation: Activation | None,
) -> Callable[[Array], tuple[Array, ...]]:
    named, code = for_kernels(activation), for_gpu(activation)
    axes, kept = _reduced(x), tuple(n if i == 1 else 1 for i, n in enumerate(x.shape))

    def vjp(dy: Array) -> tuple[Array, ...]:
        if named and weight is not None and kernels.takes(dy, y, x, weight):
            grads = normalization.batch_norm_backward(dy, x, weight, mu, var, eps, y, *named)
            return tuple([grads[i] for i in argnums])
        if code and kernels.takes_gpu(dy, y, x, weight):
            grads = gpu.batch_norm_backward(array_module(x), dy, y, x, weight, mu, var, eps, code)
            return tuple([grads[i] for i in argnums])
        dz = times_slope(dy, y, activation)
        d = x - mean(x, axes, keepdims=True)  # mu and r once more, as functions of x: dx has a derivative in x too
        r = (mean(square(d), axes, keepdims=True) + eps) ** -0.5
        xhat = d * r
        wrt = {
            0: lambda: (
                (r if weight is None else r * reshape(weight, kept))
                * (dz - mean(dz, axes, keepdims=True) - xhat * mean(dz * xhat, axes, keepdims=True))
            ),
            1: lambda: sum(dz * xhat, axes),
            2: lambda: sum(dz, axes),
        }
        return tuple([wrt[i]() for i in argnums])

    return vjp


defvjp_joint(batch_norm_activation, _batch_norm_vjp)


def _evaluated(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array,
    running_var: Array,
    eps: float,
    activation: Activation | None,
) -> Array:
    a = (running_var + eps) ** -0.5
    b = -running_mean * a
    if weight is not None:
        a, b = a * weight, b * weight + bias
    kept = tuple(n if i == 1 else 1 for i, n in enumerate(x.shape))
    y = x * reshape(a, kept) + reshape(b, kept)
    return y if activation is None else activation.f(y, *activation.args)


def _reduced(x: Array) -> tuple[int, ...]:
    return tuple(i for i in range(x.ndim) if i != 1)


def _as_channels(v: Array, x: Array) -> Array:
    """(C,) -> (1, C) or (1, C, 1, 1)"""
    return v.reshape(tuple(n if i == 1 else 1 for i, n in enumerate(x.shape)))
