"""Players move alone and by their own loss, turns say what happened, and what breaks says where.

The Dirac-GAN [Mescheder et al. 2018, sec. 2] is the game small enough to be solved by hand: data is the number 0, G
puts out the number theta, D's logit is psi x. Its whole run is a recursion in two numbers, and where it goes is known.
"""

from __future__ import annotations

import gc
import math
import weakref
from functools import partial

import numpy as np
import pytest

from minigan import (
    SGD,
    Adam,
    BatchNorm1d,
    DivergedError,
    Linear,
    Parameters,
    Player,
    Sequential,
    Sigmoid,
    Tanh,
    Turn,
    diagnosis,
    grad,
    objectives,
    play,
    value_and_grad,
)
from minigan import primitives as P  # noqa: N812  formulas are full of it
from minigan.networks import toy
from tests.losses import OBJECTIVES, losses

ROW = 5
d_loss, g_loss = losses(objectives.non_saturating)


def players(seed=0, optimizer=Adam, g_rate=1e-2, d_rate=3e-2):
    """A small toy GAN: D reads rows of 5 numbers."""
    rng = np.random.default_rng(seed)
    networks = {"G": (toy.generator(4), g_rate), "D": (toy.discriminator("variances", ROW, 4), d_rate)}
    return [
        Player.create(network, rng, partial(optimizer, lr=rate), np.float64, name=name)
        for name, (network, rate) in networks.items()
    ]


class Source:
    """Real samples and noise from one generator of random numbers, so that order counts. It keeps what it drew."""

    def __init__(self, seed=0):
        self.rng, self.drawn = np.random.default_rng(seed), []

    def real(self):
        self.drawn.append(("real", self.rng.normal(4.0, 1.25, (ROW, 1))))
        return self.drawn[-1][1]

    def noise(self):
        self.drawn.append(("noise", self.rng.random((ROW, 1))))
        return self.drawn[-1][1]


class Watched:
    """An optimizer that calls `before` and `after` around each step."""

    def __init__(self, optimizer, before, after):
        self.optimizer, self.before, self.after = optimizer, before, after
        self.params = optimizer.params

    def step(self, gradient):
        self.before()
        self.optimizer.step(gradient)
        self.after()


def watch(player, before=lambda: None, after=lambda: None):
    player.optimizer = Watched(player.optimizer, before, after)


def turn_of(G, D, source, d_steps=1, g_steps=1, g_every=1):
    """A turn as the pages of gans/ have it."""

    def turn(number):
        notes = {}
        for _ in range(d_steps):
            notes |= D.move(d_loss, source.real(), G(source.noise()))
        for _ in range(0 if number % g_every else g_steps):
            notes |= G.move(g_loss, D, source.noise())
        return notes

    return turn


def run(seed, turns=20, **settings):
    """Notes and final numbers of a game that is a function of its seed."""
    G, D = players(seed)
    return list(play(turn_of(G, D, Source(seed), **settings), turns)), G.params.flat, D.params.flat


# --- The game -------------------------------------------------------------------------------------------------------


@pytest.mark.bits
def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    turns, g, d = run(seed=1)
    again, g_again, d_again = run(seed=1)
    assert turns == again
    assert g.tobytes() == g_again.tobytes()
    assert d.tobytes() == d_again.tobytes()
    others, g_other, d_other = run(seed=2)
    assert turns[0] != others[0]
    assert (g != g_other).all()
    assert (d != d_other).all()


@pytest.mark.parametrize("count", [0, -1])
def test_a_game_of_no_turns_is_refused(count):
    with pytest.raises(ValueError, match=rf"^turns: expected at least 1, got {count}$"):
        play(lambda number: {}, count)


@pytest.mark.parametrize("played", [-1, 4])
def test_more_turns_played_than_there_are_is_refused(played):
    with pytest.raises(ValueError, match=rf"^played: expected between 0 and 3 turns, got {played}$"):
        play(lambda number: {}, 3, played=played)


def test_turns_are_numbered_from_1_and_from_where_a_game_is_taken_up():
    asked = []
    assert [turn.number for turn in play(lambda n: asked.append(n) or {}, 4)] == [1, 2, 3, 4] == asked
    assert [turn.number for turn in play(lambda n: {}, 4, played=2)] == [3, 4]
    assert list(play(lambda n: {}, 4, played=4)) == []


def test_nothing_happens_before_the_first_turn_is_asked_for_nor_between_turns():
    G, D = players()
    source = Source()
    first = G.params.flat.copy()
    turns = play(turn_of(G, D, source), 2)
    np.testing.assert_array_equal(G.params.flat, first)
    assert not source.drawn
    next(turns)
    assert len(source.drawn) == 3
    assert (G.params.flat != first).any()


