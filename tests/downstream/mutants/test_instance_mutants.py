"""Wrong formulas of the difficulty of unlearning: each changes a row or fails a test."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from source_mutants import Mutant, each, failing, ordinary_tests

from popinv.downstream.instance_unlearning import (
    barriers,
    bounds,
    chains,
    claims,
    forgetting,
    gaussian,
    renyi,
    scores,
    training,
)

pytestmark = pytest.mark.slow

BOUNDS = ordinary_tests("test_instance_bounds")
PARTS = ordinary_tests("test_instance_unlearning")


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
_CENSORED = PARTS.test_concordance_counts_pairs_whose_order_is_known

MUTANTS: list[tuple[ModuleType, str, str, Callable[..., None]]] = [
    (
        gaussian,
        "steps * order * (rate * gap / count) ** 2 / (2 * chain.noise)",
        "steps * order * (rate * gap / count) ** 2 / (4 * chain.noise)",
        chains_hold,
    ),
    (gaussian, "2 * rate * sigma**2)", "2.4 * rate * sigma**2)", _NUMBERS),
    (gaussian, "decay**2 * (start.variance", "decay * (start.variance", _LAWS),
    (gaussian, "self.noise / (1 - self.factor**2)", "self.noise / (1 - self.factor)", _LAWS),
    (
        gaussian,
        "spread = 0.5 * math.log(",
        "spread = 0.6 * math.log(",
        BOUNDS.test_divergence_of_normal_laws,
    ),
    (
        gaussian,
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
        barriers,
        "line = (1 - t) * losses[:, :1]",
        "line = (1 + t) * losses[:, :1]",
        PARTS.test_barriers,
    ),
    (
        barriers,
        "(losses[:, 0] + losses[:, -1]) / 2",
        "(losses[:, 0] + losses[:, -1]) / 1.8",
        PARTS.test_barriers,
    ),
    (scores, "data.labels] -= 1", "data.labels] -= 0.8", PARTS.test_confidences_and_label_errors),
    (
        scores,
        "/ with_it - (right",
        "/ with_it + (right",
        PARTS.test_memorisation_is_what_a_point_adds_to_its_own_answer,
    ),
    (forgetting, "+ 0.5 * (scores[:, None] == scores)", "+ (scores[:, None] == scores)", _CENSORED),
    (forgetting, "(steps[:, None] < steps) | ~reached", "steps[:, None] < steps", _CENSORED),
    (forgetting, "(scores[:, None] < scores) +", "(scores[:, None] > scores) +", _CENSORED),
]


@each(MUTANTS)
def test_a_wrong_formula_is_found(mutant: Mutant) -> None:
    assert mutant.is_found()


def test_the_tests_pass_on_the_right_formulas() -> None:
    assert failing(MUTANTS) == []
