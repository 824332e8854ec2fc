"""Generative adversarial networks from scratch, on NumPy and HIPS autograd.

Reading order: arrays, parameters, autodiff, primitives/, initializers, layers, optimizers, objectives, game; then
networks/mlp and gans/mnist_mlp, a whole GAN on one page.
"""

from importlib import import_module
from importlib.util import find_spec

from minigan import initializers, metrics, objectives, optimizers, primitives
from minigan.arrays import array_module, to_host
from minigan.autodiff import grad, stop_gradient, value_and_grad
from minigan.devices import to_device
from minigan.game import DivergedError, Player, Turn, play
from minigan.layers import (
    ELU,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Embedding,
    Flatten,
    LeakyReLU,
    Linear,
    MaxPool2d,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
    Softplus,
    Tanh,
    Upsample,
)
from minigan.optimizers import SGD, Adam, MovingAverage, RMSprop
from minigan.parameters import Parameters

__version__ = "0.1.0"

__all__ = [
    "ELU",
    "SGD",
    "Adam",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "ConvTranspose2d",
    "DivergedError",
    "Embedding",
    "Flatten",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "MovingAverage",
    "Parameters",
    "Player",
    "RMSprop",
    "ReLU",
    "Reshape",
    "Sequential",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "Turn",
    "Upsample",
    "array_module",
    "grad",
    "initializers",
    "metrics",
    "objectives",
    "optimizers",
    "play",
    "primitives",
    "stop_gradient",
    "to_device",
    "to_host",
    "value_and_grad",
]

if find_spec("minigan.kernels"):  # last, for it stands in for what is above; without it all runs as it is written
    import_module("minigan.kernels")
