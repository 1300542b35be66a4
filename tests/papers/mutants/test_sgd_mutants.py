"""Wrong formulas of stochastic gradient descent near critical points: each fails a test."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
from source_mutants import Mutant, each, failing, ordinary_tests

from popinv.methods.restarts import outlook
from popinv_papers.sgd_dynamics import comparisons, finite_rates, slices, theory

pytestmark = pytest.mark.slow

FORMULAS = ordinary_tests("test_sgd_dynamics")
PROBLEM = ordinary_tests("test_sgd_problem")
STUDY = ordinary_tests("test_sgd_study")
RESTARTS = ordinary_tests("test_restarts")

_CLOSED = FORMULAS.test_escape_from_the_linear_recursion_in_closed_form
_QUADRATURE = FORMULAS.test_pareto_noise_has_its_characteristic_function_by_quadrature
_LIMIT = FORMULAS.test_the_stable_law_is_the_limit_and_the_first_term_its_distance
_DRAWN = FORMULAS.test_characteristic_functions_are_those_of_draws
_AREAS = FORMULAS.test_distribution_functions_and_their_integrals
_KRAMERS = FORMULAS.test_the_integral_equation_is_kramers_at_small_noise
_JUMP = FORMULAS.test_one_jump_leaves_a_heavy_tailed_well_the_sooner_the_top_is_the_end
_CROSSED = STUDY.test_a_barrier_is_crossed_as_often_as_the_integral_equation_says
_BETTER = RESTARTS.test_a_better_answer_is_counted_and_a_worse_one_is_not

# The module, its change, and the test that fails.
MUTANTS: list[tuple[ModuleType, str, str, Callable[..., None]]] = [
    (
        theory,
        "(1 - alpha) / (gamma(2 - alpha)",
        "(1 - alpha) / (gamma(2.2 - alpha)",
        FORMULAS.test_heavy_escape_probabilities,
    ),
    (
        theory,
        "return 1 + max(0.0, (a - 1)",
        "return 1 + max(0.0, 1.1 * (a - 1)",
        FORMULAS.test_sticking_scales,
    ),
    (
        theory,
        "(np.euler_gamma + math.log(2)) / 2) / rate",
        "(np.euler_gamma - math.log(2)) / 2) / rate",
        FORMULAS.test_sticking_time_of_the_double_well,
    ),
    (
        theory,
        "prefactor * math.exp(2 * height",
        "prefactor * math.exp(1.9 * height",
        FORMULAS.test_kramers_of_the_double_well,
    ),
    (
        theory,
        "1 / (0.5 * (rate * scale)",
        "1 / (0.6 * (rate * scale)",
        FORMULAS.test_markov_rates,
    ),
    (
        theory,
        "(near**-alpha - far**-alpha)",
        "(near**-alpha + far**-alpha)",
        FORMULAS.test_markov_rates,
    ),
    (
        theory,
        "math.log1p(-(share**2))",
        "math.log1p(-0.9 * (share**2))",
        FORMULAS.test_sharp_maximum,
    ),
    (finite_rates, "np.cumsum(strides, axis=0) - strides", "np.cumsum(strides, axis=0)", _CLOSED),
    (finite_rates, "integral / growth - values / 2", "integral / growth + values / 2", _CLOSED),
    (finite_rates, "clip(0.5 - step", "clip(0.5 - 1.1 * step", _CLOSED),
    (finite_rates, "math.log1p(rate * curvature)", "math.log1p(rate / curvature)", _CLOSED),
    (finite_rates, "np.exp(-0.5j * np.pi", "np.exp(0.5j * np.pi", _QUADRATURE),
    (finite_rates, "alpha * term / (n - alpha)", "alpha * term / (n + 1 - alpha)", _QUADRATURE),
    (finite_rates, "np.exp(-1j * t * noise.shift)", "np.exp(1j * t * noise.shift)", _QUADRATURE),
    (finite_rates, "(1 - half) * math.log(2)", "half * math.log(2)", _DRAWN),
    (finite_rates, "return alpha / (4 * (2 - alpha))", "return alpha / (5 * (2 - alpha))", _LIMIT),
    (
        finite_rates,
        "* psi.conj()).imag",
        "* psi).imag",
        FORMULAS.test_unbalanced_noise_leaves_by_the_integral_equation_as_by_the_recursion,
    ),
    (finite_rates, "(noise.index + z**2)", "(noise.index + 1.2 * z**2)", _AREAS),
    (finite_rates, "noise.balance * (at_one - beyond)", "0.9 * (at_one - beyond)", _AREAS),
    (finite_rates, "np.maximum(z, 0) + decay", "np.maximum(z, 0) + 1.1 * decay", _AREAS),
    (finite_rates, "nodes - rate * landscape", "nodes - 0.9 * rate * landscape", _KRAMERS),
    (finite_rates, "area = rate * area", "area = 0.999 * rate * area", _KRAMERS),
    (
        finite_rates,
        "right = np.diff(below, axis=1) - left",
        "right = 0.9999 * np.diff(below, axis=1) - left",
        _JUMP,
    ),
    (slices, "exponent = 2 * profile", "exponent = 1.7 * profile", _CROSSED),
    (slices, "top.curvature) / (2 * math.pi)", "top.curvature) / math.pi", _CROSSED),
    (slices, "profile.slope / profile.deviation**2", "profile.slope / profile.error**2", _CROSSED),
    (
        slices,
        "sizes[:k] / sizes[k]",
        "1.2 * sizes[:k] / sizes[k]",
        STUDY.test_hill_finds_the_index_of_a_power_tail,
    ),
    (outlook, "np.argmin(means[members])", "np.argmax(means[members])", _BETTER),
    (outlook, "losses[0] - losses[row]", "losses[row] - losses[0]", _BETTER),
    (outlook, "math.log(1 - _SURE)", "math.log(_SURE)", _BETTER),
    (outlook, '"chebyshev"', '"sqeuclidean"', RESTARTS.test_ends_are_grouped_by_standard_errors),
    (outlook, '"single"', '"complete"', RESTARTS.test_ends_are_grouped_by_standard_errors),
    (
        outlook,
        'proportion_ci(0.95, "exact")',
        'proportion_ci(0.9, "exact")',
        RESTARTS.test_intervals_of_shares_are_exact,
    ),
    (
        comparisons,
        "(x[-1] - x[0])",
        "(x[-1] + x[0])",
        PROBLEM.test_a_slope_is_that_of_each_batch,
    ),
]


@each(MUTANTS)
def test_a_wrong_formula_is_found(mutant: Mutant) -> None:
    assert mutant.is_found()


def test_the_tests_pass_on_the_right_formulas() -> None:
    assert failing(MUTANTS) == []