def test_an_error_in_a_turn_comes_through():
    def turn(number):
        raise OSError("no more data")

    with pytest.raises(OSError, match=r"^no more data$"):
        next(play(turn, 3))


def test_a_turn_that_returns_no_notes_is_refused():
    with pytest.raises(
        TypeError,
        match=r"^turn 1: expected a dict of notes, as Player.move returns them, got None; is a return missing",
    ):
        next(play(lambda number: None, 3))


@pytest.mark.bits
@pytest.mark.parametrize("optimizer", [Adam, SGD])
def test_a_game_left_by_break_and_taken_up_again_gives_the_bits_of_one_never_left(optimizer):
    (G, D), (G_whole, D_whole) = players(optimizer=optimizer), players(optimizer=optimizer)
    source = Source()
    parts = []
    for turn in play(turn_of(G, D, source), 100):
        parts.append(turn)
        if turn.number == 3:
            break
    parts += play(turn_of(G, D, source), 7, played=3)
    assert [turn.number for turn in parts] == list(range(1, 8))
    assert parts == list(play(turn_of(G_whole, D_whole, Source()), 7))
    assert G.params.flat.tobytes() == G_whole.params.flat.tobytes()
    assert D.params.flat.tobytes() == D_whole.params.flat.tobytes()


# --- Notes ----------------------------------------------------------------------------------------------------------


def test_a_turn_maps_names_to_numbers_and_an_array_is_its_mean():
    turn = Turn(3, {"d_loss": np.float32(0.5), "on_real": np.array([[0.25], [0.5]]), "k": 2})
    assert (turn.number, list(turn), len(turn)) == (3, ["d_loss", "on_real", "k"], 3)
    assert dict(turn) == {"d_loss": 0.5, "on_real": 0.375, "k": 2.0}
    assert {type(x) for x in turn.values()} == {float}
    assert "g_loss" not in turn
    assert repr(turn) == "Turn(3, {'d_loss': 0.5, 'on_real': 0.375, 'k': 2.0})"
    with pytest.raises(KeyError):
        turn["g_loss"]


def test_turns_are_equal_by_their_notes_and_no_keys():
    assert Turn(1, {"a": 1.0}) == Turn(1, {"a": np.ones(2)})
    assert Turn(1, {"a": 1.0}) != Turn(1, {"a": 2.0})
    assert Turn(1, {"a": 1.0}) != Turn(1, {"b": 1.0})
    with pytest.raises(TypeError, match="unhashable"):
        hash(Turn(1, {}))


def test_a_player_that_did_not_move_has_no_notes():
    turns, _, _ = run(0, 6, g_every=3)
    assert [("g_loss" in turn, "d_loss" in turn) for turn in turns] == 2 * [(False, True), (False, True), (True, True)]


def loss_with_notes(D, x):
    y = D(x)
    return P.mean(y), {"largest": y, "k": 3}


@pytest.mark.parametrize(
    ("loss", "names"),
    [
        (loss_with_notes, ["loss_with_notes", "largest", "k"]),
        (partial(loss_with_notes), ["loss_with_notes", "largest", "k"]),
        (partial(partial(loss_with_notes), x=np.ones((ROW, 1))), ["loss_with_notes", "largest", "k"]),
        (lambda D, x: P.mean(D(x)), ["<lambda>"]),
        (type("Loss", (), {"__call__": lambda self, D, x: P.mean(D(x))})(), ["loss"]),
    ],
    ids=["function", "partial", "partial of a partial", "lambda", "object"],
)
def test_a_loss_is_noted_under_the_name_of_its_function(loss, names):
    _, D = players()
    rest = () if isinstance(loss, partial) and loss.keywords else (np.ones((ROW, 1)),)
    assert list(D.move(loss, *rest)) == names


def test_notes_are_plain_numbers_of_before_the_step():
    G, D = players()
    source, numbers = Source(), {}
    look = lambda mover: lambda: numbers.update({mover: (G.params.copy(), D.params.copy())})
    watch(G, look("G")), watch(D, look("D"))
    for turn in play(turn_of(G, D, source, d_steps=3, g_steps=2), 3):
        (_, x), (_, z_d) = source.drawn[-4:-2]
        _, z_g = source.drawn[-1]
        g, d = numbers["D"]
        on_real, on_fake = D.network(d, x), D.network(d, G.network(g, z_d))
        np.testing.assert_allclose(turn["d_loss"], objectives.non_saturating.d_loss(on_real, on_fake), rtol=1e-12)
        np.testing.assert_allclose(turn["on_real"], on_real.mean(), rtol=1e-12)
        np.testing.assert_allclose(turn["on_fake"], on_fake.mean(), rtol=1e-12)
        assert turn["d_loss"] == pytest.approx(turn["real_loss"] + turn["fake_loss"], rel=1e-15)
        g, d = numbers["G"]
        on_fake = D.network(d, G.network(g, z_g))
        np.testing.assert_allclose(turn["g_loss"], objectives.non_saturating.g_loss(on_fake), rtol=1e-12)


