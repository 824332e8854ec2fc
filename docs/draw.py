"""Draw the pictures of the README and the docs:  python -m docs.draw"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from examples.toy_gaussian import main as toy_gaussian
from minigan import grad, objectives
from minigan.objectives import Objective
from minigan.pictures.figures import FAKE, GREY, REAL
from minigan.primitives import sum as total

HERE = Path(__file__).parent


def slopes_of_the_generator_losses() -> Figure:
    """Both generator losses and their slopes in D's logit, as minigan computes them."""
    s = np.linspace(-8.0, 6.0, 281).reshape(-1, 1)

    def each(objective: Objective) -> tuple[np.ndarray, np.ndarray]:
        losses = np.array([objective.g_loss(row.reshape(1, 1)) for row in s])
        slopes = grad(lambda x: total(objective.g_loss(x)))(s) * len(s)  # the loss is a mean over the batch
        return losses, slopes[:, 0]

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for objective, name, color in [
        (objectives.saturating_with_logits, "saturating: log(1 - D)", REAL),
        (objectives.non_saturating_with_logits, "non-saturating: -log D", FAKE),
    ]:
        losses, slopes = each(objective)
        left.plot(s[:, 0], losses, color=color, label=name)
        right.plot(s[:, 0], slopes, color=color, label=name)
    left.set(title="What G minimises", ylim=(-6, 8))
    right.set(title="Its slope: what G learns from")
    for axes in (left, right):
        axes.set_xlabel("D's logit on a generated sample")
        axes.axvspan(-8, -4, color=GREY, alpha=0.12, lw=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(-8, 6)
    left.legend(frameon=False, loc="upper right")
    right.annotate("D is sure that\nit is fake", (-6, -0.5), ha="center", va="center", color=GREY)
    return figure


if __name__ == "__main__":
    slopes_of_the_generator_losses().savefig(HERE / "objectives.png", dpi=110)
    toy_gaussian(["--output", str(HERE / "toy_gaussian.png")])
