"""Wrong formulas of the difficulty of unlearning: each changes a row or fails a test."""

from __future__ import annotations

import numpy as np
from changed_source import Table, ordinary_tests

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


MUTANTS: Table = {
    (chains, chains_hold): [
        (
            "steps * order * (rate * gap / count) ** 2 / (2 * chain.noise)",
            "steps * order * (rate * gap / count) ** 2 / (4 * chain.noise)",
        ),
    ],
    (chains, BOUNDS.test_a_replaced_outlier_in_numbers): [
        ("2 * rate * sigma**2)", "2.4 * rate * sigma**2)"),
    ],
    (chains, BOUNDS.test_laws_of_a_chain_are_those_of_its_paths): [
        ("decay**2 * (start.variance", "decay * (start.variance"),
        ("self.noise / (1 - self.factor**2)", "self.noise / (1 - self.factor)"),
    ],
    (chains, BOUNDS.test_divergence_of_normal_laws): [
        ("spread = 0.5 * math.log(", "spread = 0.6 * math.log("),
    ],
    (chains, BOUNDS.test_composition_is_above_the_divergence_of_a_removed_point): [
        ("(law.mean - point) ** 2 / left", "(law.mean - point) ** 2 / (4 * left)"),
    ],
    (bounds, BOUNDS.test_a_replaced_outlier_in_numbers): [
        ("(order - 0.5) / (order - 1)", "(order - 0.4) / (order - 1)"),
        ("(2 * order - 0.5) / (2 * order - 1)", "(2 * order) / (2 * order - 1)"),
        ("np.exp(-2 * sigma**2", "np.exp(-2.4 * sigma**2"),
    ],
    (bounds, BOUNDS.test_steps_grow_with_the_logarithm_of_the_loss): [
        ("length = order * constant /", "length = 1.2 * order * constant /"),
    ],
    (bounds, EQUAL.test_the_bound_for_convex_losses_in_numbers): [
        ("order, 2 / strong, rate, 1.0)", "order, 2.4 / strong, rate, 1.0)"),
    ],
    (
        bounds,
        EQUAL.test_epsilon_has_its_closed_form_where_divergences_are_proportional_to_the_order,
    ): [
        ("math.log(1 / delta) / (np", "1.2 * math.log(1 / delta) / (np"),
    ],
    (bounds, EQUAL.test_noise_by_coupling_hides_the_gap_of_two_trainings): [
        ("(1 - shrink**trained) /", "1 /"),
        ("/ (4 * rate * wanted)", "/ (2 * rate * wanted)"),
        ("share = left * (1 - squared)", "share = left * (1 - squared) * 1.2"),
    ],
    (renyi, BOUNDS.test_langevin_noise_on_the_sum): [
        ("return batch * sigma *", "return 1.1 * batch * sigma *"),
    ],
    (renyi, BOUNDS.test_known_steps): [
        ("(k * (k - 1.0)) / (2 *", "(k * (k - 1.0)) / (2.4 *"),
        (
            "np.where(exponent[..., -1] < 1, small, large) / (order - 1)",
            "np.where(exponent[..., -1] < 1, small, large) / order",
        ),
    ],
    (renyi, BOUNDS.test_a_loss_is_composed_as_the_formula_says): [
        (
            "weight = np.exp(i * math.log1p(-1 / exponent)) / exponent",
            "weight = np.exp(-i * math.log1p(-1 / exponent)) / exponent",
        ),
    ],
    (renyi, BOUNDS.test_hoelder_orders_follow_their_recursion): [
        ("(order - 1) * np.exp(-np.arange(steps)", "(order - 1) * np.exp(np.arange(steps)"),
    ],
    (training, PARTS.test_noise_is_that_of_langevin_and_common_to_a_stack): [
        ("math.sqrt(2 * rule.rate) * rule.sigma", "math.sqrt(1.4 * rule.rate) * rule.sigma"),
    ],
    (training, PARTS.test_batches_are_drawn_by_poisson_sampling_and_do_not_depend_on_who_is_kept): [
        ("draws < share", "draws < 1.2 * share"),
    ],
    (difficulty, PARTS.test_barriers): [
        ("line = (1 - t) * losses[:, :1]", "line = (1 + t) * losses[:, :1]"),
        ("(losses[:, 0] + losses[:, -1]) / 2", "(losses[:, 0] + losses[:, -1]) / 1.8"),
    ],
    (difficulty, PARTS.test_confidences_and_label_errors): [
        ("data.labels] -= 1", "data.labels] -= 0.8"),
    ],
    (difficulty, PARTS.test_memorisation_is_what_a_point_adds_to_its_own_answer): [
        ("/ with_it - (right", "/ with_it + (right"),
    ],
    (difficulty, PARTS.test_concordance_counts_pairs_whose_order_is_known): [
        ("+ 0.5 * (scores[:, None] == scores)", "+ (scores[:, None] == scores)"),
        ("(steps[:, None] < steps) | ~reached", "steps[:, None] < steps"),
        ("(scores[:, None] < scores) +", "(scores[:, None] > scores) +"),
    ],
    (networks, PARTS.test_norms_are_those_of_single_gradients): [
        ("square = (1 + inputs[2]", "square = (1.2 + inputs[2]"),
        ("square + slope.sum(dim=2).square()", "square + 1.2 * slope.sum(dim=2).square()"),
        (
            "(slope @ seen.transpose(1, 2)).square()",
            "1.2 * (slope @ seen.transpose(1, 2)).square()",
        ),
    ],
    (equal_epsilon, EQUAL.test_a_step_follows_the_gradient_of_the_points_that_are_kept): [
        ("/ len(self.rows)", "/ (1.2 * len(self.rows))"),
        ("self.strong * weights)", "1.2 * self.strong * weights)"),
        ("errors = errors * kept[..., None]", "errors = errors * kept[..., None] ** 0"),
        ("self.labels] -= 1", "self.labels] -= 0.8"),
    ],
    (equal_epsilon, EQUAL.test_noise_of_a_regression_is_that_of_langevin): [
        ("math.sqrt(2 * self.rate)", "math.sqrt(1.4 * self.rate)"),
    ],
    (equal_epsilon, EQUAL.test_the_length_of_an_error_is_that_of_the_points_gradient): [
        ("LIPSCHITZ = math.sqrt(2)", "LIPSCHITZ = math.sqrt(1.6)"),
    ],
    (equal_epsilon, EQUAL.test_epsilons_are_those_of_a_constant_gradient): [
        (
            "sum_noise(convex.rate, sigma, convex.points)",
            "sum_noise(convex.rate, sigma, 1.2 * convex.points)",
        ),
        ("*(order, convex.strong, convex.rate)", "*(order, 1.4 * convex.strong, convex.rate)"),
    ],
    (equal_epsilon, EQUAL.test_noise_by_coupling_hides_the_gap_of_two_trainings): [
        ("LIPSCHITZ / convex.points", "2 * LIPSCHITZ / convex.points"),
    ],
    (equal_epsilon, EQUAL.test_gains_are_over_the_rival_that_asks_for_less_noise): [
        ("np.where(less[:, None], coupled, uniform)", "np.where(less[:, None], uniform, coupled)"),
        ("found[:, 0] - found[:, -1]", "found[:, 0] - found[:, 0]"),
    ],
    (equal_epsilon, EQUAL.test_the_lowest_level_suffices_with_all_above_it): [
        ("np.logical_and.accumulate(enough[::-1])[::-1]", "enough"),
    ],
    (privacy, EQUAL.test_noise_by_coupling_hides_the_gap_of_two_trainings): [
        ("(epsilon / (math.sqrt(epsilon + ell)", "(epsilon / (math.sqrt(ell)"),
    ],
    (recipe, EQUAL.test_pixels_are_averaged_over_squares): [
        ("torch.from_numpy(values), size.pooled)", "torch.from_numpy(values) ** 2, size.pooled)"),
    ],
}
