"""A convolutional GAN learns to draw digits: smoother than mnist_mlp.py, and in a tenth of the epochs.

    python examples/mnist_conv.py --preset quick                     # seconds; the first strokes
    python examples/mnist_conv.py                                    # on digits drawn from fonts, nothing to download
    python examples/mnist_conv.py --data mnist --data-dir data       # the original: MNIST, 10 epochs
    python examples/mnist_conv.py --data mnist --d-lr 1e-4 --g-lr 4e-4 --average 0.999
                                                                     # the same epochs, and far better digits
    python examples/mnist_conv.py --output runs/mnist_conv --resume  # go on with what was interrupted
    python examples/mnist_conv.py --help

What is different from mnist_mlp.py:

    G grows its image, 7x7 to 14x14 to 28x28, with transposed convolutions: what is learned in one place holds in all.
    D looks through 5x5 windows, keeps the strongest answer of every four, and looks again.
    G has batch norm: every channel is brought to mean 0 and deviation 1 over the batch. Without it such a G often
    collapses into one digit. As in the exercise this follows, CS231n's, it comes after the ReLU, and G uses the
    statistics of the batch at hand even when it is done with training.
    D gives a logit instead of a probability, and the loss joins log and sigmoid where neither can overflow.

Where D learns as fast as G, or faster, some digits become rare, the more so the longer it goes on. With the slow D of
the fourth line all ten come about equally often (figures in benchmarks/README.md).

What to expect: shapes after a hundred turns, digits after an epoch or two; D's loss settles near 1, G's near 1 to 2.
The run's folder has the same things as that of mnist_mlp.py, which says what they are.

The GAN itself, networks and settings, is one page: minigan/gans/mnist_conv.py.
"""

from __future__ import annotations

import sys

from minigan import running
from minigan.gans import mnist_conv

if __name__ == "__main__":
    sys.exit(running.main(mnist_conv, sys.argv[1:], __doc__, "python examples/mnist_conv.py"))