def test_what_move_returns_is_not_traced():
    G, D = players()
    source = Source()
    notes = D.move(d_loss, source.real(), G(source.noise()))
    assert type(notes["on_real"]) is np.ndarray
    assert notes["on_real"].shape == (1, 1)
    assert all(isinstance(note, np.ndarray | np.floating) for note in notes.values())


@pytest.mark.parametrize(
    "returned",
    [lambda y: (y, [1, 2]), lambda y: (y,), lambda y: (y, {}, {}), lambda y: (y, None)],
    ids=["a list", "one", "three", "None"],
)
def test_a_loss_that_returns_anything_but_a_scalar_and_notes_is_refused_by_its_name(returned):
    def critic(D, x):
        return returned(P.mean(D(x)))

    _, D = players()
    before = D.params.flat.copy()
    with pytest.raises(TypeError, match=r"^critic: expected a loss, or \(loss, notes\) with a dict of notes, got \("):
        D.move(critic, np.ones((ROW, 1)))
    np.testing.assert_array_equal(D.params.flat, before)


def test_a_loss_that_is_no_scalar_is_refused():
    G, _ = players()
    with pytest.raises(ValueError, match="scalar"):
        G.move(lambda G, z: G(z), np.ones((ROW, 1)))


def test_nobody_moves_while_a_loss_is_being_computed():
    G, D = players()
    before = [player.params.flat.copy() for player in (G, D)]

    def g_loss(G, z):
        D.move(lambda D: P.mean(D(z)))
        return P.mean(G(z))

    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^move: D cannot move while a loss is being computed; move it before"):
            G.move(g_loss, np.ones((ROW, 1)))
    for player, numbers in zip((G, D), before, strict=True):
        np.testing.assert_array_equal(player.params.flat, numbers)
    G.move(lambda G: P.mean(G(np.ones((ROW, 1)))))
    assert (G.params.flat != before[0]).any()


# --- Players --------------------------------------------------------------------------------------------------------


def test_a_player_is_called_as_its_network():
    G, _ = players()
    z = Source().noise()
    np.testing.assert_array_equal(G(z), G.network(G.params, z))
    assert (G.name, repr(G)) == ("G", "Player('G')")


def test_a_network_of_several_inputs_gets_them_as_a_tuple():
    class Conditional:
        """Rows beside their labels."""

        def parameters(self):
            return {}

        def __call__(self, p, x, path="", training=True):
            rows, labels = x
            return rows * labels

    params = Parameters({"unused": np.ones(1)})
    G = Player(Conditional(), params, SGD(params, 0.1))
    np.testing.assert_array_equal(G(np.ones((2, 1)), np.array([[2.0], [3.0]])), [[2.0], [3.0]])


def test_a_new_players_numbers_are_those_of_its_network_in_the_dtype_and_from_the_generator_asked_for():
    network = toy.generator(4)
    G = Player.create(network, np.random.default_rng(3), partial(Adam, lr=0.5), np.float64, name="G")
    np.testing.assert_array_equal(G.params.flat, network.init(np.random.default_rng(3), np.float64).flat)
    assert G.params.flat.dtype == np.float64
    assert G.optimizer.params is G.params
    assert G.optimizer.lr == 0.5
    assert Player.create(network, np.random.default_rng(3), SGD).params.flat.dtype == np.float32


def test_an_optimizer_of_other_numbers_is_refused():
    network = toy.generator(4)
    params, others = (network.init(np.random.default_rng(0)) for _ in range(2))
    with pytest.raises(ValueError, match=r"^optimizer: expected one that moves this player's params, got one of other"):
        Player(network, params, Adam(others))


@pytest.mark.parametrize(("d_steps", "g_steps"), [(1, 1), (3, 1), (2, 3)])
def test_each_turn_is_played_as_its_function_says(d_steps, g_steps):
    G, D = players()
    source, happened = Source(), []
    watch(G, after=lambda: happened.append("G")), watch(D, after=lambda: happened.append("D"))
    for turn in play(turn_of(G, D, source, d_steps, g_steps), 4):
        assert [kind for kind, _ in source.drawn] == turn.number * (d_steps * ["real", "noise"] + g_steps * ["noise"])
        assert happened == turn.number * (d_steps * ["D"] + g_steps * ["G"])
    assert turn.number == 4


