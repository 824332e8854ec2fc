"""The optimizers walk where PyTorch's walk, refuse bad settings, and go on from a saved state as if never stopped.

PyTorch's side of the walks is stored in references/optimizers.npz.
"""

import numpy as np
import pytest

from minigan import SGD, Adam, MovingAverage, Parameters, RMSprop, kernels, optimizers
from tests.optimizer_paths import CASES, SMALL, STEPS, Case, numbers, path, worst
from tests.references import load

each_case = pytest.mark.parametrize("case", CASES, ids=str)
STATEFUL = [
    Case("Adam", {"weight_decay": 0.1}),
    Case("SGD", {"momentum": 0.9, "dampening": 0.5}),
    Case("SGD", {"momentum": 0.9, "nesterov": True}),
    Case("RMSprop", {"momentum": 0.9}),
    Case("RMSprop", {"momentum": 0.9, "centered": True}),
]
each_stateful_case = pytest.mark.parametrize("case", STATEFUL, ids=str)
nan, inf = float("nan"), float("inf")


def params_and_gradients(dtype=np.float64):
    """Two arrays of parameters, and a gradient for each step."""
    start, gradients = numbers(SMALL)
    params = Parameters({"weight": start[:4].reshape(2, 2).astype(dtype), "bias": start[4:].astype(dtype)})
    return params, [
        Parameters({"weight": g[:4].reshape(2, 2).astype(dtype), "bias": g[4:].astype(dtype)}) for g in gradients
    ]


@each_case
def test_in_float64_every_step_is_pytorchs_to_twelve_digits(case):
    assert worst(path(case, SMALL), load("optimizers")[str(case)]) < 1e-12


@each_case
def test_in_float32_every_step_is_pytorchs_float64_to_five_digits(case):
    got = path(case, SMALL, np.float32)
    assert got.dtype == np.float32
    assert worst(got, load("optimizers")[str(case)]) < 1e-5


def test_every_case_walks_another_path():
    ends = [path(case, SMALL)[-1] for case in CASES]
    for i, end in enumerate(ends):
        assert all(np.abs(end - other).max() > 1e-4 for other in ends[:i]), CASES[i]


def test_the_first_step_of_adam_is_its_rate_against_the_gradients_sign():
    params, _ = params_and_gradients()
    before = params.flat.copy()
    Adam(params, lr=0.25, eps=0.0).step(Parameters({"g": np.array([3.0, -3.0, 1e-9, -1e9, 2.0])}))
    np.testing.assert_allclose(params.flat - before, [-0.25, 0.25, -0.25, 0.25, -0.25], rtol=1e-12)


def test_adams_moments_are_the_running_means_of_the_gradient_and_its_square():
    params, gradients = params_and_gradients()
    adam = Adam(params, betas=(0.5, 0.75))
    m = v = np.zeros(SMALL)
    for gradient in gradients[:10]:
        adam.step(gradient)
        m = 0.5 * m + 0.5 * gradient.flat
        v = 0.75 * v + 0.25 * gradient.flat**2
    np.testing.assert_allclose(adam.exp_avg, m, rtol=1e-12)
    np.testing.assert_allclose(adam.exp_avg_sq, v, rtol=1e-12)


@pytest.mark.parametrize(
    ("optimizer", "setting", "value"),
    [(o, "lr", value) for o in (Adam, SGD, RMSprop) for value in (0.0, -1e-3, nan, inf)]
    + [(o, "weight_decay", value) for o in (Adam, SGD, RMSprop) for value in (-1e-3, nan, inf)]
    + [(o, "eps", value) for o in (Adam, RMSprop) for value in (-1e-8, nan, inf)]
    + [(o, "momentum", value) for o in (SGD, RMSprop) for value in (-0.1, nan, inf)]
    + [(SGD, "dampening", value) for value in (-0.1, nan, inf)]
    + [(RMSprop, "alpha", value) for value in (-0.1, 1.0, nan)],
)
def test_a_bad_setting_is_refused_by_name(optimizer, setting, value):
    params, _ = params_and_gradients()
    with pytest.raises(ValueError, match=rf"^{optimizer.__name__}: expected {setting} .*, got {value}$"):
        optimizer(params, **{setting: value})


@pytest.mark.parametrize("value", [-0.1, 1.0, nan])
@pytest.mark.parametrize("i", [0, 1])
def test_a_bad_beta_is_refused_by_name(i, value):
    params, _ = params_and_gradients()
    betas = [0.9, 0.999]
    betas[i] = value
    with pytest.raises(ValueError, match=rf"^Adam: expected betas\[{i}\] in \[0, 1\), got {value}$"):
        Adam(params, betas=tuple(betas))


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9, "dampening": 0.1}], ids=str)
def test_nesterov_without_momentum_or_with_dampening_is_refused(settings):
    params, _ = params_and_gradients()
    with pytest.raises(ValueError, match=r"^SGD: nesterov needs momentum > 0 and dampening 0$"):
        SGD(params, nesterov=True, **settings)


