"""Wrong formulas of the bigram model's scaling laws: each fails an ordinary test."""

from __future__ import annotations

from changed_source import Table, ordinary_tests

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

LAWS = ordinary_tests("test_bigram_laws")
PROBLEM = ordinary_tests("test_bigram_problem")
WORST = ordinary_tests("test_bigram_worst_case")

MUTANTS: Table = {
    (gradient_descent, LAWS.test_gradient_descent_on_the_whole_matrix): [
        ("np.exp(2 * steps * decay)", "np.exp(2.2 * steps * decay)"),
        ("np.log1p(-rest)", "np.log1p(-0.9 * rest)"),
    ],
    (gradient_descent, LAWS.test_limits_of_gradient_descent): [
        ("return (1 - exponent) / exponent *", "return 1.1 * (1 - exponent) / exponent *"),
        ("return beta(1 - 1 / exponent,", "return beta(1 - 0.9 / exponent,"),
    ],
    (gradient_descent, LAWS.test_horizons_are_scaled_times): [
        ("return tau * size**exponent / 2", "return tau * size**exponent / 2.2"),
        ("return size**tau / 2 if", "return size**tau / 1.8 if"),
    ],
    (sign_descent, LAWS.test_sign_descent_on_the_whole_matrix): [
        ("step - rest, rest", "step - 0.9 * rest, rest"),
        ("(steps - whole) % 2 == 1", "(steps - whole) % 2 == 0"),
    ],
    (sign_descent, LAWS.test_the_best_step_beats_a_fine_grid): [
        ("(size - n) / (4.0 * steps**2)", "(size - n) / (4.5 * steps**2)"),
    ],
    (sign_descent, LAWS.test_reference_values_of_sign_descent): [
        ("n + 1 / tau**2", "n + 1.1 / tau**2"),
        ("1 - 1 / (2 * exponent), exponent", "1 - 1.1 / (2 * exponent), exponent"),
    ],
    (sign_descent, LAWS.test_horizons_are_scaled_times): [
        ("return tau * np.sqrt(size) / 2", "return tau * np.sqrt(size) / 1.8"),
    ],
    (power_law, LAWS.test_the_exponent_of_a_power_law_is_found): [
        ("(weight @ (x - x_mean) ** 2)", "(1.1 * weight @ (x - x_mean) ** 2)"),
    ],
    (entries, LAWS.test_losses_on_counts_are_those_of_a_run): [
        ("left**2).sum()) / 2 / self.start", "left**2).sum()) / 2.2 / self.start"),
    ],
    (entries, PROBLEM.test_matched_entries_are_those_of_equally_frequent_contexts): [
        ("(copy / contexts[row])", "(1.1 * copy / contexts[row])"),
        ("np.sqrt(own[1:] * own[:-1])", "0.5 * (own[1:] + own[:-1])"),
        (
            "np.full(high - low, each / context_counts.sum())",
            "np.full(high - low, each**1.1 / context_counts.sum())",
        ),
    ],
    (cross_entropy, LAWS.test_cross_entropy_falls_and_its_gradient_is_right): [
        ("step * target[:, None]", "1.1 * step * target[:, None]"),
    ],
    (scaling, PROBLEM.test_gaps_to_the_limit_shrink_with_the_vocabulary): [
        ("/ (far - near)", "/ (1.1 * far - near)"),
    ],
    (scaling, PROBLEM.test_slopes_are_of_logarithms): [
        ("np.log(steps.values[large])", "1.1 * np.log(steps.values[large])"),
    ],
    (scaling, WORST.test_losses_are_those_of_direct_sums): [
        ("np.diff(terms(ends))[0]) / 2", "np.diff(terms(ends))[0]) / 2.2"),
    ],
    (scaling, WORST.test_losses_are_those_of_zeta_functions): [
        ("-exponent * log_k + 2 * steps", "-exponent * log_k + 1.9 * steps"),
    ],
    (scaling, WORST.test_real_steps_are_just_below_the_whole_ones): [
        ("np.log(max(loss, 1e-300) / target)", "np.log(max(loss, 1e-300) / (1.1 * target))"),
    ],
    (text_problem, PROBLEM.test_the_correction_predicts_a_withheld_half_and_the_law_does_not): [
        ("corrected / counted", "1.15 * corrected / counted"),
    ],
    (series, PROBLEM.test_a_check_that_contradicts_leaves_no_advice): [
        ("by_law == by_count != _NEITHER", "by_law != _NEITHER"),
    ],
}