def test_a_step_moves_only_its_own_player():
    G, D = players()
    seen = {"G": [], "D": []}
    look = lambda mover: lambda: seen[mover].append((G.params.flat.copy(), D.params.flat.copy()))
    watch(G, look("G"), look("G")), watch(D, look("D"), look("D"))
    for _ in play(turn_of(G, D, Source()), 5):
        pass
    assert len(seen["G"]) == len(seen["D"]) == 10
    for (g_before, d_before), (g_after, d_after) in zip(seen["G"][::2], seen["G"][1::2], strict=True):
        assert (g_before != g_after).any()
        np.testing.assert_array_equal(d_before, d_after)
    for (g_before, d_before), (g_after, d_after) in zip(seen["D"][::2], seen["D"][1::2], strict=True):
        assert (d_before != d_after).any()
        np.testing.assert_array_equal(g_before, g_after)


def test_a_move_is_a_step_against_the_gradient_of_the_loss():
    G, D = players(optimizer=SGD)
    z, before = Source().noise(), G.params.copy()
    loss, gradient = value_and_grad(lambda g: objectives.non_saturating.g_loss(D(G.network(g, z))))(before)
    notes = G.move(g_loss, D, z)
    assert notes["g_loss"] == loss
    np.testing.assert_allclose(G.params.flat, before.flat - 1e-2 * gradient.flat, rtol=1e-13)


def test_a_player_among_the_losss_other_arguments_is_plain_numbers_even_if_it_is_the_one_who_moves():
    def beside_itself(D, D_as_it_stands, x):
        return P.mean(D(x) * D_as_it_stands(x))

    _, D = players(optimizer=SGD)
    x, before = Source().real(), D.params.copy()
    slope = grad(lambda d: P.mean(D.network(d, x) * D.network(before, x)))(before)
    D.move(beside_itself, D, x)
    np.testing.assert_allclose(D.params.flat, before.flat - 3e-2 * slope.flat, rtol=1e-13)


def test_a_gradient_penalty_inside_the_loss_moves_as_by_hand():
    """D's logit is w x + a: then the slope in x is w, the penalty (|w| - 1)^2, and its own slope in w 2 (w - 1)."""

    def critic_loss(D, x, fake):
        between = 0.5 * x + 0.5 * fake
        slope = grad(lambda x: P.sum(D(x)))(between)
        penalty = P.mean(P.square(P.sqrt(P.sum(P.square(slope), axis=1)) - 1.0))
        return P.mean(D(fake)) - P.mean(D(x)) + 10.0 * penalty, {"penalty": penalty}

    params = Parameters({"0.weight": np.array([[3.0]]), "0.bias": np.array([0.5])})
    D = Player(Sequential(Linear(1, 1)), params, SGD(params, lr=0.01), "D")
    notes = D.move(critic_loss, np.array([[1.0], [2.0]]), np.array([[0.5], [0.0]]))
    assert notes["penalty"] == pytest.approx(4.0, rel=1e-14)
    assert notes["critic_loss"] == pytest.approx(3.0 * 0.25 - 3.0 * 1.5 + 40.0, rel=1e-14)
    assert params["0.weight"].item() == pytest.approx(3.0 - 0.01 * (0.25 - 1.5 + 40.0), rel=1e-14)
    assert params["0.bias"].item() == pytest.approx(0.5, rel=1e-14)


def test_a_gradient_penalty_of_a_whole_network_moves_as_by_hand():
    def critic_loss(D, x):
        slope = grad(lambda x: P.sum(D(x)))(x)
        return P.mean(P.square(slope))

    D = Player.create(Sequential(Linear(3, 4), Tanh(), Linear(4, 1)), np.random.default_rng(0), partial(SGD, lr=0.1))
    before, x = D.params.astype(np.float64), np.random.default_rng(1).normal(size=(5, 3))
    D = Player(D.network, before.copy(), None, "D")
    D.optimizer = SGD(D.params, 0.1)

    def penalty(d):
        w, v = d["0.weight"], d["2.weight"]  # slope = W^T (v (1 - tanh^2))
        h = np.tanh(x @ w.T + d["0.bias"])
        return np.mean((((1.0 - h**2) * v) @ w) ** 2)

    D.move(critic_loss, x)
    for name in before:
        for i in np.ndindex(before[name].shape):
            up, down = before.copy(), before.copy()
            up[name][i] += 1e-5
            down[name][i] -= 1e-5
            slope = (penalty(up) - penalty(down)) / 2e-5
            np.testing.assert_allclose((before[name][i] - D.params[name][i]) / 0.1, slope, rtol=1e-6, atol=1e-9)


# --- Several networks on one set of numbers -------------------------------------------------------------------------


def two_in_one(seed=0, **settings):
    networks = {"features": Sequential(Linear(1, 3), Tanh()), "head": Sequential(Linear(3, 1))}
    return Player.create(networks, np.random.default_rng(seed), partial(SGD, lr=0.1), np.float64, **settings)


