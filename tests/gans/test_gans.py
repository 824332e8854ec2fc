"""The GANs are what their sources say, can be shown, scored and opened again, and refuse what cannot work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples import toy_gaussian
from minigan import Adam, MovingAverage, initializers, objectives, running
from minigan.arrays import to_host
from minigan.data.batches import Batches
from minigan.data.toy import Gaussian
from minigan.files.weights import CheckpointError, save_weights
from minigan.game import Player
from minigan.gans import GANS, Options, System, dcgan, gan_of, mnist_conv, mnist_mlp, name_of, toy
from minigan.gans.options import plain
from minigan.metrics.images import coarse, frechet_of_pixels
from minigan.running import Run, train
from minigan.running.folder import options_from
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
            sum(int(np.prod(s.shape)) for s in net.parameters().values())
            for net in module.networks(module.Options()).values()
        ]

    assert counts(mnist_mlp) == [12_928 + 33_024 + 131_584 + 402_192, 401_920 + 131_328 + 257]
    assert counts(mnist_conv)[1] == 1_102_721
    assert counts(dcgan) == [3_578_432, 2_767_296]


class Drawn:
    """Watches where a GAN's batches and noise come from, and who moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, look: Any) -> None:
        self.happened: list[str] = []
        self.arrays: dict[str, list[np.ndarray]] = {"x": [], "z": []}
        self.around(monkeypatch, Batches, "__next__", "x")
        self.around(monkeypatch, Gaussian, "sample", "x")
        noise = look.noise
        object.__setattr__(look, "noise", lambda rng, n: self.note("z", noise(rng, n)))

    def around(self, monkeypatch: pytest.MonkeyPatch, owner: Any, method: str, what: str) -> None:
        before = getattr(owner, method)
        monkeypatch.setattr(owner, method, lambda *args: self.note(what, before(*args)))

    def note(self, what: str, x: np.ndarray) -> np.ndarray:
        self.happened.append(what)
        self.arrays[what].append(x)
        return x

    def watch(self, players: dict[str, Player]) -> None:
        for name, player in players.items():
            player.optimizer.step = lambda gradient, name=name: self.happened.append(name)


