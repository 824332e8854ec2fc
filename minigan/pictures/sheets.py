"""Many small images as one picture, and pictures as files.

    picture = sheet(samples, columns=8)          # (64, 3, 96, 96) floats in [-1, 1] -> one (H', W', 3) of bytes
    save_picture("samples.png", picture)
    save_gif("training.gif", [picture, later])

A file appears under its name when all of it is written, or not at all: whoever looks at a run while it goes on never
meets half a picture. Pillow encodes.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 512
"""How long the longer side of a small sheet may become when save_sheet enlarges it."""


def sheet(images: np.ndarray, columns: int | None = None, padding: int = 2, scale: int = 1) -> np.ndarray:
    """Images in rows and columns on black, the first at the top left, row by row.

    Args:
        images: (N, C, H, W), floats, N >= 1, C 1 (grey) or 3 (red, green, blue). -1 becomes 0 and 1 becomes 255, what
            lies outside is clipped, NaN is black.
        columns: images in a row; as many as make the sheet square, if it is not given.
        padding: black pixels around each image, not scaled; between two images they are shared.
        scale: each pixel of an image becomes scale x scale pixels.

    Returns:
        (rows * (scale * H + padding) + padding, columns * (scale * W + padding) + padding, 3), uint8.

    Raises:
        TypeError: if the images are not floats.
        ValueError: for any other shape or a number below its least.
    """
    _check(images)
    N, _, H, W = images.shape
    columns = math.isqrt(N - 1) + 1 if columns is None else columns
    for name, value, least in [("columns", columns, 1), ("padding", padding, 0), ("scale", scale, 1)]:
        if value < least:
            raise ValueError(f"{name}: expected at least {least}, got {value}")
    rows = -(-N // columns)
    cell_h, cell_w = scale * H + padding, scale * W + padding

    picture = np.zeros((rows * cell_h + padding, columns * cell_w + padding, 3), np.uint8)
    small = to_bytes(images).transpose(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
    for i, image in enumerate(small.repeat(scale, 1).repeat(scale, 2)):
        y, x = i // columns * cell_h + padding, i % columns * cell_w + padding
        picture[y : y + scale * H, x : x + scale * W] = image  # one channel fills all three
    return picture


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Floats of any shape -> uint8: -1 becomes 0, 1 becomes 255, the rest is rounded, clipped, and black where NaN."""
    return np.rint(127.5 * (np.clip(np.nan_to_num(images, nan=-1.0), -1.0, 1.0) + 1.0)).astype(np.uint8)


def save_sheet(path: str | os.PathLike[str], images: np.ndarray, columns: int | None = None) -> None:
    """Write sheet(images, columns) as a picture, small images enlarged until it is about SIDE pixels wide or high.

    Raises as `sheet` and `save_picture`.
    """
    _check(images)
    N, _, H, W = images.shape
    across = math.isqrt(N - 1) + 1 if columns is None else min(max(columns, 1), N)
    scale = max(1, SIDE // max(-(-N // across) * H, across * W, 1))
    save_picture(path, sheet(images, columns, scale=scale))


def save_picture(path: str | os.PathLike[str], picture: np.ndarray) -> None:
    """Write one picture, uint8 of shape (H, W) or (H, W, 3), in the format that the name ends in: .png, .jpg.

    Raises:
        ValueError: if it is no such picture, or the ending is unknown.
        OSError: if it cannot be written; an older file is left as it was.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    Image.init()
    if suffix not in Image.EXTENSION:
        raise ValueError(f"path: expected the name of a picture, such as samples.png, got {path}")
    data = io.BytesIO()
    _picture(picture).save(data, Image.EXTENSION[suffix])
    _write(path, data.getvalue())


def save_gif(
    path: str | os.PathLike[str], frames: Sequence[np.ndarray], seconds_per_frame: float = 0.1, linger: float = 2.0
) -> None:
    """Write pictures as an animated GIF that starts again when it is over.

    Args:
        path: the file.
        frames: at least one, each uint8 of shape (H, W) or (H, W, 3), all of one shape. Equal ones in a row become one
            that is shown for longer.
        seconds_per_frame: how long each is shown, at least 0.02, which is as fast as most programs play.
        linger: how long the last one is shown.

    Raises:
        ValueError: if there are no frames or their shapes differ, or they are shown too briefly.
        OSError: if it cannot be written; an older file is left as it was.
    """
    if not frames or len({frame.shape for frame in frames}) > 1:
        raise ValueError(f"frames: expected one or more of one shape, got {[frame.shape for frame in frames]}")
    if not min(seconds_per_frame, linger) >= 0.02:
        raise ValueError(f"seconds_per_frame, linger: expected at least 0.02, got {seconds_per_frame}, {linger}")
    first, *rest = [_picture(frame) for frame in frames]
    duration = [round(1000 * seconds_per_frame)] * len(rest) + [round(1000 * linger)]
    data = io.BytesIO()
    first.save(data, "GIF", save_all=True, append_images=rest, duration=duration if rest else duration[0], loop=0)
    _write(Path(path), data.getvalue())


def _check(images: np.ndarray) -> None:
    if images.ndim != 4 or images.shape[0] < 1 or images.shape[1] not in (1, 3):
        hint = ""
        if images.ndim == 2 and math.isqrt(images.shape[1]) ** 2 == images.shape[1]:
            side = math.isqrt(images.shape[1])
            hint = f"; rows of pixels first need images.reshape(-1, 1, {side}, {side})"
        raise ValueError(f"images: expected shape (N, C, H, W) with N >= 1 and C 1 or 3, got {images.shape}{hint}")
    if images.dtype.kind != "f":
        raise TypeError(f"images: expected floats in [-1, 1], got dtype {images.dtype}")


def _picture(picture: np.ndarray) -> Image.Image:
    if picture.dtype != np.uint8 or not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)):
        raise ValueError(f"picture: expected uint8 of shape (H, W) or (H, W, 3), got {picture.dtype} {picture.shape}")
    return Image.fromarray(np.ascontiguousarray(picture))


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