def test_several_networks_have_one_set_of_numbers_drawn_one_after_the_other():
    D, rng = two_in_one(name="D"), np.random.default_rng(0)
    assert list(D.params) == ["features.0.weight", "features.0.bias", "head.0.weight", "head.0.bias"]
    for part, network in D.network.items():
        for name, a in network.init(rng, np.float64).items():
            np.testing.assert_array_equal(D.params[f"{part}.{name}"], a)
    assert D.params.flat.size == 3 + 3 + 3 + 1
    D.params.flat[...] = 0.0
    assert not D.params["head.0.weight"].any()  # views of one vector


def test_joined_parameters_have_all_numbers_and_buffers_under_the_names_of_their_parts():
    network = Sequential(Linear(2, 3), BatchNorm1d(3))
    a, b = (network.init(np.random.default_rng(seed)) for seed in (0, 1))
    joined = Parameters.joined({"a": a, "b": b})
    assert list(joined) == [f"{part}.{name}" for part in "ab" for name in a]
    np.testing.assert_array_equal(joined.flat, np.concatenate([a.flat, b.flat]))
    assert joined.buffers.keys() == {f"{part}.{name}" for part in "ab" for name in a.buffers}
    joined.flat[...] = 0.0
    assert a.flat.any()  # the numbers were copied


def test_a_part_is_called_by_its_name_and_a_layer_by_its_dotted_name():
    D, x = two_in_one(), Source().real()
    h = np.tanh(x @ D.params["features.0.weight"].T + D.params["features.0.bias"])
    np.testing.assert_allclose(D["features"](x), h, rtol=1e-14)
    np.testing.assert_allclose(D["head"](h), h @ D.params["head.0.weight"].T + D.params["head.0.bias"], rtol=1e-14)
    np.testing.assert_allclose(np.tanh(D["features.0"](x)), h, rtol=1e-14)
    G, _ = players()
    np.testing.assert_array_equal(G["map1"](x), G.network.layers["map1"](G.params, x, "map1."))


def test_an_unknown_part_is_refused_with_the_known_ones():
    D = two_in_one()
    for name, message in [
        ("tail", "part: expected one of features, head in the player, got 'tail'"),
        ("head.7", "part: expected one of 0 in head., got '7'"),
        ("head.0.weight", "part: expected one of none in head.0., got 'weight'"),
    ]:
        with pytest.raises(KeyError) as caught:
            D[name]
        assert caught.value.args == (message,)


def test_a_player_of_several_networks_is_not_called_as_one():
    with pytest.raises(TypeError, match=r"this player has several networks: call one of them, player\['features'\]"):
        two_in_one()(np.ones((2, 1)))


def test_one_move_moves_all_parts():
    D, x = two_in_one(), Source().real()
    before = D.params.copy()
    slope = grad(
        lambda d: P.mean(
            P.linear(
                P.tanh(P.linear(x, d["features.0.weight"], d["features.0.bias"])), d["head.0.weight"], d["head.0.bias"]
            )
        )
    )(before)
    D.move(lambda D: P.mean(D["head"](D["features"](x))))
    np.testing.assert_allclose(D.params.flat, before.flat - 0.1 * slope.flat, rtol=1e-13)


# --- Running statistics ---------------------------------------------------------------------------------------------


def with_batch_norm(seed=0):
    network = Sequential(Linear(2, 3), BatchNorm1d(3), Linear(3, 1))
    return Player.create(network, np.random.default_rng(seed), partial(SGD, lr=0.1), np.float64, name="G")


def buffers(player):
    return {name: b.copy() for name, b in player.params.buffers.items()}


def assert_same_buffers(player, before):
    assert player.params.buffers.keys() == before.keys()
    for name, b in before.items():
        np.testing.assert_array_equal(player.params.buffers[name], b)


Z = np.random.default_rng(5).normal(size=(7, 2))


def test_a_call_records_the_batchs_statistics_and_one_that_shall_not_does_not():
    G = with_batch_norm()
    before = buffers(G)
    unseen = G(Z, record=False)
    assert_same_buffers(G, before)
    np.testing.assert_array_equal(G(Z), unseen)
    assert G.params.buffers["1.num_batches_tracked"] == 1
    assert (G.params.buffers["1.running_mean"] != before["1.running_mean"]).all()


def test_a_part_may_be_called_without_recording_too():
    G = with_batch_norm()
    before = buffers(G)
    np.testing.assert_array_equal(G["1"](G["0"](Z), record=False), G["1"](G["0"](Z, record=False), record=False))
    assert_same_buffers(G, before)


@pytest.mark.parametrize("record", [True, False])
def test_in_a_loss_too_a_call_records_once_or_not_at_all(record):
    G = with_batch_norm()
    before = buffers(G)
    G.move(lambda G: P.mean(P.square(G(Z, record=record))))
    if record:
        assert G.params.buffers["1.num_batches_tracked"] == 1
        plain = with_batch_norm()
        plain(Z)
        assert_same_buffers(plain, buffers(G))
    else:
        assert_same_buffers(G, before)


