"""Weight files hold exactly what was saved, replace each other whole, and what is broken is refused in plain words."""

from __future__ import annotations

import errno
import io
import os
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

import minigan
from minigan import BatchNorm1d, Linear, Sequential
from minigan.files.torch import load_pth, save_pth
from minigan.files.weights import CheckpointError, load_weights, read_metadata, save_npz, save_weights, weights_to_bytes
from tests.files.damage import mutated
from tests.memory import MEMORIES, examples, laid_out

DTYPES = [f"{kind}{size}" for kind, sizes in [("f", "248"), ("i", "1248"), ("u", "1248")] for size in sizes] + ["?"]


def assert_same(actual: Any, expected: Any) -> None:
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    assert actual.tobytes() == np.asarray(expected, order="C").tobytes()  # NaN and -0.0 included


def names() -> st.SearchStrategy[str]:
    return st.text(max_size=8).filter(lambda name: name != "__metadata__")


def any_array() -> st.SearchStrategy[np.ndarray]:
    shapes = arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    return arrays_of.arrays(st.sampled_from(DTYPES), shapes)


@given(st.dictionaries(names(), any_array(), max_size=5))
@examples(200)
def test_every_array_comes_back_with_its_dtype_shape_and_bits(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    save_weights(tmp_path / "w.safetensors", arrays)
    loaded = load_weights(tmp_path / "w.safetensors")
    assert loaded.keys() == arrays.keys()
    for name, a in arrays.items():
        assert_same(loaded[name], a)
        assert loaded[name].flags.writeable


@given(st.dictionaries(names().filter(lambda name: "\0" not in name), any_array(), max_size=5))
@examples(200)
def test_an_npz_brings_every_array_back_and_is_the_same_bytes_each_time(
    tmp_path: Path, arrays: dict[str, np.ndarray]
) -> None:
    for name in ("a.npz", "b.npz"):
        save_npz(tmp_path / name, arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    loaded = load_weights(tmp_path / "a.npz")
    assert loaded.keys() == arrays.keys()
    for name, a in arrays.items():
        assert_same(loaded[name], a)


def test_a_name_that_a_zip_would_cut_off_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"name of an array: .npz has no place for 'a.*b'"):
        save_npz(tmp_path / "a.npz", {"a\0b": np.zeros(1)})
    assert list(tmp_path.iterdir()) == []


@given(st.sampled_from(DTYPES), st.lists(st.integers(1, 4), min_size=1, max_size=4), MEMORIES)
@examples(200)
def test_views_with_strides_are_saved_as_the_numbers_they_show(
    tmp_path: Path, dtype: str, shape: list[int], memory: str
) -> None:
    a = laid_out(np.arange(np.prod(shape)).reshape(shape).astype(dtype), memory)
    save_weights(tmp_path / "w.safetensors", {"a": a, "transposed": a.T, "every other": a[::2]})
    loaded = load_weights(tmp_path / "w.safetensors")
    assert_same(loaded["a"], a)
    assert_same(loaded["transposed"], a.T)
    assert_same(loaded["every other"], a[::2])


def test_parameters_are_saved_with_their_buffers_and_loaded_again(tmp_path: Path) -> None:
    G = Sequential(Linear(3, 4), BatchNorm1d(4))
    g, other = G.init(np.random.default_rng(0)), G.init(np.random.default_rng(1))
    g.buffers["1.running_mean"][...] = 7.0
    save_weights(tmp_path / "G.safetensors", g)
    other.load_state_dict(load_weights(tmp_path / "G.safetensors"))
    for name, a in g.state_dict().items():
        assert_same(other.state_dict()[name], a)


def test_big_endian_numbers_come_back_as_the_same_numbers(tmp_path: Path) -> None:
    a = np.arange(5, dtype=">f4")
    save_weights(tmp_path / "w.safetensors", {"a": a})
    loaded = load_weights(tmp_path / "w.safetensors")["a"]
    np.testing.assert_array_equal(loaded, a)
    assert loaded.dtype == np.float32


def test_metadata_are_kept_beside_minigans_version(tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", {"a": np.ones(2)}, {"network": "Linear(1, 2)", "run": "ä"})
    expected = {"minigan": minigan.__version__, "network": "Linear(1, 2)", "run": "ä"}
    assert read_metadata(tmp_path / "w.safetensors") == expected


def test_the_same_weights_make_the_same_bytes_in_any_order() -> None:
    arrays = {"d": np.float32([1]), "b": np.float64([2]), "c": np.int16([3]), "a": np.float32([4])}
    metadata = {key: key for key in "stuvwxyz"}
    one = weights_to_bytes(arrays, metadata)
    other = weights_to_bytes(dict(reversed(arrays.items())), dict(reversed(metadata.items())))
    assert one == other
    assert len({weights_to_bytes(arrays, metadata) for _ in range(20)}) == 1


def test_other_readers_of_the_format_read_the_file(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3).T, "b": np.array(True)}
    save_weights(tmp_path / "w.safetensors", arrays, {"run": "1"})
    loaded = safetensors.numpy.load_file(tmp_path / "w.safetensors")
    assert_same(loaded["a"], arrays["a"])
    assert_same(loaded["b"], arrays["b"])


@pytest.mark.parametrize("compress", [False, True])
def test_npz_archives_are_read_with_or_without_the_nets_prefix(tmp_path: Path, compress: bool) -> None:
    arrays = {"G/0.weight": np.arange(6.0).reshape(2, 3).T, "G/0.bias": np.float32([1, 2]), "D/t": np.array(3)}
    (np.savez_compressed if compress else np.savez)(tmp_path / "w.npz", **arrays)
    loaded = load_weights(tmp_path / "w.npz")
    assert loaded.keys() == arrays.keys()
    for name, a in arrays.items():
        assert_same(loaded[name], a)
    assert load_weights(tmp_path / "w.npz", prefix="G/").keys() == {"0.weight", "0.bias"}
    with pytest.raises(CheckpointError, match=r"w\.npz: no name starts with 'E/'; there are D/t, G/0"):
        load_weights(tmp_path / "w.npz", prefix="E/")


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ({"a": np.array([object()])}, TypeError, r"'a': expected float16/32/64, integers or bool, got dtype object"),
        ({"a": np.ones(2, complex)}, TypeError, r"'a': expected float.* got dtype complex128"),
        ({"a": np.array(["x"])}, TypeError, r"'a': expected float.* got dtype <U1"),
        ({"a": {"b": np.ones(2)}}, TypeError, r"'a': expected a NumPy or CuPy array, got dict"),
        ({3: np.ones(2)}, TypeError, r"name of an array: expected a string, got 3"),
        ({"__metadata__": np.ones(2)}, ValueError, r"safetensors has no place for '__metadata__'"),
        ({"\ud800": np.ones(2)}, ValueError, r"safetensors has no place for"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name_before_the_old_file_is_touched(
    tmp_path: Path, arrays: Any, error: type[Exception], message: str
) -> None:
    save_weights(tmp_path / "w.safetensors", {"old": np.ones(1)})
    with pytest.raises(error, match=message):
        save_weights(tmp_path / "w.safetensors", arrays)
    assert load_weights(tmp_path / "w.safetensors").keys() == {"old"}


def test_metadata_other_than_strings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="metadata: expected strings, got 'epoch': 3"):
        save_weights(tmp_path / "w.safetensors", {"a": np.ones(1)}, {"epoch": 3})  # type: ignore[dict-item]


@pytest.mark.parametrize("function", ["open", "write", "fsync", "replace"])
def test_a_write_that_fails_is_named_and_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    save_weights(tmp_path / "w.safetensors", {"old": np.ones(1)})
    with monkeypatch.context() as patch:
        patch.setattr(os, function, full)
        with pytest.raises(CheckpointError, match=r"w\.safetensors: could not be written: .*No space left"):
            save_weights(tmp_path / "w.safetensors", {"new": np.ones(1)})
    assert load_weights(tmp_path / "w.safetensors").keys() == {"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_write_that_comes_in_pieces_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    save_weights(tmp_path / "w.safetensors", {"a": np.arange(9.0)})
    assert_same(load_weights(tmp_path / "w.safetensors")["a"], np.arange(9.0))


@pytest.mark.parametrize("name", ["none.safetensors", "none.npz", "folder.npz", "nul\0.npz"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(CheckpointError, match=f"{name}: there is no such file"):
        load_weights(tmp_path / name)


def _safetensors(header: str, numbers: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header.encode() + numbers


def _npz_of(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, a=array, **options)
    return stream.getvalue()


BROKEN = {
    "empty.safetensors": (b"", "not a safetensors file"),
    "huge-header.safetensors": (b"\xff" * 8 + b"{}", "not a safetensors file"),
    "shape.safetensors": (
        _safetensors('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', b"1234"),
        "not a safe",
    ),
    "overflow.safetensors": (
        _safetensors('{"a":{"dtype":"F32","shape":[2,4611686018427387904,0],"data_offsets":[0,0]}}'),
        "not a safetensors file: cannot reshape",
    ),
    "bfloat.safetensors": (
        _safetensors('{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}', b"1234"),
        "holds numbers of type BF16, which NumPy does not have",
    ),
    "bool.safetensors": (
        _safetensors('{"a":{"dtype":"BOOL","shape":[4],"data_offsets":[0,4]}}', b"1234"),
        "'a' is of bool, but holds bytes other than 0 and 1",
    ),
    "deep.safetensors": (_safetensors("[" * 100_000), "not a safetensors file"),
    "empty.npz": (b"", "format: File is not a zip file"),
    "bomb.npz": (_npz_of(np.zeros(10_000_000)), "more than 100 times as large as the file"),
    "pickle.npz": (_npz_of(np.array([{}]), allow_pickle=True), "expected numbers, got dtype object"),
    "strings.npz": (_npz_of(np.array(["a"])), "expected numbers, got dtype <U1"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_with_its_name_and_defect(tmp_path: Path, name: str) -> None:
    content, message = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name}: .*{message}"):
        load_weights(tmp_path / name)


def test_a_header_that_asks_for_more_than_the_file_has_is_refused(tmp_path: Path) -> None:
    honest, greedy = io.BytesIO(), b"'shape': (99999999999,), }"
    np.save(honest, np.arange(3.0))
    member = honest.getvalue().replace(b"'shape': (3,), }" + b" " * 10, greedy)
    assert greedy in member
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("a.npy", member)
    with pytest.raises(CheckpointError, match=r"w\.npz: .*24 bytes for shape \(99999999999,\)"):
        load_weights(tmp_path / "w.npz")


@pytest.mark.parametrize("rounds", [400, pytest.param(2_500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["safetensors", "npz", "compressed npz"])
def test_nothing_but_the_documented_error_comes_of_random_and_mutated_files(
    tmp_path: Path, kind: str, rounds: int
) -> None:
    rng = np.random.default_rng(len(kind))
    arrays = {"0.weight": rng.normal(size=(3, 2)), "0.bias": np.float32([1, 2]), "t": np.array(5), "on": np.array(True)}
    path = tmp_path / f"w.{kind.rsplit(maxsplit=1)[-1]}"
    if kind == "safetensors":
        save_weights(path, arrays, {"network": "Linear(2, 3)"})
    else:
        (np.savez if kind == "npz" else np.savez_compressed)(path, **arrays)
    whole, outcomes = path.read_bytes(), {"refused": 0, "read": 0}
    tracemalloc.start()
    for _ in range(rounds):
        path.write_bytes(mutated(rng, whole))
        for read in [load_weights, *([read_metadata] if kind == "safetensors" else [])]:
            try:
                read(path)
                outcomes["read"] += 1
            except CheckpointError as error:
                outcomes["refused"] += str(path) in str(error)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(outcomes.values()) == rounds * (2 if kind == "safetensors" else 1)
    assert outcomes["refused"] > 0.4 * rounds
    assert peak < 100 * len(whole) + 2e6


def test_without_pytorch_its_files_are_refused_and_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(RuntimeError, match="need PyTorch: pip install torch"):
        load_pth(tmp_path / "a.pth")
    with pytest.raises(RuntimeError, match="need PyTorch: pip install torch"):
        save_pth(tmp_path / "a.pth", {})
