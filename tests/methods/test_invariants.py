"""Each use does nothing once: no difference is found, and an error tells of wrong code.

Every test breaks a line of the code as a mistake would, and sees that the use notices it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import test_certificate
import test_federated
import test_withdrawal
from linear_systems import linear_problem, with_gaps

from popinv.errors import InvariantError, PopinvError
from popinv.inference.density.conditions import Conditions
from popinv.methods.certificate import answer as certified_answer
from popinv.methods.certificate import descent as certified_descent
from popinv.methods.federated import channel, reference, site
from popinv.methods.groups import comparison, group_tests
from popinv.methods.invariants import Invariant, held, invariant_metrics
from popinv.methods.outcome import Outcome
from popinv.methods.posterior import density
from popinv.methods.registry import METHODS
from popinv.population.limits import Limits
from popinv.population.noise.terms import Noise
from popinv.population.noise.unstructured import DiagonalNoise


def test_a_difference_beyond_its_tolerance_is_an_error_of_the_package():
    assert held("a", "nothing trained", 1e-9, 1e-8) == Invariant("a", "nothing trained", 1e-9, 1e-8)
    for difference in (2e-8, float("nan"), float("inf")):
        with pytest.raises(InvariantError, match="nothing trained: the difference is"):
            held("a", "nothing trained", difference, 1e-8)
    # The jobs' frame prints such an error as its message alone.
    assert issubclass(InvariantError, PopinvError)


def test_invariants_are_among_the_metrics():
    outcome = Outcome({"error": 0.5}, {}, invariants=[held("a", "nothing trained", 1e-9, 1e-8)])
    assert outcome.all_metrics == {
        "error": 0.5,
        "null_invariant_a": 1e-9,
        "null_invariant_a_tolerance": 1e-8,
        "null_invariants": "nothing trained: 1e-09 (at most 1e-08)",
    }
    assert invariant_metrics([]) == {}


# --- posterior ------------------------------------------------------------------------------------


def densities(with_conditions: bool = True):
    problem, estimate, _ = linear_problem(6, with_gaps(6) if with_conditions else None)
    return problem, np.concatenate(estimate)


@pytest.mark.parametrize("with_conditions", [False, True])
def test_without_an_observation_a_system_is_one_of_the_population(with_conditions):
    problem, p = densities(with_conditions)
    found = density.Densities.at(problem, p).invariants(problem, p)
    assert all(one.difference < 1e-10 for one in found)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        # The prior counted twice, and half of the misfit.
        (lambda misfit, squares: -0.5 * misfit - squares, "nothing observed"),
        (lambda misfit, squares: -0.25 * misfit - 0.5 * squares, "by the noise's covariance"),
    ],
)
def test_a_wrong_density_is_noticed(monkeypatch, wrong, message):
    problem, p = densities()

    def log(self, omega, systems):
        signal = self.push_forward.rows(systems)(omega)
        misfit = (self.observation.rows(systems).at(signal).residual ** 2).sum(dim=1)
        return wrong(misfit, (omega**2).sum(dim=1))

    monkeypatch.setattr(density.Densities, "_log", log)
    with pytest.raises(InvariantError, match=message):
        density.Densities.at(problem, p).invariants(problem, p)


def test_gaps_that_belong_to_another_system_are_noticed(monkeypatch):
    problem, p = densities()
    right = density.density_of

    def shifted(problem, gamma):
        moved = problem.conditions.of(np.roll(np.arange(len(problem.data)), 1))
        return right(replace(problem, conditions=moved), gamma)

    monkeypatch.setattr(density, "density_of", shifted)
    with pytest.raises(InvariantError):
        density.Densities.at(problem, p).invariants(problem, p)


# --- withdrawal -----------------------------------------------------------------------------------

fitted = test_withdrawal.fitted


def test_without_a_withdrawal_the_short_fit_stays(fitted):
    *_, refitter = fitted
    assert refitter.nothing_removed().difference < 1e-3


def test_a_system_that_is_always_left_out_is_noticed(fitted, monkeypatch):
    *_, refitter = fitted
    right = type(refitter)._gradient

    def without_the_first(self, rest, systems, p):
        return right(self, rest, np.append(systems, 3), p)

    monkeypatch.setattr(type(refitter), "_gradient", without_the_first)
    with pytest.raises(InvariantError, match="no system removed: shift of the answer by a short"):
        refitter.nothing_removed()


# --- certified unlearning -------------------------------------------------------------------------

populations, contributions = test_certificate.populations, test_certificate.contributions
learned = test_certificate.learned


def test_without_noise_the_ends_are_means(learned):
    found = certified_answer.nothing_removed(learned, test_certificate.GONE)
    assert [one.name for one in found] == ["nothing_removed", "removed_without_noise"]
    assert max(one.difference for one in found) < 1e-10


def test_a_descent_to_another_mean_is_noticed(learned, monkeypatch):
    right = certified_descent.iterate

    def half(parameters, batch, loss, setting, push):
        return right(parameters, batch, loss, replace(setting, rate=0.9 * setting.rate), push)

    # The shrinkage and the step have different rates.
    def uneven(parameters, batch, loss, setting, push):
        return half(parameters, batch, loss, setting, push) - 1e-3 * parameters

    monkeypatch.setattr(certified_descent, "iterate", uneven)
    with pytest.raises(InvariantError, match="no system removed"):
        certified_answer.nothing_removed(learned, test_certificate.GONE)


def test_a_removal_of_the_wrong_system_is_noticed(learned, monkeypatch):
    right = type(learned.records).emptied
    monkeypatch.setattr(type(learned.records), "emptied", lambda self, n: right(self, n + 1))
    with pytest.raises(InvariantError, match="removed without noise"):
        certified_answer.nothing_removed(learned, test_certificate.GONE)


# --- groups ---------------------------------------------------------------------------------------


def test_a_group_may_be_named_in_any_order():
    problem, estimate, _ = linear_problem(8)
    assert comparison.any_order(problem, estimate, [0, 3, 5]).difference < 1e-8


def test_tests_that_prefer_the_first_system_are_noticed(monkeypatch):
    problem, estimate, _ = linear_problem(8)
    right = group_tests.system_p_values

    def first_alone(scores, information):
        return right(scores, information) * np.r_[0.5, np.ones(len(scores) - 1)]

    monkeypatch.setattr(group_tests, "system_p_values", first_alone)
    with pytest.raises(InvariantError, match="systems named in reverse"):
        comparison.any_order(problem, estimate, [0, 3, 5])


# --- federated ------------------------------------------------------------------------------------


def federated(secure: bool = True, **options):
    problem = test_federated.pooled_problem(**options)
    parts = test_federated.parts_of(problem)
    return reference.nothing_divided(
        problem,
        site.sites_of(parts, test_federated.DRAWS),
        channel.Channel(3, secure, seed=1),
        test_federated.START,
    )


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("irregular", [False, True])
def test_sites_sum_to_what_one_place_computes(secure, irregular):
    found = federated(secure, scales=irregular, gaps=irregular)
    assert found.difference < 1e-5
    assert found.difference < found.tolerance


def test_sites_with_limits_and_scales_sum_to_what_one_place_computes():
    problem = test_federated.pooled_problem()
    count = len(problem.data)
    # Three scales, so that systems of all sites have moments in common.
    scale = np.array([0.5, 1.0, 2.0])[np.arange(count) % 7 % 3]
    lowest = np.quantile(problem.data, 0.2)
    limits = Limits.of_arrays(problem.data.shape, lower=lowest)
    problem = replace(
        problem,
        data=np.maximum(problem.data, lowest),
        noise=Noise(DiagonalNoise(6)),
        scale=np.full(10, 0.5),
        conditions=Conditions.stated(problem.data.shape, scale=scale, limits=limits),
    )
    # The first site has systems of one scale alone.
    order = np.argsort(scale != 1.0, kind="stable")
    problem = problem.of_systems(order)
    found = reference.nothing_divided(
        problem,
        site.sites_of(test_federated.parts_of(problem), test_federated.DRAWS),
        channel.Channel(3, secure=True, seed=1),
        np.concatenate([test_federated.START[:4], np.full(6, -1.0)]),
    )
    assert found.difference < found.tolerance


def test_masks_that_do_not_cancel_are_noticed(monkeypatch):
    right = channel.masked
    monkeypatch.setattr(
        channel, "masked", lambda r, s, sites, seed, index: right(r, s, sites, seed + s, index)
    )
    with pytest.raises(InvariantError, match="observations in one place"):
        federated()


def test_a_system_that_no_site_has_is_noticed(monkeypatch):
    right = test_federated.parts_of

    def losing_one(problem):
        parts = right(problem)
        first = next(iter(parts))
        return parts | {first: parts[first].of_systems(np.arange(39))}

    monkeypatch.setattr(test_federated, "parts_of", losing_one)
    with pytest.raises(InvariantError, match="observations in one place"):
        federated()


# --- all ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_the_use_of_every_method_states_its_invariants(name):
    """What the workflow demands of each when it runs, seen in the source."""
    from importlib import import_module
    from inspect import getsource

    assert "invariants=" in getsource(import_module(METHODS[name].module))
