"""The judge of generated digits: a LeNet that minigan trains on the real ones.

    python -m benchmarks.quality train-classifier --data DIR --output lenet.safetensors

Adam, batches of 128, the rate falling along half a cosine, each image shifted by up to two pixels in every epoch. Which
judge is best on the test set is not looked for: there is one, and its accuracy is measured once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import tyro
from tqdm import tqdm

from benchmarks import lenet
from minigan import Adam, Parameters, value_and_grad
from minigan.data.idx import read_idx
from minigan.files.weights import load_weights, save_weights
from minigan.optimizers import cosine_decay
from minigan.primitives import cross_entropy, softmax

PIXELS, SHIFT = 28, 2


class Images(NamedTuple):
    """Images (N, 1, 28, 28), float32 in [0, 1], and their labels (N,), integers."""

    x: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class TrainClassifier:
    """Train the LeNet that judges digits."""

    data: Path
    """folder with MNIST's four files, or those of a set of the same form"""
    output: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """write the weights here, as .safetensors"""
    epochs: int = 12
    batch: int = 128
    lr: float = 2e-3
    seed: int = 0

    def run(self) -> None:
        """Train, measure once, write."""
        real, held_out = read_images(self.data, "train"), read_images(self.data, "t10k")
        start = time.perf_counter()
        p = train(real, self.epochs, self.batch, self.lr, np.random.default_rng(self.seed))
        seconds = time.perf_counter() - start
        self.output.parent.mkdir(parents=True, exist_ok=True)
        save_weights(self.output, p)
        print(
            f"test accuracy {accuracy(p, held_out):.4f} after {self.epochs} epochs, {seconds:.0f} s, seed {self.seed}"
        )


def train(real: Images, epochs: int, batch: int, lr: float, rng: np.random.Generator) -> Parameters:
    """The numbers of a LeNet that has learned the labels."""
    net = lenet.classifier()
    p = net.init(rng)
    adam = Adam(p, lr)
    loss_and_grad = value_and_grad(lambda p, x, t: cross_entropy(net(p, x), t))
    bordered = np.pad(real.x[:, 0], [(0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)])
    shifted = np.lib.stride_tricks.sliding_window_view(bordered, (PIXELS, PIXELS), (1, 2))  # (N, 5, 5, 28, 28), a view
    steps = len(real.x) // batch
    for epoch in tqdm(range(epochs), disable=None, unit="epoch"):
        order = rng.permutation(len(real.x))
        for step in range(steps):
            adam.lr = lr * cosine_decay((epoch + step / steps) / epochs)
            rows = order[step * batch : (step + 1) * batch]
            x = shifted[rows, *rng.integers(0, 2 * SHIFT + 1, (2, batch))][:, None]
            _, gradient = loss_and_grad(p, x, real.labels[rows])
            adam.step(gradient)
    return p


def judged(p: Parameters, x: np.ndarray, batch: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """What LeNet sees in images (N, 1, 28, 28) of [0, 1]: features (N, 84), probabilities (N, 10)."""
    features, head = lenet.features(), lenet.head()
    seen = np.concatenate([features(p, x[i : i + batch]) for i in range(0, len(x), batch)])
    return seen, softmax(head(p, seen))


def accuracy(p: Parameters, images: Images) -> float:
    """The share of labels that LeNet says."""
    return float(np.mean(judged(p, images.x)[1].argmax(1) == images.labels))


def read_images(folder: Path, part: str) -> Images:
    """One part, 'train' or 't10k', of a data set in MNIST's four gzipped IDX files."""
    x = read_idx(folder / f"{part}-images-idx3-ubyte.gz")
    return Images(x[:, None].astype(np.float32) / 255.0, read_idx(folder / f"{part}-labels-idx1-ubyte.gz"))


def load_classifier(file: Path) -> Parameters:
    """LeNet's numbers from a file that train-classifier wrote."""
    p = lenet.classifier().init(np.random.default_rng(0))
    p.load_state_dict(load_weights(file))
    return p
