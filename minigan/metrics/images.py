"""How good are generated images?  No number says it alone; each of these sees what the others do not.

    frechet_distance   how far the features of generated images are from those of real ones, in mean and covariance
    kl_divergence      how unevenly the classes come, from label_shares: a forgotten digit costs, a bad one does not
    modes_covered      how many classes come at all
    confident_share    how many images a classifier is sure of: a bad digit costs, a forgotten one does not
    nearest            how far each image is from the nearest training image: copying makes the other numbers perfect
    copied_share       how many are nearer to it than real images that were not trained on usually are
    frechet_of_pixels  a cheap Frechet distance on coarse pixels, to be asked during a training run

The first four need a classifier. It has to be good on real images, and its features give the Frechet distance its unit:
compare such numbers only if the classifier and the number of samples are the same. Measure real images that nobody
trained on in the same way: no generator should be expected to do better. Everything is NumPy on the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minigan.data.batches import Data

SAMPLES, CELLS = 1000, 4  # of frechet_of_pixels: images looked at, cells along a side


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """|m - n|^2 + tr(S + T - 2 (S T)^(1/2)) between Gaussians with the moments of two sets of features, >= 0.

    With Inception's features this is the FID, which despite the name is the square of a distance.
    [Heusel et al. 2017, eq. 6; Dowson & Landau 1982]

    Args:
        x: features (N, F), N >= 2; m is their mean and S their covariance (of N - 1, as is usual for this distance).
        y: features (M, F), M >= 2, with n and T.

    It falls with more samples even if their distribution stays. The square root needs neither S nor T: with the
    triangles of A = QR of the deviations, S = A^T A and T = B^T B, and S T has the eigenvalues of (A B^T)(A B^T)^T, so
    tr (S T)^(1/2) is the sum of the singular values of A B^T. These are never negative or complex, and features that
    never fire, or fewer samples than features, lose no digits. Computed in float64.

    Raises:
        ValueError: if the shapes do not fit or a number is not finite.
    """
    x, y = _features("x", x), _features("y", y)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"frechet_distance: expected as many features in y as in x, {x.shape[1]}, got {y.shape[1]}")
    A, B = _covariance_root(x), _covariance_root(y)
    means = np.sum((x.mean(0) - y.mean(0)) ** 2)
    traces = np.sum(A**2) + np.sum(B**2) - 2.0 * np.linalg.svd(A @ B.T, compute_uv=False).sum()
    return float(means + max(traces, 0.0))  # of equal covariances, rounding may leave -1e-16


def label_shares(labels: np.ndarray, classes: int) -> np.ndarray:
    """The share of each class: labels (N,), integers in [0, classes), N >= 1 -> (classes,), adding up to 1."""
    if labels.ndim != 1 or labels.size == 0 or labels.dtype.kind not in "iu":
        raise ValueError(f"labels: expected integers of shape (N,), N >= 1, got {labels.dtype} of shape {labels.shape}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels: expected integers in [0, {classes}), got {labels.min()} to {labels.max()}")
    return np.bincount(labels, minlength=classes) / labels.size


def kl_divergence(p: np.ndarray, q: np.ndarray) -> float:
    """KL(p || q) = sum p log(p / q) in nats, >= 0; infinite if p has a class that q lacks.   [Kullback & Leibler 1951]

    Args:
        p: shares (classes,) of the generated images; a class with p = 0 adds nothing itself, its share is elsewhere.
        q: shares (classes,) of the real ones. Against even shares, KL is log(classes) minus the entropy of p, and one
            class alone costs log(classes), 2.303 for 10.
    """
    p, q = _shares("p", p), _shares("q", q)
    if p.shape != q.shape:
        raise ValueError(f"kl_divergence: expected q of p's shape {p.shape}, got {q.shape}")
    there = p > 0
    if np.any(q[there] == 0):
        return float("inf")
    return max(float(np.sum(p[there] * np.log(p[there] / q[there]))), 0.0)


def modes_covered(p: np.ndarray, least: float = 0.1) -> int:
    """How many classes have at least `least` of an even share, for shares p (classes,).

    The default asks for one image in a hundred where there are ten classes, which is more than the mistakes that a good
    classifier makes on images of other classes.
    """
    return int(np.sum(_shares("p", p) >= least / len(p)))


def confident_share(probabilities: np.ndarray, threshold: float = 0.9) -> float:
    """The share of images whose likeliest class has a probability >= threshold, for probabilities (N, classes)."""
    if probabilities.ndim != 2 or probabilities.size == 0:
        raise ValueError(f"probabilities: expected shape (N, classes), N >= 1, got {probabilities.shape}")
    return float(np.mean(probabilities.max(1) >= threshold))


class Nearest(NamedTuple):
    """For each image: the Euclidean distance to the nearest training image (N,), and which one that is (N,)."""

    distance: np.ndarray
    row: np.ndarray


def nearest(images: np.ndarray, training: np.ndarray, block: int = 2**24) -> Nearest:
    """The nearest training image of each image, by the distance of their pixels.

    Args:
        images: (N, ...), N >= 1.
        training: (M, ...), M >= 1, of the same shape and scale.
        block: how many of the N M products are held at once, in float32.

    Of |a - b|^2 = |a|^2 - 2 a.b + |b|^2 all pairs cost one matrix product. It only says which one is nearest: where a
    and b are close its digits cancel, so that distance is computed again from a - b, and a copy has distance 0.
    """
    if images.shape[1:] != training.shape[1:] or len(images) == 0 or len(training) == 0:
        raise ValueError(f"nearest: expected images of one shape, at least 1, got {images.shape}, {training.shape}")
    a = images.reshape(len(images), -1).astype(np.float32, copy=False)
    b = training.reshape(len(training), -1).astype(np.float32, copy=False)
    squares, rows = np.einsum("ij,ij->i", b, b), max(1, block // len(b))
    row = np.concatenate([np.argmin(squares - 2.0 * (a[i : i + rows] @ b.T), axis=1) for i in range(0, len(a), rows)])
    return Nearest(np.linalg.norm(a - b[row], axis=1), row)


def copied_share(distance: np.ndarray, held_out: np.ndarray, quantile: float = 0.01) -> float:
    """The share of images nearer to a training image than all but a `quantile` of held-out images are.

    Args:
        distance: of generated images to their nearest training image (N,).
        held_out: the same of real images that were not trained on (M,).
        quantile: in (0, 1). An honest generator of perfect images comes to about this share, a copier to 1.

    Distance in pixels is small too where images are smooth or simple: look at the pairs before you call them copies.
    """
    if not 0.0 < quantile < 1.0:
        raise ValueError(f"quantile: expected a number in (0, 1), got {quantile}")
    if distance.size == 0 or held_out.size == 0:
        raise ValueError("copied_share: expected at least one distance of each kind")
    return float(np.mean(distance < np.quantile(held_out, quantile)))


def frechet_of_pixels(images: Data) -> Callable[[np.ndarray], float]:
    """samples (N, C, H, W) -> the Frechet distance of their coarse pixels from those of the data; smaller is better.

    Every image is shrunk to 4x4 cells, each the mean of its pixels: light and colour, roughly placed. It tells noise
    from shapes and a collapsed G from a varied one, not a good digit from a bad one; for that a classifier is needed.

    Args:
        images: the data, (C, H, W) each, bytes or floats in [-1, 1]; up to 1000, evenly spaced, are looked at, when the
            first score is asked for.
    """
    real: list[np.ndarray] = []

    def score(samples: np.ndarray) -> float:
        if not real:
            chosen = np.linspace(0, len(images) - 1, min(SAMPLES, len(images))).astype(int)
            real.append(coarse(np.stack([images[i] for i in chosen])))
        return frechet_distance(coarse(samples.reshape(len(samples), *images[0].shape)), real[0])

    return score


def coarse(images: np.ndarray) -> np.ndarray:
    """(N, C, H, W), bytes or floats in [-1, 1] -> (N, C * 16), the means of 4x4 cells, in [-1, 1]."""
    if images.dtype == np.uint8:
        images = images / 127.5 - 1.0
    N, C, H, W = images.shape
    return images.reshape(N, C, CELLS, H // CELLS, CELLS, W // CELLS).mean((3, 5)).reshape(N, -1)


def _covariance_root(x: np.ndarray) -> np.ndarray:
    """A with A^T A = the covariance of x (N, F)."""
    return np.linalg.qr((x - x.mean(0)) / np.sqrt(len(x) - 1.0)).R


def _features(name: str, x: np.ndarray) -> np.ndarray:
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"frechet_distance: expected {name} of shape (N, F), N >= 2, got {x.shape}")
    if strange := np.count_nonzero(~np.isfinite(x)):
        raise ValueError(f"frechet_distance: expected finite {name}, got {strange} that are not")
    return x.astype(np.float64)


def _shares(name: str, p: np.ndarray) -> np.ndarray:
    p = np.asarray(p, np.float64)
    if p.ndim != 1 or not (p >= 0).all() or abs(p.sum() - 1.0) > 1e-6:
        raise ValueError(f"{name}: expected shares (classes,) >= 0 that add up to 1, got {p}")
    return p
