"""Folders and zips of PNG and JPEG files: square RGB images of one size, whatever the files hold.

    images = ImageFolder("flowers.zip", image_size=96)
    images[0]                                   # (3, 96, 96), float32 in [-1, 1]
    images.classes[images.labels[0]]            # the folder that it came from

Files are data from elsewhere. All headers are checked before anything is trained, and a broken file is refused by its
name, or left out if asked. Pillow decodes; its limits are tightened here. Read next: batches.py.
"""

from __future__ import annotations

import io
import math
import operator
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO
from zipfile import ZipFile

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from minigan.data.batches import to_floats

SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_PIXELS = 2**26  # 8192 x 8192, up to 600 MB while it is decoded
MAX_FILE_BYTES = 2**28


class ImageError(ValueError):
    """An image file, or a folder or zip of them, that cannot be used. The message names it and the reason."""


class ImageFolder:
    """All PNG and JPEG files under a folder or in a zip, in the order of their names.

    If every image lies in a subfolder, the first folder of its path is its class (a top folder that all share does not
    count). Other files are passed over, so are hidden ones and __MACOSX. Decoded images are kept as bytes if all of
    them together fit into cache_bytes, so that only the first pass over the data decodes. Any number of threads may
    read.

    Args:
        path: the folder or zip.
        image_size: S, the side of the images that come out.
        skip_broken: leave broken files out, with a warning, instead of refusing them. One whose damage shows only when
            it is decoded is replaced by the next good one of its class: always the same one, so that runs repeat.
        max_pixels: refuse files whose header says more, before they are decoded.
        cache_bytes: memory for decoded images; 3 S S bytes each. 0 decodes afresh every time.

    Attributes:
        names: the files' paths below the folder or in the zip, with /.
        classes: names of the classes in order; empty if there are none.
        labels: the class of each image, int64 of shape (len,); 0 where there are no classes.
        skipped: what was left out, as "name: reason".

    Raises:
        ImageError: if there are no images, or a header is broken and skip_broken is not set.
        OSError: if the folder or zip cannot be read.
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        path: str | Path,
        image_size: int = 96,
        skip_broken: bool = False,
        max_pixels: int = MAX_PIXELS,
        cache_bytes: int = 2**31,
    ) -> None:
        for name, count in [("image_size", image_size), ("max_pixels", max_pixels)]:
            if count < 1:
                raise ValueError(f"{name}: expected at least 1, got {count}")
        self.path, self.image_size, self.skip_broken, self.max_pixels = Path(path), image_size, skip_broken, max_pixels
        self._lock = threading.Lock()  # around the zip, whose members share one file position
        self._zip = None if self.path.is_dir() else _open_zip(self.path)
        if self._zip:
            files = [info.filename for info in self._zip.infolist() if not info.is_dir()]
        else:
            files = [file.relative_to(path).as_posix() for file in self.path.rglob("*") if file.is_file()]
        names = sorted({name for name in files if _is_image(name)})
        if not names:
            raise ImageError(f"{path}: expected PNG or JPEG files ({', '.join(SUFFIXES)}), found none")
        self.classes, labels = _classes(names)
        self.skipped: list[str] = []
        good = []
        for i, name in enumerate(names):
            try:
                with _refusing(name), self._open(name) as file:
                    _open_image(file, name, max_pixels)
                good.append(i)
            except ImageError as error:
                if not skip_broken:
                    raise
                self.skipped.append(str(error))
        if not good:
            raise ImageError(f"{path}: expected an image, found only broken ones: {_shortened(self.skipped)}")
        if self.skipped:
            left_out = f"left out {len(self.skipped)} of {len(names)}"
            warnings.warn(f"{path}: {left_out}: {_shortened(self.skipped)}", stacklevel=2)
        self.names, self.labels = [names[i] for i in good], labels[good]

        shape = (len(self.names), 3, image_size, image_size)
        self._cache = np.empty(shape, np.uint8) if math.prod(shape) <= cache_bytes else None
        self._cached = np.zeros(len(self.names), bool)
        self._replaced: set[int] = set()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> np.ndarray:
        """Image i: (3, S, S), float32 in [-1, 1].

        Raises:
            IndexError: if i is out of range.
            ImageError: if the file turns out to be broken and skip_broken is not set.
        """
        i = operator.index(i)
        if not -len(self) <= i < len(self):
            raise IndexError(f"i: expected an image of {len(self)}, got {i}")
        i %= len(self)
        if self._cache is None:
            return to_floats(self._decode(i))
        if not self._cached[i]:
            self._cache[i] = self._decode(i)
            self._cached[i] = True
        return to_floats(self._cache[i])

    def _open(self, name: str) -> IO[bytes]:
        return (self.path / name).open("rb") if self._zip is None else self._zip.open(name)

    def _decode(self, i: int) -> np.ndarray:
        """Image i as bytes, or the one that stands in for it."""
        try:
            return self._decode_exactly(i)
        except ImageError as error:
            if not self.skip_broken:
                raise
            alike = np.flatnonzero(self.labels == self.labels[i])
            for j in np.roll(alike, -1 - int(np.searchsorted(alike, i)))[:-1]:  # from i + 1 round to i - 1
                with suppress(ImageError):
                    x = self._decode_exactly(j)
                    with self._lock:
                        if i not in self._replaced:
                            self._replaced.add(i)
                            warnings.warn(f"{error}; {self.names[j]} stands in for it", stacklevel=2)
                    return x
            raise

    def _decode_exactly(self, i: int) -> np.ndarray:
        name = self.names[i]
        with _refusing(name):
            with self._lock, self._open(name) as file:
                content = file.read(MAX_FILE_BYTES + 1)
            if len(content) > MAX_FILE_BYTES:
                raise ImageError(f"{name}: expected a file of at most {MAX_FILE_BYTES} bytes, got more")
            return read_image(io.BytesIO(content), name, self.image_size, self.max_pixels)


def read_image(file: IO[bytes], name: str, image_size: int, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The PNG or JPEG in a seekable binary file as uint8 RGB of shape (3, S, S), S = image_size.

    Turned upright as EXIF says; grey, palette and CMYK to RGB; of 16 bits the upper 8; what is transparent on white.
    The shorter side is resized to S (bicubic, antialiased), and of the longer one the middle is taken.

    Raises:
        ImageError: beginning with `name`, if the file is neither PNG nor JPEG, has more than max_pixels pixels or is
            broken.
    """
    with _refusing(name):
        image = _open_image(file, name, max_pixels)
        image.draft(None, (2 * image_size, 2 * image_size))  # a JPEG shrinks while it is decoded, at no cost
        image.load()
        with suppress(Exception):  # a photo whose notes are damaged is shown as it lies, as viewers do
            image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16 bits of grey, and perhaps one value of it that means transparent
            grey = np.asarray(image)
            upper = (grey >> 8).astype(np.uint8)
            upper[grey == image.info.get("transparency", -1)] = 255
            image = Image.fromarray(upper)
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        w, h = image.size
        left, top = max(w - h, 0) / 2, max(h - w, 0) / 2
        square = (left, top, w - left, h - top)
        image = image.resize((image_size, image_size), Image.Resampling.BICUBIC, square)
        if image.mode == "RGBA":
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))  # (S, S, 3) -> (3, S, S)


