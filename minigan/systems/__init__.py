"""Whole GANs, one a file: networks, data, objective, optimizers and all settings, from top to bottom.

    toy         numbers from a Gaussian
    mnist_mlp   28x28 digits, fully connected layers
    mnist_conv  28x28 digits, convolutions
    dcgan       colour images from any folder, the DCGAN

Each has

    Options                    the settings, with their defaults
    PRESETS                    named sets of them: default, and quick for a first look and for tests
    networks(options)          G and D
    show(options)              how samples are drawn and looked at
    build(options)             everything, data included: a System (system.py), which `minigan.running` trains
"""

from minigan.systems import dcgan, mnist_conv, mnist_mlp, toy

SYSTEMS = {"toy": toy, "mnist_mlp": mnist_mlp, "mnist_conv": mnist_conv, "dcgan": dcgan}
