"""The judge of digits and its table, on a handful of made-up digits in MNIST's format."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from benchmarks import classifier
from benchmarks.classifier import TrainClassifier, judged, load_classifier, read_images
from benchmarks.quality import Score
from minigan.gans import mnist_mlp
from minigan.running import Run, train
from tests.data.idx_files import write_idx


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten kinds of bars in noise: 300 to train on and 60 held out."""
    rng = np.random.default_rng(0)
    for part, n in {"train": 300, "t10k": 60}.items():
        labels = (np.arange(n) % 10).astype(np.uint8)
        x = rng.integers(0, 60, (n, 28, 28)).astype(np.uint8)
        for image, label in zip(x, labels, strict=True):
            top, left = 3 + 5 * (label // 2), 4 + 12 * (label % 2)
            image[top : top + 2, left : left + 8] = 255
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", x)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels)
    return tmp_path


def test_idx_files_are_read_as_they_were_written(data: Path) -> None:
    images = read_images(data, "t10k")
    assert (images.x.shape, images.x.dtype) == ((60, 1, 28, 28), np.float32)
    np.testing.assert_array_equal(images.labels, np.arange(60) % 10)
    assert images.x[3, 0, 8, 16] == 1.0


def test_the_judge_comes_back_from_its_file_as_it_was_trained(data: Path) -> None:
    file = data / "judges" / "lenet.safetensors"
    TrainClassifier(data, file, epochs=1, batch=100).run()
    p = classifier.train(read_images(data, "train"), 1, 100, 2e-3, np.random.default_rng(0))
    assert list(load_file(file)) == sorted(p)
    np.testing.assert_array_equal(load_classifier(file).flat, p.flat)
    features, probabilities = judged(p, read_images(data, "t10k").x, batch=7)
    assert (features.shape, probabilities.shape) == ((60, 84), (60, 10))
    np.testing.assert_allclose(probabilities.sum(1), 1.0, rtol=1e-5)


def test_images_and_generators_get_a_row_each_and_copies_are_found(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge, run, copies = data / "lenet.safetensors", data / "run", data / "copies.npz"
    TrainClassifier(data, judge, epochs=20, batch=30).run()
    train(mnist_mlp.build(replace(mnist_mlp.PRESETS["quick"], images=64, epochs=2)), Run(output=run, progress=False))
    np.savez(copies, images=(255 * read_images(data, "train").x).astype(np.uint8))
    output, figure = data / "quality.json", data / "quality.png"
    Score(
        data,
        judge,
        runs=(run, run / "weights" / "netg.safetensors"),
        images=(copies,),
        samples=50,
        output=output,
        figure=figure,
    ).run()
    results = json.loads(output.read_text())
    rows = {row["name"]: row for row in results["rows"]}
    assert [row["name"] for row in results["rows"]] == [
        "real, held out",
        "real, held out, blurred 3x3",
        "noise",
        "real, trained on",
        "minigan mnist_mlp, turn 2",
        "minigan mnist_mlp, turn 2",
        "copies",
    ]
    assert {name for name, row in rows.items() if row["copied"] > 0.5} == {"real, trained on", "copies"}
    assert rows["copies"]["nearest"] == 0.0
    assert rows["real, held out"]["label_right"] > 0.9
    assert rows["real, held out"]["frechet"] < rows["minigan mnist_mlp, turn 2"]["frechet"]
    assert results["samples"] == 50
    assert capsys.readouterr().out.count("\n| ") == 2 + len(results["rows"])
    assert figure.stat().st_size > 10_000


def test_images_beyond_their_range_are_refused(data: Path) -> None:
    judge, wrong = data / "lenet.safetensors", data / "wrong.npz"
    TrainClassifier(data, judge, epochs=0).run()
    np.savez(wrong, images=np.full((10, 784), 255.0))
    with pytest.raises(
        SystemExit, match=r"error: images: expected uint8, or floats in \[-1, 1\], got float64 up to 255"
    ):
        Score(data, judge, images=(wrong,), samples=10).run()
