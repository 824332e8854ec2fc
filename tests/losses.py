"""What two players minimise, as the pages of gans/ write it down, for tests that play games of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from minigan import Player, objectives
from minigan.objectives import Objective
from minigan.primitives import binary_cross_entropy, binary_cross_entropy_with_logits, concatenate

OBJECTIVES = {
    ("probabilities", "non-saturating"): objectives.non_saturating,
    ("probabilities", "saturating"): objectives.saturating,
    ("logits", "non-saturating"): objectives.non_saturating_with_logits,
    ("logits", "saturating"): objectives.saturating_with_logits,
}
ENTROPIES = {"probabilities": binary_cross_entropy, "logits": binary_cross_entropy_with_logits}


class Losses(NamedTuple):
    """d_loss(D, x, fake), with notes real_loss, fake_loss, on_real and on_fake; and g_loss(G, D, z)."""

    d_loss: Callable[..., Any]
    g_loss: Callable[..., Any]


def losses(objective: Objective, together: bool = True) -> Losses:
    """The losses of an objective.

    Args:
        objective: of objectives.py.
        together: whether D sees real and generated rows in one pass, which batch norm would feel.
    """
    entropy = ENTROPIES["logits" if objective.name.endswith("logits") else "probabilities"]

    def d_loss(D: Player, x: Any, fake: Any) -> Any:
        if together:
            scores = D(concatenate([x, fake]))
            n = len(scores) * len(x) // (len(x) + len(fake))
            on_real, on_fake = scores[:n], scores[n:]
        else:
            on_real, on_fake = D(x), D(fake)
        notes = {"real_loss": entropy(on_real, 1.0), "fake_loss": entropy(on_fake, 0.0)}
        return objective.d_loss(on_real, on_fake), {**notes, "on_real": on_real, "on_fake": on_fake}

    def g_loss(G: Player, D: Player, z: Any) -> Any:
        return objective.g_loss(D(G(z)))

    return Losses(d_loss, g_loss)


class Noting:
    """An optimizer that notes the gradient and moves nothing."""

    def __init__(self, params: Any) -> None:
        self.params = params

    def step(self, gradient: Any) -> None:
        """Note it."""
        self.gradient = gradient


def notes_and_gradient(loss: Callable[..., Any], network: Any, params: Any, *rest: Any) -> tuple[Any, Any]:
    """What a player with this network and these numbers would note of a move, and the gradient it would follow."""
    noting = Noting(params)
    notes = Player(network, params, noting).move(loss, *rest)
    return notes, noting.gradient
