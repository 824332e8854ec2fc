"""Without a GPU: whole training steps on an array type that is as strict as CuPy's, and that counts.

Held: no step and no primitive makes the host wait or moves numbers between host and device, uses a name CuPy lacks, or
changes a bit of what NumPy computes on the plain code. Then faults are planted, to see that the device catches them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest

from minigan import MovingAverage, Player, arrays, devices, kernels, objectives, optimizers, primitives, value_and_grad
from minigan.autodiff import defvjp, grad, primitive
from minigan.networks import conv28, dcgan, mlp, toy
from minigan.objectives import Objective
from minigan.parameters import Parameters
from tests.devices.fake_device import CUPY_FUNCTIONS, FakeArray, Traffic, fake_cupy, watched
from tests.gradient_table import CASES, Case, derivatives, drawn
from tests.losses import losses

NOTHING = Traffic(syncs=0, host_copies=0)
ROW = 8  # numbers in a row of the toy's minibatch


@pytest.mark.bits
@pytest.mark.parametrize("preprocess", get_args(toy.Preprocess))
@pytest.mark.parametrize("objective", [objectives.non_saturating, objectives.saturating], ids=lambda o: o.name)
def test_training_on_probabilities_neither_waits_nor_copies_and_gives_numpys_bits(
    preprocess: toy.Preprocess, objective: Objective
) -> None:
    _compare(preprocess, objective, logits=False, optimizer=optimizers.Adam)


@pytest.mark.bits
@pytest.mark.parametrize("preprocess", get_args(toy.Preprocess))
def test_training_on_logits_neither_waits_nor_copies_and_gives_numpys_bits(preprocess: toy.Preprocess) -> None:
    _compare(preprocess, objectives.non_saturating_with_logits, logits=True, optimizer=optimizers.Adam)


@pytest.mark.bits
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: optimizers.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        lambda p: optimizers.RMSprop(p, 0.01, momentum=0.9, centered=True, weight_decay=0.01),
        lambda p: optimizers.Adam(p, 0.01, weight_decay=0.01),
    ],
    ids=["SGD", "RMSprop", "Adam"],
)
def test_every_optimizer_neither_waits_nor_copies_and_gives_numpys_bits(optimizer: Callable[..., Any]) -> None:
    _compare("variances", objectives.non_saturating, logits=False, optimizer=optimizer)


@pytest.mark.bits
@pytest.mark.parametrize("case", CASES, ids=repr)
def test_every_primitive_and_both_its_derivatives_neither_wait_nor_copy_and_give_numpys_bits(case: Case) -> None:
    inputs, u, v = drawn(case, np.float32)
    with kernels.plain():
        expected = derivatives(case, inputs, u, v)
    on_device = [_moved(x) for x in inputs], _moved(u), [_moved(a) for a in v]
    with watched() as traffic:
        found = derivatives(case, *on_device)
    assert traffic == NOTHING or (case.fancy and traffic.syncs == 0)
    for a, b in zip((found.y, *found.first, *found.second), (expected.y, *expected[1], *expected[2]), strict=True):
        assert type(a) is FakeArray
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a.get(), b)


@pytest.mark.bits
def test_a_gradient_penalty_neither_waits_nor_copies_and_gives_numpys_bits() -> None:
    D = toy.discriminator("moments", ROW, hidden=5, logits=True)
    rng = np.random.default_rng(0)
    d, x = D.init(rng), rng.normal(size=(4 * ROW, 1)).astype(np.float32)

    def penalty(d: Parameters, x: Any) -> Any:
        slopes = grad(lambda x: primitives.sum(D(d, x)))(x)
        return primitives.mean(primitives.square(slopes))

    with kernels.plain():
        value, gradient = value_and_grad(penalty)(d, x)
    on_device = _moved_all(d), _moved(x)
    with watched() as traffic:
        found, found_gradient = value_and_grad(penalty)(*on_device)
    assert traffic == NOTHING
    assert found.get() == value
    np.testing.assert_array_equal(found_gradient.flat.get(), gradient.flat)


NARROW: dict[str, tuple[Any, Any, int, tuple[int, ...]]] = {  # G, D, noise, an image
    "mlp": (mlp.generator(5, (4, 6), 9), mlp.discriminator(9, (6, 4), logits=True), 5, (9,)),
    "conv28": (conv28.generator(5, 2, 8), conv28.discriminator(2, 8), 5, (1, 28, 28)),
    "dcgan": (dcgan.generator(5, 2), dcgan.discriminator(2, logits=True), 5, (3, 96, 96)),
}


@pytest.mark.bits
@pytest.mark.parametrize("name", NARROW)
def test_training_on_images_neither_waits_nor_copies_and_gives_numpys_bits(name: str) -> None:
    with kernels.plain():
        expected = _train_on_images(name, lambda x: x, lambda p: p)
    found = _train_on_images(name, _moved, _moved_all)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert type(a) is FakeArray
        assert a.dtype == b.dtype
        assert b.dtype == np.int64 or np.isfinite(b).all()
        np.testing.assert_array_equal(a.get(), b)


@pytest.mark.bits
@pytest.mark.parametrize("name", ["conv28", "dcgan"])
def test_a_gradient_penalty_on_images_neither_waits_nor_copies_and_gives_numpys_bits(name: str) -> None:
    _, D, _, image = NARROW[name]
    rng = np.random.default_rng(0)
    d, x = D.init(rng), rng.uniform(-1.0, 1.0, (3, *image)).astype(np.float32)

    def penalty(d: Parameters, x: Any) -> Any:
        slopes = primitives.flatten(grad(lambda x: primitives.sum(D(d, x)))(x))
        norms = primitives.sqrt(primitives.sum(primitives.square(slopes), axis=1))
        return primitives.mean(primitives.square(norms - 1.0))

    on_device = _moved_all(d), _moved(x)
    with kernels.plain():
        value, gradient = value_and_grad(penalty)(d, x)
    with watched() as traffic:
        found, found_gradient = value_and_grad(penalty)(*on_device)
    assert traffic == NOTHING
    assert found.get() == value
    assert np.abs(gradient.flat).max() > 0.0
    np.testing.assert_array_equal(found_gradient.flat.get(), gradient.flat)


@pytest.mark.bits
@pytest.mark.parametrize("name", ["conv28", "dcgan"])
def test_evaluation_neither_waits_nor_copies_and_gives_numpys_bits(name: str) -> None:
    G, _, noise, _ = NARROW[name]
    rng = np.random.default_rng(0)
    g, z = G.init(rng), rng.normal(size=(3, noise)).astype(np.float32)
    with kernels.plain():
        expected = G(g, z, training=False)
    on_device = _moved_all(g), _moved(z)
    with watched() as traffic:
        images = G(*on_device, training=False)
    assert traffic == NOTHING
    np.testing.assert_array_equal(images.get(), expected)


def test_autograds_own_grad_works_on_device_arrays() -> None:
    import autograd

    x = fake_cupy.asarray(np.array([0.5, -2.0], np.float32))
    slopes = autograd.grad(lambda x: primitives.sum(primitives.tanh(x) * x))(x)
    assert type(slopes) is FakeArray
    np.testing.assert_array_equal(slopes.get(), grad(lambda x: primitives.sum(primitives.tanh(x) * x))(x.get()))


def test_an_unread_array_gets_zeros_on_its_device() -> None:
    params = Parameters({name: _moved(np.ones(2, np.float32)) for name in ("read", "unread")})
    gradient = grad(lambda p: primitives.sum(p["read"]))(params)
    assert type(gradient["unread"]) is FakeArray
    np.testing.assert_array_equal(gradient.flat.get(), [1.0, 1.0, 0.0, 0.0])


def test_a_moving_average_neither_waits_nor_copies_and_gives_numpys_bits() -> None:
    p = toy.generator(hidden=5).init(np.random.default_rng(0))
    q = _moved_all(p)
    ours, on_device = MovingAverage(p, 0.9), MovingAverage(q, 0.9)
    with watched() as traffic:
        for _ in range(3):
            for numbers, average in ((p, ours), (q, on_device)):
                numbers.flat *= 0.5
                average.update()
    assert traffic == NOTHING
    np.testing.assert_array_equal(on_device.params.flat.get(), ours.params.flat)


def test_networks_are_born_on_the_device_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "use_cupy", lambda: fake_cupy)
    G = toy.generator(hidden=5)
    g, expected = G.init(np.random.default_rng(0), device="cuda"), G.init(np.random.default_rng(0))
    assert {type(a) for a in (g.flat, *g.values())} == {FakeArray}
    np.testing.assert_array_equal(g.to_device("cpu").flat, expected.flat)
    np.testing.assert_array_equal(expected.to_device("cuda").flat.get(), expected.flat)


def test_device_parameters_are_views_of_their_flat_vector() -> None:
    p = Parameters({"a": _moved(np.ones((2, 2))), "b": _moved(np.ones(3))})
    p.flat[...] = 2.0
    p["b"] = _moved(np.zeros(3))
    np.testing.assert_array_equal(p["a"].get(), np.full((2, 2), 2.0))
    np.testing.assert_array_equal(p.flat.get(), [2.0] * 4 + [0.0] * 3)


def _plant(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A primitive with a fault in it, and the derivative of the identity."""
    op = primitive(f)
    defvjp(op, lambda y, x: lambda dy: dy)
    return op


