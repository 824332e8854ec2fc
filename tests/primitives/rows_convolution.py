"""Rows of primitives/convolution.py: both layers with many settings, and the three faces."""

from __future__ import annotations

from typing import Any

from minigan import primitives
from minigan.primitives.convolution import Pair, Window, conv2d_input_grad, conv2d_product, conv2d_weight_grad
from tests.primitives.case import Case, normal, same

# Convolutions: name -> (x's shape, how many channels come out, kernel, settings). Small, for every number is
# moved; not square, so that an exchange of the two directions shows.
_CONVOLUTIONS: dict[str, tuple[tuple[int, ...], int, Pair, dict[str, Any]]] = {
    "plain": ((2, 2, 3, 4), 2, (2, 3), {}),
    "stride": ((1, 2, 5, 6), 2, (2, 2), {"stride": (2, 3)}),
    "stride beyond the kernel": ((1, 1, 5, 7), 2, (1, 2), {"stride": (2, 4)}),
    "padding": ((1, 2, 2, 3), 1, (2, 3), {"padding": (1, 2)}),
    "padding beyond the kernel": ((1, 1, 2, 1), 2, (1, 2), {"padding": (2, 3)}),
    "dilation": ((1, 2, 4, 5), 2, (2, 3), {"dilation": (3, 2)}),
    "everything": ((2, 1, 5, 4), 2, (3, 2), {"stride": (2, 3), "padding": (2, 1), "dilation": (1, 2)}),
    "kernel 4, stride 2": ((1, 2, 6, 4), 2, (4, 4), {"stride": 2, "padding": 1}),
    "one pixel": ((3, 2, 1, 1), 2, (1, 1), {}),
    "the kernel covers the image": ((2, 2, 3, 2), 2, (3, 2), {}),
}


_TRANSPOSED: dict[str, tuple[tuple[int, ...], int, Pair, dict[str, Any]]] = {
    "plain": ((2, 2, 2, 3), 2, (2, 3), {}),
    "stride": ((1, 2, 2, 3), 2, (2, 2), {"stride": (2, 3)}),
    "stride beyond the kernel": ((1, 2, 2, 3), 1, (1, 2), {"stride": (2, 3)}),
    "padding": ((1, 2, 3, 4), 2, (3, 2), {"padding": (2, 1)}),
    "dilation": ((1, 2, 2, 2), 2, (2, 3), {"dilation": (3, 2)}),
    "output padding": ((1, 2, 2, 2), 2, (3, 2), {"stride": (3, 2), "output_padding": (2, 1)}),
    "output padding of the stride and more": (
        (1, 2, 2, 3),
        2,
        (2, 2),
        {"stride": (2, 1), "dilation": (4, 3), "output_padding": (3, 1)},
    ),
    "everything": (
        (2, 1, 2, 3),
        2,
        (3, 2),
        {"stride": (2, 3), "padding": (2, 1), "dilation": (1, 2), "output_padding": (1, 2)},
    ),
    "kernel 4, stride 2": ((1, 2, 3, 2), 2, (4, 4), {"stride": 2, "padding": 1}),
    "one pixel": ((3, 2, 1, 1), 2, (1, 1), {}),
    "from one pixel": ((2, 2, 1, 1), 2, (3, 2), {}),
}


_WINDOW = Window(stride=(2, 3), padding=(2, 1), dilation=(1, 2))  # takes a (3, 2) kernel to (4, 2) places on (5, 5)


_PLACES = _WINDOW.places((5, 5), (3, 2))


def _convolution_rows() -> list[Case]:
    rows = []
    for op, settings_of in ((primitives.conv2d, _CONVOLUTIONS), (primitives.conv_transpose2d, _TRANSPOSED)):
        for name, (x, outputs, kernel, settings) in settings_of.items():
            weight = (outputs, x[1]) if op is primitives.conv2d else (x[1], outputs)
            rows.append(
                Case(
                    f"{op.__name__}, {name}",
                    op,
                    normal(x, (*weight, *kernel), (outputs,)),
                    lambda *arrays, op=op, settings=settings: op(*arrays, **settings),
                    lambda t, *arrays, op=op, settings=settings: getattr(t.nn.functional, op.__name__)(
                        *arrays, **settings
                    ),
                )
            )
        rows.append(
            same(
                op,
                normal((1, 2, 3, 2), (2, 2, 2, 2)),
                lambda t, x, w, op=op: getattr(t.nn.functional, op.__name__)(x, w),
                f"{op.__name__} without bias",
            )
        )
    return rows


def _face_rows() -> list[Case]:
    """The three faces, and the activation behind two of them. x (1, 2, 5, 5), w (2, 2, 3, 2), dy (1, 2, *_PLACES)."""
    x, w, dy = (1, 2, 5, 5), (2, 2, 3, 2), (1, 2, *_PLACES)
    settings = _WINDOW._asdict()
    spread = settings | {"output_padding": (0, 1)}  # no place reads the last column
    return [
        Case(
            "conv2d_product",
            conv2d_product,
            normal(x, w),
            lambda x, w: conv2d_product(x, w, _WINDOW, _PLACES),
            lambda t, x, w: t.nn.functional.conv2d(x, w, **settings),
        ),
        Case(
            "conv2d_input_grad",
            conv2d_input_grad,
            normal(dy, w),
            lambda dy, w: conv2d_input_grad(dy, w, _WINDOW, (5, 5)),
            lambda t, dy, w: t.nn.functional.conv_transpose2d(dy, w, **spread),
        ),
        Case(
            "conv2d_weight_grad",
            conv2d_weight_grad,
            normal(x, dy),
            lambda x, dy: conv2d_weight_grad(x, dy, _WINDOW, (3, 2)),
            lambda t, x, dy: t.stack(  # dw[o, c, u, v] is the product of dy[:, o] with what tap (u, v) meets of x[:, c]
                [
                    t.einsum("nohw,nchw->oc", dy, _padded(t, x)[:, :, u : u + 7 : 2, 2 * v : 2 * v + 4 : 3])
                    for u in range(3)
                    for v in range(2)
                ],
                -1,
            ).reshape(w),
        ),
    ]


def _padded(t: Any, x: Any) -> Any:
    (ph, pw) = _WINDOW.padding
    return t.nn.functional.pad(x, (pw, pw, ph, ph))


ROWS: list[Case] = [*_convolution_rows(), *_face_rows()]
