"""IDX files: what is written is read again, and whatever else comes is refused in words and within memory."""

from __future__ import annotations

import contextlib
import gzip
import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minigan.data.idx import MAX_EXPANSION, IDXError, read_idx
from tests.data.idx_files import write_idx
from tests.files.damage import scratched
from tests.memory import examples

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 5), np.uint8)
HEADER = bytes([0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5])
PLAIN = HEADER + IMAGES.tobytes()


@examples(60)
@given(st.data())
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    dtype = np.dtype(data.draw(st.sampled_from(["u1", "i1", "<i2", ">i2", "<i4", ">i4", "<f4", ">f4", "<f8", ">f8"])))
    x = data.draw(hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=4)))
    path = tmp_path_factory.mktemp("idx") / data.draw(st.sampled_from(["x.idx", "x.idx.gz"]))
    write_idx(path, x)
    y = read_idx(path)
    assert y.dtype == dtype.newbyteorder("=")
    assert y.dtype.isnative
    np.testing.assert_array_equal(y, x)


def test_the_bytes_are_those_of_the_format() -> None:
    np.testing.assert_array_equal(read_idx(io.BytesIO(PLAIN)), IMAGES)


def test_the_first_bytes_tell_gzip_and_not_the_name(tmp_path: Path) -> None:
    (tmp_path / "plain.gz").write_bytes(PLAIN)
    (tmp_path / "zipped").write_bytes(gzip.compress(PLAIN))
    np.testing.assert_array_equal(read_idx(tmp_path / "plain.gz"), IMAGES)
    np.testing.assert_array_equal(read_idx(str(tmp_path / "zipped")), IMAGES)


def test_an_array_can_be_written_to(tmp_path: Path) -> None:
    write_idx(tmp_path / "x", IMAGES)
    x = read_idx(tmp_path / "x")
    x += 1
    np.testing.assert_array_equal(x, IMAGES + 1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "begins with two zero bytes, got ''"),
        (b"\0\0\x08", "begins with two zero bytes"),
        (b"PNG!", "got '50 4e'"),
        (b"\0\0\x0a\x01", "type code of 0x8, 0x9, 0xb, 0xc, 0xd, 0xe, got 0xa"),
        (b"\0\0\x08\x00", "1 to 32 dimensions, got 0"),
        (b"\0\0\x08\x21" + bytes(4 * 33), "1 to 32 dimensions, got 33"),
        (HEADER[:10], "3 dimensions of 4 bytes, got 6 bytes"),
        (PLAIN[:-1], r"expected 76 bytes for shape \(3, 4, 5\), got 75"),
        (PLAIN + b"\0", r"expected 76 bytes for shape \(3, 4, 5\), got 77"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "max_bytes"),
        (b"\0\0\x08\x03" + bytes(4) + b"\xff" * 8, "max_bytes"),
        (gzip.compress(PLAIN[:-1]), r"expected 60 bytes for shape \(3, 4, 5\), got 59"),
        (gzip.compress(PLAIN + b"\0"), r"expected 60 bytes for shape \(3, 4, 5\), got more"),
        (gzip.compress(PLAIN)[:-9], "damaged gzip stream"),
        (gzip.compress(PLAIN)[:-8] + bytes(8), "damaged gzip stream: CRC check failed"),
        (gzip.compress(b"\0\0\x08\x01\x7f\xff\xff\xff"), "gzipped bytes cannot hold"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "wrong").write_bytes(content)
    with pytest.raises(IDXError, match=words) as caught:
        read_idx(tmp_path / "wrong")
    assert str(caught.value).startswith(f"{tmp_path / 'wrong'}: ")


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        read_idx(tmp_path / "missing")


def test_a_gzip_bomb_is_read_no_further_than_its_header_says() -> None:
    bomb = io.BytesIO(gzip.compress(PLAIN + bytes(2**26)))
    tracemalloc.start()
    try:
        with pytest.raises(IDXError, match="got more"):
            read_idx(bomb)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_ten_thousand_broken_files_are_read_or_refused_within_memory() -> None:
    rng = np.random.default_rng(1)
    valid = [PLAIN, gzip.compress(PLAIN), HEADER[:3] + b"\1\0\0\0\x02ab", gzip.compress(PLAIN + bytes(5000))]
    read = 0
    tracemalloc.start()
    try:
        for n in range(10_000):
            content = scratched(rng, valid[n % len(valid)], head=20) if n % 5 else rng.bytes(rng.integers(64))
            if n % 10 == 5:
                content = (b"\0\0", b"\x1f\x8b\x08\0")[n % 20 == 5] + content
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            with contextlib.suppress(IDXError):
                read += isinstance(read_idx(io.BytesIO(content)), np.ndarray)
            used = tracemalloc.get_traced_memory()[1] - before
            assert used < 2**18 + MAX_EXPANSION * len(content), content.hex()
    finally:
        tracemalloc.stop()
    assert 100 < read < 9_000  # flipped pixels are pixels: some files survive