def test_training_chooses_the_batchs_statistics_or_the_running_ones():
    G = with_batch_norm()
    for _ in range(3):
        G(Z)
    before = buffers(G)
    np.testing.assert_array_equal(G(Z, training=False), G.network(G.params.copy(), Z, training=False))
    assert_same_buffers(G, before)
    assert not np.allclose(G(Z, training=False), G(Z, record=False))


def test_a_player_that_stands_still_uses_running_statistics_moves_none_and_cannot_move():
    G = with_batch_norm()
    G(Z)
    before, numbers = buffers(G), G.params.flat.copy()
    still = G.still()
    np.testing.assert_array_equal(still(Z), G(Z, training=False))
    np.testing.assert_array_equal(still(Z, training=True), G(Z, record=False))
    np.testing.assert_array_equal(G.still(training=True)(Z), G(Z, record=False))
    assert_same_buffers(G, before)
    with pytest.raises(TypeError, match=r"^G: this player cannot move, it has no optimizer$"):
        still.move(lambda G: P.mean(G(Z)))
    np.testing.assert_array_equal(G.params.flat, numbers)
    G.move(lambda G: P.mean(G(Z)))  # the player itself can
    assert (G.params.flat != numbers).any()


def test_other_numbers_may_stand_in_for_a_players_own():
    G, other = with_batch_norm(0), with_batch_norm(1)
    other(Z)
    before = buffers(other)
    np.testing.assert_array_equal(G.still(other.params)(Z), other(Z, training=False))
    assert G.still(other.params).name == "G"
    assert_same_buffers(other, before)


def test_inside_of_a_loss_nobody_moves():
    G, _ = players()

    def greedy(G):
        return P.mean(G(np.ones((ROW, 1)))) if G.optimizer else G.move(greedy)["greedy"]

    with pytest.raises(TypeError, match="cannot move"):
        G.move(greedy)


# --- Where numbers stop being finite --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "player", "note", "where"),
    [
        (6, "D", "real_loss", "x, which came in"),
        (7, "D", "fake_loss", "G: what comes in"),
        (8, "G", "g_loss", "z, which came in"),
    ],
)
def test_a_nan_in_the_data_is_reported_with_turn_player_note_and_place(draw, player, note, where):
    """On probabilities: D reads both batches apart, so that only one term is spoilt."""
    G, D = players()
    source = Source()

    class Spoilt:
        real = staticmethod(lambda: source.real() * (np.nan if len(source.drawn) == draw + 1 else 1.0))
        noise = staticmethod(lambda: source.noise() * (np.nan if len(source.drawn) == draw + 1 else 1.0))

    turns = play(turn_of(G, D, Spoilt), 5)
    assert [next(turns).number, next(turns).number] == [1, 2]
    before = G.params.flat.copy(), D.params.flat.copy()
    with pytest.raises(DivergedError) as caught:
        next(turns)
    error = caught.value
    assert (error.turn, error.player, error.note, error.where) == (3, player, note, where)
    advice = "look at the data" if where.endswith("which came in") else "try a lower rate"
    expected = f"turn 3: {player} cannot move, {note} is nan; not finite from here on: {where}; {advice}"
    assert str(error) == expected
    moved = G.params.flat, D.params.flat
    np.testing.assert_array_equal(moved[0], before[0])
    assert (moved[1] != before[1]).any() == (player == "G")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("note", [True, False])
def test_a_loss_that_is_no_number_is_reported_with_the_first_note_that_is_none(value, note):
    _, D = players()

    def broken(D, x):
        good = P.mean(D(x))
        return good + value, {"good": good, **({"term": good + value} if note else {})}

    before = D.params.flat.copy()
    with pytest.raises(DivergedError) as caught:
        D.move(broken, np.ones((ROW, 1)))
    error = caught.value
    assert (error.turn, error.player, error.note) == (None, "D", "term" if note else "broken")
    assert (repr(error.value), error.where) == (repr(float(value)), "the loss itself")
    assert str(error).startswith(f"D cannot move, {error.note} is {value}; ")
    np.testing.assert_array_equal(D.params.flat, before)


def test_a_player_without_a_name_is_called_as_the_loss_calls_it():
    D = two_in_one()
    with pytest.raises(DivergedError) as caught:
        D.move(lambda critic, x: P.mean(critic["features"](x)) * math.nan, np.ones((2, 1)))
    assert caught.value.player == "critic"


