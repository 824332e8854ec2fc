"""Digits drawn from fonts: a small stand-in for MNIST that needs no download.

Every digit of every font below, all of which come with matplotlib, is drawn once and large. A sample is one of them,
scaled, sheared, turned and shifted at random: white on black, antialiased, about 20 pixels high in 28 x 28, as MNIST's.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np

FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmti10", "cmss10", "cmtt10"),
)
OVER = 3  # samples are drawn this many times larger, and averaged down
HEIGHT = 20 / 28  # of a digit, as a share of the image


def glyphs(n: int, seed: int = 0, size: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """n digits and what they are.

    Labels 0 ... 9 come in random order, each once in every ten. Fewer samples of the same seed are the first of more.
    The same seed gives the same bits, as long as matplotlib's fonts and Pillow stay the same.

    Args:
        n: how many, at least 1.
        seed: another one gives other samples, say for a test set; at least 0.
        size: of the images, at least 8.

    Returns:
        Images, uint8 of shape (n, size, size), 0 black; labels, uint8 of shape (n,).

    Raises ValueError if an argument is out of range.
    """
    for name, value, least in [("n", n, 1), ("seed", seed, 0), ("size", size, 8)]:
        if value < least:
            raise ValueError(f"{name}: expected at least {least}, got {value}")
    from PIL import Image

    tens = np.tile(np.arange(10, dtype=np.uint8), (-(-n // 10), 1))
    labels = np.random.default_rng([seed, 0]).permuted(tens, axis=1).reshape(-1)[:n]
    u = np.random.default_rng([seed, 1]).random((n, 7))
    fonts = (u[:, 0] * len(FONTS)).astype(int)
    maps = _random_maps(u[:, 1:], OVER * size)

    digits, images = _drawn(OVER * size), np.empty((n, size, size), np.uint8)
    for i in range(n):
        digit = digits[fonts[i]][labels[i]]
        moved = digit.transform(digit.size, Image.Transform.AFFINE, maps[i], Image.Resampling.BILINEAR)
        images[i] = moved.reduce(OVER)
    return images, labels


def _random_maps(u: np.ndarray, side: int) -> np.ndarray:
    """u (n, 6), uniform on [0, 1) -> (n, 6): a, b, c, d, e, f, where pixel (x, y) of a sample is taken from
    (a x + b y + c, d x + e y + f) of the drawn digit. So this undoes what happens to the digit."""
    u = 2 * u.T - 1
    turn, shear = math.radians(10) * u[0], 0.2 * u[1]
    width, height = np.exp(0.15 * u[2]), np.exp(0.1 * u[3])
    shift_x, shift_y = 0.06 * side * u[4:]
    a, b = (np.cos(turn) + shear * np.sin(turn)) / width, (np.sin(turn) - shear * np.cos(turn)) / width
    d, e = -np.sin(turn) / height, np.cos(turn) / height
    x, y = side / 2 + shift_x, side / 2 + shift_y  # where the middle goes
    return np.stack([a, b, side / 2 - a * x - b * y, d, e, side / 2 - d * x - e * y], 1)


@functools.cache
def _drawn(side: int) -> list[list[Any]]:
    """[font][digit]: a grey image (side, side) with the digit in the middle."""
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont

    fonts: list[list[Any]] = []
    for name in FONTS:
        path = Path(get_data_path(), "fonts", "ttf", f"{name}.ttf")
        font = ImageFont.truetype(path, side, layout_engine=ImageFont.Layout.BASIC)
        _, top, _, bottom = font.getbbox("0")
        font = font.font_variant(size=round(side * side * HEIGHT / (bottom - top)))  # now a 0 is HEIGHT high
        fonts.append([])
        for digit in "0123456789":
            image = Image.new("L", (side, side))
            left, top, right, bottom = font.getbbox(digit)
            corner = ((side - left - right) / 2, (side - top - bottom) / 2)
            ImageDraw.Draw(image).text(corner, digit, fill=255, font=font)
            fonts[-1].append(image)
    return fonts
