"""The systems are what their sources say, can be shown, scored and opened again, and refuse what cannot work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples import toy_gaussian
from minigan import Adam, initializers, objectives, running
from minigan.arrays import to_host
from minigan.running import Run, train
from minigan.running.folder import describe, options_from
from minigan.systems import SYSTEMS, dcgan, mnist_conv, mnist_mlp, toy
from minigan.systems.scores import coarse, frechet_of_pixels
from minigan.weights_files import CheckpointError, save_weights
from tests.small_systems import build, every_system, options


def test_defaults_are_those_of_the_sources() -> None:
    mlp, conv, dc = mnist_mlp.Options(), mnist_conv.Options(), dcgan.Options()
    assert (mlp.noise, mlp.widths, mlp.d_lr, mlp.g_lr, mlp.betas, mlp.batch, mlp.epochs) == (
        *(100, (128, 256, 512), 2e-4, 2e-4, (0.5, 0.999), 64, 200),
    )
    assert (conv.noise, conv.width, conv.hidden, conv.d_lr, conv.g_lr, conv.betas, conv.batch, conv.epochs) == (
        *(96, 64, 1024, 1e-3, 1e-3, (0.5, 0.999), 128, 10),
    )
    assert (dc.noise, dc.width, dc.image_size, dc.d_lr, dc.g_lr, dc.betas, dc.batch, dc.epochs) == (
        *(100, 64, 96, 2e-4, 2e-4, (0.5, 0.999), 256, 200),
    )
    assert (dc.d_every, dc.g_every, dc.init) == (1, 5, "original")


def test_networks_have_the_sizes_of_the_sources() -> None:
    def counts(module: Any) -> list[int]:
        return [
            sum(int(np.prod(s.shape)) for s in net.parameters().values()) for net in module.networks(module.Options())
        ]

    assert counts(mnist_mlp) == [12_928 + 33_024 + 131_584 + 402_192, 401_920 + 131_328 + 257]
    assert counts(mnist_conv)[1] == 1_102_721
    assert counts(dcgan) == [3_578_432, 2_767_296]


@pytest.mark.parametrize(
    ("name", "objective", "reuse", "every"),
    [
        ("mnist_mlp", objectives.non_saturating, True, (1, 1)),
        ("mnist_conv", objectives.non_saturating_with_logits, False, (1, 1)),
        ("dcgan", objectives.non_saturating, False, (1, 2)),
    ],
)
def test_a_system_plays_the_game_of_its_source(
    name: str, objective: Any, reuse: bool, every: tuple[int, int], tmp_path: Path
) -> None:
    system = build(name, tmp_path)
    assert system.objective is objective
    assert (system.game.reuse_noise, (system.game.d_every, system.game.g_every)) == (reuse, every)
    assert (system.game.d_steps, system.game.g_steps, system.game.turns) == (1, 1, 4 * system.epoch)
    for player in (system.G, system.D):
        assert isinstance(player.optimizer, Adam)
        assert player.optimizer.eps == 1e-8


def test_the_toy_is_the_default_preset_of_the_example(tmp_path: Path) -> None:
    o = replace(toy_gaussian.PRESETS["default"], epochs=20)
    players = toy_gaussian.make_players(o)
    for _ in toy_gaussian.game(o, players):
        pass
    system = toy.build(toy.Options(epochs=20))
    for _ in system.turns():
        pass
    np.testing.assert_array_equal(system.G.params.flat, players.G.params.flat)
    np.testing.assert_array_equal(system.D.params.flat, players.D.params.flat)
    np.testing.assert_array_equal(system.shown().flat, players.average.params.flat)


@every_system
def test_real_batches_and_samples_have_one_shape_and_range(name: str, tmp_path: Path) -> None:
    system = build(name, tmp_path)
    x, fake = system.draw_real(), system.G.network(system.G.params, system.draw_noise())
    assert (x.shape, x.dtype) == (fake.shape, fake.dtype)
    if name != "toy":
        assert -1.0 <= x.min() < x.max() <= 1.0


@every_system
def test_a_sheet_is_a_picture_and_drawing_it_moves_nothing(name: str, tmp_path: Path) -> None:
    system = build(name, tmp_path)
    state = system.rng.bit_generator.state
    buffers = {key: b.copy() for key, b in system.G.params.buffers.items()}
    z = system.show.noise(np.random.default_rng(0), system.show.sheet)
    picture = system.show.picture(to_host(system.sample(z)))
    assert (picture.dtype, picture.ndim) == (np.uint8, 3)
    assert system.rng.bit_generator.state == state
    for key, b in system.G.params.buffers.items():
        np.testing.assert_array_equal(b, buffers[key])


@pytest.mark.bits
def test_where_batch_norm_sees_the_batch_a_sample_does_not_depend_on_how_many_are_asked_for(tmp_path: Path) -> None:
    system = build("mnist_conv", tmp_path)
    z = system.show.noise(np.random.default_rng(1), 3)
    alone = system.sample(z)
    assert alone.shape == (3, 1, 28, 28)
    assert np.abs(alone).max() > 0.0
    np.testing.assert_array_equal(system.sample(z), alone)


@every_system
def test_a_score_is_lower_for_the_data_than_for_an_untrained_generator(name: str, tmp_path: Path) -> None:
    system = build(name, tmp_path)
    real = np.concatenate([to_host(system.draw_real()) for _ in range(12)])
    z = system.show.noise(np.random.default_rng(0), len(real))
    for score in system.scores.values():
        assert score(real) < 0.5 * score(to_host(system.sample(z)))


def test_coarse_pixels_are_means_of_cells_in_bytes_as_in_floats() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 8, 12), np.uint8)
    expected = [images[n, c, 2 * i : 2 * i + 2, 3 * j : 3 * j + 3].mean() for n, c, i, j in np.ndindex(3, 2, 4, 4)]
    got = coarse(images)
    np.testing.assert_allclose(got.ravel(), np.array(expected) / 127.5 - 1.0, rtol=1e-12)
    np.testing.assert_allclose(coarse(images / 127.5 - 1.0), got, rtol=1e-12)


def test_the_data_are_no_distance_from_themselves() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 1, 28, 28), np.uint8)
    assert frechet_of_pixels(images)(images.astype(np.float32) / 127.5 - 1.0) < 1e-9


# --- Options --------------------------------------------------------------------------------------------------------


@every_system
@pytest.mark.parametrize("preset", ["default", "quick"])
def test_options_survive_being_written_down(name: str, preset: str) -> None:
    module = SYSTEMS[name]
    o = module.PRESETS[preset]
    assert o.preset == preset
    assert options_from(module.Options, describe(name, o)["options"]) == o


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("toy", {"sigma": 0.0}, "sigma: expected a finite number > 0, got 0.0"),
        ("toy", {"hidden": 0}, "hidden: expected at least 1, got 0"),
        ("mnist_mlp", {"batch": 0}, "batch: expected at least 1, got 0"),
        ("mnist_mlp", {"batch": 51}, "batch: expected at most the 50 images of the data, got 51"),
        ("mnist_conv", {"batch": 51}, "batch: expected at most the 50 images of the data, got 51"),
        ("dcgan", {"batch": 51}, "batch: expected at most the 50 images of the data, got 51"),
        ("mnist_mlp", {"images": 0}, "images: expected at least 1, got 0"),
        ("mnist_mlp", {"d_lr": float("nan")}, "d_lr: expected a finite number > 0, got nan"),
        ("mnist_mlp", {"widths": ()}, "widths: expected at least one number >= 1, got ()"),
        ("mnist_mlp", {"widths": (5, 0)}, "widths: expected at least one number >= 1, got (5, 0)"),
        ("mnist_conv", {"width": 0}, "width: expected at least 1, got 0"),
        ("mnist_conv", {"betas": (0.5, 1.0)}, "betas: expected two numbers in [0, 1), got (0.5, 1.0)"),
        ("dcgan", {"g_every": 0}, "g_every: expected at least 1, got 0"),
        ("dcgan", {"image_size": 48}, "size: expected 96, 64, 32, got 48"),
        ("dcgan", {"netg_path": Path("nowhere.safetensors")}, "netg_path: nowhere.safetensors: there is no such file"),
    ],
)
def test_what_cannot_work_is_refused_by_name(name: str, change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the message is compared below
        build(name, tmp_path, **change)
    assert str(caught.value) == message


@pytest.mark.parametrize("data", ["nowhere", "empty", "letter.txt"])
def test_images_that_cannot_be_found_are_refused_by_the_options_name(data: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "letter.txt").write_text("no zip")
    with pytest.raises(ValueError, match=rf"^data: .*{data}"):
        dcgan.build(dcgan.Options(data=tmp_path / data))


@pytest.mark.parametrize(
    "change", [{"batch": "8"}, {"widths": 7}, {"d_lr": [1e-3]}, {"data_dir": 1}, {"average": None}]
)
def test_options_of_another_type_are_refused_by_name(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"^run\.json: {next(iter(change))}: expected a value like .*, got "):
        options_from(SYSTEMS["mnist_mlp"].Options, change)


def test_the_dcgan_starts_from_weights(tmp_path: Path) -> None:
    G, D = dcgan.networks(options("dcgan", tmp_path))
    g, d = G.init(np.random.default_rng(5)), D.init(np.random.default_rng(6))
    paths = {"netg_path": tmp_path / "g.safetensors", "netd_path": tmp_path / "d.safetensors"}
    save_weights(paths["netg_path"], g)
    save_weights(paths["netd_path"], d)
    system = build("dcgan", tmp_path, **paths)
    np.testing.assert_array_equal(system.G.params.flat, g.flat)
    np.testing.assert_array_equal(system.D.params.flat, d.flat)


def test_weights_of_another_size_are_refused_by_the_options_name(tmp_path: Path) -> None:
    G, _ = dcgan.networks(options("dcgan", tmp_path, width=3))
    save_weights(tmp_path / "g.safetensors", G.init(np.random.default_rng(0)))
    with pytest.raises(ValueError, match=r"netg_path: state_dict 'main.0.weight': expected shape"):
        build("dcgan", tmp_path, netg_path=tmp_path / "g.safetensors")


def test_the_dcgans_two_initialisations_are_pytorchs_and_the_papers(tmp_path: Path) -> None:
    original, paper = (build("dcgan", tmp_path, width=16, init=init).G.params for init in ("original", "normal"))
    weight = next(name for name, a in original.items() if a.ndim == 4)
    assert abs(paper[weight].std() - 0.02) < 0.002
    specs = dcgan.networks(options("dcgan", tmp_path, width=16))[0].parameters()
    assert specs[weight].initializer is initializers.torch_uniform
    norm = next(name for name, a in original.items() if a.ndim == 1)
    assert original[norm].std() == 0.0
    assert 0.0 < paper[norm].std() < 0.04


# --- Opened again ---------------------------------------------------------------------------------------------------


@pytest.mark.bits
@every_system
def test_a_run_is_opened_again_without_its_data(name: str, tmp_path: Path) -> None:
    system = build(name, tmp_path)
    train(system, Run(tmp_path / "run", stop_after=5, gif=False))
    (tmp_path / "images").rename(tmp_path / "gone") if name == "dcgan" else None
    trained = running.open_run(tmp_path / "run")
    assert (trained.name, trained.turn, trained.options) == (name, 5, system.options)
    np.testing.assert_array_equal(trained.g.flat, system.shown().flat)
    np.testing.assert_array_equal(trained.d.flat, system.D.params.flat)
    samples = trained.sample(np.random.default_rng(0), 3)
    np.testing.assert_array_equal(samples, system.sample(system.show.noise(np.random.default_rng(0), 3)))
    picked = trained.pick(np.random.default_rng(0), candidates=20, keep=4)
    assert picked.samples.shape == (4, *samples.shape[1:])
    assert (np.diff(picked.scores) <= 0).all()


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"run\.json: there is no such file"):
        running.open_run(tmp_path)
    (tmp_path / "run.json").write_text('{"system": "stylegan", "options": {}}')
    with pytest.raises(CheckpointError, match=r"expected one of toy, mnist_mlp, mnist_conv, dcgan, got 'stylegan'"):
        running.open_run(tmp_path)
    (tmp_path / "run.json").write_text('{"system": "toy", "options": {}}')
    with pytest.raises(CheckpointError, match="there is no best checkpoint"):
        running.open_run(tmp_path, "best")
