"""Wrong formulas of MWGraD: each of them fails an ordinary test."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
from source_mutants import Mutant, each, failing, ordinary_tests

from popinv.methods.groups import group_tests
from popinv_papers.mwgrad import (
    descent,
    ensembles,
    particle_problem,
    velocities,
)

pytestmark = pytest.mark.slow

PARTS = ordinary_tests("test_mwgrad")
GROUP = ordinary_tests("test_groups")
IMAGES = ordinary_tests("test_mwgrad_images")

_WRITTEN, _GAP = (
    PARTS.test_velocities_written_out,
    PARTS.test_the_gap_is_zero_on_the_pareto_laws_alone,
)
_NORMAL = PARTS.test_the_nearest_normal_law_of_a_density_that_is_not_normal
_STEIN = PARTS.test_the_gram_of_svgd_is_that_of_its_hilbert_space
_NESTEROV = PARTS.test_momentum_grows_as_in_nesterov
_POOLED, _COVARIANCE = (
    GROUP.test_pooled_optima_of_a_linear_model,
    GROUP.test_scores_have_their_covariance,
)
_AUTHORS = IMAGES.test_the_authors_update_written_out

MUTANTS: list[tuple[ModuleType, str, str, Callable[..., None]]] = [
    (
        velocities,
        "(2 * np.log(len(x) + 1))",
        "(2.3 * np.log(len(x) + 1))",
        PARTS.test_the_bandwidth_is_the_median_rule,
    ),
    (
        velocities,
        "(y[None] - x[:, None])",
        "(x[:, None] - y[None])",
        PARTS.test_the_kernel_and_its_gradient,
    ),
    (
        velocities,
        "return kernel.gradient.mean(axis=0)",
        "return kernel.gradient.mean(axis=1)",
        _WRITTEN,
    ),
    (velocities, "return first - (kernel.gradient", "return first + (kernel.gradient", _WRITTEN),
    (
        velocities,
        "+ mixed[:, None] + mixed[None, :]",
        "+ 1.2 * (mixed[:, None] + mixed[None, :])",
        _STEIN,
    ),
    (
        velocities,
        "(d / kernel.bandwidth**2 * kernel.values - square)",
        "(d / kernel.bandwidth * kernel.values - square)",
        _STEIN,
    ),
    (velocities, "centred @ (b + b.T) / 2", "centred @ (b + b.T) / 1.7", _NORMAL),
    (descent, "(t - 1) / (t + 2)", "(t - 1) / (t + 3)", _NESTEROV),
    (descent, "x + root * momentum", "x + 0.85 * root * momentum", _NESTEROV),
    (particle_problem, "near - 0.5 * (1 - c)", "near - 0.6 * (1 - c)", _GAP),
    (particle_problem, "float(0.5 * (trace", "float(0.6 * (trace", _GAP),
    (
        particle_problem,
        "return entropy - np.array(",
        "return 1.2 * entropy - np.array(",
        PARTS.test_blob_descends_its_energies,
    ),
    (group_tests, "scores = scores - (information", "scores = scores + (information", _POOLED),
    (
        group_tests,
        "rest = scores.sum(dim=1) - modes.omega",
        "rest = scores.sum(dim=1) - 1.2 * modes.omega",
        _POOLED,
    ),
    (
        group_tests,
        "np.linalg.inv(np.eye(d) + information.sum(axis=0))",
        "np.linalg.inv(np.eye(d) + 1.2 * information.sum(axis=0))",
        _COVARIANCE,
    ),
    (
        group_tests,
        "joint[k, :, k] += information[k]",
        "joint[k, :, k] += 1.2 * information[k]",
        _COVARIANCE,
    ),
    (
        group_tests,
        "(1 - 2 * s * w) ** 2).sum())",
        "(1 - 2 * s * w) ** 1).sum())",
        GROUP.test_equal_weights_have_the_tail_of_chi_squared,
    ),
    (
        group_tests,
        "np.log(v / root) / root",
        "np.log(v / root)",
        GROUP.test_equal_weights_have_the_tail_of_chi_squared,
    ),
    (
        group_tests,
        "np.arange(len(p_values), 0, -1)",
        "np.arange(1, len(p_values) + 1)",
        GROUP.test_holm_goes_down_step_by_step,
    ),
    (ensembles, "0.9, 1e-5", "0.8, 1e-5", _AUTHORS),
    (ensembles, "dim=0)", "dim=1)", _AUTHORS),
    (
        ensembles,
        "mixing = np.eye(count) / count if",
        "mixing = np.eye(count) / (count + 1) if",
        IMAGES.test_weights_are_those_of_each_rule,
    ),
    (
        ensembles,
        'in ("mgda", "moo_svgd"):\n        return',
        'in ("mgda",):\n        return',
        IMAGES.test_moo_svgd_has_its_own_weights_and_svgds_velocity,
    ),
]


@each(MUTANTS)
def test_a_wrong_formula_is_found(mutant: Mutant) -> None:
    assert mutant.is_found()


def test_the_tests_pass_on_the_right_formulas() -> None:
    assert failing(MUTANTS) == []
