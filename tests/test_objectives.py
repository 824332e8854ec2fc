"""What the players minimise: known losses of fixed scores, the value of the solved game, and the slopes that differ."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from minigan import grad, objectives, value_and_grad
from minigan.objectives import Objective
from minigan.primitives import binary_cross_entropy, binary_cross_entropy_with_logits

P = np.array([[0.9], [0.5], [0.2]])
ON_PROBABILITIES = [objectives.non_saturating, objectives.saturating]
ON_LOGITS = [objectives.non_saturating_with_logits, objectives.saturating_with_logits]


# Each loss as a function of one batch of scores; another one, if it has two, stays as it is.
TERMS: dict[str, Any] = {
    "real": lambda objective, fake: lambda scores: objective.d_loss(scores, fake),
    "fake": lambda objective, real: lambda scores: objective.d_loss(real, scores),
    "generator": lambda objective, real: lambda scores: objective.g_loss(scores, real),
}


def _logit(p: Any) -> Any:
    return np.log(p / (1.0 - p))


def test_losses_of_fixed_scores_are_what_one_computes_by_hand() -> None:
    real = -(math.log(0.9) + math.log(0.5) + math.log(0.2)) / 3
    fake = -(math.log(0.1) + math.log(0.5) + math.log(0.8)) / 3
    for objective, generator in zip(ON_PROBABILITIES, [real, -fake], strict=True):
        np.testing.assert_allclose(objective.d_loss(P, P), real + fake, rtol=1e-14)
        np.testing.assert_allclose(objective.d_loss(P, P[:1]), real - math.log(0.1), rtol=1e-14)
        np.testing.assert_allclose(objective.g_loss(P), generator, rtol=1e-14)


@pytest.mark.parametrize("objective", ON_PROBABILITIES + ON_LOGITS, ids=lambda o: o.name)
def test_gs_loss_is_handed_both_batches_and_these_feel_the_generated_one_only(objective: Objective) -> None:
    assert objective.g_loss(P, 0.5 * P) == objective.g_loss(P)


@pytest.mark.parametrize(("rows", "fake_rows"), [(1, 1), (2, 1), (1, 3), (4, 3)])
@pytest.mark.parametrize("objective", ON_PROBABILITIES + ON_LOGITS, ids=lambda o: o.name)
def test_ds_loss_is_the_sum_of_its_means_whatever_the_numbers_of_rows(
    objective: Objective, rows: int, fake_rows: int
) -> None:
    on_real, on_fake = (np.random.default_rng(i).uniform(0.1, 0.9, (n, 1)) for i, n in enumerate((rows, fake_rows)))
    entropy = binary_cross_entropy_with_logits if objective in ON_LOGITS else binary_cross_entropy
    expected = np.mean([entropy(p, 1.0) for p in on_real]) + np.mean([entropy(p, 0.0) for p in on_fake])
    np.testing.assert_allclose(objective.d_loss(on_real, on_fake), expected, rtol=1e-14)


def test_the_probability_of_a_score_is_itself_or_the_sigmoid_of_the_logit() -> None:
    for objective in ON_PROBABILITIES:
        np.testing.assert_array_equal(objective.probability(P), P)
    for objective in ON_LOGITS:
        np.testing.assert_allclose(objective.probability(_logit(P)), P, rtol=1e-14)


@pytest.mark.parametrize(("probabilities", "logits"), list(zip(ON_PROBABILITIES, ON_LOGITS, strict=True)))
@pytest.mark.parametrize("term", TERMS)
def test_losses_on_logits_are_those_on_probabilities(probabilities: Objective, logits: Objective, term: str) -> None:
    s = _logit(P)
    on_p, on_s = TERMS[term](probabilities, P), TERMS[term](logits, s)
    value, slope = value_and_grad(on_s)(s)
    expected, slope_in_p = value_and_grad(on_p)(P)
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    np.testing.assert_allclose(slope, slope_in_p * P * (1.0 - P), rtol=1e-13)


def test_d_maximises_the_value_of_the_game() -> None:
    on_real, on_fake = np.array([[0.8], [0.6]]), np.array([[0.3], [0.1], [0.5]])
    for objective in ON_PROBABILITIES:
        np.testing.assert_allclose(objectives.value(on_real, on_fake), -objective.d_loss(on_real, on_fake), rtol=1e-14)
    expected = np.log(on_real).mean() + np.log(1.0 - on_fake).mean()
    np.testing.assert_allclose(objectives.value(on_real, on_fake), expected, rtol=1e-14)


def test_the_value_of_the_solved_game_is_minus_two_log_two() -> None:
    half = np.full((10, 1), 0.5)
    np.testing.assert_allclose(objectives.value(half, half), -2.0 * math.log(2.0), rtol=1e-15)


def test_the_best_d_against_two_densities_is_their_share() -> None:
    """D = p / (p + q) minimises D's loss on samples in the ratio p : q   [Goodfellow et al. 2014, prop. 1]."""
    p, q, half = 3.0, 1.0, np.array([0.5])  # what does not move has no slope
    for objective in ON_PROBABILITIES:
        loss = lambda d, o=objective: p * o.d_loss(d, half) + q * o.d_loss(half, d)
        slope = grad(loss)(np.array([p / (p + q)]))
        np.testing.assert_allclose(slope, [0.0], atol=1e-14)