@each_case
def test_a_gradient_of_another_size_is_refused_and_nothing_moves(case):
    params, gradients = params_and_gradients()
    optimizer = case.make(params)
    before = params.flat.copy()
    with pytest.raises(ValueError, match="gradient: expected 5 numbers as in params, got 6"):
        optimizer.step(Parameters({"weight": np.ones((3, 2))}))
    np.testing.assert_array_equal(params.flat, before)
    optimizer.step(gradients[0])
    np.testing.assert_array_equal(params.flat, path(case, SMALL)[0])


@each_case
def test_the_gradient_is_left_as_it_was(case):
    params, gradients = params_and_gradients()
    optimizer = case.make(params)
    before = [gradient.flat.copy() for gradient in gradients]
    for gradient in gradients:
        optimizer.step(gradient)
    np.testing.assert_array_equal([gradient.flat for gradient in gradients], before)


@pytest.mark.bits
@each_stateful_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stop", [0, 1, 37])
def test_a_run_resumed_from_its_state_gives_the_same_bits(case, dtype, stop):
    params, gradients = params_and_gradients(dtype)
    first = case.make(params)
    for gradient in gradients[:stop]:
        first.step(gradient)
    resumed_params = params.copy()
    resumed = case.make(resumed_params)
    resumed.load_state_dict(first.state_dict())
    for gradient in gradients[stop:]:
        first.step(gradient)
        resumed.step(gradient)
        np.testing.assert_array_equal(resumed_params.flat, params.flat)


@each_stateful_case
def test_without_its_state_a_resumed_run_goes_elsewhere(case):
    params, gradients = params_and_gradients()
    first = case.make(params)
    for gradient in gradients[:37]:
        first.step(gradient)
    other_params = params.copy()
    other = case.make(other_params)
    for gradient in gradients[37:]:
        first.step(gradient)
        other.step(gradient)
    assert np.abs(other_params.flat - params.flat).max() > 1e-6


@each_stateful_case
def test_a_saved_state_does_not_change_when_the_run_goes_on(case):
    params, gradients = params_and_gradients()
    optimizer = case.make(params)
    optimizer.step(gradients[0])
    state = optimizer.state_dict()
    other = case.make(params.copy())
    other.load_state_dict(state)
    before = {name: np.copy(value) for name, value in state.items()}
    assert before
    for gradient in gradients[1:10]:
        optimizer.step(gradient)
        other.step(gradient)
    for name, value in before.items():
        np.testing.assert_array_equal(state[name], value)


@each_stateful_case
@pytest.mark.parametrize("size", [1, 4, 6])
def test_the_state_of_a_run_of_another_size_is_refused_and_nothing_of_it_is_taken_over(case, size):
    params, gradients = params_and_gradients()
    other = case.make(Parameters({"p": np.ones(size)}))
    other.step(Parameters({"p": np.ones(size)}))
    optimizer = case.make(params)
    with pytest.raises(ValueError, match=f"expected .*{SMALL}.* got .*{size}"):
        optimizer.load_state_dict(other.state_dict())
    untouched_params, _ = params_and_gradients()
    untouched = case.make(untouched_params)
    optimizer.step(gradients[0])
    untouched.step(gradients[0])
    np.testing.assert_array_equal(params.flat, untouched_params.flat)


def test_loading_the_state_of_a_run_without_momentum_forgets_the_buffer():
    params, gradients = params_and_gradients()
    used, fresh = SGD(params, momentum=0.9), SGD(params.copy(), momentum=0.9)
    used.step(gradients[0])
    used.load_state_dict(fresh.state_dict())
    before = params.flat.copy()
    used.step(gradients[1])
    np.testing.assert_allclose(params.flat - before, -1e-3 * gradients[1].flat, rtol=1e-9, atol=1e-15)


