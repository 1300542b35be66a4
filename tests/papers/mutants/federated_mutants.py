"""Wrong formulas of federated inference: each fails an ordinary test."""

from __future__ import annotations

from changed_source import Table, ordinary_tests

from popinv.methods.federated import channel, noisy, own_laws, server

SITES = ordinary_tests("test_federated")
MESSAGES = ordinary_tests("test_federated_messages")

MUTANTS: Table = {
    (channel, MESSAGES.test_masks_cancel_exactly): [
        ("if site == low else hidden - mask", "if site == low else hidden + mask"),
    ],
    (channel, MESSAGES.test_a_masked_message_and_the_sum_of_some_are_uniform): [
        ('f"federated/mask/{low}/{high}", index)', 'f"federated/mask/{low}/{high}", 0)'),
        ("rng.integers(0, 2**64,", "rng.integers(0, 2**63,"),
    ],
    (noisy, MESSAGES.test_noise_follows_from_the_accountant): [
        (
            "math.sqrt((rounds - 1) / total), math.sqrt(1 / total)",
            "math.sqrt((rounds - 1) / total), math.sqrt(0.5 / total)",
        ),
    ],
    (noisy, MESSAGES.test_a_system_changes_the_sum_by_no_more_than_the_clipping_length): [
        (
            "each = clipped(site.scores(now.estimator, now.p) @ now.whitening.T, now.longest)",
            "each = site.scores(now.estimator, now.p) @ now.whitening.T",
        ),
    ],
    (noisy, MESSAGES.test_weak_noise_leads_to_the_pooled_answer): [
        ("score[inner] = lower @ told", "score[inner] = lower.T @ told"),
    ],
    (own_laws, SITES.test_own_laws_are_the_joint_maximum_of_the_pseudo_likelihood): [
        ("= -self.slope.T", "= 0.5 * self.slope.T"),
        ('gradient[d_alpha:] += told["score"]', 'gradient[d_alpha:] += told["score"] + 20.0'),
    ],
    (server, SITES.test_gaps_and_noise_scales_stay_with_their_systems): [
        (
            'float(told["value"]) - penalty.value,\n            told["score"]',
            'float(told["value"]) - penalty.value,\n            0.5 * told["score"] + 5.0',
        ),
    ],
}
