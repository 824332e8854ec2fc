"""The worked examples of docs/own_gan.md are trained, stopped, resumed and sampled like minigan's own GANs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minigan.__main__ import main
from minigan.data.digits import digits
from minigan.gans import gan_of
from minigan.running.records import read_records
from tests.small_systems import files

HERE = Path(__file__).parents[2] / "docs" / "own_gan"
SHORT = {  # options, turns in all
    "labels": (["--epochs=1", "--batch=400"], 25),
    "ring": (["--turns=24", "--batch=16"], 24),
    "two_generators": (["--turns=24", "--batch=16", "--pool=4"], 24),
    "tokens": (["--turns=24", "--batch=16"], 24),
}
every_example = pytest.mark.parametrize("name", SHORT)


def train(name: str, output: Path, *words: str) -> None:
    habits = ["--log-every=5", "--sample-every=10", "--checkpoint-every=11", "--keep=1", "--no-progress"]
    assert main(["train", str(HERE / f"{name}.py"), f"--output={output}", *habits, *words]) == 0


@every_example
def test_a_worked_example_leaves_a_run_that_can_be_resumed_bit_for_bit_and_sampled(name: str, tmp_path: Path) -> None:
    options, turns = SHORT[name]
    train(name, tmp_path / "whole", *options)
    train(name, tmp_path / "parts", *options, "--stop-after=17")  # in the middle: pools are full, streams have moved
    train(name, tmp_path / "parts", "--resume")
    whole, parts = files(tmp_path / "whole"), files(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert [path for path in whole if whole[path] != parts[path]] == []

    log = read_records(tmp_path / "whole" / "log.jsonl")
    assert log[-1]["turn"] >= turns - 5
    assert {"samples.png", "curves.png", "training.gif", "run.json"} <= whole.keys()
    sheets = [path for path in whole if path.startswith("samples/")]
    assert len(sheets) == 1 + turns // 10

    out = ["--gan", str(HERE / f"{name}.py"), "--n", "10"]
    assert main(["sample", str(tmp_path / "whole"), *out, "--output", str(tmp_path / "s.png")]) == 0
    assert main(["sample", str(tmp_path / "whole"), *out, "--output", str(tmp_path / "s.npz")]) == 0
    with Image.open(tmp_path / "s.png") as picture:
        assert len(picture.convert("L").getcolors(10**6) or []) > 1
    assert len(np.load(tmp_path / "s.npz")["samples"]) == 10


@every_example
def test_the_command_line_does_not_know_an_example_by_its_name(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(name, tmp_path / "run", *SHORT[name][0], "--stop-after=3")
    assert main(["sample", str(tmp_path / "run"), "--output", str(tmp_path / "s.png")]) == 2
    assert "if it is a GAN of your own, name its file" in capsys.readouterr().err


def test_the_conditional_gan_takes_at_most_sixty_lines_its_data_included() -> None:
    assert len((HERE / "labels.py").read_text().splitlines()) <= 60


def played(name: str, **changes: int) -> tuple[Path, object]:
    page = gan_of(HERE / f"{name}.py")
    system = page.build(page.Options(**changes))
    for _ in system.play():
        pass
    return page, system


@pytest.mark.slow
def test_the_policy_gradient_teaches_g_to_count() -> None:
    page, system = played("tokens", turns=600)
    tokens = system.samples(system.sampling.noise(np.random.default_rng(1), 200))
    assert (np.diff(tokens) % page.TOKENS == 1).mean() > 0.95
    assert len(np.unique(tokens[:, 0])) >= 2


@pytest.mark.slow
def test_the_conditional_gan_draws_the_digit_that_it_is_told() -> None:
    _, system = played("labels", epochs=12)
    drawn = system.samples(system.sampling.noise(np.random.default_rng(1), 500))
    images, labels = digits("glyphs")
    rows = [a.reshape(len(a), -1).astype(np.float32) for a in (drawn, images)]
    rows = [a - a.mean(1, keepdims=True) for a in rows]
    drawn, images = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in rows)
    nearest = labels[(drawn @ images.T).argmax(1)]
    assert (nearest == np.arange(500) % 10).mean() > 0.6  # by chance: 0.1


@pytest.mark.slow
def test_wgan_gp_finds_all_eight_modes_of_the_ring() -> None:
    _, system = played("ring", turns=1500)
    x = system.samples(system.sampling.noise(np.random.default_rng(1), 4000))
    angle = np.arange(8) * np.pi / 4
    distance = np.linalg.norm(x[:, None] - 2.0 * np.stack([np.cos(angle), np.sin(angle)], 1), axis=2)
    near = distance.min(1) < 0.3
    assert (np.bincount(distance.argmin(1)[near], minlength=8) > 40).all()


@pytest.mark.slow
def test_two_generators_go_there_and_back() -> None:
    page, system = played("two_generators", turns=800)
    G, a = system.players["G"], page.circle(np.random.default_rng(1), 500)
    b = G["ab"](a)
    assert np.abs(b[:, 1] - 0.5 * b[:, 0]).mean() < 0.25  # near the line; the circle's own mean is 0.71
    assert np.abs(G["ba"](b) - a).mean() < 0.2
