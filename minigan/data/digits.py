"""Images of 28 x 28 in ten classes: glyphs (drawn here, no download), MNIST, Fashion-MNIST.

    images, labels = digits("mnist", "data")     # found under data/, else fetched to data/mnist/

Read next: batches.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from minigan.data.download import DownloadError, download
from minigan.data.glyphs import glyphs
from minigan.data.idx import IDXError, read_idx

Name: TypeAlias = Literal["glyphs", "mnist", "fashion"]
Split: TypeAlias = Literal["train", "test"]


class Source(NamedTuple):
    """Where the four files of a data set come from."""

    url: str  # the folder on the network
    folders: tuple[str, ...]  # where they may lie under data_dir; the first is where they are put
    sha256: dict[str, str]  # of each file


FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
SOURCES = {
    "mnist": Source(  # [LeCun, Cortes, Burges: The MNIST database of handwritten digits]
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ("mnist", "MNIST/raw"),
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "fashion": Source(  # [Xiao, Rasul, Vollgraf 2017: Fashion-MNIST]
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ("fashion_mnist", "FashionMNIST/raw"),
        {
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
}
N_GLYPHS = {"train": 10_000, "test": 2_000}


def digits(
    name: Name = "glyphs", data_dir: str | Path = "data", split: Split = "train", download: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of a data set.

    Args:
        name: 'glyphs', 10,000 and 2,000 digits drawn from fonts; 'mnist' or 'fashion', 60,000 and 10,000.
        data_dir: where MNIST's IDX files are looked for, as they are or with .gz: in mnist/ (or fashion_mnist/), in
            MNIST/raw/ (or FashionMNIST/raw/), where torchvision puts them, and in data_dir itself, where files are
            taken to be of the data set that was asked for.
        split: 'train' or 'test'.
        download: fetch what is missing to data_dir/mnist (or fashion_mnist), checked by its SHA-256.

    Returns:
        Images, uint8 of shape (N, 28, 28), 0 black; labels 0 ... 9, uint8 of shape (N,).

    Raises:
        ValueError: if name or split is none of these.
        IDXError: if a file is damaged, or not images and labels that belong together.
        FileNotFoundError: if files are missing and download is off. This and the next say what to put where.
        DownloadError: if files are missing and could not be fetched.
        OSError: if a file cannot be read or written.
    """
    if name not in ("glyphs", *SOURCES):
        raise ValueError(f"name: expected 'glyphs', 'mnist' or 'fashion', got {name!r}")
    if split not in FILES:
        raise ValueError(f"split: expected 'train' or 'test', got {split!r}")
    if name == "glyphs":
        return glyphs(N_GLYPHS[split], seed=list(FILES).index(split))
    paths = [_path(name, Path(data_dir), file, download) for file in FILES[split]]
    images, labels = (read_idx(path) for path in paths)
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28) or len(images) == 0:
        raise IDXError(f"{paths[0]}: expected uint8 of shape (N, 28, 28), got {images.dtype} of {images.shape}")
    if labels.dtype != np.uint8 or labels.shape != (len(images),):
        raise IDXError(f"{paths[1]}: expected uint8 of shape ({len(images)},), got {labels.dtype} of {labels.shape}")
    if labels.max() > 9:
        raise IDXError(f"{paths[1]}: expected labels 0 to 9, got {labels.max()}")
    return images, labels


def _path(name: str, data_dir: Path, file: str, fetch: bool) -> Path:
    """Where the file is, after it was fetched if need be."""
    source = SOURCES[name]
    for folder in (*source.folders, "."):
        for path in (data_dir / folder / file.removesuffix(".gz"), data_dir / folder / file):
            if path.is_file():
                return path
    home = data_dir / source.folders[0]
    remedy = f"put {', '.join(source.sha256)} from {source.url} into {home}"
    if not fetch:
        raise FileNotFoundError(f"data_dir: no {file} of {name} under {data_dir}; allow the download, or {remedy}")
    try:
        download(source.url + file, home / file, source.sha256[file])
    except DownloadError as error:
        raise DownloadError(
            f"data_dir: no {file} of {name} under {data_dir}, and none to be fetched ({error}); {remedy}"
        ) from None
    return home / file