def _train_through(op: Callable[[Any], Any]) -> Traffic:
    """A gradient step with op between the layers."""
    x = _moved(np.ones((2, 2), np.float32))
    with watched() as traffic:
        grad(lambda x: primitives.sum(op(primitives.tanh(x)) * 2.0))(x)
    return traffic


def test_a_planted_conversion_to_numpy_is_caught() -> None:
    with pytest.raises(TypeError, match="Implicit conversion"):
        _train_through(_plant(lambda x: np.asarray(x) * 2.0))


def test_a_planted_host_constant_is_caught() -> None:
    with pytest.raises(TypeError, match=r"Unsupported type .*ndarray"):
        _train_through(_plant(lambda x: x * np.ones(x.shape, np.float32)))
    with pytest.raises(TypeError, match=r"Unsupported type .*ndarray"):
        _train_through(_plant(lambda x: np.ones(x.shape, np.float32) * x))
    with pytest.raises(TypeError, match=r"Unsupported type .*ndarray"):
        _train_through(_plant(lambda x: arrays.array_module(x).maximum(x, np.zeros((), np.float32))))


def test_a_planted_host_constant_in_a_derivative_is_caught() -> None:
    op = primitive(lambda x: x + 0.0)
    defvjp(op, lambda y, x: lambda dy: dy * np.ones(x.shape, np.float32))
    with pytest.raises(TypeError, match=r"Unsupported type .*ndarray"):
        _train_through(op)