@pytest.mark.parametrize(
    ("spoil", "where"),
    [
        (lambda G, D: D.params["map2.weight"].fill(np.nan), "D: parameter map2.weight"),
        (lambda G, D: G.params["map1.bias"].fill(np.inf), "G: parameter map1.bias"),
        (lambda G, D: G.params["map3.weight"].fill(1e308), "G: output of layer map3 (Linear(4, 1))"),
    ],
)
@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
@pytest.mark.parametrize("mover", ["D", "G"])
def test_a_game_that_breaks_says_in_which_layer_also_of_the_player_whose_samples_were_handed_over(spoil, where, mover):
    G, D = players()
    spoil(G, D)
    source = Source()
    x, fake = source.real(), G(source.noise())
    with pytest.raises(DivergedError) as caught:
        D.move(d_loss, x, fake) if mover == "D" else G.move(g_loss, D, source.noise())
    assert caught.value.player == mover
    assert caught.value.where.startswith(where)


def test_a_report_moves_nothing():
    G, D = with_batch_norm(), with_batch_norm(1)
    before = buffers(G), buffers(D)
    G.params["2.bias"][...] = np.nan
    with pytest.raises(DivergedError, match=r"G: parameter 2\.bias"):
        D.move(lambda D, fake: P.mean(D(P.concatenate([fake, fake], 1))), G(Z))
    with pytest.raises(DivergedError, match=r"G: parameter 2\.bias"):
        G.move(lambda G: P.mean(G(Z)))
    for player, b in zip((G, D), before, strict=True):
        counted = "1.num_batches_tracked"
        assert player.params.buffers[counted] - b[counted] <= 2  # its own calls, and none of the report's


def test_a_subclass_of_sequential_is_looked_at_as_a_whole():
    class Residual(Sequential):
        """x + f(x)"""

        def __call__(self, p, x, path="", training=True):
            return x + super().__call__(p, x, path, training)

    network = Sequential({"in": Linear(1, 3), "body": Residual(Linear(3, 3), Tanh()), "out": Linear(3, 1)})
    D = Player.create(network, np.random.default_rng(0), SGD, name="D")
    x = np.ones((2, 1), np.float32)
    for name, where in [("body.0.weight", "D: parameter body.0.weight"), ("in.bias", "D: parameter in.bias")]:
        kept = D.params[name].copy()
        D.params[name][...] = np.nan
        with pytest.raises(DivergedError) as caught:
            D.move(lambda D: P.mean(D(x)))
        assert caught.value.where == where
        D.params[name] = kept


def test_a_layer_of_ones_own_does_not_break_the_report():
    class Strange:
        """A layer with neither parameters nor a method of that name."""

        def __call__(self, p, x, path="", training=True):
            return x * math.nan

        def __repr__(self):
            return "Strange()"

    params = Parameters({"w": np.ones(1)})
    D = Player(Strange(), params, SGD(params, 0.1), "D")
    with pytest.raises(DivergedError) as caught:
        D.move(lambda D: P.sum(D(D.params["w"])))
    assert caught.value.where == "D: output of layer all (Strange())"


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
@pytest.mark.parametrize("come_in", [None, "text", [1.0], np.array([object()])], ids=repr)
def test_a_report_never_ends_in_another_error(come_in):
    """Whatever the loss's arguments are, and if the loss or the network fails when it is called once more."""

    class OnlyOnce:
        """Makes NaN, and breaks when it is called again."""

        calls = 0

        def __call__(self, p, x, path="", training=True):
            self.calls += 1
            if self.calls > 1:
                raise RuntimeError("called again")
            return np.full((ROW, 1), np.nan)

    _, D = players()
    params = Parameters({"w": np.ones(1)})
    fake = Player(OnlyOnce(), params, None, "G")(come_in)
    with pytest.raises(DivergedError) as caught:
        D.move(lambda D, anything, fake: P.mean(D(fake)), come_in, fake)
    assert caught.value.where


def test_a_loss_that_fails_when_it_is_called_once_more_is_reported_all_the_same():
    calls = []

    def fickle(D, x):
        calls.append(x)
        if len(calls) > 1:
            raise RuntimeError("called again")
        return P.mean(D(x)) * math.nan

    _, D = players()
    with pytest.raises(DivergedError, match="the loss itself"):
        D.move(fickle, np.ones((ROW, 1)))
    assert len(calls) == 2


def test_a_batch_of_several_arrays_is_looked_at_too():
    _, D = players()
    x, labels = np.ones((ROW, 1)), np.arange(ROW)
    with pytest.raises(DivergedError) as caught:
        D.move(lambda D, batch: P.mean(D(batch[0])), (x * np.nan, labels))
    assert caught.value.where == "batch, which came in"


# --- Where an array came from is known as long as it lives ----------------------------------------------------------


def test_where_an_array_came_from_is_forgotten_when_it_dies():
    gc.collect()
    before = dict(diagnosis._made)
    G, D = players()
    source = Source()
    fake = G(source.noise())
    assert len(diagnosis._made) == len(before) + 1
    for _ in play(turn_of(G, D, source), 3):
        pass
    del fake
    gc.collect()
    assert diagnosis._made.keys() == before.keys()


