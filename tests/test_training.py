"""`play` takes the steps it says, in the order it says, and leaves its players usable however the loop ends.

The Dirac-GAN [Mescheder et al. 2018, sec. 2] is the game small enough to be solved by hand: data is the number 0, G
puts out the number theta, D's logit is psi x. Its whole run is a recursion in two numbers, and where it goes is known.
"""

import math

import numpy as np
import pytest

from minigan import SGD, Adam, DivergedError, Linear, Parameters, Player, Sequential, Sigmoid, objectives, play
from minigan.networks import toy
from minigan.objectives import Objective
from minigan.optimizers import linear_decay
from minigan.primitives import mean
from minigan.training import d_loss
from tests.trajectories import OBJECTIVES

ROW = 5


def players(seed=0, optimizer=Adam, g_rate=1e-2, d_rate=3e-2):
    """A small toy GAN: D reads rows of 5 numbers."""
    rng = np.random.default_rng(seed)
    both = []
    for network, rate in ((toy.generator(4), g_rate), (toy.discriminator("variances", ROW, 4), d_rate)):
        params = network.init(rng, dtype=np.float64)
        both.append(Player(network, params, optimizer(params, lr=rate)))
    return both


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
        self.optimizer, self.before, self.after, self.lr = optimizer, before, after, optimizer.lr

    def step(self, gradient):
        self.before()
        self.optimizer.step(gradient)
        self.after()


def watched(player, before=lambda: None, after=lambda: None):
    return player._replace(optimizer=Watched(player.optimizer, before, after))


def losses_of(turn):
    return turn.d_real, turn.d_fake, turn.g


def start(G, D, source, turns, **settings):
    return play(G, D, objectives.non_saturating, source.real, source.noise, turns, **settings)


def run(seed, turns=20, **settings):
    """Losses and final numbers of a game that is a function of its seed."""
    G, D = players(seed)
    losses = list(start(G, D, Source(seed), turns, **settings))
    return losses, G.params.flat, D.params.flat


@pytest.mark.bits
def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    losses, g, d = run(seed=1)
    again, g_again, d_again = run(seed=1)
    assert losses == again
    assert g.tobytes() == g_again.tobytes()
    assert d.tobytes() == d_again.tobytes()
    others, g_other, d_other = run(seed=2)
    assert losses[0] != others[0]
    assert (g != g_other).all()
    assert (d != d_other).all()


@pytest.mark.parametrize("count", [0, -1])
@pytest.mark.parametrize("name", ["turns", "d_steps", "g_steps", "d_every", "g_every"])
def test_a_count_below_one_is_refused_by_name_and_nothing_is_drawn(name, count):
    G, D = players()
    source = Source()
    with pytest.raises(ValueError, match=rf"^{name}: expected at least 1, got {count}$"):
        next(start(G, D, source, **{"turns": 3, name: count}))
    assert not source.drawn


@pytest.mark.parametrize(("d_steps", "g_steps"), [(1, 1), (3, 1), (1, 2), (2, 3)])
def test_each_turn_is_d_steps_on_real_samples_and_noise_then_g_steps_on_noise(d_steps, g_steps):
    G, D = players()
    source, happened = Source(), []
    G, D = watched(G, after=lambda: happened.append("G")), watched(D, after=lambda: happened.append("D"))
    for turn in start(G, D, source, 4, d_steps=d_steps, g_steps=g_steps):
        assert [kind for kind, _ in source.drawn] == turn.number * (d_steps * ["real", "noise"] + g_steps * ["noise"])
        assert happened == turn.number * (d_steps * ["D"] + g_steps * ["G"])
    assert turn.number == 4


