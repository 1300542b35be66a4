"""Wrong formulas of selection by influence: each changes a row of the table, or fails a test."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
from source_mutants import Mutant, each, failing, ordinary_tests

from popinv_papers.influence import (
    costs,
    exactness,
    influence,
    networks,
    pool_scores,
    pretraining,
    selection,
    text_pool,
    worth,
)

pytestmark = pytest.mark.slow

FORMULAS = ordinary_tests("test_influence")
PROBLEM = ordinary_tests("test_influence_problem")
ANSWER = ordinary_tests("test_influence_answer")


def orders_hold() -> None:
    """Check the rows on the orders of errors, of a single draw of the smallest network."""
    case = next(exactness.cases(1, 0, 20))
    measured = exactness.error_orders(case, 1)
    for kind in ("gradient", "adam"):
        for order, power in (("first", 2.0), ("second", 3.0)):
            name = f"{case.name}_{kind}_{order}_order_error_slope"
            assert abs(measured[name] - power) < 0.1


_CHANGE = FORMULAS.test_errors_of_the_predicted_change_are_of_second_and_third_order
_SUPPORT = FORMULAS.test_robust_weights_are_the_minimum_and_their_support_the_best_k
_SOLVER = FORMULAS.test_second_order_weights_are_those_of_a_general_solver
_KERNEL = FORMULAS.test_the_kernel_rule_is_ridge_regression_with_the_median_distance
_LINEAR = FORMULAS.test_the_linear_rule_is_ridge_regression
_ADAM = FORMULAS.test_adam_step_is_that_of_torch_up_to_the_steps_own_second_moment
_PAIRS = PROBLEM.test_a_table_of_pairs_is_that_of_witten_and_bell
_SLOPE = ANSWER.test_the_slope_is_that_of_refits_through_a_wrong_map
_CHOICE = ANSWER.test_each_choice_is_the_best_of_all_and_lowers_the_variance_by_its_worth
_SCALED = ANSWER.test_slopes_are_scaled_by_the_residuals

# The module, its change, and what fails; ``orders_hold`` stands for rows of the table.
MUTANTS: list[tuple[ModuleType, str, str, Callable[..., None]]] = [
    (influence, "change = -rate * float(", "change = -0.9 * rate * float(", orders_hold),
    (influence, "change += 0.5 * rate**2", "change += 0.6 * rate**2", orders_hold),
    (influence, "change += 0.5 * rate**2", "change -= 0.5 * rate**2", orders_hold),
    (
        influence,
        "return gradients @ (step.scale * target_gradient)",
        "return gradients @ (1.1 * step.scale * target_gradient)",
        _CHANGE,
    ),
    (influence, "target_gradient - rate * drift", "target_gradient + rate * drift", _CHANGE),
    (influence, "curved.T / len(gradients)", "curved.T / (1.2 * len(gradients))", _CHANGE),
    (
        influence,
        "unit(gradients * step.scale)",
        "unit(gradients)",
        FORMULAS.test_cosines_are_those_of_scaled_gradients,
    ),
    (influence, "first / left * first_moment", "1.2 * first / left * first_moment", _ADAM),
    (influence, "(1 - first) / left / root", "(1 - 0.8 * first) / left / root", _ADAM),
    (influence, "second ** (updates + 1)", "second**updates", _ADAM),
    (selection, "scores / (penalty * count)", "scores / (1.1 * penalty * count)", _SUPPORT),
    (selection, "- ordered[size - 1]) / count", "- ordered[size - 1]) / (0.8 * count)", _SUPPORT),
    (selection, "- ordered[size]) / count", "- ordered[size]) / (0.8 * count)", _SUPPORT),
    (
        selection,
        "slope = rate * (matrix @ ahead)",
        "slope = 1.2 * rate * (matrix @ ahead)",
        _SOLVER,
    ),
    (pool_scores, "np.exp(-distances / (2 *", "np.exp(-distances / (2.4 *", _KERNEL),
    (pool_scores, "len(kernel))] += damping", "len(kernel))] += 1.2 * damping", _KERNEL),
    (pool_scores, "np.median(np.sqrt(pairs))", "np.mean(np.sqrt(pairs))", _KERNEL),
    (pool_scores, "known) / (2 * bandwidth**2))", "known) / (2.4 * bandwidth**2))", _KERNEL),
    (pool_scores, "damping * (scale or 1.0)", "1.2 * damping * (scale or 1.0)", _LINEAR),
    (
        selection,
        "ranking = np.argsort(-scores",
        "ranking = np.argsort(scores",
        FORMULAS.test_target_samples_choose_in_turns,
    ),
    (
        networks,
        "torch.arange(1, states",
        "torch.arange(0, states",
        FORMULAS.test_late_states_weigh_more,
    ),
    (
        networks,
        "/ told.sum(dim=1)",
        "/ told.shape[1]",
        FORMULAS.test_padding_is_not_counted_in_a_texts_loss,
    ),
    (
        text_pool,
        "- few * self.gradient",
        "- 0.8 * few * self.gradient",
        PROBLEM.test_equal_seconds_pay_for_part_of_the_pool,
    ),
    (costs, "exact = landmarks * 6", "exact = landmarks * 5", FORMULAS.test_published_costs),
    (pretraining, "(pairs + seen * single)", "(pairs + 0.8 * seen * single)", _PAIRS),
    (pretraining, "single = pairs.sum(axis=0) + 1", "single = pairs.sum(axis=0) + 2", _PAIRS),
    (worth, "each = -len(problem.data) /", "each = len(problem.data) /", _SLOPE),
    (worth, "each = -len(problem.data) /", "each = -0.9 * len(problem.data) /", _SLOPE),
    (worth, "(2 * steps[entry])", "(2.2 * steps[entry])", _SLOPE),
    (worth, "np.maximum(values, 0.0))[:", "np.maximum(values, 0.0) * 1.2)[:", _SLOPE),
    (worth, "move[entry::width]", "move[entry]", ANSWER.test_replicates_share_the_error),
    (worth, "(np.maximum(own, 0.0) + nugget)", "1.0", _CHOICE),
    (worth, "root = np.sqrt(column[best] + nugget)", "root = np.sqrt(column[best])", _CHOICE),
    (worth, "own = own - columns[step] ** 2", "own = own - 0.9 * columns[step] ** 2", _CHOICE),
    (worth, "reach[:, best] / root,", "0.9 * reach[:, best] / root,", _CHOICE),
    (worth, " - left_m.T @ left_c)", ")", _CHOICE),
    (worth, "known))] += nugget", "known))] += 1.2 * nugget", _CHOICE),
    (worth, "residuals / len(residuals)", "residuals / (1.2 * len(residuals))", _SCALED),
    (
        worth,
        "/ (2 * max(",
        "/ (2.4 * max(",
        ANSWER.test_the_kernel_has_the_median_distance_of_the_solved,
    ),
]


@each(MUTANTS)
def test_a_wrong_formula_is_found(mutant: Mutant) -> None:
    assert mutant.is_found()


def test_the_tests_pass_on_the_right_formulas() -> None:
    assert failing(MUTANTS) == []
