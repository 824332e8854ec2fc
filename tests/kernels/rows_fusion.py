"""Rows of kernels/fusion.py: an operation and the activation behind it as one node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigan import primitives
from minigan.kernels.fusion import fused, pooled
from minigan.primitives.convolution import Window
from minigan.primitives.elementwise import leaky_relu, relu, tanh
from minigan.primitives.linear import linear
from tests.primitives.case import ACTIVATIONS, Activation, Case, clear, layer, normal
from tests.primitives.rows_normalization import batch_norm


def _activation_row(name: str, activation: Activation, torch: Callable[..., Any]) -> Case:
    return Case(
        f"linear, {name}",
        fused(linear, *activation),
        layer(4, 3, 2),
        fused(linear, *activation),
        lambda t, x, w, b: torch(t, t.nn.functional.linear(x, w, b)),
    )


def _margins(z: np.ndarray) -> np.ndarray:
    """The largest of each 2x2 window, and by how much it exceeds the next."""
    N, O, H, W = z.shape
    windows = z[:, :, : H // 2 * 2, : W // 2 * 2].reshape(N, O, H // 2, 2, W // 2, 2).swapaxes(3, 4)
    *_, second, first = np.moveaxis(np.sort(windows.reshape(*windows.shape[:4], 4)), -1, 0)
    return np.stack([first, first - second])


def _pooled_rows() -> list[Case]:
    """A convolution, an activation and max-pooling of 2x2, as one node."""
    plain = Window((1, 1), (1, 0), (1, 1))
    return [
        Case(
            f"conv2d, max_pool2d, {name}",
            pooled(*activation),
            clear(
                normal((1, 2, 3, 6), (2, 2, 2, 2), (2,)), lambda x, w, b: _margins(primitives.conv2d(x, w, b, *plain))
            ),
            lambda x, w, b, activation=activation: pooled(*activation)(x, w, b, *plain),
            lambda t, x, w, b, torch=torch: t.nn.functional.max_pool2d(
                torch(t, t.nn.functional.conv2d(x, w, b, 1, (1, 0))), 2
            ),
        )
        for name, activation, torch in ACTIVATIONS
        if activation[0] in (relu, leaky_relu)
    ]


def _fused_rows() -> list[Case]:
    """Convolutions and batch norm with the activation behind them, as one node."""
    small = Window((1, 2), (1, 0), (1, 1))
    rows = []
    for name, activation, torch in ACTIVATIONS:
        rows += [
            Case(
                f"conv2d, {name}",
                fused(primitives.conv2d, *activation),
                clear(normal((1, 2, 2, 3), (2, 2, 2, 2), (2,)), lambda x, w, b: primitives.conv2d(x, w, b, *small)),
                lambda x, w, b, activation=activation: fused(primitives.conv2d, *activation)(x, w, b, *small),
                lambda t, x, w, b, torch=torch: torch(t, t.nn.functional.conv2d(x, w, b, *small)),
            ),
            Case(
                f"conv_transpose2d, {name}",
                fused(primitives.conv_transpose2d, *activation),
                clear(
                    normal((1, 2, 3, 2), (2, 2, 4, 3), (2,)),
                    lambda x, w, b: primitives.conv_transpose2d(x, w, b, *small[:2]),
                    least=0.02,
                ),
                lambda x, w, b, activation=activation: fused(primitives.conv_transpose2d, *activation)(
                    x, w, b, *small[:2]
                ),
                lambda t, x, w, b, torch=torch: torch(t, t.nn.functional.conv_transpose2d(x, w, b, *small[:2])),
            ),
            *[
                Case(
                    f"batch_norm, {name}, {len(shape)} axes",
                    fused(primitives.batch_norm, *activation),
                    clear(normal(shape, (2,), (2,)), batch_norm),
                    lambda x, w, b, activation=activation: fused(primitives.batch_norm, *activation)(
                        x, w, b, None, None
                    ),
                    lambda t, x, w, b, torch=torch: torch(
                        t, t.nn.functional.batch_norm(x, None, None, w, b, training=True)
                    ),
                )
                for shape in [(5, 2), (2, 2, 2, 3)]
            ],
        ]
    return rows


ROWS: list[Case] = [
    *[_activation_row(*row) for row in ACTIVATIONS],
    Case(
        "linear, tanh, without bias",
        fused(linear, tanh),
        layer(4, 3, 2, bias=False),
        lambda x, w: fused(linear, tanh)(x, w, None),
        lambda t, x, w: t.tanh(t.nn.functional.linear(x, w)),
    ),
    *_fused_rows(),
    *_pooled_rows(),
]
