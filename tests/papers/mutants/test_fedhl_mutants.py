"""Wrong formulas of federated adaptation: each fails an ordinary test."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
from source_mutants import Mutant, each, failing, ordinary_tests

from popinv_papers.fedhl import (
    claims,
    clients,
    lora,
    problem,
    regression,
    server,
)

pytestmark = pytest.mark.slow

TESTS = ordinary_tests("test_fedhl")
PROBLEM = ordinary_tests("test_fedhl_problem")

# The module, its change, and the ordinary test that fails.
MUTANTS: list[tuple[ModuleType, str, str, Callable[..., None]]] = [
    (
        server,
        "(s.double() ** 2)",
        "(s.double() ** 1.8)",
        TESTS.test_truncation_errors_are_the_dense_norms_summed_over_layers,
    ),
    (
        server,
        "errors**weighting.power",
        "errors ** (0.9 * weighting.power)",
        TESTS.test_weights_are_those_of_the_formula,
    ),
    (
        server,
        "(powers.mean() if",
        "(1.2 * powers.mean() if",
        TESTS.test_weights_are_those_of_the_formula,
    ),
    (
        server,
        "shifted = powers + epsilon",
        "shifted = powers + 0.8 * epsilon",
        TESTS.test_weights_are_those_of_the_formula,
    ),
    (
        server,
        "weights = shifted.min() / shifted",
        "weights = shifted / shifted.min()",
        TESTS.test_weights_minimise_the_bound_on_the_drift,
    ),
    (
        server,
        "trained[name] - sent[name])",
        "trained[name] - 0.9 * sent[name])",
        TESTS.test_no_local_step_changes_nothing,
    ),
    (
        server,
        "{name: w - sent[name]",
        "{name: w - 0.9 * sent[name]",
        TESTS.test_a_residual_at_the_client_is_part_of_its_base,
    ),
    (
        server,
        '"k,kmn->mn", _like(weights, each), each',
        '"k,kmn->mn", 1.1 * _like(weights, each), each',
        TESTS.test_full_rank_everywhere_is_flexlora_with_equal_weights,
    ),
    (
        server,
        ".sqrt().numpy()",
        ".numpy()",
        TESTS.test_hetlora_weighs_clients_by_norm_and_sends_slices,
    ),
    (
        server,
        "/ np.log(len(weights)))",
        "/ np.log(1.2 * len(weights)))",
        TESTS.test_weights_in_the_limits,
    ),
    (
        server,
        "_like(weights, f.b), f.b)",
        "1.1 * _like(weights, f.b), f.b)",
        TESTS.test_no_local_step_changes_nothing,
    ),
    (
        server,
        "down = clients * factors",
        "down = len(ranks) * factors",
        TESTS.test_bytes_count_factors_both_ways,
    ),
    (server, "down = len(ranks) * m * n", "down = m * n", TESTS.test_bytes_count_factors_both_ways),
    (
        lora,
        "root = s[:known].sqrt()",
        "root = s[:known] ** 0.55",
        TESTS.test_what_is_sent_is_the_best_approximation_of_the_rank,
    ),
    (
        lora,
        "f.b.mT @ gradients[name]",
        "-f.b.mT @ gradients[name]",
        TESTS.test_gradients_of_factors_are_those_of_automatic_differentiation,
    ),
    (
        clients,
        "d + offset[name]",
        "d + 0.9 * offset[name]",
        TESTS.test_a_residual_at_the_client_is_part_of_its_base,
    ),
    (
        clients,
        "value - local.rate * slope",
        "value + local.rate * slope",
        TESTS.test_the_full_rank_base_learns_what_flexlora_loses,
    ),
    (
        regression,
        "float(0.5 * ((lost",
        "float(0.6 * ((lost",
        TESTS.test_gradients_of_the_regression_are_those_of_its_loss,
    ),
    (
        regression,
        "exact = (dense[_LAYER] - self.targets[clients])",
        "exact = (dense[_LAYER] - 0.9 * self.targets[clients])",
        TESTS.test_gradients_of_the_regression_are_those_of_its_loss,
    ),
    (
        regression,
        "each.mean(dim=0) ** 2",
        "each.sum(dim=0) ** 2",
        TESTS.test_gradients_of_the_regression_are_those_of_its_loss,
    ),
    (
        regression,
        "exact + self.noise * draws",
        "exact + 0.9 * self.noise * draws",
        TESTS.test_noise_of_the_gradients_has_its_deviation_and_is_a_clients_own,
    ),
    (
        regression,
        "(u[:, r:] * s[r:]) @ vh[r:]",
        "(u[:, r:] * 0.9 * s[r:]) @ vh[r:]",
        TESTS.test_the_drift_is_the_difference_of_the_first_gradients,
    ),
    (
        regression,
        'np.log(rate["horizon"]',
        'np.log2(rate["horizon"]',
        PROBLEM.test_exponents_are_those_of_a_power_law,
    ),
    (
        claims,
        "number // 10",
        "number // 5",
        PROBLEM.test_levels_are_means_of_the_last_tenth_of_the_rounds,
    ),
    (
        claims,
        "rounds // 4",
        "rounds // 3",
        PROBLEM.test_levels_are_means_of_the_last_tenth_of_the_rounds,
    ),
    (
        problem,
        "len(order) // 6",
        "len(order) // 5",
        PROBLEM.test_the_pilot_sees_no_test_image_and_many_classes,
    ),
    (
        clients,
        "np.maximum(1, ",
        "np.maximum(0, ",
        TESTS.test_a_client_prunes_when_its_last_directions_shrink_and_keeps_the_leading_ones,
    ),
    (
        clients,
        "pruning) < tail_norms(",
        "pruning) > tail_norms(",
        TESTS.test_a_client_prunes_when_its_last_directions_shrink_and_keeps_the_leading_ones,
    ),
    (
        clients,
        "pruning.strength * a * tail.b",
        "pruning.strength * b * tail.b",
        TESTS.test_the_penalty_is_the_product_of_the_norms_of_the_last_columns_and_rows,
    ),
]


@each(MUTANTS)
def test_a_wrong_formula_is_found(mutant: Mutant) -> None:
    assert mutant.is_found()


def test_the_tests_pass_on_the_right_formulas() -> None:
    assert failing(MUTANTS) == []
