"""Wrong formulas of the bigram model's scaling laws: each fails an ordinary test."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
from source_mutants import Mutant, each, failing, ordinary_tests

from popinv_papers.bigram import (
    cross_entropy,
    entries,
    gradient_descent,
    power_law,
    scaling,
    series,
    sign_descent,
    text_problem,
)

pytestmark = pytest.mark.slow

LAWS = ordinary_tests("test_bigram_laws")
PROBLEM = ordinary_tests("test_bigram_problem")
WORST = ordinary_tests("test_bigram_worst_case")

# The module, its change, and the ordinary test that fails.
MUTANTS: list[tuple[ModuleType, str, str, Callable[..., None]]] = [
    (
        gradient_descent,
        "np.exp(2 * steps * decay)",
        "np.exp(2.2 * steps * decay)",
        LAWS.test_gradient_descent_on_the_whole_matrix,
    ),
    (
        gradient_descent,
        "np.log1p(-rest)",
        "np.log1p(-0.9 * rest)",
        LAWS.test_gradient_descent_on_the_whole_matrix,
    ),
    (
        gradient_descent,
        "return (1 - exponent) / exponent *",
        "return 1.1 * (1 - exponent) / exponent *",
        LAWS.test_limits_of_gradient_descent,
    ),
    (
        gradient_descent,
        "return beta(1 - 1 / exponent,",
        "return beta(1 - 0.9 / exponent,",
        LAWS.test_limits_of_gradient_descent,
    ),
    (
        gradient_descent,
        "return tau * size**exponent / 2",
        "return tau * size**exponent / 2.2",
        LAWS.test_horizons_are_scaled_times,
    ),
    (
        gradient_descent,
        "return size**tau / 2 if",
        "return size**tau / 1.8 if",
        LAWS.test_horizons_are_scaled_times,
    ),
    (
        sign_descent,
        "step - rest, rest",
        "step - 0.9 * rest, rest",
        LAWS.test_sign_descent_on_the_whole_matrix,
    ),
    (
        sign_descent,
        "(steps - whole) % 2 == 1",
        "(steps - whole) % 2 == 0",
        LAWS.test_sign_descent_on_the_whole_matrix,
    ),
    (
        sign_descent,
        "(size - n) / (4.0 * steps**2)",
        "(size - n) / (4.5 * steps**2)",
        LAWS.test_the_best_step_beats_a_fine_grid,
    ),
    (
        sign_descent,
        "n + 1 / tau**2",
        "n + 1.1 / tau**2",
        LAWS.test_reference_values_of_sign_descent,
    ),
    (
        sign_descent,
        "1 - 1 / (2 * exponent), exponent",
        "1 - 1.1 / (2 * exponent), exponent",
        LAWS.test_reference_values_of_sign_descent,
    ),
    (
        sign_descent,
        "return tau * np.sqrt(size) / 2",
        "return tau * np.sqrt(size) / 1.8",
        LAWS.test_horizons_are_scaled_times,
    ),
    (
        power_law,
        "(weight @ (x - x_mean) ** 2)",
        "(1.1 * weight @ (x - x_mean) ** 2)",
        LAWS.test_the_exponent_of_a_power_law_is_found,
    ),
    (
        entries,
        "left**2).sum()) / 2 / self.start",
        "left**2).sum()) / 2.2 / self.start",
        LAWS.test_losses_on_counts_are_those_of_a_run,
    ),
    (
        cross_entropy,
        "step * target[:, None]",
        "1.1 * step * target[:, None]",
        LAWS.test_cross_entropy_falls_and_its_gradient_is_right,
    ),
    (
        entries,
        "(copy / contexts[row])",
        "(1.1 * copy / contexts[row])",
        PROBLEM.test_matched_entries_are_those_of_equally_frequent_contexts,
    ),
    (
        entries,
        "np.sqrt(own[1:] * own[:-1])",
        "0.5 * (own[1:] + own[:-1])",
        PROBLEM.test_matched_entries_are_those_of_equally_frequent_contexts,
    ),
    (
        scaling,
        "/ (far - near)",
        "/ (1.1 * far - near)",
        PROBLEM.test_gaps_to_the_limit_shrink_with_the_vocabulary,
    ),
    (
        scaling,
        "np.log(steps.values[large])",
        "1.1 * np.log(steps.values[large])",
        PROBLEM.test_slopes_are_of_logarithms,
    ),
    (
        text_problem,
        "corrected / counted",
        "1.15 * corrected / counted",
        PROBLEM.test_the_correction_predicts_a_withheld_half_and_the_law_does_not,
    ),
    (
        entries,
        "np.full(high - low, each / context_counts.sum())",
        "np.full(high - low, each**1.1 / context_counts.sum())",
        PROBLEM.test_matched_entries_are_those_of_equally_frequent_contexts,
    ),
    (
        scaling,
        "np.diff(terms(ends))[0]) / 2",
        "np.diff(terms(ends))[0]) / 2.2",
        WORST.test_losses_are_those_of_direct_sums,
    ),
    (
        scaling,
        "-exponent * log_k + 2 * steps",
        "-exponent * log_k + 1.9 * steps",
        WORST.test_losses_are_those_of_zeta_functions,
    ),
    (
        scaling,
        "np.log(max(loss, 1e-300) / target)",
        "np.log(max(loss, 1e-300) / (1.1 * target))",
        WORST.test_real_steps_are_just_below_the_whole_ones,
    ),
    (
        series,
        "by_law == by_count != _NEITHER",
        "by_law != _NEITHER",
        PROBLEM.test_a_check_that_contradicts_leaves_no_advice,
    ),
]


@each(MUTANTS)
def test_a_wrong_formula_is_found(mutant: Mutant) -> None:
    assert mutant.is_found()


def test_the_tests_pass_on_the_right_formulas() -> None:
    assert failing(MUTANTS) == []
