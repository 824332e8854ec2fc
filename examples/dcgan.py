"""The DCGAN learns to draw whatever is in a folder of colour images.

    python examples/dcgan.py --data flowers --preset quick                     # a minute or less: colours and blots
    python examples/dcgan.py --data flowers --image-size 64 --width 32         # hours on a CPU
    python examples/dcgan.py --data flowers                                    # the original: 96x96, 200 epochs
    python examples/dcgan.py --output runs/dcgan --resume                      # go on with what was interrupted
    python -m minigan sample runs/dcgan --candidates 512                       # the best 64 of 512
    python examples/dcgan.py --help

--data is a folder or zip of PNG and JPEG files, in subfolders or not; they are cut to squares. Some thousands are
enough to see it learn, and they should be alike: faces, or flowers, not both.

The DCGAN [Radford et al. 2016] is the recipe that made GANs of images reliable: convolutions with strides in place of
pooling, batch norm in both players, ReLU in G and leaky ReLU in D, Adam with a short memory (beta1 0.5). D moves in
every turn and G in every fifth (--g-every), as in the program that these settings are from: D should know a little
more than G. If D wins too clearly (D(x) near 1 and D(G(z)) near 0 for long), let G move more often.

What to expect: grey, then the average colour with a checkered texture, then blots in the right places, then shapes;
faces and flowers that convince take many thousand turns. samples/ has an 8x8 sheet of every epoch, always of the same
noise, and weights/ both players of every epoch: --netg-path and --netd-path start another run from them.

`sample --candidates` draws many images and keeps those that D finds most real, an old trick that costs variety and
gains looks. G's batch norm looks at the images that are drawn together, as in training; with --no-batch-statistics at
its running statistics, as the original does.

The GAN itself, networks and settings, is one page: minigan/gans/dcgan.py.
"""

from __future__ import annotations

import sys

from minigan import running
from minigan.gans import dcgan

if __name__ == "__main__":
    sys.exit(running.main(dcgan, sys.argv[1:], __doc__, "python examples/dcgan.py"))