def _open_image(file: IO[bytes], name: str, max_pixels: int) -> Image.Image:
    """Read the header, and check it."""
    try:
        image = Image.open(file, formats=("PNG", "JPEG"))
    except UnidentifiedImageError:
        raise ImageError(f"{name}: expected a PNG or JPEG file, found no valid header of either") from None
    if math.prod(image.size) > max_pixels:
        w, h = image.size
        raise ImageError(f"{name}: expected at most {max_pixels} pixels (max_pixels), got {w} x {h}")
    return image


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Whatever a decoder says of a broken file (OSError, SyntaxError, struct.error, ...) becomes an ImageError."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise ImageError(f"{name}: cannot be decoded: {str(error) or type(error).__name__}") from error


def _open_zip(path: Path) -> ZipFile:
    try:
        return ZipFile(path)
    except OSError:
        raise
    except Exception as error:
        raise ImageError(f"{path}: expected a folder or a zip file: {error}") from None


def _is_image(name: str) -> bool:
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
    return PurePosixPath(name).suffix.lower() in SUFFIXES and not hidden


def _classes(names: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """The classes, and the class of each name."""
    folders = [name.split("/")[:-1] for name in names]
    while all(folders) and len({folder[0] for folder in folders}) == 1:
        folders = [folder[1:] for folder in folders]
    if not all(folders):
        return (), np.zeros(len(names), np.int64)
    classes = sorted({folder[0] for folder in folders})
    return tuple(classes), np.array([classes.index(folder[0]) for folder in folders], np.int64)


def _shortened(lines: list[str], most: int = 5) -> str:
    return "; ".join(lines[:most]) + (f"; and {len(lines) - most} more" if len(lines) > most else "")
