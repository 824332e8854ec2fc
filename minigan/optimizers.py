"""How a player moves: Adam, RMSprop and SGD over one flat vector, and schedules for their rate.

    adam = Adam(g, lr=2e-4, betas=(0.5, 0.999))
    adam.step(gradient)                # moves g in place

All of a player's numbers are views of g.flat, so a step is a handful of whole-vector operations with `out=`, however
many layers there are. Each optimizer follows PyTorch's recurrence, which is in its docstring, step for step.
An optimizer's `step` takes a gradient as value_and_grad returns it, gathered in one vector or not.
Read next: objectives.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minigan.arrays import Array, array_module, to_device_of
from minigan.faster import replaceable
from minigan.parameters import Parameters

Schedule = Callable[[float], float]


def constant(progress: float) -> float:
    """The rate stays."""
    return 1.0


def linear_decay(progress: float) -> float:
    """The rate falls linearly from all of it to none: progress 0 -> 1, progress 1 -> 0."""
    return 1.0 - progress


def cosine_decay(progress: float) -> float:
    """The rate falls along half a cosine: (1 + cos(pi progress)) / 2.   [Loshchilov & Hutter 2017, eq. 5]"""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


class Adam:
    """Adam as PyTorch has it: epsilon outside the root, after bias correction.   [Kingma & Ba 2015, alg. 1]

        m = b1 m + (1 - b1) g             v = b2 v + (1 - b2) g^2
        p = p - lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

    It is computed on the scaled moments M = m / (1 - b1) and V = v / (1 - b2), whose recurrences M = b1 M + g and
    V = b2 V + g^2 need one multiplication less each; all constants then meet in two numbers a step:

        p = p - rate * M / (sqrt(V) + e)      c = sqrt((1 - b2) / (1 - b2^t)),  e = eps / c,
                                              rate = lr * (1 - b1) / (1 - b1^t) / c

    Args:
        params: the numbers to move.
        lr: the rate, > 0. It may be changed between steps.
        betas: (b1, b2), each in [0, 1).
        eps: >= 0.
        weight_decay: w >= 0 adds w p to g (the L2 penalty, not AdamW).
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        _check("Adam", lr=lr, eps=eps, weight_decay=weight_decay)
        if len(betas) != 2:
            raise ValueError(f"Adam: expected betas to be a pair of numbers, got {betas}")
        for i, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Adam: expected betas[{i}] in [0, 1), got {beta}")
        self.params, self.lr, self.betas, self.eps, self.weight_decay = params, lr, betas, eps, weight_decay
        xp = array_module(params.flat)
        self.t = 0
        self._M, self._V = xp.zeros_like(params.flat), xp.zeros_like(params.flat)

    def step(self, gradient: Mapping[str, Array]) -> None:
        """Move the parameters against the gradient, once."""
        pieces = _pieces(self.params, gradient, self.weight_decay)
        p, M, V = self.params.flat, self._M, self._V
        b1, b2 = self.betas
        self.t += 1
        c = math.sqrt((1.0 - b2) / (1.0 - b2**self.t))
        e, rate = self.eps / c, self.lr * (1.0 - b1) / (1.0 - b1**self.t) / c
        adam_step(p, pieces, M, V, b1, b2, e, rate)

    @property
    def exp_avg(self) -> Array:
        """m, the running mean of gradients, flat."""
        return self._M * (1.0 - self.betas[0])

    @property
    def exp_avg_sq(self) -> Array:
        """v, the running mean of squared gradients, flat."""
        return self._V * (1.0 - self.betas[1])

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: t and the scaled moments, copied."""
        return {"t": self.t, "M": self._M.copy(), "V": self._V.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state of another run of the same size, from any device."""
        _check_sizes(self.params, state, "M", "V")
        self.t = int(state["t"])
        self._M[...] = to_device_of(self._M, state["M"])
        self._V[...] = to_device_of(self._V, state["V"])


@replaceable
def adam_step(
    p: Array, pieces: Sequence[Array], M: Array, V: Array, b1: float, b2: float, e: float, rate: float
) -> None:
    """Move p, and its scaled moments M and V, in place. The pieces end to end are the gradient g."""
    g = _joined(pieces)
    M *= b1
    M += g
    V *= b2
    V += g * g
    p -= rate * M / (array_module(p).sqrt(V) + e)