def test_nothing_keeps_a_player_that_nobody_has_any_more_nor_its_noise():
    G, _ = players()
    z = Source().noise()
    fake, who, what = G(z), weakref.ref(G), weakref.ref(z)
    del G, z
    gc.collect()
    assert who() is not None  # the samples still know who made them
    del fake
    gc.collect()
    assert who() is None
    assert what() is None


def test_a_network_that_hands_back_what_it_got_keeps_nothing_alive():
    class First:
        """The first of its inputs."""

        def __call__(self, p, x, path="", training=True):
            return x[0]

    params = Parameters({"w": np.ones(1)})
    nothing = Player(Sequential(), params, SGD(params, 0.1))
    first = Player(First(), params, SGD(params, 0.1))
    x, y = Source().real(), Source().real()
    gc.collect()
    before = len(diagnosis._made)
    assert nothing(x) is x
    assert first(y, x) is y
    who = [weakref.ref(x), weakref.ref(y)]
    del x, y
    gc.collect()
    assert [a() for a in who] == [None, None]
    assert len(diagnosis._made) == before


# --- A game whose course is known -----------------------------------------------------------------------------------


def dirac_players(scores, theta, psi, rate):
    """G(1) = theta and D's logit psi x, both moved by gradient descent."""
    G = Sequential(Linear(1, 1, bias=False))
    D = Sequential(Linear(1, 1, bias=False), *([Sigmoid()] if scores == "probabilities" else []))
    both = []
    for name, network, weight in (("G", G, theta), ("D", D, psi)):
        params = Parameters({"0.weight": np.array([[weight]])})
        both.append(Player(network, params, SGD(params, lr=rate), name))
    return both


def play_dirac(scores, objective, theta, psi, rate, turns):
    """(theta, psi) after each turn, by `play`."""
    G, D = dirac_players(scores, theta, psi, rate)
    d_loss, g_loss = losses(OBJECTIVES[scores, objective])
    x, z = np.zeros((1, 1)), np.ones((1, 1))
    turn = lambda number: D.move(d_loss, x, G(z)) | G.move(g_loss, D, z)
    return np.array([(G.params["0.weight"].item(), D.params["0.weight"].item()) for _ in play(turn, turns)])


def solve_dirac(objective, theta, psi, rate, turns):
    """(theta, psi) after each turn, by hand: D descends log(1 + e^(psi theta)), then G sees where D has gone."""
    sigmoid = lambda t: 1.0 / (1.0 + math.exp(-t))
    path = []
    for _ in range(turns):
        psi -= rate * theta * sigmoid(psi * theta)
        theta += rate * psi * (1.0 - sigmoid(psi * theta) if objective == "non-saturating" else sigmoid(psi * theta))
        path.append((theta, psi))
    return np.array(path)


@pytest.mark.parametrize("rate", [0.01, 0.3])
@pytest.mark.parametrize(("scores", "objective"), OBJECTIVES)
def test_the_dirac_gan_follows_its_recursion(scores, objective, rate):
    where = {"theta": 1.0, "psi": -0.5, "rate": rate, "turns": 1000}
    np.testing.assert_allclose(play_dirac(scores, objective, **where), solve_dirac(objective, **where), atol=1e-12)


@pytest.mark.parametrize("scores", ["probabilities", "logits"])
def test_the_saturating_dirac_gan_circles_its_equilibrium_and_never_nears_it(scores):
    path = play_dirac(scores, "saturating", theta=1.0, psi=1.0, rate=0.1, turns=3000)
    squared_distance = (path**2).sum(axis=1)
    assert 1.85 < squared_distance.min() < squared_distance.max() < 2.05
    turns = np.unwrap(np.arctan2(path[:, 0], path[:, 1]))[-1] / (2 * math.pi)
    assert abs(turns) > 20


@pytest.mark.parametrize("scores", ["probabilities", "logits"])
def test_the_non_saturating_dirac_gan_nears_its_equilibrium_as_slowly_as_one_over_the_root_of_time(scores):
    """With r^2 = theta^2 + psi^2 and a rate near 0, d(r^2)/dt = -2 psi theta tanh(psi theta / 2), which over a turn
    has the mean -r^4 / 8. So 1 / r^2 grows by 1/8 in each unit of time.
    """
    rate, turn = 0.1, 126  # near the equilibrium a turn takes 4 pi
    path = play_dirac(scores, "non-saturating", theta=1.0, psi=1.0, rate=rate, turns=3000)
    closeness = 1.0 / (path**2).sum(axis=1)
    growth = (closeness[-turn:].mean() - closeness[1000 : 1000 + turn].mean()) / (rate * (2000 - turn))
    assert growth == pytest.approx(1 / 8, rel=0.02)
