"""The live view holds what was shown, once, also after a run was cut off or the disk was full."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigan.running.live import Live, tag

events_are_read = pytest.mark.needs("tensorboardX", "tensorboard")


@pytest.fixture
def read() -> Any:
    """Folder -> what TensorBoard itself reads there."""
    from tensorboard.backend.event_processing import event_accumulator as reader

    def read(folder: Path) -> Any:
        events = reader.EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
        return events.Reload()

    return read


def _points(events: Any, tag: str) -> list[tuple[int, float]]:
    return [(point.step, round(point.value, 6)) for point in events.Scalars(tag)]


def _record(turn: int, g: float | None = None) -> dict[str, Any]:
    return {"turn": turn, "epoch": 1, "batch": turn, "d_loss": 0.5, "g_loss": g}


@pytest.mark.parametrize(
    ("name", "group"),
    [("d_loss", "loss/d"), ("critic_loss", "loss/critic"), ("on_fake", "D/on_fake"), ("penalty", "note/penalty")],
)
def test_notes_of_one_kind_are_in_one_group(name: str, group: str) -> None:
    assert tag(name) == group


@events_are_read
def test_numbers_and_sheets_are_read_back_at_their_turns(tmp_path: Path, read: Any) -> None:
    with Live(tmp_path / "live") as live:
        live.record({**_record(1, 2.0), "on_real": 0.75, "on_fake": 0.125})
        live.record(_record(2, None))
        live.record({"turn": 2, "frechet": 3.5})
        live.picture(2, np.zeros((4, 6, 3), np.uint8))
        live.picture(3, np.zeros((4, 6), np.uint8))
    events = read(tmp_path / "live")
    assert {tag: _points(events, tag) for tag in events.Tags()["scalars"]} == {
        "loss/d": [(1, 0.5), (2, 0.5)],
        "loss/g": [(1, 2.0)],
        "D/on_real": [(1, 0.75)],
        "D/on_fake": [(1, 0.125)],
        "note/frechet": [(2, 3.5)],
    }
    assert [(image.step, image.height, image.width) for image in events.Images("samples")] == [(2, 4, 6), (3, 4, 6)]


@events_are_read
def test_what_is_shown_can_be_read_while_the_training_goes_on(tmp_path: Path, read: Any) -> None:
    with Live(tmp_path) as live:
        live.record(_record(1, 2.0))
        assert _points(read(tmp_path), "loss/g") == [(1, 2.0)]


@events_are_read
@pytest.mark.parametrize("played", [0, 4])
def test_a_run_that_goes_on_from_an_earlier_turn_takes_back_what_came_after_it(
    played: int, tmp_path: Path, read: Any
) -> None:
    with Live(tmp_path) as live:
        for turn in range(1, 8):
            live.record(_record(turn, 1.0))
            live.picture(turn, np.zeros((2, 2, 3), np.uint8))
    with Live(tmp_path, played) as live:  # in the same second: into the same folder, not into the same file
        for turn in range(played + 1, 7):
            live.record(_record(turn, 2.0))
            live.picture(turn, np.zeros((2, 2, 3), np.uint8))
    events = read(tmp_path)
    assert _points(events, "loss/g") == [(turn, 1.0 if turn <= played else 2.0) for turn in range(1, 7)]
    assert [image.step for image in events.Images("samples")] == [1, 2, 3, 4, 5, 6]


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    resource = pytest.importorskip("resource", reason="this system has no limit on the size of files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@events_are_read
def test_a_full_disk_is_an_error_at_once_and_later_events_are_readable(tmp_path: Path, read: Any) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    with Live(tmp_path) as live:
        live.record(_record(1, 1.0))
        with _files_of_at_most(1_000_000):
            for _ in range(12):  # more often than a queue could swallow
                with pytest.raises(OSError, match="File too large"):
                    live.picture(2, noise)
        live.record(_record(3, 3.0))
    assert _points(read(tmp_path), "loss/g") == [(1, 1.0), (3, 3.0)]


def test_without_tensorboardx_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ValueError, match="tensorboard: tensorboardX is not installed: pip install"):
        Live(tmp_path)
