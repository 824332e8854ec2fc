"""How good is what G makes?  Numbers of samples against a density, and images against a classifier or by their pixels.

numbers   moments, the Kolmogorov-Smirnov distance, Wasserstein-1: for samples on the line
images    Frechet distance, evenness of classes, confidence, copies: for images and a classifier
pixels    a cheap Frechet distance on coarse pixels, to be asked during a training run
"""

from minigan.metrics.numbers import ks_distance, moments, wasserstein1

__all__ = ["ks_distance", "moments", "wasserstein1"]
