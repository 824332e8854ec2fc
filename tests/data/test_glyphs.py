"""Digits drawn from fonts: repeatable, balanced, and told apart as digits are."""

from __future__ import annotations

import numpy as np
import pytest

from minigan.data.glyphs import FONTS, glyphs


def test_images_are_bytes_of_the_size_asked_for() -> None:
    for n, size in [(1, 28), (23, 28), (3, 64)]:
        images, labels = glyphs(n, size=size)
        assert (images.shape, images.dtype) == ((n, size, size), np.uint8)
        assert (labels.shape, labels.dtype) == ((n,), np.uint8)


def test_one_seed_draws_the_same_bits_and_another_seed_others() -> None:
    (images, labels), (again, labels_again), (others, _) = glyphs(40, 3), glyphs(40, 3), glyphs(40, 4)
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(labels, labels_again)
    assert (images != others).any(axis=(1, 2)).all()


def test_fewer_samples_are_the_first_of_more() -> None:
    (images, labels), (more, more_labels) = glyphs(37), glyphs(64)
    np.testing.assert_array_equal(images, more[:37])
    np.testing.assert_array_equal(labels, more_labels[:37])


def test_every_ten_samples_are_ten_digits_in_random_order() -> None:
    tens = glyphs(500)[1].reshape(-1, 10)
    np.testing.assert_array_equal(np.sort(tens, 1), np.tile(np.arange(10), (50, 1)))
    assert len(np.unique(tens, axis=0)) > 40


def test_they_are_drawn_as_mnists_digits_are() -> None:
    """White on black, as much ink (MNIST's mean is 33), 20 of 28 pixels high, in the middle, off the rim."""
    images = glyphs(1000)[0]
    assert 28 < images.mean() < 42
    assert (images.max((1, 2)) > 200).mean() > 0.99
    ink = images > 64
    heights = ink.any(2).sum(1)
    assert 19 < heights.mean() < 22
    middle = (ink.sum((0, 2)) @ np.arange(28) / ink.sum(), ink.sum((0, 1)) @ np.arange(28) / ink.sum())
    np.testing.assert_allclose(middle, 13.5, atol=1)
    assert ink[:, [0, -1]].any((1, 2)).mean() < 0.02
    grey = (images > 20) & (images < 235)
    assert 0.05 < grey.mean() < 0.2  # antialiased


def test_no_two_samples_are_alike() -> None:
    assert len(np.unique(glyphs(2000)[0], axis=0)) == 2000


def test_every_font_has_ten_different_digits() -> None:
    from minigan.data.glyphs import _drawn

    drawn = np.array([[np.asarray(digit) for digit in font] for font in _drawn(84)])
    assert drawn.shape == (len(FONTS), 10, 84, 84)
    assert len(np.unique(drawn.reshape(-1, 84 * 84), axis=0)) == 10 * len(FONTS)
    assert (drawn.max((2, 3)) == 255).all()


def test_their_nearest_neighbours_in_another_draw_are_mostly_the_same_digit() -> None:
    (x, x_labels), (y, y_labels) = glyphs(2000, 0), glyphs(300, 1)
    x, y = x.reshape(2000, -1).astype(np.float32), y.reshape(300, -1).astype(np.float32)
    nearest = ((x**2).sum(1) - 2 * y @ x.T).argmin(1)
    assert (x_labels[nearest] == y_labels).mean() > 0.9


@pytest.mark.parametrize(("argument", "value", "least"), [("n", 0, 1), ("seed", -1, 0), ("size", 7, 8)])
def test_arguments_out_of_range_are_refused(argument: str, value: int, least: int) -> None:
    with pytest.raises(ValueError, match=f"{argument}: expected at least {least}, got {value}"):
        glyphs(**{"n": 1, argument: value})
