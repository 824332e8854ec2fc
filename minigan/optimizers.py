"""How a player moves: Adam, RMSprop and SGD over one flat vector, schedules for their rate, and a moving average.

    adam = Adam(g, lr=2e-4, betas=(0.5, 0.999))
    adam.step(gradient)                # moves g in place

All of a player's numbers are views of g.flat, so a step is a handful of operations on whole vectors, however many
layers there are. Each optimizer follows PyTorch's recurrence, which is in its docstring, step for step.
`step` takes a gradient as value_and_grad returns it, gathered in one vector or not. Read next: objectives.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from minigan.arrays import Array, array_module, to_device_of
from minigan.faster import replaceable
from minigan.parameters import Parameters


def constant(progress: float) -> float:
    """The rate stays."""
    return 1.0


def linear_decay(progress: float) -> float:
    """The rate falls linearly from all of it to none: progress 0 -> 1, progress 1 -> 0."""
    return 1.0 - progress


def cosine_decay(progress: float) -> float:
    """The rate falls along half a cosine: (1 + cos(pi progress)) / 2.   [Loshchilov & Hutter 2017, eq. 5]"""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


class Optimizer:
    """What Adam, RMSprop and SGD share: a vector that they move, and a state of vectors of the same size.

    Args:
        params: the numbers to move.
        lr: the rate, > 0. It may be changed between steps.
        weight_decay: w >= 0 adds w p to the gradient (the L2 penalty, not AdamW).
        settings: others that have to be >= 0.

    `vectors` names the attributes that make up the state; one that is None is not there yet.
    """

    vectors: tuple[str, ...]

    def __init__(self, params: Parameters, lr: float, weight_decay: float, **settings: float) -> None:
        for name, value in {"lr": lr, "weight_decay": weight_decay, **settings}.items():
            in_range, expected = (value > 0, "> 0") if name == "lr" else (value >= 0, ">= 0")
            if not (in_range and math.isfinite(value)):
                raise ValueError(f"{type(self).__name__}: expected {name} {expected}, got {value}")
        self.params, self.lr, self.weight_decay = params, lr, weight_decay

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs, copied."""
        state = {name: getattr(self, name) for name in self.vectors}
        return {"lr": self.lr, **{name: a.copy() for name, a in state.items() if a is not None}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the state of another run of the same size, from any device."""
        flat, vectors = self.params.flat, {name: state[name] for name in self.vectors}
        for name, a in vectors.items():
            if a is not None and a.shape != flat.shape:
                raise ValueError(f"state {name!r}: expected {flat.size} numbers as in params, got {a.size}")
        self.lr = float(state.get("lr", self.lr))  # earlier versions did not save it
        for name, a in vectors.items():
            setattr(self, name, None if a is None else to_device_of(flat, a).astype(flat.dtype))

    def _pieces(self, gradient: Mapping[str, Array]) -> list[Array]:
        """The gradient with weight decay, as arrays that end to end fit params.flat: one where it is one."""
        p, flat = self.params.flat, getattr(gradient, "flat", None)
        if flat is None:
            if gradient.keys() != self.params.keys():
                raise KeyError(f"gradient: expected the names {', '.join(self.params)}, got {', '.join(gradient)}")
            pieces = [gradient[name] for name in self.params]
        else:
            pieces = [flat]
        size = sum([g.size for g in pieces])
        if size != p.size:
            raise ValueError(f"gradient: expected {p.size} numbers as in params, got {size}")
        return [_joined(pieces) + self.weight_decay * p] if self.weight_decay else pieces


def _joined(pieces: Sequence[Array]) -> Array:
    if len(pieces) == 1:
        return pieces[0].reshape(-1)
    return array_module(pieces[0]).concatenate(pieces, axis=None)


class Adam(Optimizer):
    """Adam as PyTorch has it: epsilon outside the root, after bias correction.   [Kingma & Ba 2015, alg. 1]

        m = b1 m + (1 - b1) g             v = b2 v + (1 - b2) g^2
        p = p - lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

    It is computed on the scaled moments M = m / (1 - b1) and V = v / (1 - b2), whose recurrences M = b1 M + g and
    V = b2 V + g^2 need one multiplication less each; all constants then meet in two numbers a step:

        p = p - rate * M / (sqrt(V) + e)      c = sqrt((1 - b2) / (1 - b2^t)),  e = eps / c,
                                              rate = lr * (1 - b1) / (1 - b1^t) / c

    Args beside params, lr and weight_decay:
        betas: (b1, b2), each in [0, 1).
        eps: >= 0.

    Attributes:
        t, M, V: steps taken, and the scaled moments.
    """

    vectors = ("M", "V")

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, weight_decay, eps=eps)
        if len(betas) != 2:
            raise ValueError(f"Adam: expected betas to be a pair of numbers, got {betas}")
        for i, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Adam: expected betas[{i}] in [0, 1), got {beta}")
        self.betas, self.eps = betas, eps
        zeros_like = array_module(params.flat).zeros_like
        self.t, self.M, self.V = 0, zeros_like(params.flat), zeros_like(params.flat)

    def step(self, gradient: Mapping[str, Array]) -> None:
        """Move the parameters against the gradient, once."""
        pieces, (b1, b2) = self._pieces(gradient), self.betas
        self.t += 1
        c = math.sqrt((1.0 - b2) / (1.0 - b2**self.t))
        e, rate = self.eps / c, self.lr * (1.0 - b1) / (1.0 - b1**self.t) / c
        adam_step(self.params.flat, pieces, self.M, self.V, b1, b2, e, rate)

    @property
    def exp_avg(self) -> Array:
        """m, the running mean of gradients, flat."""
        return self.M * (1.0 - self.betas[0])

    @property
    def exp_avg_sq(self) -> Array:
        """v, the running mean of squared gradients, flat."""
        return self.V * (1.0 - self.betas[1])

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: t and the scaled moments, copied."""
        return {"t": self.t, **super().state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the state of another run of the same size, from any device."""
        super().load_state_dict(state)
        self.t = int(state["t"])


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


class RMSprop(Optimizer):
    """RMSprop as PyTorch has it.   [Hinton, lecture 6e; Graves 2013, eq. 38-41 for `centered`]

        v = a v + (1 - a) g^2      s = v, or v - m^2 with m = a m + (1 - a) g if centered
        b = momentum b + g / (sqrt(s) + eps)
        p = p - lr b

    Args beside params, lr and weight_decay:
        alpha: a in [0, 1).
        eps, momentum: >= 0.
        centered: whether to divide by an estimate of the variance instead of the second moment.
    """

    vectors = ("square_avg", "grad_avg", "momentum_buffer")

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
        super().__init__(params, lr, weight_decay, eps=eps, momentum=momentum)
        if not 0.0 <= alpha < 1.0:
            raise ValueError(f"RMSprop: expected alpha in [0, 1), got {alpha}")
        self.alpha, self.eps, self.momentum, self.centered = alpha, eps, momentum, centered
        self.square_avg, self.grad_avg, self.momentum_buffer = (
            array_module(params.flat).zeros_like(params.flat) for _ in self.vectors
        )

    def step(self, gradient: Mapping[str, Array]) -> None:
        """Move the parameters against the gradient, once."""
        g = _joined(self._pieces(gradient))
        v, m, b = self.square_avg, self.grad_avg, self.momentum_buffer
        v *= self.alpha
        v += (1.0 - self.alpha) * (g * g)
        s = v
        if self.centered:
            m *= self.alpha
            m += (1.0 - self.alpha) * g
            s = v - m * m
        b *= self.momentum
        b += g / (array_module(s).sqrt(s) + self.eps)
        p = self.params.flat
        p -= self.lr * b


class SGD(Optimizer):
    """Gradient descent with momentum as PyTorch has it.   [Sutskever et al. 2013, eq. 1-4, with lr outside]

        b = g at the first step, then momentum b + (1 - dampening) g
        p = p - lr b,   or   p - lr (g + momentum b) if nesterov

    Args beside params, lr and weight_decay:
        momentum, dampening: >= 0.
        nesterov: needs momentum > 0 and no dampening.
    """

    vectors = ("momentum_buffer",)

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(params, lr, weight_decay, momentum=momentum, dampening=dampening)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("SGD: nesterov needs momentum > 0 and dampening 0")
        self.momentum, self.dampening, self.nesterov = momentum, dampening, nesterov
        self.momentum_buffer: Array | None = None

    def step(self, gradient: Mapping[str, Array]) -> None:
        """Move the parameters against the gradient, once."""
        p, g = self.params.flat, _joined(self._pieces(gradient))
        if self.momentum:
            if self.momentum_buffer is None:
                self.momentum_buffer = g.copy()
            else:
                self.momentum_buffer *= self.momentum
                self.momentum_buffer += (1.0 - self.dampening) * g
            b = self.momentum_buffer
            g = g + self.momentum * b if self.nesterov else b
        p -= self.lr * g

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the state of another run of the same size, from any device."""
        super().load_state_dict({"momentum_buffer": None, **state})


class MovingAverage:
    """A second copy of a player, which follows it slowly: an exponential moving average of `params`.

    Two players never quite stand still: each step of one answers the other's last, and G circles around the solution.
    The mean of its recent positions is nearer to the centre than any of them.   [Yazici et al. 2019, sec. 3]

        a_t = d_t a_(t-1) + (1 - d_t) p_t        d_t = decay (1 - decay^(t-1)) / (1 - decay^t)

    d_t is `decay` with Adam's bias correction folded in: d_1 = 0, so the average starts as p_1 and is nearly the plain
    mean of the first few steps; later d_t = decay.

    Args:
        params: what is followed; never written to.
        decay: in [0, 1). The average reaches back about 1 / (1 - decay) steps; 0 is a plain copy.

    Attributes:
        params: the average, Parameters like those followed. Buffers are copied, not averaged.
        source: what is followed.
    """

    def __init__(self, params: Parameters, decay: float) -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay: expected a number in [0, 1), got {decay}")
        self.source, self.decay, self.params, self.t = params, decay, params.copy(), 0

    def update(self) -> None:
        """Take in where the source is now."""
        self.t += 1
        d = self.decay * (1.0 - self.decay ** (self.t - 1)) / (1.0 - self.decay**self.t)
        a = self.params.flat
        a *= d
        a += (1.0 - d) * self.source.flat
        for name, buffer in self.source.buffers.items():
            self.params.buffers[name][...] = buffer

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: how many positions were taken in, and their average, copied."""
        return {"t": self.t, "params": {name: a.copy() for name, a in self.params.state_dict().items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the average of another run; refused as Parameters.load_state_dict refuses."""
        self.params.load_state_dict(state["params"])
        self.t = int(state["t"])
