"""Inference by sites, against the same systems in one place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from linear_population import TRUTH, linear_problem
from tiers import parameters

from popinv.inference.density.problem import Problem
from popinv.methods.federated.channel import Channel
from popinv.methods.federated.own_laws import OwnLawServer
from popinv.methods.federated.reference import fitted, jointly
from popinv.methods.federated.server import Server
from popinv.methods.federated.site import Estimator, Site, sites_of
from popinv.population.constraints import POSITIVE, REAL
from popinv.population.priors.prior import EntryPriors, StatedPrior, normal
from popinv.threads import fixed_threads

DRAWS, START = 16, TRUTH + 0.3


@pytest.fixture(autouse=True)
def _one_thread():
    with fixed_threads():
        yield


def pooled_problem(count: int = 210, **options: object) -> Problem:
    return replace(linear_problem(count=count, seed=4, **options), stage="federated")


def thirds(problem: Problem) -> list[Site]:
    """Return three sites of as many systems each."""
    rows = np.array_split(np.arange(len(problem.data)), 3)
    return sites_of({str(i): problem.of_systems(own) for i, own in enumerate(rows)}, DRAWS)


def parts_of(problem: Problem) -> dict[str, Problem]:
    rows = np.split(np.arange(len(problem.data)), [40, 130])
    return {f"site {i}": problem.of_systems(own) for i, own in enumerate(rows)}


def with_own_laws() -> dict[str, Problem]:
    """Return sites whose means lie half a unit apart."""
    parts = parts_of(pooled_problem())
    return {name: replace(p, data=p.data + 0.5 * i) for i, (name, p) in enumerate(parts.items())}


@pytest.mark.full
@parameters(
    "estimator, secure",
    [("pseudo_likelihood", False), ("likelihood", True)],
    full=[("pseudo_likelihood", True), ("likelihood", False)],
)
def test_sites_with_one_law_find_the_pooled_answer(estimator, secure):
    problem = pooled_problem()
    channel = Channel(3, secure, seed=1)
    found = Server(sites_of(parts_of(problem), DRAWS), channel).answer(START, estimator)
    pooled = fitted(problem, START, estimator, DRAWS)
    assert found.arrived
    # Both take the same steps; the sums differ by rounding.
    np.testing.assert_allclose(found.p, pooled.p, atol=1e-5)
    if estimator == "pseudo_likelihood":
        np.testing.assert_allclose(found.covariance, pooled.covariance, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(found.standard_error, pooled.standard_error, rtol=0.03)


@pytest.mark.full
@pytest.mark.parametrize("estimator", ["pseudo_likelihood", "likelihood"])
def test_sites_add_a_prior_once(estimator):
    density = normal(float(TRUTH[0]) + 1.0, 0.05, REAL.ends)
    stated = StatedPrior((EntryPriors(np.array([0]), (REAL,), (density,)),))
    problem = replace(pooled_problem(), stated_prior=stated)
    server = Server(sites_of(parts_of(problem), DRAWS), Channel(3, True, seed=1))
    found = server.answer(START, estimator)
    pooled = fitted(problem, START, estimator, DRAWS)
    np.testing.assert_allclose(found.p, pooled.p, atol=1e-5)
    # The prior moves the answer far; three priors would move it further.
    assert abs(found.p[0] - fitted(pooled_problem(), START, estimator, DRAWS).p[0]) > 0.1
    np.testing.assert_allclose(found.standard_error, pooled.standard_error, rtol=0.03)


def test_errors_of_own_laws_contain_the_prior_of_each_law():
    # The noise trades with the standard deviation that has the prior.
    part = EntryPriors(np.array([2]), (POSITIVE,), (normal(1.0, 0.05, POSITIVE.ends),))
    stated = StatedPrior((part,))
    parts = {name: replace(p, stated_prior=stated) for name, p in with_own_laws().items()}
    server = OwnLawServer(sites_of(parts, DRAWS), Channel(3, False, seed=1))
    found = server.answers(START, "pseudo_likelihood")
    joint = jointly(sites_of(parts, DRAWS), START, "pseudo_likelihood")
    for one, other in zip(found, joint, strict=True):
        unit = np.outer(other.standard_error, other.standard_error)
        np.testing.assert_allclose(one.covariance / unit, other.covariance / unit, atol=0.006)


def test_gaps_and_noise_scales_stay_with_their_systems():
    problem = pooled_problem(scales=True, gaps=True)
    server = Server(sites_of(parts_of(problem), DRAWS), Channel(3, True, seed=1))
    found = server.answer(START, "pseudo_likelihood")
    pooled = fitted(problem, START, "pseudo_likelihood", DRAWS)
    np.testing.assert_allclose(found.p, pooled.p, atol=1e-5)


@pytest.mark.full
def test_few_systems_adapt_their_draws_at_the_sites():
    problem = pooled_problem(24)
    sites = thirds(problem)
    assert all(site.adapts for site in sites)
    found = Server(sites, Channel(3, True, seed=1)).answer(TRUTH, "likelihood")
    # The law is normal and the model linear, so that the pseudo-likelihood is the likelihood.
    exact = fitted(problem, TRUTH, "pseudo_likelihood", DRAWS)
    assert np.abs((found.p - exact.p) / found.standard_error).max() < 0.1


def test_own_laws_are_the_joint_maximum_of_the_pseudo_likelihood():
    check_joint_maximum("pseudo_likelihood")


@pytest.mark.full
def test_own_laws_are_the_joint_maximum_of_the_likelihood():
    check_joint_maximum("likelihood")


def check_joint_maximum(estimator: Estimator) -> None:
    parts = with_own_laws()
    server = OwnLawServer(sites_of(parts, DRAWS), Channel(3, True, seed=1))
    found = server.answers(START, estimator)
    joint = jointly(sites_of(parts, DRAWS), START, estimator)
    for one, other in zip(found, joint, strict=True):
        assert one.arrived
        assert one.value == pytest.approx(other.value, abs=1e-3)
        assert np.abs((one.p - other.p) / other.standard_error).max() < 0.04
        np.testing.assert_allclose(one.standard_error, other.standard_error, rtol=0.05)
    # All share the noise.
    np.testing.assert_array_equal(found[0].p[4:], found[2].p[4:])


def test_a_shift_of_one_site_moves_its_law_alone():
    def means(parts: dict[str, Problem]) -> np.ndarray:
        server = OwnLawServer(sites_of(parts, DRAWS), Channel(3, True, seed=1))
        return np.array([answer.p[0] for answer in server.answers(START, "pseudo_likelihood")])

    parts = parts_of(pooled_problem())
    moved = means(with_own_laws()) - means(parts)
    np.testing.assert_allclose(moved, [0.0, 0.5, 1.0], atol=2e-3)


def test_own_laws_send_nothing_of_a_law():
    channel = Channel(3, False, seed=1)
    OwnLawServer(sites_of(with_own_laws(), DRAWS), channel).answers(START, "pseudo_likelihood")
    # Value, two profile scores and the triangle of their information.
    profiles = [r for r in channel.rounds if r.question.startswith("profile")]
    assert profiles
    assert {r.bytes_up for r in profiles} == {3 * 8 * (1 + 2 + 3)}
    assert {r.bytes_down for r in profiles} == {3 * 8 * 2}


def test_bytes_are_those_of_the_numbers_sent():
    channel = Channel(3, True, seed=1)
    Server(sites_of(parts_of(pooled_problem()), DRAWS), channel).answer(START, "pseudo_likelihood")
    first, last = channel.rounds[0], channel.rounds[-1]
    assert first.question == "pseudo-likelihood"
    assert last.question == "squares"
    assert first.bytes_up == 3 * 8 * (1 + 6 + 21)
    assert last.bytes_up == 3 * 8 * 21
    assert first.bytes_down == last.bytes_down == 3 * 8 * 6
