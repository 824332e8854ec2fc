"""The fully connected layer, y = x W^T + b, and rows of a table.

    x (N, in_features)    W (out_features, in_features)    b (out_features,)    y (N, out_features)

    dx = dy W             dW = dy^T x                      db = the sum of dy over its N rows

Each is again a matrix product or a sum, which is why the second derivative is free. Where x says one class of many,
a 1 among zeros, the product only picks rows of a matrix: `embedding` picks them. Read next: losses.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minigan.arrays import Array
from minigan.autodiff import defvjp_joint, primitive
from minigan.primitives.operators import matmul
from minigan.primitives.shaping import index, sum, transpose


@primitive
def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x W^T + b.

    Raises:
        ValueError: if the shapes do not fit.
        TypeError: if x and W differ in dtype.
    """
    check_linear(x, weight, bias)
    y = x @ weight.T
    if bias is not None:
        y += bias
    return y


def _linear_vjp(
    argnums: Sequence[int], y: Array, x: Array, weight: Array, bias: Array | None = None
) -> Callable[[Array], tuple[Array, ...]]:
    with_respect_to = (lambda dy: matmul(dy, weight), lambda dy: matmul(transpose(dy), x), lambda dy: sum(dy, 0))
    return lambda dy: tuple([with_respect_to[i](dy) for i in argnums])


defvjp_joint(linear, _linear_vjp)


def check_linear(x: Array, weight: Array, bias: Array | None) -> None:
    """Refuse what does not fit together, in words."""
    out_features, in_features = weight.shape
    if x.ndim != 2 or x.shape[1] != in_features:
        raise ValueError(
            f"linear: expected x of shape (N, {in_features}) for weight of shape {weight.shape}, got {x.shape}"
        )
    if bias is not None and bias.shape != (out_features,):
        raise ValueError(f"linear: expected bias of shape ({out_features},), got {bias.shape}")
    if x.dtype is not weight.dtype and x.dtype != weight.dtype:  # `is` first: it is 10 times as fast
        raise TypeError(f"linear: expected x of the weight's dtype {weight.dtype}, got {x.dtype}: convert it by astype")


def embedding(input: Array, weight: Array) -> Array:
    """Row t of the weight for each label t: (N,) and (num_embeddings, embedding_dim) -> (N, embedding_dim).

    The derivative adds each row of dy to the row of the weight it came from. Labels have to be where the weight is.

    Raises:
        ValueError: if a label on the host is none of the weight's rows.
        TypeError: if the labels are not integers.
    """
    check_labels("embedding", "input", input, weight.shape[0])
    return index(weight, input)


def check_labels(op: str, argument: str, labels: Array, count: int) -> None:
    """Refuse labels that are not integers in [0, count).

    NumPy would take -1 for the last. On a GPU only the dtype is looked at: looking at numbers makes the host wait.
    """
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{op}: expected {argument} to be integers, got dtype {labels.dtype}")
    if isinstance(labels, np.ndarray) and labels.size and not 0 <= labels.min() <= labels.max() < count:
        raise ValueError(f"{op}: expected {argument} in [0, {count}), got {labels.min()} to {labels.max()}")
