"""Rows of primitives/normalization.py."""

from __future__ import annotations

from typing import Any

from minigan import primitives
from minigan.arrays import array_module
from minigan.autodiff import stop_gradient
from minigan.kernels.fusion import fused
from minigan.primitives.elementwise import leaky_relu, tanh
from tests.primitives.case import Case, clear, normal


def batch_norm(x: Any, weight: Any = None, bias: Any = None, **settings: Any) -> Any:
    return primitives.batch_norm(x, weight, bias, None, None, **settings)


def _evaluated(x: Any, weight: Any = None, bias: Any = None, op: Any = primitives.batch_norm, **settings: Any) -> Any:
    """Batch norm of two channels at evaluation, with running means 0.5 and 1.5, variances 1 and 2, where x is."""
    numbers = array_module(stop_gradient(x)).arange(1.0, 3.0, dtype=x.dtype)
    return op(x, weight, bias, numbers - 0.5, numbers, training=False, **settings)


def _torch_evaluated(t: Any, x: Any, weight: Any = None, bias: Any = None, **settings: Any) -> Any:
    numbers = t.arange(1.0, 3.0, dtype=x.dtype)
    return t.nn.functional.batch_norm(x, numbers - 0.5, numbers, weight, bias, **settings)


def _normalization_rows() -> list[Case]:
    rows = []
    for shape in [(5, 2), (2, 2, 2, 3)]:
        for affine in (True, False):
            inputs = normal(shape, (2,), (2,)) if affine else normal(shape)
            name = f"{len(shape)} axes{'' if affine else ', no scale and shift'}"
            rows += [
                Case(
                    f"batch_norm, {name}",
                    primitives.batch_norm,
                    inputs,
                    lambda *arrays: batch_norm(*arrays, eps=0.01),
                    lambda t, x, *wb: t.nn.functional.batch_norm(x, None, None, *wb, training=True, eps=0.01),
                ),
                Case(
                    f"batch_norm at evaluation, {name}",
                    primitives.batch_norm,
                    inputs,
                    lambda *arrays: _evaluated(*arrays, eps=0.01),
                    lambda t, *arrays: _torch_evaluated(t, *arrays, eps=0.01),
                ),
            ]
        inputs = clear(normal(shape, (2,), (2,)), _evaluated)
        rows.append(
            Case(
                f"batch_norm at evaluation, leaky_relu, {len(shape)} axes",
                fused(primitives.batch_norm, leaky_relu, 0.2),
                inputs,
                lambda *arrays: _evaluated(*arrays, op=fused(primitives.batch_norm, leaky_relu, 0.2)),
                lambda t, *arrays: t.nn.functional.leaky_relu(_torch_evaluated(t, *arrays), 0.2),
            )
        )
    rows.append(
        Case(
            "batch_norm, tanh, no scale and shift",
            fused(primitives.batch_norm, tanh),
            normal((2, 2, 2, 3)),
            lambda x: fused(primitives.batch_norm, tanh)(x, None, None, None, None),
            lambda t, x: t.tanh(t.nn.functional.batch_norm(x, None, None, training=True)),
        )
    )
    return rows


ROWS: list[Case] = [*_normalization_rows()]
