"""Wrong formulas of federated adaptation: each fails an ordinary test."""

from __future__ import annotations

from changed_source import Table, ordinary_tests

from popinv_papers.fedhl import (
    claims,
    clients,
    lora,
    problem,
    regression,
    server,
)

TESTS = ordinary_tests("test_fedhl")
PROBLEM = ordinary_tests("test_fedhl_problem")

MUTANTS: Table = {
    (server, TESTS.test_truncation_errors_are_the_dense_norms_summed_over_layers): [
        ("(s.double() ** 2)", "(s.double() ** 1.8)"),
    ],
    (server, TESTS.test_weights_are_those_of_the_formula): [
        ("errors**weighting.power", "errors ** (0.9 * weighting.power)"),
        ("(powers.mean() if", "(1.2 * powers.mean() if"),
        ("shifted = powers + epsilon", "shifted = powers + 0.8 * epsilon"),
    ],
    (server, TESTS.test_weights_minimise_the_bound_on_the_drift): [
        ("weights = shifted.min() / shifted", "weights = shifted / shifted.min()"),
    ],
    (server, TESTS.test_no_local_step_changes_nothing): [
        ("trained[name] - sent[name])", "trained[name] - 0.9 * sent[name])"),
        ("_like(weights, f.b), f.b)", "1.1 * _like(weights, f.b), f.b)"),
    ],
    (server, TESTS.test_a_residual_at_the_client_is_part_of_its_base): [
        ("{name: w - sent[name]", "{name: w - 0.9 * sent[name]"),
    ],
    (server, TESTS.test_full_rank_everywhere_is_flexlora_with_equal_weights): [
        (
            '"k,kmn->mn", _like(weights, each), each',
            '"k,kmn->mn", 1.1 * _like(weights, each), each',
        ),
    ],
    (server, TESTS.test_hetlora_weighs_clients_by_norm_and_sends_slices): [
        (".sqrt().numpy()", ".numpy()"),
    ],
    (server, TESTS.test_weights_in_the_limits): [
        ("/ np.log(len(weights)))", "/ np.log(1.2 * len(weights)))"),
    ],
    (server, TESTS.test_bytes_count_factors_both_ways): [
        ("down = clients * factors", "down = len(ranks) * factors"),
        ("down = len(ranks) * m * n", "down = m * n"),
    ],
    (lora, TESTS.test_what_is_sent_is_the_best_approximation_of_the_rank): [
        ("root = s[:known].sqrt()", "root = s[:known] ** 0.55"),
    ],
    (lora, TESTS.test_gradients_of_factors_are_those_of_automatic_differentiation): [
        ("f.b.mT @ gradients[name]", "-f.b.mT @ gradients[name]"),
    ],
    (clients, TESTS.test_a_residual_at_the_client_is_part_of_its_base): [
        ("d + offset[name]", "d + 0.9 * offset[name]"),
    ],
    (clients, TESTS.test_the_full_rank_base_learns_what_flexlora_loses): [
        ("value - local.rate * slope", "value + local.rate * slope"),
    ],
    (
        clients,
        TESTS.test_a_client_prunes_when_its_last_directions_shrink_and_keeps_the_leading_ones,
    ): [
        ("np.maximum(1, ", "np.maximum(0, "),
        ("pruning) < tail_norms(", "pruning) > tail_norms("),
    ],
    (clients, TESTS.test_the_penalty_is_the_product_of_the_norms_of_the_last_columns_and_rows): [
        ("pruning.strength * a * tail.b", "pruning.strength * b * tail.b"),
    ],
    (regression, TESTS.test_gradients_of_the_regression_are_those_of_its_loss): [
        ("float(0.5 * ((lost", "float(0.6 * ((lost"),
        (
            "exact = (dense[_LAYER] - self.targets[clients])",
            "exact = (dense[_LAYER] - 0.9 * self.targets[clients])",
        ),
        ("each.mean(dim=0) ** 2", "each.sum(dim=0) ** 2"),
    ],
    (regression, TESTS.test_noise_of_the_gradients_has_its_deviation_and_is_a_clients_own): [
        ("exact + self.noise * draws", "exact + 0.9 * self.noise * draws"),
    ],
    (regression, TESTS.test_the_drift_is_the_difference_of_the_first_gradients): [
        ("(u[:, r:] * s[r:]) @ vh[r:]", "(u[:, r:] * 0.9 * s[r:]) @ vh[r:]"),
    ],
    (regression, PROBLEM.test_exponents_are_those_of_a_power_law): [
        ('np.log(rate["horizon"]', 'np.log2(rate["horizon"]'),
    ],
    (claims, PROBLEM.test_levels_are_means_of_the_last_tenth_of_the_rounds): [
        ("number // 10", "number // 5"),
        ("rounds // 4", "rounds // 3"),
    ],
    (problem, PROBLEM.test_the_pilot_sees_no_test_image_and_many_classes): [
        ("len(order) // 6", "len(order) // 5"),
    ],
}