def test_a_planted_name_that_cupy_lacks_is_caught() -> None:
    with pytest.raises(AttributeError, match="module 'cupy' has no attribute 'spacing'"):
        _train_through(_plant(lambda x: x + arrays.array_module(x).spacing(x)))


def test_a_planted_keyword_that_cupy_lacks_is_caught() -> None:
    with pytest.raises(TypeError, match="no keyword where"):
        _train_through(_plant(lambda x: arrays.array_module(x).exp(x, where=x > 0)))
    with pytest.raises(TypeError, match="no keyword initial"):
        _train_through(_plant(lambda x: x.sum(initial=0.0)))


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x * float(x.sum()),
        lambda x: x * x.sum().item(),
        lambda x: x if (x > 0).all() else -x,
        lambda x: fake_cupy.stack(list(x)),
        lambda x: x + len(x[x > 0]),
        lambda x: x + len(fake_cupy.nonzero(x)),
        lambda x: x if str(x) else -x,
    ],
    ids=["float", "item", "if", "iteration", "a mask", "nonzero", "str"],
)
def test_a_planted_wait_is_counted(wait: Callable[[Any], Any]) -> None:
    assert _train_through(_plant(wait)).syncs > 0


@pytest.mark.parametrize(
    "copy",
    [
        lambda x: x * fake_cupy.asarray(np.ones(x.shape, np.float32)),
        lambda x: fake_cupy.asarray(x.get()),
        lambda x: x[[0, 1]],
    ],
    ids=["asarray", "get", "an index in a list"],
)
def test_a_planted_copy_is_counted(copy: Callable[[Any], Any]) -> None:
    assert _train_through(_plant(copy)).host_copies > 0


def test_an_innocent_primitive_leaves_the_counts_at_zero() -> None:
    assert _train_through(_plant(lambda x: arrays.array_module(x).exp(x) * 2.0)) == NOTHING