@pytest.mark.parametrize(
    ("name", "changes", "turns"),
    [
        ("toy", {}, ["x z D x z D x z D z G"] * 2),
        ("toy", {"d_steps": 1, "g_steps": 2}, ["x z D z G z G"] * 2),
        ("mnist_mlp", {}, ["x z D G"] * 2),  # both on the same noise
        ("mnist_conv", {}, ["x z D z G"] * 2),
        ("dcgan", {}, ["x z D", "x z D z G"] * 2),
        ("dcgan", {"d_every": 2, "g_every": 3}, ["x", "x z D", "x z G", "x z D", "x", "x z D z G"]),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, dict) else value if isinstance(value, str) else "",
)
def test_in_each_turn_players_move_on_the_batches_and_the_noise_that_the_source_says(
    name: str, changes: dict[str, Any], turns: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = build(name, tmp_path, **changes)
    drawn = Drawn(monkeypatch, system.sampling)
    drawn.watch(dict(system.players))
    game = system.play()
    for expected in turns:
        drawn.happened.clear()
        next(game)
        assert " ".join(drawn.happened) == expected


OBJECTIVES = {
    "toy": objectives.non_saturating,
    "mnist_mlp": objectives.non_saturating,
    "mnist_conv": objectives.non_saturating_with_logits,
    "dcgan": objectives.non_saturating,
}


@every_system
def test_a_gan_plays_the_objective_of_its_source_and_notes_what_d_thinks(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the very batches of the first turn in which both move, one pass each: no page mixes what batch norm feels."""
    system = build(name, tmp_path, **{"d_steps": 1} if name == "toy" else {"g_every": 1} if name == "dcgan" else {})
    objective, first = OBJECTIVES[name], {who: p.params.copy() for who, p in system.players.items()}
    drawn = Drawn(monkeypatch, system.sampling)
    G, D = (system.players[who].network for who in "GD")
    turn = next(system.play())
    (x,), z = drawn.arrays["x"], drawn.arrays["z"]
    fake, d = G(first["G"].copy(), z[0]), first["D"].copy()
    on_real, on_fake = D(d, x), D(d, fake)
    near = {"rtol": 1e-5}
    np.testing.assert_allclose(turn["d_loss"], objective.d_loss(on_real, on_fake), **near)
    np.testing.assert_allclose(turn["on_real"], objective.probability(on_real).mean(), **near)
    np.testing.assert_allclose(turn["on_fake"], objective.probability(on_fake).mean(), **near)
    moved = system.players["D"].params.copy()
    np.testing.assert_allclose(turn["g_loss"], objective.g_loss(D(moved, G(first["G"], z[-1]))), rtol=1e-4)
    apart = ["real_loss", "fake_loss"] if name == "toy" else []
    assert list(turn) == ["d_loss", *apart, "on_real", "on_fake", "g_loss"]


@pytest.mark.parametrize(("rows", "fake_rows"), [(1, 1), (2, 1), (1, 3), (4, 3)])
@pytest.mark.parametrize("name", ["mnist_mlp", "mnist_conv", "dcgan"])
def test_ds_loss_is_the_sum_of_its_means_over_real_and_over_generated_whatever_their_numbers(
    name: str, rows: int, fake_rows: int, tmp_path: Path
) -> None:
    D = build(name, tmp_path).players["D"]
    shape = {"mnist_mlp": (784,), "mnist_conv": (1, 28, 28), "dcgan": (3, 32, 32)}[name]
    x, fake = (np.random.default_rng(i).uniform(-1, 1, (n, *shape)) for i, n in enumerate((rows, fake_rows)))
    loss, notes = GANS[name].d_loss(D, x.astype(np.float32), fake.astype(np.float32))
    p = OBJECTIVES[name].probability
    on_real, on_fake = (p(D(part.astype(np.float32), record=False)) for part in (x, fake))
    np.testing.assert_allclose(notes["on_real"], on_real, rtol=1e-5)
    np.testing.assert_allclose(notes["on_fake"], on_fake, rtol=1e-5)
    np.testing.assert_allclose(loss, -np.log(on_real).mean() - np.log1p(-on_fake).mean(), rtol=1e-5)


@every_system
def test_both_players_have_adam_with_their_own_rates(name: str, tmp_path: Path) -> None:
    system = build(name, tmp_path, d_lr=3e-4, g_lr=2e-4, betas=(0.4, 0.9))
    for who, rate in (("G", 2e-4), ("D", 3e-4)):
        optimizer = system.players[who].optimizer
        assert isinstance(optimizer, Adam)
        assert (optimizer.lr, optimizer.betas, optimizer.eps) == (rate, (0.4, 0.9), 1e-8)
    assert system.turns == (24 if name == "toy" else 4 * system.epoch)
    assert list(system.players) == ["G", "D"]  # the order in which their first numbers are drawn


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_the_toys_rates_fall_with_the_turns_also_where_it_is_taken_up_again(schedule: str, tmp_path: Path) -> None:
    system = build("toy", tmp_path, schedule=schedule, epochs=4, d_lr=0.2, g_lr=0.1)
    factors = {
        "constant": [1.0, 1.0, 1.0, 1.0],
        "linear": [1.0, 0.75, 0.5, 0.25],
        "cosine": [0.5 + 0.5 * np.cos(np.pi * i / 4) for i in range(4)],
    }[schedule]
    rates = [(system.players["D"].optimizer.lr, system.players["G"].optimizer.lr) for _ in system.play()]
    np.testing.assert_allclose(rates, [(0.2 * f, 0.1 * f) for f in factors], rtol=1e-14)
    next(system.play(played=2))
    np.testing.assert_allclose(system.players["D"].optimizer.lr, 0.2 * factors[2], rtol=1e-14)


def test_the_toys_steps_are_taken_with_the_rate_of_their_turn(tmp_path: Path) -> None:
    seen: list[float] = []
    system = build("toy", tmp_path, epochs=4, d_lr=0.2)
    D = system.players["D"]
    D.optimizer.step = lambda gradient: seen.append(D.optimizer.lr)
    for _ in system.play():
        pass
    np.testing.assert_allclose(seen, np.repeat([0.2, 0.15, 0.1, 0.05], 3), rtol=1e-14)


def test_an_average_follows_its_player_after_each_turn(tmp_path: Path) -> None:
    system = build("mnist_mlp", tmp_path, average=0.75)
    (average,) = system.averages().values()
    assert list(system.averages()) == ["G"]
    by_hand = MovingAverage(system.players["G"].params, 0.75)
    for turn in system.play():
        by_hand.update()
        np.testing.assert_array_equal(average.params.flat, by_hand.params.flat)
        assert average.t == turn.number
    z = system.sampling.noise(np.random.default_rng(0), 3)
    G = system.players["G"]
    np.testing.assert_array_equal(system.samples(z), G.network(average.params, z, training=False))
    assert (system.samples(z) != G.still()(z)).any()
    assert build("mnist_mlp", tmp_path).averages() == {}


def test_the_toy_is_the_program_of_the_readme(tmp_path: Path) -> None:
    """The page gans/toy.py and the example play one game: the example watches, and nothing moves by it."""
    o = replace(toy.PRESETS["default"], epochs=20)
    watched, system = toy.build(o), toy.build(o)
    toy_gaussian.train(toy_gaussian.Options(o, print_every=20, progress=False), watched)
    for _ in system.play():
        pass
    for who, player in system.players.items():
        np.testing.assert_array_equal(player.params.flat, watched.players[who].params.flat)
    np.testing.assert_array_equal(system.averages()["G"].params.flat, watched.averages()["G"].params.flat)


def real_batch(system: System) -> np.ndarray:
    """What D is shown next of the data."""
    o = system.options
    if system.name == "toy":
        return Gaussian(o.mu, o.sigma).sample(system.memory["rng"], o.rows * o.batch, np.dtype(o.dtype).type)
    return next(system.memory["batches"])


@every_system
def test_real_batches_and_samples_have_one_shape_and_range(name: str, tmp_path: Path) -> None:
    system = build(name, tmp_path)
    x = real_batch(system)
    fake = system.players["G"](system.sampling.noise(np.random.default_rng(0), len(x)))
    assert (x.shape, x.dtype) == (fake.shape, fake.dtype)
    if name != "toy":
        assert -1.0 <= x.min() < x.max() <= 1.0


@every_system
def test_a_sheet_is_a_picture_and_drawing_it_moves_nothing(name: str, tmp_path: Path) -> None:
    system = build(name, tmp_path)
    state, look = system.memory["rng"].bit_generator.state, system.sampling
    buffers = {key: b.copy() for key, b in system.players["G"].params.buffers.items()}
    picture = look.picture(to_host(system.samples(look.noise(np.random.default_rng(0), look.count))))
    assert (picture.dtype, picture.ndim) == (np.uint8, 3)
    assert system.memory["rng"].bit_generator.state == state
    for key, b in system.players["G"].params.buffers.items():
        np.testing.assert_array_equal(b, buffers[key])


@pytest.mark.bits
def test_where_batch_norm_sees_the_batch_a_sample_does_not_depend_on_how_many_are_asked_for(tmp_path: Path) -> None:
    system = build("mnist_conv", tmp_path)
    z = system.sampling.noise(np.random.default_rng(1), 3)
    alone = system.samples(z)
    assert alone.shape == (3, 1, 28, 28)
    assert np.abs(alone).max() > 0.0
    np.testing.assert_array_equal(system.samples(z), alone)
    more = np.concatenate([z, system.sampling.noise(np.random.default_rng(2), 128)])
    assert len(system.samples(more)) == 131


@every_system
def test_a_score_is_lower_for_the_data_than_for_an_untrained_generator(name: str, tmp_path: Path) -> None:
    system = build(name, tmp_path)
    real = np.concatenate([real_batch(system) for _ in range(12)])
    z = system.sampling.noise(np.random.default_rng(0), len(real))
    for score in system.scores.values():
        assert score(real) < 0.5 * score(to_host(system.samples(z)))


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
    module = GANS[name]
    o = module.PRESETS[preset]
    assert o.preset == preset
    assert options_from(module.Options, plain(o)) == o


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("toy", {"sigma": 0.0}, "sigma: expected a finite number > 0, got 0.0"),
        ("toy", {"d_steps": 0}, "d_steps: expected at least 1, got 0"),
        ("toy", {"g_steps": -1}, "g_steps: expected at least 1, got -1"),
        ("toy", {"rows": 0}, "rows: expected at least 1, got 0"),
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
        ("dcgan", {"d_every": -1}, "d_every: expected at least 1, got -1"),
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
    with pytest.raises(ValueError, match=rf"^run\.json: {next(iter(change))}: expected .*, got "):
        options_from(GANS["mnist_mlp"].Options, change)


def test_the_dcgan_starts_from_weights(tmp_path: Path) -> None:
    networks = dcgan.networks(options("dcgan", tmp_path))
    G, D = networks["G"], networks["D"]
    g, d = G.init(np.random.default_rng(5)), D.init(np.random.default_rng(6))
    paths = {"netg_path": tmp_path / "g.safetensors", "netd_path": tmp_path / "d.safetensors"}
    save_weights(paths["netg_path"], g)
    save_weights(paths["netd_path"], d)
    system = build("dcgan", tmp_path, **paths)
    np.testing.assert_array_equal(system.players["G"].params.flat, g.flat)
    np.testing.assert_array_equal(system.players["D"].params.flat, d.flat)


def test_weights_of_another_size_are_refused_by_the_options_name(tmp_path: Path) -> None:
    G = dcgan.networks(options("dcgan", tmp_path, width=3))["G"]
    save_weights(tmp_path / "g.safetensors", G.init(np.random.default_rng(0)))
    with pytest.raises(ValueError, match=r"netg_path: state_dict 'main.0.weight': expected shape"):
        build("dcgan", tmp_path, netg_path=tmp_path / "g.safetensors")


def test_the_dcgans_two_initialisations_are_pytorchs_and_the_papers(tmp_path: Path) -> None:
    original, paper = (
        build("dcgan", tmp_path, width=16, init=init).players["G"].params for init in ("original", "normal")
    )
    weight = next(name for name, a in original.items() if a.ndim == 4)
    assert abs(paper[weight].std() - 0.02) < 0.002
    specs = dcgan.networks(options("dcgan", tmp_path, width=16))["G"].parameters()
    assert specs[weight].initializer is initializers.torch_uniform
    norm = next(name for name, a in original.items() if a.ndim == 1)
    assert original[norm].std() == 0.0
    assert 0.0 < paper[norm].std() < 0.04


# --- Pages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GANS)
def test_every_page_has_what_a_page_has(name: str) -> None:
    page = GANS[name]
    assert name_of(page) == name
    assert gan_of(name) is gan_of(name.replace("_", "-")) is page
    assert issubclass(page.Options, Options)
    assert list(page.PRESETS) == ["default", "quick", *(["original"] if name == "toy" else [])]
    assert page.PRESETS["default"] == page.Options()
    assert callable(page.build)
    assert list(page.networks(page.Options())) == ["G", "D"]
    assert page.__doc__


def test_a_file_of_ones_own_is_a_page_too(tmp_path: Path) -> None:
    file = tmp_path / "my-own.py"
    file.write_text("def build(options):\n    return options\n")
    page = gan_of(file)
    assert (page.build(3), name_of(page)) == (3, "my-own")
    assert gan_of(str(file)).build(4) == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stylegan", "gan: expected one of toy, mnist_mlp, mnist_conv, dcgan, or a .py file, got 'stylegan'"),
        ("nowhere.py", "gan: there is no file nowhere.py"),
        ("empty.py", "gan: expected a function build(options) in empty.py"),
    ],
)
def test_a_page_that_is_none_is_refused(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.py").touch()
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the message is compared below
        gan_of(name)
    assert str(caught.value) == message


def test_options_as_plain_data_are_json(tmp_path: Path) -> None:
    o = dcgan.Options(data=Path("images"), betas=(0.5, 0.9))
    assert json.loads(json.dumps(plain(o))) == plain(o)
    assert (plain(o)["data"], plain(o)["betas"], plain(o)["netg_path"]) == ("images", [0.5, 0.9], None)


# --- Opened again ---------------------------------------------------------------------------------------------------


@pytest.mark.bits
@every_system
def test_a_run_is_opened_again_without_its_data(name: str, tmp_path: Path) -> None:
    system = build(name, tmp_path)
    train(system, Run(tmp_path / "run", stop_after=5, gif=False))
    (tmp_path / "images").rename(tmp_path / "gone") if name == "dcgan" else None
    trained = running.open_run(tmp_path / "run")
    assert (trained.name, trained.turn, trained.options) == (name, 5, system.options)
    averages = system.averages()
    shown = averages["G"].params if averages else system.players["G"].params
    np.testing.assert_array_equal(trained.players["G"].params.flat, shown.flat)
    np.testing.assert_array_equal(trained.players["D"].params.flat, system.players["D"].params.flat)
    samples = trained.sample(np.random.default_rng(0), 3)
    np.testing.assert_array_equal(samples, system.samples(system.sampling.noise(np.random.default_rng(0), 3)))
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
