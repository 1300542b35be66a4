"""Masks, clipping, noise and reconstruction of the messages of federated inference."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import test_federated
from linear_population import TRUTH
from scipy.stats import kstest
from test_federated import pooled_problem, thirds

from popinv.errors import DivergenceError
from popinv.inference.density.problem import Problem
from popinv.methods import privacy
from popinv.methods.federated.attack import Told, reconstruction_error
from popinv.methods.federated.channel import (
    RESOLUTION,
    Channel,
    decoded,
    encoded,
    masked,
    packed,
    summed,
    unpacked,
)
from popinv.methods.federated.noisy import NoisyServer, guarantee
from popinv.methods.federated.reference import fitted
from popinv.methods.federated.site import MomentsSoFar

_one_thread = test_federated._one_thread


# --- messages and masks --------------------------------------------------------------------------


def test_a_message_comes_back_from_its_vector():
    square = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]])
    message = {"value": np.array(7.0), "score": np.arange(3.0), "squares": square}
    vector = packed(message)
    assert vector.shape == (1 + 3 + 6,)
    back = unpacked(vector, message)
    for name, array in message.items():
        np.testing.assert_array_equal(back[name], array)


def test_masks_cancel_exactly():
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((4, 50)) * 10.0 ** rng.integers(-3, 8, (4, 50))
    whole = [encoded(row, 4) for row in numbers]
    hidden = [masked(row, site, 4, seed=1, index=7) for site, row in enumerate(whole)]
    np.testing.assert_array_equal(summed(hidden), summed(whole))
    error = np.abs(decoded(summed(hidden)) - numbers.sum(axis=0))
    assert error.max() <= 4 * RESOLUTION / 2 + 1e-15 * np.abs(numbers).sum()


def test_a_masked_message_and_the_sum_of_some_are_uniform():
    zero = np.zeros(5000, dtype=np.uint64)
    hidden = [masked(zero, site, 3, seed=1, index=0) for site in range(3)]
    for message in (*hidden, hidden[0] + hidden[1]):
        assert kstest(message / 2.0**64, "uniform").pvalue > 1e-3
    # Equal messages look different, and nobody's mask comes again in another round.
    assert np.mean(hidden[0] == hidden[1]) < 0.01
    assert np.mean(hidden[0] == masked(zero, 0, 3, seed=1, index=1)) < 0.01


@pytest.mark.parametrize("number", [2.0**38, -(2.0**38), np.nan, np.inf])
def test_numbers_that_may_overflow_are_refused(number):
    with pytest.raises(DivergenceError, match="too large for the fixed-point numbers"):
        encoded(np.array([number]), 2)


# --- clipping and noise --------------------------------------------------------------------------


def test_noise_follows_from_the_accountant():
    wanted = guarantee(1.5, 1e-3, 6)
    assert wanted.reached == pytest.approx(1.5)
    # The Gaussian mechanism of each round, added up.
    total = sum(0.5 / wanted.sigma(r) ** 2 for r in range(6))
    assert total == pytest.approx(privacy.coefficient(1.5, 1e-3))
    assert 0.5 / wanted.sigma(5) ** 2 == pytest.approx(total / 2)
    assert guarantee(1.5, 1e-3, 1).reached == pytest.approx(1.5)


def sums(problem: Problem, noise: float, secure: bool, seed: int = 3) -> list[np.ndarray]:
    """Return what the server receives in each round."""
    received = []

    class Listening(Channel):
        def ask(self, *arguments, **options):
            told = super().ask(*arguments, **options)
            received.append(told["sum"])
            return told

    channel, wanted = Listening(3, secure, 1), guarantee(noise, 1e-3, 1)
    server = NoisyServer(thirds(problem), channel, wanted, 2.0, seed)
    server.answer(TRUTH, "pseudo_likelihood")
    return received


def test_a_system_changes_the_sum_by_no_more_than_the_clipping_length():
    problem = pooled_problem(60)
    far = problem.data.copy()
    far[7] += 100.0
    without_noise = 1e12
    (plain,) = sums(problem, without_noise, secure=False)
    (moved,) = sums(replace(problem, data=far), without_noise, secure=False)
    longest = 2.0 * math.sqrt(len(TRUTH))
    change = np.linalg.norm(moved - plain)
    # It replaces one contribution by another, each of at most this length.
    assert longest / 2 < change <= 2 * longest + 0.01


@pytest.mark.parametrize(("secure", "times"), [(True, 1.0), (False, 3.0)])
def test_the_sum_has_the_noise_of_the_guarantee(secure, times):
    problem = pooled_problem(60)
    (clean,) = sums(problem, 1e12, secure=False)
    noise = np.array([sums(problem, 1.0, secure, seed)[0] - clean for seed in range(12)])
    expected = guarantee(1.0, 1e-3, 1).last * 2.0 * math.sqrt(len(TRUTH)) * math.sqrt(times)
    assert noise.std() == pytest.approx(expected, rel=0.3)


def test_weak_noise_leads_to_the_pooled_answer():
    problem = pooled_problem(300)
    server = NoisyServer(thirds(problem), Channel(3, True, 1), guarantee(1e6, 1e-3, 4), 6.0, 3)
    found = server.answer(TRUTH + 0.2, "pseudo_likelihood")
    pooled = fitted(problem, TRUTH, "pseudo_likelihood", 16)
    assert np.abs((found.p - pooled.p) / pooled.standard_error).max() < 0.15
    np.testing.assert_allclose(found.standard_error, pooled.standard_error, rtol=0.35)


# --- reconstruction ------------------------------------------------------------------------------


def error_of(count: int, points: int, deviation: float = 0.0) -> float:
    problem = pooled_problem(40).of_systems(np.arange(count))
    rng = np.random.default_rng(1)
    rounds = [
        Told(TRUTH + 0.1 * rng.standard_normal(6), np.eye(6), None, True, deviation)
        for _ in range(points)
    ]
    return reconstruction_error(problem, rounds, MomentsSoFar(40))


def test_one_system_is_reconstructed_and_many_are_not():
    # Six observations of a system, and four rounds of seven numbers.
    assert error_of(1, 4) < 0.01
    assert error_of(30, 1) > 0.5


def test_strong_noise_leaves_nothing_to_reconstruct():
    assert error_of(1, 4, deviation=1e4) > 0.5