def test_a_step_moves_only_its_own_player():
    G, D = players()
    seen = {"G": [], "D": []}
    look = lambda mover: lambda: seen[mover].append((G.params.flat.copy(), D.params.flat.copy()))
    for _ in start(watched(G, look("G"), look("G")), watched(D, look("D"), look("D")), Source(), 5):
        pass
    assert len(seen["G"]) == len(seen["D"]) == 10
    for (g_before, d_before), (g_after, d_after) in zip(seen["G"][::2], seen["G"][1::2], strict=True):
        assert (g_before != g_after).any()
        np.testing.assert_array_equal(d_before, d_after)
    for (g_before, d_before), (g_after, d_after) in zip(seen["D"][::2], seen["D"][1::2], strict=True):
        assert (d_before != d_after).any()
        np.testing.assert_array_equal(g_before, g_after)


@pytest.mark.parametrize(("d_steps", "g_steps"), [(1, 1), (3, 2)])
def test_a_turn_holds_the_losses_of_the_last_steps_before_they_were_taken(d_steps, g_steps):
    G, D = players()
    source, objective, numbers = Source(), objectives.non_saturating, {}
    look = lambda mover: lambda: numbers.update({mover: (G.params.copy(), D.params.copy())})
    for turn in start(watched(G, look("G")), watched(D, look("D")), source, 3, d_steps=d_steps, g_steps=g_steps):
        (_, x), (_, z_d) = source.drawn[-g_steps - 2 : -g_steps]
        _, z_g = source.drawn[-1]
        g, d = numbers["D"]
        np.testing.assert_allclose(turn.d_real, objective.real(D.network(d, x)), rtol=1e-12)
        np.testing.assert_allclose(turn.d_fake, objective.fake(D.network(d, G.network(g, z_d))), rtol=1e-12)
        g, d = numbers["G"]
        np.testing.assert_allclose(turn.g, objective.generator(D.network(d, G.network(g, z_g))), rtol=1e-12)
        assert all(type(loss) is float for loss in losses_of(turn))


@pytest.mark.parametrize(("rows", "fake_rows"), [(1, 1), (2, 1), (1, 3), (4, 3)])
def test_ds_loss_is_the_sum_of_its_means_over_real_and_over_generated_whatever_their_numbers(rows, fake_rows):
    _, D = players()
    source = Source()
    x = np.concatenate([source.real() for _ in range(rows)])
    fake = np.concatenate([source.noise() for _ in range(fake_rows)])
    loss, (on_real, on_fake, *_) = d_loss(D.params, D.network, objectives.non_saturating, x, fake)
    np.testing.assert_allclose(on_real, objectives.non_saturating.real(D.network(D.params, x)), rtol=1e-12)
    np.testing.assert_allclose(on_fake, objectives.non_saturating.fake(D.network(D.params, fake)), rtol=1e-12)
    assert loss == on_real + on_fake


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (6, "turn 3: D's loss on real samples is nan"),
        (7, "turn 3: D's loss on generated samples is nan"),
        (8, "turn 3: G's loss on generated samples is nan"),
    ],
)
def test_a_nan_in_the_data_is_reported_with_turn_player_and_term(draw, message):
    G, D = players()
    source = Source()

    def spoilt(x):
        return x * np.nan if len(source.drawn) == draw + 1 else x

    game = play(
        G,
        D,
        objectives.non_saturating,
        draw_real=lambda: spoilt(source.real()),
        draw_noise=lambda: spoilt(source.noise()),
        turns=5,
    )
    assert [next(game).number, next(game).number] == [1, 2]
    with pytest.raises(DivergedError, match=f"^{message}"):
        next(game)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("term", "named"),
    [
        ("real", "D's loss on real samples"),
        ("fake", "D's loss on generated samples"),
        ("generator", "G's loss on generated samples"),
    ],
)
def test_a_loss_that_is_no_number_is_reported_whichever_it_is(term, named, loss):
    G, D = players()
    source = Source()
    terms = dict.fromkeys(("real", "fake", "generator", "probability"), mean) | {
        term: lambda scores: mean(scores) + loss
    }
    with pytest.raises(DivergedError, match=f"^turn 1: {named} is {loss}"):
        next(play(G, D, Objective("broken", **terms), source.real, source.noise, turns=2))


