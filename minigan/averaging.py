"""A second copy of a player that follows it slowly.

Two players never quite stand still: each step of one answers the other's last, and G circles around the solution. The
mean of its recent positions is nearer to the centre than any of them [Yazici et al. 2019, sec. 3]:

    a_t = d_t a_(t-1) + (1 - d_t) p_t        d_t = decay (1 - decay^(t-1)) / (1 - decay^t)

d_t is `decay` with Adam's bias correction folded in: d_1 = 0, so the average starts as p_1 and is nearly the plain mean
of the first few steps; later d_t = decay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minigan.arrays import array_module
from minigan.parameters import Parameters


class MovingAverage:
    """An exponential moving average of `params`.

    Args:
        params: what is followed; never written to.
        decay: in [0, 1). The average reaches back about 1 / (1 - decay) steps; 0 is a plain copy.

    Attributes:
        params: the average, Parameters like those followed. Buffers are copied, not averaged.
    """

    def __init__(self, params: Parameters, decay: float) -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay: expected a number in [0, 1), got {decay}")
        self.source, self.decay, self.params, self.t = params, decay, params.copy(), 0
        self._scratch = array_module(params.flat).empty_like(params.flat)

    def update(self) -> None:
        """Take in where the source is now."""
        self.t += 1
        d = self.decay * (1.0 - self.decay ** (self.t - 1)) / (1.0 - self.decay**self.t)
        a, tmp = self.params.flat, self._scratch
        array_module(a).multiply(self.source.flat, 1.0 - d, out=tmp)
        a *= d
        a += tmp
        for name, buffer in self.source.buffers.items():
            self.params.buffers[name][...] = buffer

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: how many positions were taken in, and their average, copied."""
        return {"t": self.t, "params": {name: a.copy() for name, a in self.params.state_dict().items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the average of another run; refused as Parameters.load_state_dict refuses."""
        self.params.load_state_dict(state["params"])
        self.t = int(state["t"])
