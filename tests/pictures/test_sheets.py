"""Sheets of images to the pixel, pictures and films as files, and the figure of a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minigan.pictures.figures import run_figure
from minigan.pictures.sheets import save_gif, save_picture, save_sheet, sheet, to_bytes


def _grey(*values: float) -> np.ndarray:
    """Images of one pixel each."""
    return np.array(values, np.float32).reshape(-1, 1, 1, 1)


def test_images_go_row_by_row_with_shared_padding_and_black_where_none_is_left() -> None:
    picture = sheet(_grey(1.0, 0.0, 0.5), columns=2, padding=1)
    expected = np.array([[0, 0, 0, 0, 0], [0, 255, 0, 128, 0], [0, 0, 0, 0, 0], [0, 191, 0, 0, 0], [0, 0, 0, 0, 0]])
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, np.stack([expected] * 3, 2))


def test_colours_stay_in_their_channels() -> None:
    images = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 1.0]]).reshape(2, 3, 1, 1)
    np.testing.assert_array_equal(sheet(images, columns=2, padding=0), [[[255, 0, 128], [0, 255, 255]]])


def test_an_image_keeps_its_rows_and_columns() -> None:
    image = np.linspace(-1, 1, 6).reshape(1, 1, 2, 3)
    np.testing.assert_array_equal(sheet(image, padding=0)[:, :, 0], [[0, 51, 102], [153, 204, 255]])


def test_a_scale_makes_squares_of_pixels_and_leaves_the_padding() -> None:
    picture = sheet(_grey(1.0, -1.0), columns=2, padding=1, scale=2)
    assert picture.shape == (4, 7, 3)
    np.testing.assert_array_equal(picture[1:3, :, 0], [[0, 255, 255, 0, 0, 0, 0]] * 2)


@pytest.mark.parametrize(("n", "side"), [(1, 1), (2, 2), (4, 2), (5, 3), (16, 4), (17, 5)])
def test_without_columns_a_sheet_is_as_square_as_it_can_be(n: int, side: int) -> None:
    assert sheet(np.zeros((n, 1, 1, 1)), padding=0).shape[1] == side


def test_what_lies_outside_is_clipped_and_nan_is_black() -> None:
    values = np.array([-7.0, math.inf, -math.inf, math.nan, 1.5])
    np.testing.assert_array_equal(to_bytes(values), [0, 255, 0, 0, 255])


def test_bytes_that_became_floats_come_back() -> None:
    data = np.arange(256, dtype=np.uint8)
    for dtype in (np.float32, np.float64):
        np.testing.assert_array_equal(to_bytes(data / dtype(127.5) - dtype(1)), data)


@pytest.mark.parametrize("shape", [(0, 1, 2, 2), (4, 2, 2, 2), (3, 28, 28), (5,)])
def test_another_shape_is_refused_by_name(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"images: expected shape \(N, C, H, W\)") as refused:
        sheet(np.zeros(shape))
    assert str(shape) in str(refused.value)


def test_rows_of_pixels_are_refused_with_a_hint() -> None:
    with pytest.raises(ValueError, match=r"got \(16, 784\); .* images.reshape\(-1, 1, 28, 28\)"):
        sheet(np.zeros((16, 784)))


def test_bytes_are_refused_as_images_and_floats_as_a_picture(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"images: expected floats .* got dtype uint8"):
        sheet(np.zeros((1, 1, 2, 2), np.uint8))
    with pytest.raises(ValueError, match=r"picture: expected uint8 .* got float64"):
        save_picture(tmp_path / "a.png", np.zeros((2, 2)))


@pytest.mark.parametrize("wrong", [{"columns": 0}, {"padding": -1}, {"scale": 0}])
def test_a_number_below_its_least_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: expected at least"):
        sheet(_grey(0.0), **wrong)


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3)])
def test_a_picture_is_read_back_as_it_was_written(shape: tuple[int, ...], tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    save_picture(tmp_path / "a.png", picture)
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), picture)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_saved_sheet_of_small_images_is_large_enough_to_be_looked_at(tmp_path: Path) -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (16, 1, 28, 28))
    save_sheet(tmp_path / "a.png", images, columns=4)
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), sheet(images, columns=4, scale=4))
    save_sheet(tmp_path / "b.png", np.zeros((64, 3, 96, 96), np.float32))
    with Image.open(tmp_path / "b.png") as image:
        assert image.size == (8 * 98 + 2, 8 * 98 + 2)


def test_a_picture_that_cannot_be_written_is_an_error_that_names_it_and_the_old_one_stays(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot write .*missing.a\.png: No such file"):
        save_picture(tmp_path / "missing" / "a.png", np.zeros((2, 2), np.uint8))
    (tmp_path / ".a.png.tmp").mkdir()  # in the way
    (tmp_path / "a.png").write_text("old")
    with pytest.raises(OSError, match="cannot write"):
        save_picture(tmp_path / "a.png", np.zeros((2, 2), np.uint8))
    assert (tmp_path / "a.png").read_text() == "old"
    with pytest.raises(ValueError, match=r"path: expected the name of a picture.* got .*a\.txt"):
        save_picture(tmp_path / "a.txt", np.zeros((2, 2), np.uint8))


@pytest.mark.parametrize("shape", [(8, 6), (8, 6, 3)])
def test_a_film_has_all_frames_and_lingers_on_the_last(shape: tuple[int, ...], tmp_path: Path) -> None:
    save_gif(tmp_path / "a.gif", [np.full(shape, 50 * i, np.uint8) for i in range(5)], seconds_per_frame=0.2)
    with Image.open(tmp_path / "a.gif") as film:
        shown = []
        for i in range(film.n_frames):
            film.seek(i)
            shown.append((film.info["duration"], np.asarray(film.convert("RGB"))[0, 0, 0]))
        assert film.info["loop"] == 0
    assert shown == [(200, 0), (200, 50), (200, 100), (200, 150), (2000, 200)]


def test_a_film_of_one_frame_is_a_picture(tmp_path: Path) -> None:
    save_gif(tmp_path / "a.gif", [np.zeros((4, 4, 3), np.uint8)])
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 1


def test_a_film_without_frames_or_of_different_shapes_or_too_fast_is_refused(tmp_path: Path) -> None:
    frame = np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match="frames: expected one or more"):
        save_gif(tmp_path / "a.gif", [])
    with pytest.raises(ValueError, match=r"frames: .* got \[\(4, 4\), \(3, 4\)\]"):
        save_gif(tmp_path / "a.gif", [frame, frame[:3]])
    with pytest.raises(ValueError, match=r"seconds_per_frame, linger: .* got 0.0"):
        save_gif(tmp_path / "a.gif", [frame, frame], seconds_per_frame=0.0)
    assert list(tmp_path.iterdir()) == []


def test_the_figure_of_a_run_draws_what_was_measured_where_it_was_measured() -> None:
    records = [
        {"turn": 1, "epoch": 1, "batch": 1, "d_loss": 0.75, "g_loss": None, "on_real": 0.6, "on_fake": 0.4, "k": 0.0},
        {"turn": 2, "epoch": 1, "batch": 2, "d_loss": None, "g_loss": 2.0},
        {"turn": 2, "frechet": 3.0},
        {"turn": 3, "d_loss": 2.0, "g_loss": math.nan, "on_real": 0.5, "on_fake": 0.5, "k": 0.1},
    ]
    losses, thoughts, *others = run_figure(records).axes
    drawn = {line.get_label(): line.get_xydata().tolist() for axes in (losses, thoughts) for line in axes.lines}
    assert drawn == {
        "D": [[1, 0.75], [3, 2.0]],
        "G": [[2, 2.0]],
        "on real samples": [[1, 0.6], [3, 0.5]],
        "on generated samples": [[1, 0.4], [3, 0.5]],
    }
    assert [axes.get_title() for axes in (losses, thoughts, *others)] == ["Losses", "What D thinks", "frechet", "k"]
    assert [axes.lines[0].get_xydata().tolist() for axes in others] == [[[2, 3.0]], [[1, 0.0], [3, 0.1]]]
    assert others[-1].get_xlabel() == "turn"


def test_a_run_that_noted_nothing_but_one_number_has_one_picture() -> None:
    (axes,) = run_figure([{"turn": 1, "critic_loss": -0.5}, {"turn": 2, "critic_loss": -1.5}]).axes
    assert axes.get_title() == "Losses"
    assert axes.lines[0].get_ydata().tolist() == [-0.5, -1.5]


def test_long_series_are_smoothed_by_a_mean_that_knows_where_they_end() -> None:
    records = [{"turn": t, "g_loss": 2.0 + (-1) ** t} for t in range(200)]
    raw, smooth = run_figure(records).axes[0].lines
    assert set(raw.get_ydata()) == {1.0, 3.0}
    np.testing.assert_allclose(smooth.get_ydata(), 2.0, atol=0.2)


def test_a_run_without_records_has_no_figure() -> None:
    with pytest.raises(ValueError, match="records: expected at least one"):
        run_figure([])
