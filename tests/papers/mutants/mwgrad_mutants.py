"""Wrong formulas of MWGraD: each of them fails an ordinary test."""

from __future__ import annotations

from changed_source import Table, ordinary_tests

from popinv.methods.groups import group_tests
from popinv_papers.mwgrad import (
    descent,
    ensembles,
    particle_problem,
    velocities,
)

PARTS = ordinary_tests("test_mwgrad")
GROUP = ordinary_tests("test_groups")
IMAGES = ordinary_tests("test_mwgrad_images")

MUTANTS: Table = {
    (velocities, PARTS.test_the_bandwidth_is_the_median_rule): [
        ("(2 * np.log(len(x) + 1))", "(2.3 * np.log(len(x) + 1))"),
    ],
    (velocities, PARTS.test_the_kernel_and_its_gradient): [
        ("(y[None] - x[:, None])", "(x[:, None] - y[None])"),
    ],
    (velocities, PARTS.test_velocities_written_out): [
        ("return kernel.gradient.mean(axis=0)", "return kernel.gradient.mean(axis=1)"),
        ("return first - (kernel.gradient", "return first + (kernel.gradient"),
    ],
    (velocities, PARTS.test_the_gram_of_svgd_is_that_of_its_hilbert_space): [
        ("+ mixed[:, None] + mixed[None, :]", "+ 1.2 * (mixed[:, None] + mixed[None, :])"),
        (
            "(d / kernel.bandwidth**2 * kernel.values - square)",
            "(d / kernel.bandwidth * kernel.values - square)",
        ),
    ],
    (velocities, PARTS.test_the_nearest_normal_law_of_a_density_that_is_not_normal): [
        ("centred @ (b + b.T) / 2", "centred @ (b + b.T) / 1.7"),
    ],
    (descent, PARTS.test_momentum_grows_as_in_nesterov): [
        ("(t - 1) / (t + 2)", "(t - 1) / (t + 3)"),
        ("x + root * momentum", "x + 0.85 * root * momentum"),
    ],
    (particle_problem, PARTS.test_the_gap_is_zero_on_the_pareto_laws_alone): [
        ("near - 0.5 * (1 - c)", "near - 0.6 * (1 - c)"),
        ("float(0.5 * (trace", "float(0.6 * (trace"),
    ],
    (particle_problem, PARTS.test_blob_descends_its_energies): [
        ("return entropy - np.array(", "return 1.2 * entropy - np.array("),
    ],
    (group_tests, GROUP.test_pooled_optima_of_a_linear_model): [
        ("scores = scores - (information", "scores = scores + (information"),
        ("rest = scores.sum(dim=1) - modes.omega", "rest = scores.sum(dim=1) - 1.2 * modes.omega"),
    ],
    (group_tests, GROUP.test_scores_have_their_covariance): [
        (
            "np.linalg.inv(np.eye(d) + information.sum(axis=0))",
            "np.linalg.inv(np.eye(d) + 1.2 * information.sum(axis=0))",
        ),
        ("joint[k, :, k] += information[k]", "joint[k, :, k] += 1.2 * information[k]"),
    ],
    (group_tests, GROUP.test_equal_weights_have_the_tail_of_chi_squared): [
        ("(1 - 2 * s * w) ** 2).sum())", "(1 - 2 * s * w) ** 1).sum())"),
        ("np.log(v / root) / root", "np.log(v / root)"),
    ],
    (group_tests, GROUP.test_holm_goes_down_step_by_step): [
        ("np.arange(len(p_values), 0, -1)", "np.arange(1, len(p_values) + 1)"),
    ],
    (ensembles, IMAGES.test_the_authors_update_written_out): [
        ("0.9, 1e-5", "0.8, 1e-5"),
        ("dim=0)", "dim=1)"),
    ],
    (ensembles, IMAGES.test_weights_are_those_of_each_rule): [
        ("mixing = np.eye(count) / count if", "mixing = np.eye(count) / (count + 1) if"),
    ],
    (ensembles, IMAGES.test_moo_svgd_has_its_own_weights_and_svgds_velocity): [
        ('in ("mgda", "moo_svgd"):\n        return', 'in ("mgda",):\n        return'),
    ],
}