@each_case
def test_a_step_follows_the_rate_set_before_it(case):
    (params, gradients), (slower_params, _) = params_and_gradients(), params_and_gradients()
    optimizer, slower = case.make(params), case.make(slower_params)
    for gradient in gradients[: STEPS // 2]:
        optimizer.step(gradient)
        slower.step(gradient)
    before = params.flat.copy()
    slower.lr = optimizer.lr / 8
    optimizer.step(gradients[-1])
    slower.step(gradients[-1])
    moved = params.flat - before
    assert moved.any()
    np.testing.assert_allclose(8 * (slower_params.flat - before), moved, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        (optimizers.constant, [1.0, 1.0, 1.0, 1.0, 1.0]),
        (optimizers.linear_decay, [1.0, 0.75, 0.5, 0.25, 0.0]),
        (optimizers.cosine_decay, [1.0, (1 + np.sqrt(0.5)) / 2, 0.5, (1 - np.sqrt(0.5)) / 2, 0.0]),
    ],
)
def test_a_schedule_gives_the_factor_of_its_formula(schedule, factors):
    np.testing.assert_allclose([schedule(progress) for progress in (0.0, 0.25, 0.5, 0.75, 1.0)], factors, atol=1e-15)


@pytest.mark.bits
@each_case
def test_a_gradient_in_pieces_moves_as_one_in_a_row_does_whatever_the_order_of_its_names(case):
    (one, gradients), (other, _) = params_and_gradients(), params_and_gradients()
    in_a_row, in_pieces = case.make(one), case.make(other)
    for gradient in gradients:
        in_a_row.step(gradient)
        in_pieces.step({"bias": gradient["bias"], "weight": np.asfortranarray(gradient["weight"])})
    np.testing.assert_array_equal(other.flat, one.flat)


@pytest.mark.bits
@each_case
def test_a_gradient_in_pieces_of_other_names_is_refused(case):
    params, _ = params_and_gradients()
    with pytest.raises(KeyError, match="gradient: expected the names weight, bias, got weight"):
        case.make(params).step({"weight": np.ones((2, 2))})


def test_adam_on_chunks_that_cross_from_piece_to_piece_is_adam_on_the_whole_vector():
    sizes = {"a": 70_000, "b": 3, "c": 0, "d": 140_000, "e": 1}
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(n, 1)) for name, n in sizes.items()}
    pieces = {name: rng.normal(size=(n, 1)) for name, n in sizes.items()}
    chunked, plain = Parameters(arrays), Parameters(arrays)
    adams = Adam(chunked), Adam(plain)
    for _ in range(3):
        adams[0].step(pieces)
        with kernels.plain():
            adams[1].step(Parameters(pieces))
    np.testing.assert_allclose(chunked.flat, plain.flat, rtol=1e-14, atol=1e-16)  # steps are 1e-3
    assert (chunked.flat != Parameters(arrays).flat).all()


# --- The moving average: Adam's bias-corrected mean of where the source has been ------------------------------------


def test_the_average_is_the_weighted_mean_of_all_positions_so_far() -> None:
    rng, decay = np.random.default_rng(0), 0.9
    p = Parameters({"w": np.zeros(3)})
    average, positions = MovingAverage(p, decay), []
    for t in range(1, 30):
        p.flat[...] = rng.normal(size=3)
        positions.append(p.flat.copy())
        average.update()
        weights = decay ** np.arange(t - 1, -1, -1.0)
        np.testing.assert_allclose(average.params["w"], weights @ np.array(positions) / weights.sum(), rtol=1e-12)


def test_decay_zero_is_a_plain_copy() -> None:
    p = Parameters({"w": np.ones(3, np.float32)})
    average = MovingAverage(p, 0.0)
    p.flat *= 7.0
    average.update()
    np.testing.assert_array_equal(average.params.flat, p.flat)
    assert not np.shares_memory(average.params.flat, p.flat)


def test_buffers_are_copied() -> None:
    p = Parameters({"w": np.ones(3)}, {"running_mean": np.zeros(2)})
    average = MovingAverage(p, 0.5)
    p.buffers["running_mean"][...] = 4.0
    average.update()
    np.testing.assert_array_equal(average.params.buffers["running_mean"], [4.0, 4.0])
    assert average.params.buffers["running_mean"] is not p.buffers["running_mean"]


@pytest.mark.bits
def test_an_average_goes_on_where_another_stopped() -> None:
    rng = np.random.default_rng(0)
    p = Parameters({"w": np.zeros(3)}, {"running_mean": np.zeros(2)})
    whole, half = MovingAverage(p, 0.9), MovingAverage(p, 0.9)
    for t in range(6):
        p.flat[...], p.buffers["running_mean"][...] = rng.normal(size=3), rng.normal(size=2)
        whole.update()
        half.update()
        if t == 2:
            state = half.state_dict()
            half = MovingAverage(p, 0.9)
            half.load_state_dict(state)
    for name, a in whole.params.state_dict().items():
        np.testing.assert_array_equal(half.params.state_dict()[name], a)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_outside_its_range_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=r"decay: expected a number in \[0, 1\)"):
        MovingAverage(Parameters({"w": np.ones(1)}), decay)