def test_nothing_happens_before_the_first_round_is_asked_for_nor_between_rounds():
    G, D = players()
    source = Source()
    first = G.params.flat.copy()
    game = start(G, D, source, 2)
    np.testing.assert_array_equal(G.params.flat, first)
    assert not source.drawn
    next(game)
    assert len(source.drawn) == 3
    assert (G.params.flat != first).any()


def test_the_schedule_sets_both_rates_in_each_round_from_the_progress():
    G, D = players(g_rate=0.1, d_rate=0.2)
    asked = []

    def schedule(progress):
        asked.append(progress)
        return 1.0 - progress**2

    rates = [(G.optimizer.lr, D.optimizer.lr) for _ in start(G, D, Source(), 4, schedule=schedule)]
    assert asked == [0.0, 0.25, 0.5, 0.75]
    np.testing.assert_allclose(rates, [(0.1 * f, 0.2 * f) for f in (1.0, 0.9375, 0.75, 0.4375)], rtol=1e-15)


def test_the_scheduled_rate_is_the_one_the_steps_are_taken_with():
    (G, D), (G_half, D_half) = players(optimizer=SGD), players(optimizer=SGD)
    g, d = G.params.flat.copy(), D.params.flat.copy()
    next(start(G, D, Source(), 1))
    next(start(G_half, D_half, Source(), 1, schedule=lambda progress: 0.5))
    np.testing.assert_allclose(2 * (D_half.params.flat - d), D.params.flat - d, rtol=1e-9, atol=1e-15)
    next(start(G, D, Source(), 1, schedule=lambda progress: 0.0))
    moved = G.params.flat.copy()
    next(start(G, D, Source(), 1, schedule=lambda progress: 0.0))
    assert (moved != g).any()
    np.testing.assert_array_equal(G.params.flat, moved)


def test_after_the_last_round_both_rates_are_what_they_were():
    G, D = players(g_rate=0.1, d_rate=0.2)
    rates = [G.optimizer.lr for _ in start(G, D, Source(), 4, schedule=linear_decay)]
    assert rates[-1] < 0.1
    assert (G.optimizer.lr, D.optimizer.lr) == (0.1, 0.2)


def test_after_a_break_both_rates_are_what_they_were():
    G, D = players(g_rate=0.1, d_rate=0.2)
    for turn in start(G, D, Source(), 4, schedule=linear_decay):
        if turn.number == 3:
            break
    assert (G.optimizer.lr, D.optimizer.lr) == (0.1, 0.2)


def test_after_divergence_both_rates_are_what_they_were():
    G, D = players(g_rate=0.1, d_rate=0.2)
    source = Source()
    real = lambda: source.real() * (1.0 if len(source.drawn) < 6 else np.nan)
    with pytest.raises(DivergedError, match="turn 3"):
        list(play(G, D, objectives.non_saturating, real, source.noise, 4, schedule=linear_decay))
    assert (G.optimizer.lr, D.optimizer.lr) == (0.1, 0.2)


def test_after_an_error_while_drawing_it_comes_through_and_both_rates_are_what_they_were():
    G, D = players(g_rate=0.1, d_rate=0.2)
    source = Source()

    def real():
        if len(source.drawn) == 6:
            raise OSError("no more data")
        return source.real()

    with pytest.raises(OSError, match="no more data"):
        list(play(G, D, objectives.non_saturating, real, source.noise, 4, schedule=linear_decay))
    assert (G.optimizer.lr, D.optimizer.lr) == (0.1, 0.2)


