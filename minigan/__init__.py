"""Generative adversarial networks from scratch, on NumPy and HIPS autograd.

Reading order: arrays, parameters, autodiff, primitives/, layers, optimizers, objectives, training; then networks/toy
and examples/toy_gaussian.py.
"""

from minigan import initializers, metrics, objectives, optimizers, primitives
from minigan.arrays import array_module, to_device, to_host
from minigan.autodiff import grad, stop_gradient, value_and_grad
from minigan.averaging import MovingAverage
from minigan.layers import ELU, LeakyReLU, Linear, ReLU, Sequential, Sigmoid, Softplus, Tanh
from minigan.optimizers import SGD, Adam, RMSprop
from minigan.parameters import Parameters
from minigan.training import DivergedError, Player, play

__version__ = "0.1.0"

__all__ = [
    "ELU",
    "SGD",
    "Adam",
    "DivergedError",
    "LeakyReLU",
    "Linear",
    "MovingAverage",
    "Parameters",
    "Player",
    "RMSprop",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softplus",
    "Tanh",
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
