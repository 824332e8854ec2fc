"""The example at the top of primitives/convolution.py, in numbers."""

from __future__ import annotations

import numpy as np

from minigan.primitives.convolution import Window, col2im, im2col

X = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
WINDOW = Window((1, 1), (0, 0), (1, 1))


def test_im2col_puts_the_patches_side_by_side() -> None:
    expected = [[1, 2, 4, 5], [2, 3, 5, 6], [4, 5, 7, 8], [5, 6, 8, 9]]
    np.testing.assert_array_equal(im2col(X, (2, 2), (2, 2), WINDOW)[0], expected)


def test_col2im_adds_them_up_where_they_came_from() -> None:
    back = col2im(im2col(X, (2, 2), (2, 2), WINDOW), (3, 3), (2, 2), (2, 2), WINDOW)
    np.testing.assert_array_equal(back[0, 0], [[1, 4, 3], [8, 20, 12], [7, 16, 9]])


def test_each_is_the_others_adjoint() -> None:
    rng, window = np.random.default_rng(0), Window((2, 1), (1, 2), (1, 2))
    x = rng.normal(size=(2, 3, 5, 6))
    places = window.places((5, 6), (3, 2))
    c = rng.normal(size=(2, 18, places[0] * places[1]))
    left = np.sum(im2col(x, (3, 2), places, window) * c)
    np.testing.assert_allclose(left, np.sum(x * col2im(c, (5, 6), (3, 2), places, window)), rtol=1e-12)