@pytest.mark.bits
@pytest.mark.parametrize("optimizer", [Adam, SGD])
def test_a_game_left_by_break_and_taken_up_again_gives_the_bits_of_one_never_left(optimizer):
    (G, D), (G_whole, D_whole) = players(optimizer=optimizer), players(optimizer=optimizer)
    source = Source()
    losses = []
    for turn in start(G, D, source, 100):
        losses.append(losses_of(turn))
        if turn.number == 3:
            break
    losses += [losses_of(turn) for turn in start(G, D, source, 4)]
    assert losses == [losses_of(turn) for turn in start(G_whole, D_whole, Source(), 7)]
    assert G.params.flat.tobytes() == G_whole.params.flat.tobytes()
    assert D.params.flat.tobytes() == D_whole.params.flat.tobytes()


def dirac_players(scores, theta, psi, rate):
    """G(1) = theta and D's logit psi x, both moved by gradient descent."""
    G = Sequential(Linear(1, 1, bias=False))
    D = Sequential(Linear(1, 1, bias=False), *([Sigmoid()] if scores == "probabilities" else []))
    both = []
    for network, weight in ((G, theta), (D, psi)):
        params = Parameters({"0.weight": np.array([[weight]])})
        both.append(Player(network, params, SGD(params, lr=rate)))
    return both


def play_dirac(scores, objective, theta, psi, rate, rounds):
    """(theta, psi) after each round, by `play`."""
    G, D = dirac_players(scores, theta, psi, rate)
    draws = {"draw_real": lambda: np.zeros((1, 1)), "draw_noise": lambda: np.ones((1, 1))}
    game = play(G, D, OBJECTIVES[scores, objective], **draws, turns=rounds)
    return np.array([(G.params["0.weight"].item(), D.params["0.weight"].item()) for _ in game])


def solve_dirac(objective, theta, psi, rate, rounds):
    """(theta, psi) after each round, by hand: D descends log(1 + e^(psi theta)), then G sees where D has gone."""
    sigmoid = lambda t: 1.0 / (1.0 + math.exp(-t))
    path = []
    for _ in range(rounds):
        psi -= rate * theta * sigmoid(psi * theta)
        theta += rate * psi * (1.0 - sigmoid(psi * theta) if objective == "non-saturating" else sigmoid(psi * theta))
        path.append((theta, psi))
    return np.array(path)


@pytest.mark.parametrize("rate", [0.01, 0.3])
@pytest.mark.parametrize(("scores", "objective"), OBJECTIVES)
def test_the_dirac_gan_follows_its_recursion(scores, objective, rate):
    where = {"theta": 1.0, "psi": -0.5, "rate": rate, "rounds": 1000}
    np.testing.assert_allclose(play_dirac(scores, objective, **where), solve_dirac(objective, **where), atol=1e-12)


@pytest.mark.parametrize("scores", ["probabilities", "logits"])
def test_the_saturating_dirac_gan_circles_its_equilibrium_and_never_nears_it(scores):
    path = play_dirac(scores, "saturating", theta=1.0, psi=1.0, rate=0.1, rounds=3000)
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
    path = play_dirac(scores, "non-saturating", theta=1.0, psi=1.0, rate=rate, rounds=3000)
    closeness = 1.0 / (path**2).sum(axis=1)
    growth = (closeness[-turn:].mean() - closeness[1000 : 1000 + turn].mean()) / (rate * (2000 - turn))
    assert growth == pytest.approx(1 / 8, rel=0.02)


@pytest.mark.parametrize(("d_every", "g_every"), [(1, 3), (2, 1), (2, 3)])
def test_a_player_moves_only_in_turns_that_are_multiples_and_real_batches_pass_by_meanwhile(d_every, g_every):
    G, D = players()
    source, happened = Source(), []
    G = watched(G, after=lambda: happened.append(("G", turn)))
    D = watched(D, after=lambda: happened.append(("D", turn)))
    turn = 1
    for played in start(G, D, source, 6, d_every=d_every, g_every=g_every):
        assert math.isnan(played.d_real) == math.isnan(played.d_fake) == bool(turn % d_every)
        assert math.isnan(played.g) == bool(turn % g_every)
        assert (played.on_real is None) == bool(turn % d_every)
        turn += 1
    assert [t for player, t in happened if player == "G"] == [t for t in range(1, 7) if t % g_every == 0]
    assert [t for player, t in happened if player == "D"] == [t for t in range(1, 7) if t % d_every == 0]
    assert [kind for kind, _ in source.drawn].count("real") == 6