class RMSprop:
    """RMSprop as PyTorch has it.   [Hinton, lecture 6e; Graves 2013, eq. 38-41 for `centered`]

        v = a v + (1 - a) g^2      s = v, or v - m^2 with m = a m + (1 - a) g if centered
        b = momentum b + g / (sqrt(s) + eps)
        p = p - lr b

    Args:
        params: the numbers to move.
        lr: the rate, > 0. It may be changed between steps.
        alpha: a in [0, 1).
        eps, weight_decay, momentum: >= 0.
        centered: whether to divide by an estimate of the variance instead of the second moment.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        _check("RMSprop", lr=lr, eps=eps, weight_decay=weight_decay, momentum=momentum)
        if not 0.0 <= alpha < 1.0:
            raise ValueError(f"RMSprop: expected alpha in [0, 1), got {alpha}")
        self.params, self.lr, self.alpha, self.eps = params, lr, alpha, eps
        self.weight_decay, self.momentum, self.centered = weight_decay, momentum, centered
        xp = array_module(params.flat)
        self.square_avg, self.grad_avg, self.momentum_buffer, self._scratch = (
            xp.zeros_like(params.flat) for _ in range(4)
        )

    def step(self, gradient: Mapping[str, Array]) -> None:
        """Move the parameters against the gradient, once."""
        p, v, m, b, tmp = (
            self.params.flat,
            self.square_avg,
            self.grad_avg,
            self.momentum_buffer,
            self._scratch,
        )
        g = _joined(_pieces(self.params, gradient, self.weight_decay))
        xp = array_module(p)
        v *= self.alpha
        xp.multiply(g, g, out=tmp)
        tmp *= 1.0 - self.alpha
        v += tmp
        if self.centered:
            m *= self.alpha
            m += (1.0 - self.alpha) * g
            xp.multiply(m, m, out=tmp)
            xp.subtract(v, tmp, out=tmp)
            xp.sqrt(tmp, out=tmp)
        else:
            xp.sqrt(v, out=tmp)
        tmp += self.eps
        xp.divide(g, tmp, out=tmp)
        b *= self.momentum
        b += tmp
        xp.multiply(b, self.lr, out=tmp)
        p -= tmp

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs, copied."""
        return {name: getattr(self, name).copy() for name in ("square_avg", "grad_avg", "momentum_buffer")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state of another run of the same size, from any device."""
        _check_sizes(self.params, state, "square_avg", "grad_avg", "momentum_buffer")
        for name in ("square_avg", "grad_avg", "momentum_buffer"):
            getattr(self, name)[...] = to_device_of(self.params.flat, state[name])


class SGD:
    """Gradient descent with momentum as PyTorch has it.   [Sutskever et al. 2013, eq. 1-4, with lr outside]

        b = g at the first step, then momentum b + (1 - dampening) g
        p = p - lr b,   or   p - lr (g + momentum b) if nesterov

    Args:
        params: the numbers to move.
        lr: the rate, > 0. It may be changed between steps.
        momentum, dampening, weight_decay: >= 0.
        nesterov: needs momentum > 0 and no dampening.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        _check("SGD", lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("SGD: nesterov needs momentum > 0 and dampening 0")
        self.params, self.lr, self.momentum, self.dampening = params, lr, momentum, dampening
        self.weight_decay, self.nesterov = weight_decay, nesterov
        self.momentum_buffer: Array | None = None

    def step(self, gradient: Mapping[str, Array]) -> None:
        """Move the parameters against the gradient, once."""
        p = self.params.flat
        g = _joined(_pieces(self.params, gradient, self.weight_decay))
        if self.momentum:
            if self.momentum_buffer is None:
                self.momentum_buffer = g.copy()
            else:
                self.momentum_buffer *= self.momentum
                self.momentum_buffer += (1.0 - self.dampening) * g
            b = self.momentum_buffer
            g = g + self.momentum * b if self.nesterov else b
        p -= self.lr * g

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs, copied."""
        return {} if self.momentum_buffer is None else {"momentum_buffer": self.momentum_buffer.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state of another run of the same size, from any device."""
        _check_sizes(self.params, state, *state)
        kept = state.get("momentum_buffer")
        self.momentum_buffer = None if kept is None else to_device_of(self.params.flat, kept).copy()


def _pieces(params: Parameters, gradient: Mapping[str, Array], weight_decay: float) -> list[Array]:
    """The gradient, the penalty's share added, as arrays that end to end fit params.flat: one where it is one."""
    p, flat = params.flat, getattr(gradient, "flat", None)
    if flat is None:
        if gradient.keys() != params.keys():
            raise KeyError(f"gradient: expected the names {', '.join(params)}, got {', '.join(gradient)}")
        pieces = [gradient[name] for name in params]
    else:
        pieces = [flat]
    size = sum([g.size for g in pieces])
    if size != p.size:
        raise ValueError(f"gradient: expected {p.size} numbers as in params, got {size}")
    return [_joined(pieces) + weight_decay * p] if weight_decay else pieces


def _joined(pieces: Sequence[Array]) -> Array:
    if len(pieces) == 1:
        return pieces[0].reshape(-1)
    return array_module(pieces[0]).concatenate(pieces, axis=None)


def _check_sizes(params: Parameters, state: dict[str, Any], *names: str) -> None:
    for name in names:
        if state[name].shape != params.flat.shape:
            raise ValueError(
                f"state {name!r}: expected {params.flat.size} numbers as in params, got {state[name].size}"
            )


def _check(name: str, **settings: float) -> None:
    for setting, value in settings.items():
        low_ok = value > 0 if setting == "lr" else value >= 0
        if not (low_ok and math.isfinite(value)):
            raise ValueError(f"{name}: expected {setting} {'> 0' if setting == 'lr' else '>= 0'}, got {value}")
