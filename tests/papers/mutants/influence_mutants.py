"""Wrong formulas of selection by influence: each changes a row of the table, or fails a test."""

from __future__ import annotations

from changed_source import Table, ordinary_tests

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


MUTANTS: Table = {
    (influence, orders_hold): [
        ("change = -rate * float(", "change = -0.9 * rate * float("),
        ("change += 0.5 * rate**2", "change += 0.6 * rate**2"),
        ("change += 0.5 * rate**2", "change -= 0.5 * rate**2"),
    ],
    (influence, FORMULAS.test_errors_of_the_predicted_change_are_of_second_and_third_order): [
        (
            "return gradients @ (step.scale * target_gradient)",
            "return gradients @ (1.1 * step.scale * target_gradient)",
        ),
        ("target_gradient - rate * drift", "target_gradient + rate * drift"),
        ("curved.T / len(gradients)", "curved.T / (1.2 * len(gradients))"),
    ],
    (influence, FORMULAS.test_cosines_are_those_of_scaled_gradients): [
        ("unit(gradients * step.scale)", "unit(gradients)"),
    ],
    (influence, FORMULAS.test_adam_step_is_that_of_torch_up_to_the_steps_own_second_moment): [
        ("first / left * first_moment", "1.2 * first / left * first_moment"),
        ("(1 - first) / left / root", "(1 - 0.8 * first) / left / root"),
        ("second ** (updates + 1)", "second**updates"),
    ],
    (selection, FORMULAS.test_robust_weights_are_the_minimum_and_their_support_the_best_k): [
        ("scores / (penalty * count)", "scores / (1.1 * penalty * count)"),
        ("- ordered[size - 1]) / count", "- ordered[size - 1]) / (0.8 * count)"),
        ("- ordered[size]) / count", "- ordered[size]) / (0.8 * count)"),
    ],
    (selection, FORMULAS.test_second_order_weights_are_those_of_a_general_solver): [
        ("slope = rate * (matrix @ ahead)", "slope = 1.2 * rate * (matrix @ ahead)"),
    ],
    (selection, FORMULAS.test_target_samples_choose_in_turns): [
        ("ranking = np.argsort(-scores", "ranking = np.argsort(scores"),
    ],
    (pool_scores, FORMULAS.test_the_kernel_rule_is_ridge_regression_with_the_median_distance): [
        ("np.exp(-distances / (2 *", "np.exp(-distances / (2.4 *"),
        ("len(kernel))] += damping", "len(kernel))] += 1.2 * damping"),
        ("np.median(np.sqrt(pairs))", "np.mean(np.sqrt(pairs))"),
        ("known) / (2 * bandwidth**2))", "known) / (2.4 * bandwidth**2))"),
    ],
    (pool_scores, FORMULAS.test_the_linear_rule_is_ridge_regression): [
        ("damping * (scale or 1.0)", "1.2 * damping * (scale or 1.0)"),
    ],
    (networks, FORMULAS.test_late_states_weigh_more): [
        ("torch.arange(1, states", "torch.arange(0, states"),
    ],
    (networks, FORMULAS.test_padding_is_not_counted_in_a_texts_loss): [
        ("/ told.sum(dim=1)", "/ told.shape[1]"),
    ],
    (text_pool, PROBLEM.test_equal_seconds_pay_for_part_of_the_pool): [
        ("- few * self.gradient", "- 0.8 * few * self.gradient"),
    ],
    (costs, FORMULAS.test_published_costs): [
        ("exact = landmarks * 6", "exact = landmarks * 5"),
    ],
    (pretraining, PROBLEM.test_a_table_of_pairs_is_that_of_witten_and_bell): [
        ("(pairs + seen * single)", "(pairs + 0.8 * seen * single)"),
        ("single = pairs.sum(axis=0) + 1", "single = pairs.sum(axis=0) + 2"),
    ],
    (worth, ANSWER.test_the_slope_is_that_of_refits_through_a_wrong_map): [
        ("each = -len(problem.data) /", "each = len(problem.data) /"),
        ("each = -len(problem.data) /", "each = -0.9 * len(problem.data) /"),
        ("(2 * steps[entry])", "(2.2 * steps[entry])"),
        ("np.maximum(values, 0.0))[:", "np.maximum(values, 0.0) * 1.2)[:"),
    ],
    (worth, ANSWER.test_replicates_share_the_error): [
        ("move[entry::width]", "move[entry]"),
    ],
    (worth, ANSWER.test_each_choice_is_the_best_of_all_and_lowers_the_variance_by_its_worth): [
        ("(np.maximum(own, 0.0) + nugget)", "1.0"),
        ("root = np.sqrt(column[best] + nugget)", "root = np.sqrt(column[best])"),
        ("own = own - columns[step] ** 2", "own = own - 0.9 * columns[step] ** 2"),
        ("reach[:, best] / root,", "0.9 * reach[:, best] / root,"),
        (" - left_m.T @ left_c)", ")"),
        ("known))] += nugget", "known))] += 1.2 * nugget"),
    ],
    (worth, ANSWER.test_slopes_are_scaled_by_the_residuals): [
        ("residuals / len(residuals)", "residuals / (1.2 * len(residuals))"),
    ],
    (worth, ANSWER.test_the_kernel_has_the_median_distance_of_the_solved): [
        ("/ (2 * max(", "/ (2.4 * max("),
    ],
}
