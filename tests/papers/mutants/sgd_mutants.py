"""Wrong formulas of stochastic gradient descent near critical points: each fails a test."""

from __future__ import annotations

from changed_source import Table, ordinary_tests

from popinv.methods.restarts import outlook
from popinv_papers.sgd_dynamics import comparisons, finite_rates, slices, theory

FORMULAS = ordinary_tests("test_sgd_dynamics")
PROBLEM = ordinary_tests("test_sgd_problem")
STUDY = ordinary_tests("test_sgd_study")
RESTARTS = ordinary_tests("test_restarts")

MUTANTS: Table = {
    (theory, FORMULAS.test_heavy_escape_probabilities): [
        ("(1 - alpha) / (gamma(2 - alpha)", "(1 - alpha) / (gamma(2.2 - alpha)"),
    ],
    (theory, FORMULAS.test_sticking_scales): [
        ("return 1 + max(0.0, (a - 1)", "return 1 + max(0.0, 1.1 * (a - 1)"),
    ],
    (theory, FORMULAS.test_sticking_time_of_the_double_well): [
        (
            "(np.euler_gamma + math.log(2)) / 2) / rate",
            "(np.euler_gamma - math.log(2)) / 2) / rate",
        ),
    ],
    (theory, FORMULAS.test_kramers_of_the_double_well): [
        ("prefactor * math.exp(2 * height", "prefactor * math.exp(1.9 * height"),
    ],
    (theory, FORMULAS.test_markov_rates): [
        ("1 / (0.5 * (rate * scale)", "1 / (0.6 * (rate * scale)"),
        ("(near**-alpha - far**-alpha)", "(near**-alpha + far**-alpha)"),
    ],
    (theory, FORMULAS.test_sharp_maximum): [
        ("math.log1p(-(share**2))", "math.log1p(-0.9 * (share**2))"),
    ],
    (finite_rates, FORMULAS.test_escape_from_the_linear_recursion_in_closed_form): [
        ("np.cumsum(strides, axis=0) - strides", "np.cumsum(strides, axis=0)"),
        ("integral / growth - values / 2", "integral / growth + values / 2"),
        ("clip(0.5 - step", "clip(0.5 - 1.1 * step"),
        ("math.log1p(rate * curvature)", "math.log1p(rate / curvature)"),
    ],
    (finite_rates, FORMULAS.test_pareto_noise_has_its_characteristic_function_by_quadrature): [
        ("np.exp(-0.5j * np.pi", "np.exp(0.5j * np.pi"),
        ("alpha * term / (n - alpha)", "alpha * term / (n + 1 - alpha)"),
        ("np.exp(-1j * t * noise.shift)", "np.exp(1j * t * noise.shift)"),
    ],
    (finite_rates, FORMULAS.test_characteristic_functions_are_those_of_draws): [
        ("(1 - half) * math.log(2)", "half * math.log(2)"),
    ],
    (finite_rates, FORMULAS.test_the_stable_law_is_the_limit_and_the_first_term_its_distance): [
        ("return alpha / (4 * (2 - alpha))", "return alpha / (5 * (2 - alpha))"),
    ],
    (
        finite_rates,
        FORMULAS.test_unbalanced_noise_leaves_by_the_integral_equation_as_by_the_recursion,
    ): [
        ("* psi.conj()).imag", "* psi).imag"),
    ],
    (finite_rates, FORMULAS.test_distribution_functions_and_their_integrals): [
        ("(noise.index + z**2)", "(noise.index + 1.2 * z**2)"),
        ("noise.balance * (at_one - beyond)", "0.9 * (at_one - beyond)"),
        ("np.maximum(z, 0) + decay", "np.maximum(z, 0) + 1.1 * decay"),
    ],
    (finite_rates, FORMULAS.test_the_integral_equation_is_kramers_at_small_noise): [
        ("nodes - rate * landscape", "nodes - 0.9 * rate * landscape"),
        ("area = rate * area", "area = 0.999 * rate * area"),
    ],
    (
        finite_rates,
        FORMULAS.test_one_jump_leaves_a_heavy_tailed_well_the_sooner_the_top_is_the_end,
    ): [
        ("right = np.diff(below, axis=1) - left", "right = 0.9999 * np.diff(below, axis=1) - left"),
    ],
    (slices, STUDY.test_a_barrier_is_crossed_as_often_as_the_integral_equation_says): [
        ("exponent = 2 * profile", "exponent = 1.7 * profile"),
        ("top.curvature) / (2 * math.pi)", "top.curvature) / math.pi"),
        ("profile.slope / profile.deviation**2", "profile.slope / profile.error**2"),
    ],
    (slices, STUDY.test_hill_finds_the_index_of_a_power_tail): [
        ("sizes[:k] / sizes[k]", "1.2 * sizes[:k] / sizes[k]"),
    ],
    (outlook, RESTARTS.test_a_better_answer_is_counted_and_a_worse_one_is_not): [
        ("np.argmin(means[members])", "np.argmax(means[members])"),
        ("losses[0] - losses[row]", "losses[row] - losses[0]"),
        ("math.log(1 - _SURE)", "math.log(_SURE)"),
    ],
    (outlook, RESTARTS.test_ends_are_grouped_by_standard_errors): [
        ('"chebyshev"', '"sqeuclidean"'),
        ('"single"', '"complete"'),
    ],
    (outlook, RESTARTS.test_intervals_of_shares_are_exact): [
        ('proportion_ci(0.95, "exact")', 'proportion_ci(0.9, "exact")'),
    ],
    (comparisons, PROBLEM.test_a_slope_is_that_of_each_batch): [
        ("(x[-1] - x[0])", "(x[-1] + x[0])"),
    ],
}
