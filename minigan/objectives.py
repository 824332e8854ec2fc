"""What each player minimises.

The game [Goodfellow et al. 2014, eq. 1]:

    min over G, max over D of    V(D, G) = E log D(x) + E log(1 - D(G(z)))

D minimises -V. For G there are two choices with the same fixed points:

    saturating        log(1 - D(G(z)))      V itself, as the theory has it
    non-saturating    -log D(G(z))          what section 3 of the paper recommends and everybody uses

With D = sigmoid(s), their slopes in the logit s are -D and -(1 - D). Early on D sees through G and D(G(z)) is near 0:
the first slope vanishes just when G has most to learn, the second is at its largest (docs/objectives.md draws both).

Each comes for scores that are probabilities (D ends in a sigmoid) and for logits (it does not; sturdier, since log and
sigmoid are joined where neither can overflow). Read next: training.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from minigan.arrays import Array
from minigan.primitives import binary_cross_entropy, binary_cross_entropy_with_logits, sigmoid


class Objective(NamedTuple):
    """Three functions scores (N, ...) -> scalar, each a mean over the batch, each to be minimised.

    D minimises real(D(x)) + fake(D(G(z))); G minimises generator(D(G(z))). probability(scores) is what a log calls
    D(x): how likely D holds each sample to be real.
    """

    name: str
    real: Callable[[Array], Array]
    fake: Callable[[Array], Array]
    generator: Callable[[Array], Array]
    probability: Callable[[Array], Array]


non_saturating = Objective(
    "non-saturating, on probabilities",
    real=lambda p: binary_cross_entropy(p, 1.0),
    fake=lambda p: binary_cross_entropy(p, 0.0),
    generator=lambda p: binary_cross_entropy(p, 1.0),
    probability=lambda p: p,
)

saturating = non_saturating._replace(
    name="saturating, on probabilities",
    generator=lambda p: -binary_cross_entropy(p, 0.0),
)

non_saturating_with_logits = Objective(
    "non-saturating, on logits",
    real=lambda s: binary_cross_entropy_with_logits(s, 1.0),
    fake=lambda s: binary_cross_entropy_with_logits(s, 0.0),
    generator=lambda s: binary_cross_entropy_with_logits(s, 1.0),
    probability=sigmoid,
)

saturating_with_logits = non_saturating_with_logits._replace(
    name="saturating, on logits",
    generator=lambda s: -binary_cross_entropy_with_logits(s, 0.0),
)


def value(on_real: Array, on_fake: Array) -> Array:
    """V(D, G) = mean log D(x) + mean log(1 - D(G(z))), from the probabilities on_real = D(x), on_fake = D(G(z)).

    At the optimum of the game D = 1/2 everywhere and V = -2 log 2.
    """
    return -binary_cross_entropy(on_real, 1.0) - binary_cross_entropy(on_fake, 0.0)
