"""Wrong formulas of federated inference: each fails an ordinary test."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
from source_mutants import Mutant, each, failing, ordinary_tests

from popinv.methods.federated import channel, noisy, own_laws, server

pytestmark = pytest.mark.slow

SITES = ordinary_tests("test_federated")
MESSAGES = ordinary_tests("test_federated_messages")

# The module, its change, and the ordinary test that fails.
MUTANTS: list[tuple[ModuleType, str, str, Callable[..., None]]] = [
    (
        channel,
        "if site == low else hidden - mask",
        "if site == low else hidden + mask",
        MESSAGES.test_masks_cancel_exactly,
    ),
    (
        channel,
        'f"federated/mask/{low}/{high}", index)',
        'f"federated/mask/{low}/{high}", 0)',
        MESSAGES.test_a_masked_message_and_the_sum_of_some_are_uniform,
    ),
    (
        channel,
        "rng.integers(0, 2**64,",
        "rng.integers(0, 2**63,",
        MESSAGES.test_a_masked_message_and_the_sum_of_some_are_uniform,
    ),
    (
        noisy,
        "math.sqrt((rounds - 1) / total), math.sqrt(1 / total)",
        "math.sqrt((rounds - 1) / total), math.sqrt(0.5 / total)",
        MESSAGES.test_noise_follows_from_the_accountant,
    ),
    (
        noisy,
        "each = clipped(site.scores(now.estimator, now.p) @ now.whitening.T, now.longest)",
        "each = site.scores(now.estimator, now.p) @ now.whitening.T",
        MESSAGES.test_a_system_changes_the_sum_by_no_more_than_the_clipping_length,
    ),
    (
        noisy,
        "score[inner] = lower @ told",
        "score[inner] = lower.T @ told",
        MESSAGES.test_weak_noise_leads_to_the_pooled_answer,
    ),
    (
        own_laws,
        "= -self.slope.T",
        "= 0.5 * self.slope.T",
        SITES.test_own_laws_are_the_joint_maximum_of_the_pseudo_likelihood,
    ),
    (
        own_laws,
        'gradient[d_alpha:] += told["score"]',
        'gradient[d_alpha:] += told["score"] + 20.0',
        SITES.test_own_laws_are_the_joint_maximum_of_the_pseudo_likelihood,
    ),
    (
        server,
        'float(told["value"]) - penalty.value,\n            told["score"]',
        'float(told["value"]) - penalty.value,\n            0.5 * told["score"] + 5.0',
        SITES.test_gaps_and_noise_scales_stay_with_their_systems,
    ),
]


@each(MUTANTS)
def test_a_wrong_formula_is_found(mutant: Mutant) -> None:
    assert mutant.is_found()


def test_the_tests_pass_on_the_right_formulas() -> None:
    assert failing(MUTANTS) == []