def test_reused_noise_is_that_of_ds_last_step_and_further_steps_of_g_draw_their_own():
    G, D = players()
    source = Source()
    for turn in start(G, D, source, 3, d_steps=2, g_steps=2, reuse_noise=True):
        assert [kind for kind, _ in source.drawn] == turn.number * ["real", "noise", "real", "noise", "noise"]
    G, D = players()
    source, moved = Source(), {}
    G = watched(G, before=lambda: moved.update(g=G.params.copy(), d=D.params.copy()))
    turn = next(start(G, D, source, 1, reuse_noise=True))
    assert [kind for kind, _ in source.drawn] == ["real", "noise"]
    fake = G.network(moved["g"], source.drawn[1][1])
    np.testing.assert_allclose(turn.g, objectives.non_saturating.generator(D.network(moved["d"], fake)), rtol=1e-12)


def test_a_turn_shows_ds_scores_of_its_last_step():
    G, D = players()
    source, numbers = Source(), {}
    D = watched(D, before=lambda: numbers.update(d=D.params.copy()))
    turn = next(start(G, D, source, 1))
    (_, x), (_, z), _ = source.drawn
    g = players()[0].params
    np.testing.assert_allclose(turn.on_real, D.network(numbers["d"], x), rtol=1e-12)
    np.testing.assert_allclose(turn.on_fake, D.network(numbers["d"], G.network(g, z)), rtol=1e-12)
    assert type(turn.on_real) is np.ndarray


@pytest.mark.bits
def test_a_game_that_goes_on_with_turns_already_played_is_the_game_played_in_one():
    whole, g_whole, d_whole = run(3, 8, schedule=linear_decay, g_every=2)
    G, D = players(3)
    source = Source(3)
    game = start(G, D, source, 8, schedule=linear_decay, g_every=2)
    parts = [next(game) for _ in range(5)]
    game.close()
    parts += start(G, D, source, 8, schedule=linear_decay, g_every=2, played=5)
    assert [turn.number for turn in parts] == list(range(1, 9))
    assert repr(parts) == repr(whole)
    np.testing.assert_array_equal(G.params.flat, g_whole)
    np.testing.assert_array_equal(D.params.flat, d_whole)


@pytest.mark.parametrize("played", [-1, 4])
def test_more_turns_played_than_there_are_is_refused(played):
    G, D = players()
    with pytest.raises(ValueError, match=rf"^played: expected between 0 and 3 turns, got {played}$"):
        start(G, D, Source(), 3, played=played)


@pytest.mark.parametrize(
    ("spoil", "where"),
    [
        (lambda G, D: D.params["map2.weight"].fill(np.nan), "D: parameter map2.weight"),
        (lambda G, D: G.params["map1.bias"].fill(np.inf), "G: parameter map1.bias"),
        (lambda G, D: G.params["map3.weight"].fill(1e308), "G: output of layer map3 "),
    ],
)
@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
def test_a_game_that_breaks_says_in_which_layer(spoil, where):
    G, D = players()
    spoil(G, D)
    before = {name: b.copy() for name, b in D.params.buffers.items()}
    with pytest.raises(DivergedError) as caught:
        next(start(G, D, Source(), 1))
    assert caught.value.turn == 1
    assert caught.value.player == "D"
    assert caught.value.where.startswith(where)
    for name, b in before.items():
        np.testing.assert_array_equal(D.params.buffers[name], b)
