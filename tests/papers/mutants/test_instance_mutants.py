"""Wrong formulas of the difficulty of unlearning: each changes a row or fails a test."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from source_mutants import Mutant, each, failing, ordinary_tests

from popinv.methods import privacy
from popinv_papers.instance_unlearning import (
    bounds,
    chains,
    claims,
    difficulty,
    equal_epsilon,
    networks,
    recipe,
    renyi,
    training,
)

pytestmark = pytest.mark.slow

BOUNDS = ordinary_tests("test_instance_bounds")
PARTS = ordinary_tests("test_instance_unlearning")
EQUAL = ordinary_tests("test_instance_equal_epsilon")


def chains_hold() -> None:
    """Check the rows on exact chains that this size can decide."""
    numbers = range(claims.CHAINS)
    cases = [chains.compare(1, number) for number in numbers]
    points = [chains.per_instance_steps(1, number) for number in numbers]
    table = list(claims._chains(cases, points, np.random.default_rng(0)))
    assert [table[i].status for i in (0, 3)] == ["holds", "holds"]


_NUMBERS = BOUNDS.test_a_replaced_outlier_in_numbers
_KNOWN = BOUNDS.test_known_steps
_COMPOSED = BOUNDS.test_a_loss_is_composed_as_the_formula_says
_STEPS = BOUNDS.test_steps_grow_with_the_logarithm_of_the_loss
_LAWS = BOUNDS.test_laws_of_a_chain_are_those_of_its_paths
_NORMS = PARTS.test_norms_are_those_of_single_gradients
_STEP = EQUAL.test_a_step_follows_the_gradient_of_the_points_that_are_kept
_CONVEX = EQUAL.test_the_bound_for_convex_losses_in_numbers
_EPSILON = EQUAL.test_epsilon_has_its_closed_form_where_divergences_are_proportional_to_the_order
_EPSILONS = EQUAL.test_epsilons_are_those_of_a_constant_gradient
_COUPLED = EQUAL.test_noise_by_coupling_hides_the_gap_of_two_trainings
_GAINS = EQUAL.test_gains_are_over_the_rival_that_asks_for_less_noise
_CENSORED = PARTS.test_concordance_counts_pairs_whose_order_is_known

MUTANTS: list[tuple[ModuleType, str, str, Callable[..., None]]] = [
    (
        chains,
        "steps * order * (rate * gap / count) ** 2 / (2 * chain.noise)",
        "steps * order * (rate * gap / count) ** 2 / (4 * chain.noise)",
        chains_hold,
    ),
    (chains, "2 * rate * sigma**2)", "2.4 * rate * sigma**2)", _NUMBERS),
    (chains, "decay**2 * (start.variance", "decay * (start.variance", _LAWS),
    (chains, "self.noise / (1 - self.factor**2)", "self.noise / (1 - self.factor)", _LAWS),
    (
        chains,
        "spread = 0.5 * math.log(",
        "spread = 0.6 * math.log(",
        BOUNDS.test_divergence_of_normal_laws,
    ),
    (
        chains,
        "(law.mean - point) ** 2 / left",
        "(law.mean - point) ** 2 / (4 * left)",
        BOUNDS.test_composition_is_above_the_divergence_of_a_removed_point,
    ),
    (bounds, "(order - 0.5) / (order - 1)", "(order - 0.4) / (order - 1)", _NUMBERS),
    (bounds, "(2 * order - 0.5) / (2 * order - 1)", "(2 * order) / (2 * order - 1)", _NUMBERS),
    (bounds, "np.exp(-2 * sigma**2", "np.exp(-2.4 * sigma**2", _NUMBERS),
    (bounds, "length = order * constant /", "length = 1.2 * order * constant /", _STEPS),
    (
        renyi,
        "return batch * sigma *",
        "return 1.1 * batch * sigma *",
        BOUNDS.test_langevin_noise_on_the_sum,
    ),
    (renyi, "(k * (k - 1.0)) / (2 *", "(k * (k - 1.0)) / (2.4 *", _KNOWN),
    (
        renyi,
        "np.where(exponent[..., -1] < 1, small, large) / (order - 1)",
        "np.where(exponent[..., -1] < 1, small, large) / order",
        _KNOWN,
    ),
    (
        renyi,
        "weight = np.exp(i * math.log1p(-1 / exponent)) / exponent",
        "weight = np.exp(-i * math.log1p(-1 / exponent)) / exponent",
        _COMPOSED,
    ),
    (
        renyi,
        "(order - 1) * np.exp(-np.arange(steps)",
        "(order - 1) * np.exp(np.arange(steps)",
        BOUNDS.test_hoelder_orders_follow_their_recursion,
    ),
    (
        training,
        "math.sqrt(2 * rule.rate) * rule.sigma",
        "math.sqrt(1.4 * rule.rate) * rule.sigma",
        PARTS.test_noise_is_that_of_langevin_and_common_to_a_stack,
    ),
    (
        training,
        "draws < share",
        "draws < 1.2 * share",
        PARTS.test_batches_are_drawn_by_poisson_sampling_and_do_not_depend_on_who_is_kept,
    ),
    (
        difficulty,
        "line = (1 - t) * losses[:, :1]",
        "line = (1 + t) * losses[:, :1]",
        PARTS.test_barriers,
    ),
    (
        difficulty,
        "(losses[:, 0] + losses[:, -1]) / 2",
        "(losses[:, 0] + losses[:, -1]) / 1.8",
        PARTS.test_barriers,
    ),
    (
        difficulty,
        "data.labels] -= 1",
        "data.labels] -= 0.8",
        PARTS.test_confidences_and_label_errors,
    ),
    (
        difficulty,
        "/ with_it - (right",
        "/ with_it + (right",
        PARTS.test_memorisation_is_what_a_point_adds_to_its_own_answer,
    ),
    (difficulty, "+ 0.5 * (scores[:, None] == scores)", "+ (scores[:, None] == scores)", _CENSORED),
    (difficulty, "(steps[:, None] < steps) | ~reached", "steps[:, None] < steps", _CENSORED),
    (difficulty, "(scores[:, None] < scores) +", "(scores[:, None] > scores) +", _CENSORED),
    (networks, "square = (1 + inputs[2]", "square = (1.2 + inputs[2]", _NORMS),
    (
        networks,
        "square + slope.sum(dim=2).square()",
        "square + 1.2 * slope.sum(dim=2).square()",
        _NORMS,
    ),
    (
        networks,
        "(slope @ seen.transpose(1, 2)).square()",
        "1.2 * (slope @ seen.transpose(1, 2)).square()",
        _NORMS,
    ),
    (bounds, "order, 2 / strong, rate, 1.0)", "order, 2.4 / strong, rate, 1.0)", _CONVEX),
    (bounds, "math.log(1 / delta) / (np", "1.2 * math.log(1 / delta) / (np", _EPSILON),
    (equal_epsilon, "/ len(self.rows)", "/ (1.2 * len(self.rows))", _STEP),
    (equal_epsilon, "self.strong * weights)", "1.2 * self.strong * weights)", _STEP),
    (
        equal_epsilon,
        "errors = errors * kept[..., None]",
        "errors = errors * kept[..., None] ** 0",
        _STEP,
    ),
    (
        equal_epsilon,
        "math.sqrt(2 * self.rate)",
        "math.sqrt(1.4 * self.rate)",
        EQUAL.test_noise_of_a_regression_is_that_of_langevin,
    ),
    (
        equal_epsilon,
        "LIPSCHITZ = math.sqrt(2)",
        "LIPSCHITZ = math.sqrt(1.6)",
        EQUAL.test_the_length_of_an_error_is_that_of_the_points_gradient,
    ),
    (equal_epsilon, "self.labels] -= 1", "self.labels] -= 0.8", _STEP),
    (
        equal_epsilon,
        "sum_noise(convex.rate, sigma, convex.points)",
        "sum_noise(convex.rate, sigma, 1.2 * convex.points)",
        _EPSILONS,
    ),
    (
        equal_epsilon,
        "*(order, convex.strong, convex.rate)",
        "*(order, 1.4 * convex.strong, convex.rate)",
        _EPSILONS,
    ),
    (equal_epsilon, "LIPSCHITZ / convex.points", "2 * LIPSCHITZ / convex.points", _COUPLED),
    (bounds, "(1 - shrink**trained) /", "1 /", _COUPLED),
    (bounds, "/ (4 * rate * wanted)", "/ (2 * rate * wanted)", _COUPLED),
    (bounds, "share = left * (1 - squared)", "share = left * (1 - squared) * 1.2", _COUPLED),
    (privacy, "(epsilon / (math.sqrt(epsilon + ell)", "(epsilon / (math.sqrt(ell)", _COUPLED),
    (
        equal_epsilon,
        "np.where(less[:, None], coupled, uniform)",
        "np.where(less[:, None], uniform, coupled)",
        _GAINS,
    ),
    (equal_epsilon, "found[:, 0] - found[:, -1]", "found[:, 0] - found[:, 0]", _GAINS),
    (
        equal_epsilon,
        "np.logical_and.accumulate(enough[::-1])[::-1]",
        "enough",
        EQUAL.test_the_lowest_level_suffices_with_all_above_it,
    ),
    (
        recipe,
        "torch.from_numpy(values), size.pooled)",
        "torch.from_numpy(values) ** 2, size.pooled)",
        EQUAL.test_pixels_are_averaged_over_squares,
    ),
]


@each(MUTANTS)
def test_a_wrong_formula_is_found(mutant: Mutant) -> None:
    assert mutant.is_found()


def test_the_tests_pass_on_the_right_formulas() -> None:
    assert failing(MUTANTS) == []
