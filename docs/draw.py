"""Draw the pictures of the README and the docs:  python -m docs.draw [toy] [objectives] [own_gan]"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from examples.toy_gaussian import main as toy_gaussian
from minigan import grad, objectives
from minigan.gans import gan_of
from minigan.objectives import Objective
from minigan.pictures.figures import FAKE, GREY, REAL
from minigan.pictures.sheets import save_picture
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


def samples_of_the_worked_examples() -> None:
    """Train the GANs of own_gan/ and put a sheet of each beside the others."""
    sheets = []
    for name, count in COUNTS.items():
        page = gan_of(HERE / "own_gan" / f"{name}.py")
        system = page.build(page.Options())
        for _ in system.play():
            pass
        picture = system.sampling.picture(system.samples(system.sampling.noise(np.random.default_rng(0), count)))
        sheets.append(picture if picture.ndim == 3 else picture[:, :, None].repeat(3, 2))
    wide = np.full((HEIGHT, sum(sheet.shape[1] + GAP for sheet in sheets) - GAP, 3), 200, np.uint8)
    left = 0
    for sheet in sheets:
        wide[: len(sheet), left : left + sheet.shape[1]] = sheet[:HEIGHT]
        left += sheet.shape[1] + GAP
    save_picture(HERE / "own_gan" / "samples.png", wide)


HEIGHT, GAP = 240, 8  # pixels
COUNTS = {"labels": 40, "ring": 1000, "two_generators": 1000, "tokens": 15}


def main(wanted: list[str]) -> None:
    """Draw what is named, or everything."""
    if not wanted or "objectives" in wanted:
        slopes_of_the_generator_losses().savefig(HERE / "objectives.png", dpi=110)
    if not wanted or "toy" in wanted:
        toy_gaussian(["--output", str(HERE / "toy_gaussian.png")])
    if not wanted or "own_gan" in wanted:
        samples_of_the_worked_examples()


if __name__ == "__main__":
    main(sys.argv[1:])