def test_where_d_sees_through_g_the_saturating_slope_vanishes_and_the_other_is_at_its_largest() -> None:
    s = np.array([-20.0])
    np.testing.assert_allclose(grad(objectives.saturating_with_logits.g_loss)(s), -1.0 / (1.0 + np.exp(20.0)))
    np.testing.assert_allclose(grad(objectives.non_saturating_with_logits.g_loss)(s), -1.0 / (1.0 + np.exp(-20.0)))


@pytest.mark.parametrize("d", [1e-3, 0.1, 0.5, 0.9, 0.999])
def test_gs_slopes_in_the_logit_are_minus_d_and_minus_one_minus_d(d: float) -> None:
    s = _logit(np.array([d]))
    np.testing.assert_allclose(grad(objectives.saturating_with_logits.g_loss)(s), [-d], rtol=1e-12)
    np.testing.assert_allclose(grad(objectives.non_saturating_with_logits.g_loss)(s), [d - 1.0], rtol=1e-12)


@pytest.mark.parametrize("objective", ON_LOGITS, ids=lambda o: o.name)
def test_losses_on_logits_never_overflow(objective: Objective) -> None:
    s = np.array([[-3e38], [-100.0], [100.0], [3e38]], np.float32)
    for i in range(4):
        for term in TERMS.values():
            value, slope = value_and_grad(term(objective, s[:1] * 0.0))(s[i])
            assert np.isfinite(value)
            assert np.abs(slope).max() <= 1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_a_certain_mistake_costs_a_hundred_and_not_infinity(dtype: Any, target: float) -> None:
    value, slope = value_and_grad(lambda p: binary_cross_entropy(p, target))(np.array([1.0 - target], dtype))
    assert value == 100.0
    np.testing.assert_allclose(slope, [(1.0 - 2.0 * target) * 1e12], rtol=1e-6)


@pytest.mark.parametrize("target", [0.0, 1.0, 0.5])
def test_a_target_array_means_what_the_number_means(target: float) -> None:
    for loss, x in [(binary_cross_entropy, P), (binary_cross_entropy_with_logits, _logit(P))]:
        np.testing.assert_allclose(loss(x, np.full_like(x, target)), loss(x, target), rtol=1e-14)
        np.testing.assert_allclose(grad(loss)(x, np.full_like(x, target)), grad(loss)(x, target), rtol=1e-14)


@pytest.mark.parametrize("loss", [binary_cross_entropy, binary_cross_entropy_with_logits])
@pytest.mark.parametrize("target", [0, 1])
def test_a_whole_number_is_a_target_too(loss: Any, target: int) -> None:
    assert loss(P, target) == loss(P, float(target))


def test_the_slope_in_the_target_is_finite_where_the_probability_is_certain() -> None:
    slope = grad(lambda t: binary_cross_entropy(np.array([0.0, 1.0]), t, "sum"))(np.array([0.5, 0.5]))
    np.testing.assert_array_equal(slope, [100.0, -100.0])


@pytest.mark.parametrize("loss", [binary_cross_entropy, binary_cross_entropy_with_logits])
def test_reductions_are_the_mean_the_sum_and_none(loss: Any) -> None:
    each = loss(P, 1.0, "none")
    assert each.shape == P.shape
    np.testing.assert_allclose(loss(P, 1.0, "sum"), each.sum(), rtol=1e-15)
    np.testing.assert_allclose(loss(P, 1.0), each.mean(), rtol=1e-15)


@pytest.mark.parametrize("loss", [binary_cross_entropy, binary_cross_entropy_with_logits])
def test_a_target_of_another_shape_and_an_unknown_reduction_are_refused(loss: Any) -> None:
    with pytest.raises(ValueError, match=r"expected target of the input's shape \(3, 1\), got \(3,\)"):
        loss(P, np.ones(3))
    with pytest.raises(ValueError, match="expected reduction 'mean', 'sum' or 'none', got 'avg'"):
        loss(P, 1.0, "avg")
