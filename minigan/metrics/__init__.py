"""How good is what G makes?  Numbers of samples against a density, and images against a classifier or by their pixels.

numbers   moments, the Kolmogorov-Smirnov distance, Wasserstein-1: for samples on the line
images    Frechet distance, evenness of classes, confidence, copies: for images, most of them with a classifier
"""

from minigan.metrics.numbers import ks_distance, moments, wasserstein1

__all__ = ["ks_distance", "moments", "wasserstein1"]
