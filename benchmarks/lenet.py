"""LeNet-5, the classifier that judges generated digits.   [LeCun et al. 1998, fig. 2]

    conv 6 k5 p2, ReLU, max-pool 2 - conv 16 k5, ReLU, max-pool 2 - conv 120 k5, ReLU - fc 84, ReLU - fc 10, logits
    28x28 -> 28 -> 14                -> 10 -> 5                    -> 1

This is the LeNet one finds today: the paper has sigmoids, pooling with weights of its own, fewer connections between
the first two convolutions, and radial basis functions at the end.

Three networks share one set of numbers, so that features and logits cost one pass:

    net = classifier()
    p = net.init(rng)
    f = features()(p, images)      # (N, 84): what a Frechet distance is taken of
    logits = head()(p, f)          # (N, 10), the same as net(p, images)
"""

from __future__ import annotations

from minigan.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential

CLASSES = 10
FEATURES = 84


def classifier(padding: int = 2) -> Sequential:
    """Images (N, 1, 28, 28) -> logits (N, 10), 61,706 numbers.

    Args:
        padding: of the first convolution. With 0 the images are (N, 1, 32, 32), as in the paper; the numbers fit both.
    """
    return Sequential(
        {
            "convnet": _convnet(padding),
            "flatten": Flatten(),
            "fc": Sequential({"f6": Linear(120, FEATURES), "relu6": ReLU(), "f7": Linear(FEATURES, CLASSES)}),
        }
    )


def features(padding: int = 2) -> Sequential:
    """All of the classifier but its last layer: images (N, 1, 28, 28) -> (N, 84), from the classifier's numbers."""
    return Sequential(
        {
            "convnet": _convnet(padding),
            "flatten": Flatten(),
            "fc": Sequential({"f6": Linear(120, FEATURES), "relu6": ReLU()}),
        }
    )


def head() -> Sequential:
    """The classifier's last layer: features (N, 84) -> logits (N, 10), from the classifier's numbers."""
    return Sequential({"fc": Sequential({"f7": Linear(FEATURES, CLASSES)})})


def _convnet(padding: int) -> Sequential:
    return Sequential(
        {
            "c1": Conv2d(1, 6, 5, padding=padding),
            "relu1": ReLU(),
            "s2": MaxPool2d(2),
            "c3": Conv2d(6, 16, 5),
            "relu3": ReLU(),
            "s4": MaxPool2d(2),
            "c5": Conv2d(16, 120, 5),
            "relu5": ReLU(),
        }
    )
