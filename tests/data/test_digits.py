"""Data sets of digits: found where they are usually put, fetched safely, refused if they are damaged."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from minigan.data import digits as module
from minigan.data.digits import FILES, SOURCES, digits
from minigan.data.download import DownloadError, download
from minigan.data.glyphs import glyphs
from minigan.data.idx import IDXError
from tests.data.idx_files import write_idx

IMAGES, LABELS = glyphs(12, seed=5)


def put(folder: Path, split: str = "train", suffix: str = "", images: np.ndarray = IMAGES, labels=LABELS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file, x in zip(FILES[split], (images, labels), strict=True):
        write_idx(folder / (file.removesuffix(".gz") + suffix), x)
    return folder


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mnist", "."),
        ("mnist", "mnist"),
        ("mnist", "MNIST/raw"),
        ("fashion", "."),
        ("fashion", "fashion_mnist"),
        ("fashion", "FashionMNIST/raw"),
    ],
)
def test_files_are_found_where_they_are_usually_put(
    tmp_path: Path, name: str, folder: str, split: str, suffix: str
) -> None:
    put(tmp_path / folder, split, suffix)
    for data_dir in (tmp_path, str(tmp_path)):
        images, labels = digits(name, data_dir, split, download=False)
        np.testing.assert_array_equal(images, IMAGES)
        np.testing.assert_array_equal(labels, LABELS)


def test_one_data_sets_folder_is_not_anothers(tmp_path: Path) -> None:
    put(tmp_path / "mnist")
    put(tmp_path / "fashion_mnist", images=255 - IMAGES)
    np.testing.assert_array_equal(digits("mnist", tmp_path)[0], IMAGES)
    np.testing.assert_array_equal(digits("fashion", tmp_path)[0], 255 - IMAGES)


def test_glyphs_need_no_files_and_their_splits_differ() -> None:
    (images, labels), (test_images, test_labels) = digits(), digits(split="test")
    assert (images.shape, labels.shape) == ((10_000, 28, 28), (10_000,))
    assert (test_images.shape, test_labels.shape) == ((2_000, 28, 28), (2_000,))
    both = np.concatenate([images, test_images])
    assert len(np.unique(both, axis=0)) == 12_000


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (IMAGES[:, :27], LABELS, r"train-images.*expected uint8 of shape \(N, 28, 28\), got uint8 of \(12, 27, 28\)"),
        (IMAGES.astype(np.int32), LABELS, r"train-images.*got int32"),
        (IMAGES[:0], LABELS[:0], r"train-images.*got uint8 of \(0, 28, 28\)"),
        (LABELS, IMAGES, "train-images"),
        (IMAGES, LABELS[:-1], r"train-labels.*expected uint8 of shape \(12,\), got uint8 of \(11,\)"),
        (IMAGES, LABELS + np.uint8(1), "train-labels.*expected labels 0 to 9, got 10"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, words: str
) -> None:
    put(tmp_path, images=images, labels=labels)
    with pytest.raises(IDXError, match=words):
        digits("mnist", tmp_path)


def test_missing_files_are_named_with_where_to_get_and_put_them(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        digits("mnist", tmp_path, download=False)
    assert str(caught.value).startswith("data_dir: ")
    for words in ["no train-images-idx3-ubyte.gz", *SOURCES["mnist"].sha256, SOURCES["mnist"].url]:
        assert words in str(caught.value)
    assert str(caught.value).endswith(f"into {tmp_path / 'mnist'}")


def test_names_and_splits_are_checked() -> None:
    with pytest.raises(ValueError, match="name: expected 'glyphs', 'mnist' or 'fashion', got 'MNIST'"):
        digits("MNIST")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="split: expected 'train' or 'test', got 'valid'"):
        digits("glyphs", split="valid")  # type: ignore[arg-type]


# The network: a server on this machine --------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """Serves the files of `server.files`; says of /short/... that they are longer than they are."""

    def do_GET(self) -> None:
        content = self.server.files.get(self.path.split("/")[-1])  # type: ignore[attr-defined]
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) + 1000 * self.path.startswith("/short/")))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = put(tmp_path_factory.mktemp("served"), suffix=".gz")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files = {path.name: path.read_bytes() for path in folder.iterdir()}  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def address(server: ThreadingHTTPServer, path: str = "") -> str:
    return f"http://127.0.0.1:{server.server_port}/{path}"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def mirror(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> ThreadingHTTPServer:
    """The server, as MNIST's source."""
    hashes = dict.fromkeys(SOURCES["mnist"].sha256, "") | {name: sha256(x) for name, x in server.files.items()}
    monkeypatch.setitem(module.SOURCES, "mnist", SOURCES["mnist"]._replace(url=address(server), sha256=hashes))
    return server


def test_missing_files_are_fetched_once(tmp_path: Path, mirror: ThreadingHTTPServer) -> None:
    for _ in range(2):
        images, labels = digits("mnist", tmp_path / "new")
        np.testing.assert_array_equal(images, IMAGES)
        np.testing.assert_array_equal(labels, LABELS)
        mirror.files.clear()  # type: ignore[attr-defined]
    assert sorted(path.name for path in (tmp_path / "new" / "mnist").iterdir()) == sorted(FILES["train"])


def test_what_cannot_be_fetched_is_named_with_where_to_get_and_put_it(
    tmp_path: Path, mirror: ThreadingHTTPServer
) -> None:
    with pytest.raises(DownloadError, match=r"^data_dir: ") as caught:
        digits("mnist", tmp_path, "test")
    message = str(caught.value)
    for words in ["no t10k-images-idx3-ubyte.gz", "404", f"from {address(mirror)} into {tmp_path / 'mnist'}"]:
        assert words in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_a_good_file_comes_under_its_name(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    name = FILES["train"][0]
    content = server.files[name]  # type: ignore[attr-defined]
    download(address(server, name), tmp_path / "deep" / "x", sha256(content))
    assert (tmp_path / "deep" / "x").read_bytes() == content
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("path", "right_hash", "words"),
    [
        ("{}", False, r"expected a file of SHA-256 0+, got \d+ bytes of [0-9a-f]{64}"),
        ("short/{}", True, "IncompleteRead|got"),
        ("missing", True, "404"),
    ],
)
def test_a_bad_download_is_refused_and_leaves_nothing_behind(
    tmp_path: Path, server: ThreadingHTTPServer, path: str, right_hash: bool, words: str
) -> None:
    name = FILES["train"][0]
    url = address(server, path.format(name))
    full = server.files[name] + bytes(1000 * path.startswith("short"))  # type: ignore[attr-defined]
    with pytest.raises(DownloadError, match=words) as caught:
        download(url, tmp_path / "a" / "b" / "x", sha256(full) if right_hash else "0" * 64)
    assert str(caught.value).startswith(url)
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DownloadError, match="refused"):  # nobody listens there any more
        download(f"http://127.0.0.1:{port}/x", tmp_path / "x", "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_good_file_that_is_there_survives_a_bad_download(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    (tmp_path / "x").write_bytes(b"good")
    with pytest.raises(DownloadError, match="404"):
        download(address(server, "missing"), tmp_path / "x", "0" * 64)
    assert (tmp_path / "x").read_bytes() == b"good"