def test_numpys_functions_stay_on_the_device_as_cupys_protocols_have_it() -> None:
    x = _moved(np.ones(3))
    with watched() as traffic:
        assert {type(y) for y in (np.exp(x), np.sum(x), np.add(x, 1.0), np.concatenate([x, x]))} == {FakeArray}
    assert traffic == NOTHING


def test_the_names_of_the_fake_module_are_names_of_numpy() -> None:
    assert [name for name in CUPY_FUNCTIONS if not callable(getattr(np, name, None))] == []


def _compare(preprocess: toy.Preprocess, objective: Objective, logits: bool, optimizer: Callable[..., Any]) -> None:
    """Three rounds of D's step and G's on the host, on the plain code, and on the device."""
    with kernels.plain():
        expected = _train(preprocess, objective, logits, optimizer, lambda x: x, lambda p: p)
    assert all(np.isfinite(a).all() for a in expected)
    assert not np.array_equal(expected[0], expected[1])
    found = _train(preprocess, objective, logits, optimizer, _moved, _moved_all)
    for a, b in zip(found, expected, strict=True):
        assert type(a) is FakeArray
        assert a.dtype == b.dtype == np.float32
        np.testing.assert_array_equal(a.get(), b)


def _train(
    preprocess: toy.Preprocess,
    objective: Objective,
    logits: bool,
    optimizer: Callable[..., Any],
    move: Callable[[np.ndarray], Any],
    move_all: Callable[[Parameters], Parameters],
) -> list[Any]:
    """The starting numbers of G, its final ones and D's, and the losses on the way; all batches lie ready."""
    rng = np.random.default_rng(7)
    G, D = toy.generator(hidden=5), toy.discriminator(preprocess, ROW, hidden=6, logits=logits)
    g, d = move_all(G.init(rng)), move_all(D.init(rng))
    start = g.flat.copy()
    player_G, player_D = Player(G, g, optimizer(g)), Player(D, d, optimizer(d))
    d_loss, g_loss = losses(objective)
    batches = [
        [move(draw(size=(2 * ROW, 1)).astype(np.float32)) for draw in (rng.normal, rng.random, rng.random)]
        for _ in range(3)
    ]
    noted = []
    with watched() as traffic:
        for x, z_d, z_g in batches:
            notes = player_D.move(d_loss, x, player_G(z_d)) | player_G.move(g_loss, player_D, z_g)
            noted += _unread(notes)
    assert traffic == NOTHING
    return [start, g.flat, d.flat, *noted]


def _train_on_images(
    name: str, move: Callable[[np.ndarray], Any], move_all: Callable[[Parameters], Parameters]
) -> list[Any]:
    """Losses, numbers and buffers of two rounds of D's step and G's; all batches lie ready."""
    G, D, noise, image = NARROW[name]
    rng = np.random.default_rng(7)
    g, d = move_all(G.init(rng)), move_all(D.init(rng))
    player_G, player_D = (Player(N, p, optimizers.Adam(p, 1e-3, (0.5, 0.999))) for N, p in ((G, g), (D, d)))
    batches = [
        [move(rng.uniform(-1.0, 1.0, (3, *shape)).astype(np.float32)) for shape in (image, (noise,), (noise,))]
        for _ in range(2)
    ]
    d_loss, g_loss = losses(objectives.non_saturating_with_logits, together=not D.buffers())
    noted = []
    with watched() as traffic:
        for x, z_d, z_g in batches:
            notes = player_D.move(d_loss, x, player_G(z_d)) | player_G.move(g_loss, player_D, z_g)
            noted += _unread(notes)
    assert traffic == NOTHING
    return [*noted, g.flat, d.flat, *g.buffers.values(), *d.buffers.values()]


def _unread(notes: dict[str, Any]) -> list[Any]:
    """The notes as they are, where they are: a loss on the device waits to be read."""
    return [note.value if hasattr(note, "read") else note for note in notes.values()]


def _moved(x: np.ndarray) -> FakeArray:
    return fake_cupy.asarray(x)


def _moved_all(p: Parameters) -> Parameters:
    buffers = {name: _moved(b) for name, b in p.buffers.items()}
    return Parameters({name: _moved(a) for name, a in p.items()}, buffers)
