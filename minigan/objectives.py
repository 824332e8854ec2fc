"""What each player minimises.

The game [Goodfellow et al. 2014, eq. 1]:

    min over G, max over D of    V(D, G) = E log D(x) + E log(1 - D(G(z)))

D minimises -V. For G there are two choices with the same fixed points:

    saturating        log(1 - D(G(z)))      V itself, as the theory has it
    non-saturating    -log D(G(z))          what section 3 of the paper recommends and everybody uses

With D = sigmoid(s), their slopes in the logit s are -D and -(1 - D). Early on D sees through G and D(G(z)) is near 0:
the first slope vanishes just when G has most to learn, the second is at its largest (docs/objectives.md draws both).

Each comes for scores that are probabilities (D ends in a sigmoid) and for logits (it does not; sturdier, since log and
sigmoid are joined where neither can overflow). Read next: game.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from minigan.arrays import Array
from minigan.primitives import binary_cross_entropy, binary_cross_entropy_with_logits, sigmoid


class Objective(NamedTuple):
    """What each player minimises, as functions of D's scores (N, ...): scalars, means over the batch.

    D minimises d_loss(D(x), D(G(z))) and G minimises g_loss(D(G(z)), D(x)). Each is handed both batches, since some
    objectives compare them; where g_loss does not need the real one, it may be left out. probability(scores) is what a
    log calls D(x): how likely D holds each sample to be real.
    """

    name: str
    d_loss: Callable[[Array, Array], Array]
    g_loss: Callable[..., Array]
    probability: Callable[[Array], Array]


non_saturating = Objective(
    "non-saturating, on probabilities",
    d_loss=lambda on_real, on_fake: binary_cross_entropy(on_real, 1.0) + binary_cross_entropy(on_fake, 0.0),
    g_loss=lambda on_fake, on_real=None: binary_cross_entropy(on_fake, 1.0),
    probability=lambda p: p,
)

saturating = non_saturating._replace(
    name="saturating, on probabilities", g_loss=lambda on_fake, on_real=None: -binary_cross_entropy(on_fake, 0.0)
)

non_saturating_with_logits = Objective(
    "non-saturating, on logits",
    d_loss=lambda on_real, on_fake: (
        binary_cross_entropy_with_logits(on_real, 1.0) + binary_cross_entropy_with_logits(on_fake, 0.0)
    ),
    g_loss=lambda on_fake, on_real=None: binary_cross_entropy_with_logits(on_fake, 1.0),
    probability=sigmoid,
)

saturating_with_logits = non_saturating_with_logits._replace(
    name="saturating, on logits", g_loss=lambda on_fake, on_real=None: -binary_cross_entropy_with_logits(on_fake, 0.0)
)


def value(on_real: Array, on_fake: Array) -> Array:
    """V(D, G) = mean log D(x) + mean log(1 - D(G(z))), from the probabilities on_real = D(x), on_fake = D(G(z)).

    At the optimum of the game D = 1/2 everywhere and V = -2 log 2.
    """
    return -non_saturating.d_loss(on_real, on_fake)
