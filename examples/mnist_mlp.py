"""The first GAN that most people meet: fully connected layers learn to draw digits.

    python examples/mnist_mlp.py --preset quick                     # seconds; grainy, but one tells a 7 from a 0
    python examples/mnist_mlp.py --epochs 50                        # on digits drawn from fonts, nothing to download
    python examples/mnist_mlp.py --data mnist --data-dir data       # the original: MNIST, 200 epochs
    python examples/mnist_mlp.py --output runs/mnist_mlp --resume   # go on with what was interrupted
    python examples/mnist_mlp.py --help

Two players. G maps 100 random numbers to the 784 pixels of an image. D maps an image to the probability that it is
real. They are trained against each other, a step each in every turn: D to tell the images of the data set from G's, G
to make D take its images for real. All that G ever learns about digits comes through D, as a gradient.

What to expect. At first G draws grey noise and D sees through it. After a few hundred turns all samples share one
bright blot in the middle, since digits are bright there; then strokes appear, a little grainy to the end, for
neighbouring pixels are no neighbours to a fully connected layer. (mnist_conv.py mends that.) The losses do not fall: a
good G makes D's task hard, and a good D G's. D(x) and D(G(z)), how often D takes each for real, tell more: when they
stay apart, say 0.7 and 0.3, both players are learning; 1 and 0 means that D has won and G learns nothing.

A run leaves in its folder: sheets of samples, always from the same noise (samples/), a film of them (training.gif),
ways from one noise to another (walk.png), the losses (log.jsonl, curves.png), the weights, and checkpoints. Ctrl-C
stops it after the turn; --resume goes on, and ends with the very same bits as if it had never stopped.

The GAN itself, networks and settings, is one page: minigan/gans/mnist_mlp.py. The game is minigan/game.py.
"""

from __future__ import annotations

import sys

from minigan import running
from minigan.gans import mnist_mlp

if __name__ == "__main__":
    sys.exit(running.main(mnist_mlp, sys.argv[1:], __doc__, "python examples/mnist_mlp.py"))
