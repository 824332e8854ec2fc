"""Image folders: every kind of PNG and JPEG comes out as RGB of one size, and broken files are refused by name."""

from __future__ import annotations

import contextlib
import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minigan.data.batches import to_floats
from minigan.data.images import ImageError, ImageFolder, read_image
from tests.files.damage import scratched

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(image: Image.Image, kind: str = "PNG", **settings: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def noise(w: int = 12, h: int = 9, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8))


def plain(color: tuple[int, int, int]) -> bytes:
    return encoded(Image.new("RGB", (8, 8), color))


def with_broken_pixels(png: bytes) -> bytes:
    """A PNG whose header is good and whose pixels are not."""
    return png[:-30]


def fill(path: Path, files: dict[str, bytes]) -> Path:
    """A folder, or a zip if the name says so."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as z:
            for name, content in files.items():
                z.writestr(name, content)
    else:
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    return path


def read(content: bytes, size: int = 8, **settings: Any) -> np.ndarray:
    """The image as (S, S, 3)."""
    return read_image(io.BytesIO(content), "it", size, **settings).transpose(1, 2, 0)


either = pytest.mark.parametrize("kind", ["folder", "faces.zip"])


# What is in a file ----------------------------------------------------------------------------------------------------


def test_an_image_of_the_right_size_comes_out_as_it_is() -> None:
    image = noise(9, 9)
    np.testing.assert_array_equal(read(encoded(image), 9), np.asarray(image))


def test_the_shorter_side_is_resized_and_the_middle_of_the_longer_one_taken() -> None:
    pixels = np.zeros((10, 40, 3), np.uint8)
    pixels[:, 15:25] = RED
    assert np.all(read(encoded(Image.fromarray(pixels)), 10) == RED)
    assert np.all(read(encoded(Image.fromarray(pixels.transpose(1, 0, 2))), 10) == RED)
    assert np.all(read(encoded(Image.fromarray(pixels[:, 16:24])), 20)[:, 3:-3] == RED)


def test_shrinking_is_antialiased() -> None:
    checkers = np.indices((64, 64)).sum(0) % 2 * 255
    grey = read(encoded(Image.fromarray(checkers.astype(np.uint8))), 8)
    np.testing.assert_allclose(grey, 127.5, atol=2)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_of_a_png_becomes_rgb(mode: str) -> None:
    image = noise(8, 8).convert(mode)
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(read(encoded(image)), expected)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_mode_of_a_jpeg_becomes_rgb(mode: str) -> None:
    content = encoded(noise(8, 8).convert(mode), "JPEG")
    np.testing.assert_array_equal(read(content), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


def test_of_16_bits_the_upper_8_are_taken() -> None:
    grey = np.random.default_rng(0).integers(0, 2**16, (8, 8)).astype(np.uint16)
    expected = np.repeat((grey >> 8)[..., None], 3, 2)
    np.testing.assert_array_equal(read(encoded(Image.fromarray(grey))), expected)
    clear = read(encoded(Image.fromarray(grey), transparency=int(grey[2, 3])))
    np.testing.assert_array_equal(clear[2, 3], WHITE)
    np.testing.assert_array_equal(clear[0], expected[0])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_seen_on_white(mode: str) -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :, 3] = np.linspace(0, 255, 8).astype(np.uint8)
    black = read(encoded(Image.fromarray(pixels).convert(mode)))
    np.testing.assert_allclose(black, np.repeat(255 - pixels[..., 3:], 3, 2), atol=1)


def test_a_transparent_colour_of_a_palette_is_seen_as_white() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 8, 4))
    pixels = read(encoded(image, transparency=1))
    assert np.all(pixels[:4] == RED)
    assert np.all(pixels[4:] == WHITE)


def test_colours_under_full_transparency_do_not_bleed() -> None:
    pixels = np.full((16, 16, 4), 255, np.uint8)
    pixels[::2] = (255, 0, 0, 0)
    np.testing.assert_allclose(read(encoded(Image.fromarray(pixels))), 255, atol=1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_photo_is_turned_upright_as_exif_says(kind: str, orientation: int) -> None:
    upright = np.kron(np.arange(4).reshape(2, 2) * 80, np.ones((8, 8))).astype(np.uint8)
    undo: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.T,
        6: np.rot90,
        7: lambda x: x[::-1, ::-1].T,
        8: lambda x: np.rot90(x, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](upright)))
    pixels = read(encoded(stored, kind, exif=exif.tobytes()), 16)
    np.testing.assert_allclose(pixels[..., 0], upright, atol=4)


def test_a_large_jpeg_shrinks_to_what_shrinking_all_of_it_gives() -> None:
    smooth = noise(16, 12).resize((640, 480), Image.Resampling.BICUBIC)
    content = encoded(smooth, "JPEG", quality=95)
    expected = smooth.resize((32, 32), Image.Resampling.BICUBIC, (80, 0, 560, 480))
    assert np.abs(read(content, 32).astype(int) - np.asarray(expected)).mean() < 2


# What is refused ------------------------------------------------------------------------------------------------------


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_that_says(w: int, h: int) -> bytes:
    header = struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "expected a PNG or JPEG file"),
        (b"<html>", "expected a PNG or JPEG file"),
        (encoded(noise(), "GIF"), "expected a PNG or JPEG file"),
        (with_broken_pixels(encoded(noise())), "cannot be decoded"),
        (encoded(noise(), "JPEG")[:-40], "cannot be decoded: .*truncated"),
        (png_that_says(9000, 9000), r"at most 67108864 pixels \(max_pixels\), got 9000 x 9000"),
        (png_that_says(8000, 8000), "cannot be decoded"),
        (png_that_says(0, 5), "cannot be decoded|valid header"),
    ],
)
def test_a_broken_file_is_refused_by_name(content: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        read(content)
    assert str(caught.value).startswith("it: ")


def test_the_pixel_limit_is_the_callers() -> None:
    assert read(encoded(noise(10, 10)), 4, max_pixels=100).shape == (4, 4, 3)
    with pytest.raises(ImageError, match=r"at most 99 pixels \(max_pixels\), got 10 x 10"):
        read(encoded(noise(10, 10)), 4, max_pixels=99)


@either
def test_a_broken_header_is_found_before_the_first_image_is_asked_for(tmp_path: Path, kind: str) -> None:
    path = fill(tmp_path / kind, {"a.png": plain(RED), "b.png": b"nothing"})
    with pytest.raises(ImageError, match=r"^b\.png: expected a PNG or JPEG file"):
        ImageFolder(path)


@either
def test_broken_pixels_are_refused_when_they_are_decoded(tmp_path: Path, kind: str) -> None:
    images = ImageFolder(fill(tmp_path / kind, {"a.png": plain(RED), "b.png": with_broken_pixels(plain(RED))}), 8)
    assert images[0].shape == (3, 8, 8)
    with pytest.raises(ImageError, match=r"^b\.png: cannot be decoded"):
        images[1]


def test_a_member_of_a_zip_that_fails_its_checksum_is_refused_by_name(tmp_path: Path) -> None:
    path = fill(tmp_path / "a.zip", {"a.png": plain(RED)})
    content = path.read_bytes()
    path.write_bytes(content.replace(plain(RED)[-20:], bytes(20)))
    with pytest.raises(ImageError, match=r"^a\.png: .*CRC"):
        ImageFolder(path, 8)[0]


def test_broken_files_can_be_left_out(tmp_path: Path) -> None:
    files = {f"{k}.png": b"nothing" for k in range(7)} | {"x.png": plain(RED)}
    with pytest.warns(UserWarning, match=r"left out 7 of 8: 0\.png: expected a PNG.*; and 2 more"):
        images = ImageFolder(fill(tmp_path / "folder", files), 8, skip_broken=True)
    assert images.names == ["x.png"]
    assert len(images.skipped) == 7


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_the_next_good_image_of_the_class_stands_in_for_a_broken_one(tmp_path: Path, cache_bytes: int) -> None:
    broken = with_broken_pixels(plain(RED))
    files = {"a/1.png": plain((1, 0, 0)), "a/2.png": plain((2, 0, 0)), "a/3.png": broken, "a/4.png": broken}
    path = fill(tmp_path / "folder", files | {"b/1.png": plain((3, 0, 0)), "b/2.png": broken})
    images = ImageFolder(path, 8, skip_broken=True, cache_bytes=cache_bytes)
    for i, expected, stands_in in [(2, 1, "a/1.png"), (3, 1, "a/1.png"), (5, 3, "b/1.png")]:
        with pytest.warns(UserWarning, match=f"{images.names[i]}: cannot be decoded.*; {stands_in} stands in for it"):
            np.testing.assert_array_equal(images[i], to_floats(np.full((3, 8, 8), [[[expected]], [[0]], [[0]]])))
    assert images[3][0, 0, 0] == images[0][0, 0, 0]  # and is warned of only once: a warning fails a test


def test_a_class_of_broken_images_has_no_stand_in(tmp_path: Path) -> None:
    path = fill(tmp_path / "folder", {"a/1.png": with_broken_pixels(plain(RED)), "b/1.png": plain(RED)})
    with pytest.raises(ImageError, match=r"^a/1\.png: cannot be decoded"):
        ImageFolder(path, 8, skip_broken=True)[0]


@pytest.mark.parametrize("files", [{}, {"LICENSE": b"MIT", "._a.png": b""}])
@either
def test_a_place_without_images_is_refused(tmp_path: Path, kind: str, files: dict[str, bytes]) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ImageError, match=r"expected PNG or JPEG files \(.png, .jpg, .jpeg\), found none"):
        ImageFolder(fill(tmp_path / kind, files))


def test_a_place_of_broken_images_is_refused_even_if_they_may_be_left_out(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"found only broken ones: a\.png: "):
        ImageFolder(fill(tmp_path / "folder", {"a.png": b""}), skip_broken=True)


def test_a_path_that_is_missing_or_no_zip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        ImageFolder(tmp_path / "missing")
    (tmp_path / "a.png").write_bytes(plain(RED))
    with pytest.raises(ImageError, match=r"a\.png: expected a folder or a zip file"):
        ImageFolder(tmp_path / "a.png")


@pytest.mark.parametrize("argument", ["image_size", "max_pixels"])
def test_sizes_are_positive(tmp_path: Path, argument: str) -> None:
    with pytest.raises(ValueError, match=f"{argument}: expected at least 1, got 0"):
        ImageFolder(tmp_path, **{argument: 0})


# Folders, zips, classes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("top", ["", "flowers/", "my/flowers/"])
@either
def test_first_folders_are_classes_in_sorted_order(tmp_path: Path, kind: str, top: str) -> None:
    files = {"rose/2.png": RED, "daisy/x/9.JPG": RED, "rose/1.jpeg": RED, "daisy/1.png": RED}
    content = {top + name: plain(color) for name, color in files.items()} | {"LICENSE.txt": b"", top + "README": b""}
    images = ImageFolder(fill(tmp_path / kind, content | {"__MACOSX/rose/._2.png": b"", ".trash/1.png": b""}), 8)
    assert images.classes == ("daisy", "rose")
    assert images.names == [top + name for name in ["daisy/1.png", "daisy/x/9.JPG", "rose/1.jpeg", "rose/2.png"]]
    assert images.labels.tolist() == [0, 0, 1, 1]
    assert images.labels.dtype == np.int64


@pytest.mark.parametrize("names", [["b.png", "a.png"], ["a.png", "more/deeper/b.png"], ["top/a.png", "top/b.png"]])
@either
def test_without_a_folder_for_every_image_there_are_no_classes(tmp_path: Path, kind: str, names: list[str]) -> None:
    images = ImageFolder(fill(tmp_path / kind, {name: plain(RED) for name in names}), 8)
    assert images.classes == ()
    assert images.names == sorted(names)
    assert images.labels.tolist() == [0, 0]


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
@either
def test_images_come_as_float32_between_minus_one_and_one(tmp_path: Path, kind: str, cache_bytes: int) -> None:
    files = {f"{k}.png": encoded(noise(seed=k)) for k in range(3)}
    images = ImageFolder(fill(tmp_path / kind, files), 8, cache_bytes=cache_bytes)
    for _ in range(2):
        for k, x in enumerate(images):
            assert (x.shape, x.dtype) == ((3, 8, 8), np.float32)
            np.testing.assert_array_equal(x, to_floats(read_image(io.BytesIO(files[f"{k}.png"]), "it", 8)))
    np.testing.assert_array_equal(images[-1], images[2])
    assert images[0].min() < -0.5
    assert images[0].max() > 0.5
    for wrong in (3, -4):
        with pytest.raises(IndexError, match=f"i: expected an image of 3, got {wrong}"):
            images[wrong]


def test_black_and_white_are_minus_one_and_one_exactly() -> None:
    np.testing.assert_array_equal(to_floats(np.array([0, 255], np.uint8)), [-1, 1])


def test_an_image_that_came_out_can_be_written_to(tmp_path: Path) -> None:
    images = ImageFolder(fill(tmp_path / "folder", {"a.png": plain(RED)}), 8)
    images[0][:] = 7
    assert images[0].max() == 1


def test_decoded_images_are_kept_if_all_of_them_fit(tmp_path: Path) -> None:
    for cache_bytes, kept in [(2 * 3 * 8 * 8, True), (2 * 3 * 8 * 8 - 1, False)]:
        path = fill(tmp_path / "folder", {"a.png": plain(RED), "b.png": plain(RED)})
        images = ImageFolder(path, 8, cache_bytes=cache_bytes)
        images[0]
        (path / "a.png").unlink()
        if kept:
            assert images[0].max() == 1
        else:
            with pytest.raises(ImageError, match=r"^a\.png: .*No such file"):
                images[0]


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
@either
def test_many_threads_read_what_one_reads(tmp_path: Path, kind: str, cache_bytes: int) -> None:
    path = fill(tmp_path / kind, {f"{k:02}.png": encoded(noise(20, 20, k)) for k in range(30)})
    expected = list(ImageFolder(path, 8))
    images = ImageFolder(path, 8, cache_bytes=cache_bytes)
    with ThreadPoolExecutor(8) as pool:
        for x, y in zip(pool.map(images.__getitem__, list(range(30)) * 4), expected * 4, strict=True):
            np.testing.assert_array_equal(x, y)


# Whatever comes -------------------------------------------------------------------------------------------------------


def test_ten_thousand_broken_files_are_read_or_refused_within_memory() -> None:
    resource = pytest.importorskip("resource")  # not on Windows
    unit = 1 if sys.platform == "darwin" else 1024
    rng = np.random.default_rng(1)
    exif = Image.Exif()
    exif[0x0112] = 6
    valid = [
        encoded(noise()),
        encoded(noise(), "JPEG"),
        encoded(noise().convert("P"), transparency=3),
        encoded(noise().convert("L"), "JPEG", exif=exif.tobytes()),
        encoded(Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8))),
        encoded(noise(), "JPEG", progressive=True),
    ]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    good = 0
    for n in range(10_000):
        start = valid[n % len(valid)]
        content = _scratched(rng, start) if n % 7 else start[: rng.integers(12)] + rng.bytes(rng.integers(100))
        with contextlib.suppress(ImageError):
            good += read(content, 4, max_pixels=2**16).shape == (4, 4, 3)
    assert 1000 < good < 9000  # a flipped pixel is a pixel
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before < 2**26


def test_five_hundred_broken_zips_are_read_or_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    path = fill(tmp_path / "a.zip", {"a/1.png": plain(RED), "b/1.png": plain(WHITE)})
    content, good = path.read_bytes(), 0
    for _ in range(500):
        path.write_bytes(scratched(rng, content, head=60))
        with contextlib.suppress(ImageError, OSError):
            good += len(list(ImageFolder(path, 4))) == 2
    assert 10 < good < 490


def _scratched(rng: np.random.Generator, content: bytes) -> bytes:
    """The file scratched; every other PNG gets checksums that fit."""
    changed = bytearray(scratched(rng, content, head=60))
    if changed[:4] == b"\x89PNG" and rng.integers(2):
        start = 8
        while start + 12 <= len(changed):
            (length,) = struct.unpack_from(">I", changed, start)
            end = start + 8 + length
            if end + 4 > len(changed):
                break
            struct.pack_into(">I", changed, end, zlib.crc32(changed[start + 4 : end]))
            start = end + 4
    return bytes(changed)
