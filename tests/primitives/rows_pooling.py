"""Rows of primitives/pooling.py."""

from __future__ import annotations

import math
from typing import Any

from minigan import primitives
from minigan.arrays import array_module
from minigan.autodiff import stop_gradient
from minigan.primitives.convolution import Window
from minigan.primitives.pooling import pick, share_out, spread
from tests.primitives.case import Case, distinct, normal, same

# name -> (x's shape, kernel_size, stride, padding)
_POOLS: dict[str, tuple[tuple[int, ...], Any, Any, Any]] = {
    "2": ((2, 2, 4, 4), 2, None, 0),
    "overlapping": ((1, 2, 5, 4), (3, 2), (1, 1), 0),
    "stride beyond the window": ((1, 2, 5, 7), (2, 1), (3, 4), 0),
    "padding": ((1, 2, 3, 4), (2, 3), (2, 1), (1, 1)),
    "some pixels in no window": ((1, 1, 5, 5), 2, 2, 0),
}


def _pooling_rows() -> list[Case]:
    rows = []
    for op in (primitives.max_pool2d, primitives.avg_pool2d):
        for name, (shape, *settings) in _POOLS.items():
            rows.append(
                Case(
                    f"{op.__name__}, {name}",
                    op,
                    distinct(shape),
                    lambda x, op=op, settings=settings: op(x, *settings),
                    lambda t, x, op=op, settings=settings: getattr(t.nn.functional, op.__name__)(x, *settings),
                )
            )
    kernel, window = (2, 3), Window((2, 1), (1, 1), (1, 1))  # as "padding" above: (3, 4) -> (2, 4)
    return [
        *rows,
        Case(
            "share_out",
            share_out,
            normal((1, 2, 2, 4)),
            lambda dy: share_out(dy, kernel, window, (3, 4)),
            lambda t, dy: t.nn.functional.fold(
                dy.reshape(1, 2, 1, 8).expand(1, 2, 6, 8).reshape(1, 12, 8) / 6.0, (3, 4), kernel, 1, 1, (2, 1)
            ),
        ),
        Case(
            "pick",
            pick,
            normal((1, 2, 3, 4)),
            lambda x: pick(x, _any_taps(x, (1, 2, 2, 4)), kernel, window, (2, 4)),
            lambda t, x: t.gather(
                t.nn.functional.unfold(x, kernel, 1, 1, (2, 1)).reshape(1, 2, 6, 8),
                2,
                (t.arange(16) % 6).reshape(1, 2, 1, 8),
            ).reshape(1, 2, 2, 4),
        ),
        Case(
            "spread",
            spread,
            normal((1, 2, 2, 4)),
            lambda dy: spread(dy, _any_taps(dy, (1, 2, 2, 4)), kernel, window, (3, 4)),
            lambda t, dy: t.nn.functional.fold(
                t.zeros(1, 2, 6, 8, dtype=dy.dtype)
                .scatter(2, (t.arange(16) % 6).reshape(1, 2, 1, 8), dy.reshape(1, 2, 1, 8))
                .reshape(1, 12, 8),
                (3, 4),
                kernel,
                1,
                1,
                (2, 1),
            ),
        ),
        *[
            Case(
                f"upsample, {s} times",
                primitives.upsample,
                normal((2, 2, 2, 3)),
                lambda x, s=s: primitives.upsample(x, s),
                lambda t, x, s=s: t.nn.functional.interpolate(x, scale_factor=s, mode="nearest"),
            )
            for s in (1, 2, 3)
        ],
        *[
            Case(
                f"pad, {padding}",
                primitives.pad,
                normal((1, 2, 2, 3)),
                lambda x, padding=padding: primitives.pad(x, padding),
                lambda t, x, padding=padding: t.nn.functional.pad(x, padding),
            )
            for padding in [(1, 2), (1, 0, 2, 3), (0, 0, 0, 0)]
        ],
        same(primitives.flatten, normal((2, 2, 1, 3)), lambda t, x: t.flatten(x, 1), "flatten, 4 axes"),
    ]


def _any_taps(x: Any, shape: tuple[int, ...]) -> Any:
    """A tap of a window of 6 for each place, where x is."""
    return (array_module(stop_gradient(x)).arange(math.prod(shape)) % 6).reshape(shape)


ROWS: list[Case] = [*_pooling_rows()]
