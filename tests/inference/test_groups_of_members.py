"""Groups, whose members share effects, against dense likelihoods and quadrature."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import multivariate_normal, norm
from slopes import slopes
from tiers import parameters

from popinv.errors import DataError
from popinv.evidence.stages.replicate_study import _Truth
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.closed_form import ClosedForm, is_linear
from popinv.inference.integrate.fixed_draws import adapted_draws
from popinv.inference.integrate.marginal import MarginalSettings, evaluate, integrals_at
from popinv.inference.integrate.nested import NestedIntegrals
from popinv.observation_files.trees import MemberTree
from popinv.population.constraints import POSITIVE, REAL
from popinv.population.known import Known
from popinv.population.laws.gaussian import normal_law
from popinv.population.laws.levels import LevelLaw
from popinv.population.limits import Limits
from popinv.population.members import law_and_members, member_simulator
from popinv.population.noise.terms import Noise, Size, replicated_noise
from popinv.population.noise.unstructured import DiagonalNoise, IsotropicNoise

TIMES = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
# Two batches of specimens: three specimens at most, with two occasions at most.
TREE = MemberTree(("batch", "specimen", "occasion"), ((0,) * 5, (0, 0, 1, 1, 2), (0, 1, 2, 3, 4)))
LEVELS = {"batch": ["start", "slope"], "specimen": ["start"], "occasion": ["slope"]}


def line(z: torch.Tensor) -> torch.Tensor:
    """Return straight lines through a design, the last input: (n, 3) to (n, 3)."""
    return z[:, :1] + z[:, 1:2] * TIMES + 0.5 * z[:, 2:] ** 2 * TIMES**2


VALUES = [1.0, -0.5, 0.6, 0.8, 0.4, -0.5, 0.7, 0.3]
DEVIATIONS = [0.5, 0.9, 1.3]


def linear_groups(count: int = 7) -> tuple[Problem, np.ndarray]:
    """Return lines of groups with gaps, absent members, a covariate and a design, and p."""
    rng = np.random.default_rng(4)
    law = LevelLaw(
        ("start", "slope"),
        [REAL, REAL],
        LEVELS,
        groups=[["start", "slope"]],
        covariates=["x"],
        effects=[("slope", "x")],
        tree=TREE,
    )
    noise, width = replicated_noise(DiagonalNoise(3), 5), 15
    present = rng.random((count, width)) < 0.8
    present[1, 6:] = False
    present[2, :3] = False
    y = rng.normal(0, 2, size=(count, width))
    fill = np.zeros(width)
    known = Known.of_arrays(rng.normal(size=(count, 5)), rng.normal(size=(count, 5)))
    conditions = Conditions.stated(
        (count, width), rng.uniform(0.5, 2, count), present, fill, known=known
    )
    p = np.concatenate([law.from_natural(VALUES), np.log(DEVIATIONS)])
    simulate, scale = member_simulator(line, 5, 2), np.full(len(p), 0.5)
    return Problem(
        np.where(present, y, fill), simulate, law, noise, scale, conditions=conditions
    ), p


def dense_log_likelihoods(problem: Problem) -> np.ndarray:
    """Return log N(y; m, V) of each group, with V written out entry by entry."""
    start, slope, coefficient, s_start, s_slope, r, s_specimen, s_occasion = VALUES
    t, values = TIMES.numpy(), []
    effect = np.array([[s_start**2, r * s_start * s_slope], [r * s_start * s_slope, s_slope**2]])
    design = np.column_stack([np.ones(3), t])
    for n, y in enumerate(problem.data):
        mean, covariance = np.zeros(15), np.zeros((15, 15))
        for m, k in itertools.product(range(5), repeat=2):
            own = effect.copy()
            if TREE.nodes[1][m] == TREE.nodes[1][k]:
                own[0, 0] += s_specimen**2
            if m == k:
                own[1, 1] += s_occasion**2
            block = design @ own @ design.T
            if m == k:
                block += problem.conditions.scale[n] ** 2 * np.diag(np.square(DEVIATIONS))
            covariance[3 * m : 3 * m + 3, 3 * k : 3 * k + 3] = block
        for m in range(5):
            x, w = (float(each[n, m]) for each in (problem.known.covariates, problem.known.design))
            mean[3 * m : 3 * m + 3] = start + (slope + coefficient * x) * t + 0.5 * w**2 * t**2
        seen = problem.conditions.present[n]
        values.append(
            multivariate_normal.logpdf(y[seen], mean[seen], covariance[np.ix_(seen, seen)])
        )
    return np.array(values)


def test_the_closed_form_is_the_dense_linear_mixed_model():
    problem, p = linear_groups()
    assert is_linear(problem, p)
    found = ClosedForm(problem)(p)
    np.testing.assert_allclose(found.log_likelihood, dense_log_likelihoods(problem), rtol=1e-9)


def test_a_replica_lacks_its_failed_members_and_has_the_likelihood_of_the_others():
    problem, p = linear_groups()
    clean = np.random.default_rng(8).normal(size=problem.data.shape)
    truth = _Truth(p, np.eye(problem.data.shape[1]))
    whole = truth.observed(problem, clean, "again")
    # A member that is observed, two of a group, and all of a group.
    failed = np.zeros(clean.shape, dtype=bool)
    failed[0, 3:6] = failed[5, :6] = failed[4] = True
    kept = np.array([0, 1, 2, 3, 5, 6])
    replica = truth.observed(problem, np.where(failed, np.nan, clean), "again")
    assert replica.count == len(kept)
    seen = problem.conditions.present & ~failed
    np.testing.assert_array_equal(replica.conditions.present, seen[kept])
    np.testing.assert_array_equal(replica.data[seen[kept]], whole.data[kept][seen[kept]])
    assert np.isfinite(replica.data).all()
    # The observations of the others, with the dense covariance of theirs alone.
    others = replace(whole, conditions=replace(whole.conditions, present=seen)).of_systems(kept)
    expected = dense_log_likelihoods(others)
    np.testing.assert_allclose(ClosedForm(replica)(p).log_likelihood, expected, rtol=1e-9)
    assert abs(expected - dense_log_likelihoods(whole)[kept])[[0, 4]].min() > 0.1


def test_the_scores_of_groups_are_the_differences_of_their_likelihood():
    problem, p = linear_groups()
    likelihood = ClosedForm(problem)
    scores = likelihood(p).scores
    exact = slopes(lambda q: likelihood(q).log_likelihood, p, 1e-5)
    np.testing.assert_allclose(scores, exact, atol=2e-6)


def test_nested_integrals_of_linear_groups_are_exact():
    problem, truth = linear_groups()
    for shift in (0.0, 0.1):
        p = truth + shift
        found, exact = evaluate(problem, p, MarginalSettings(draws=16)), ClosedForm(problem)(p)
        np.testing.assert_allclose(found.log_likelihood, exact.log_likelihood, rtol=1e-12)
        # The closed form has derivatives by differences. Equal scores have equal derivatives.
        np.testing.assert_allclose(found.scores, exact.scores, atol=1e-8)
        # A search ends where a step promises 1e-4 of the log density.
        np.testing.assert_allclose(found.modes, exact.modes, atol=0.015)
        assert found.value_error == pytest.approx(0.0, abs=1e-10)
        assert found.effective_share == pytest.approx(1.0)
        assert np.abs(found.score_error).max() < 1e-10


def test_distances_of_groups_are_in_posterior_deviations():
    """A linear model has a normal posterior, whose logarithm falls by half the square."""
    problem, p = linear_groups()
    nested = NestedIntegrals.at(problem, p, problem.numbers)
    modes = nested.find_modes(MarginalSettings(), None)
    apart = torch.from_numpy(np.random.default_rng(1).standard_normal(modes.omega.shape))
    further = nested.groups.search(modes.omega + apart, 0)
    squares = 2 * (further.objective - modes.objective)
    # A search ends where a step promises 1e-4 of the log density.
    torch.testing.assert_close(modes.distance(further.omega), squares, rtol=0.03, atol=0.03)


def test_posterior_moments_and_features_of_groups_are_means_over_their_draws():
    problem, p = linear_groups()

    def features(omega: torch.Tensor, residual: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
        return torch.cat([omega, omega**2, residual, signal], dim=2)

    settings = MarginalSettings(draws=1024, features=features)
    found, exact = evaluate(problem, p, settings), ClosedForm(problem)(p)
    np.testing.assert_allclose(found.mean, exact.mean, atol=0.03)
    np.testing.assert_allclose(found.variance, exact.variance, atol=0.05)
    means, d = found.scores[:, len(p) :], problem.law.d_omega
    np.testing.assert_allclose(means[:, :d], exact.mean, atol=0.15)
    second = exact.variance + exact.mean**2
    np.testing.assert_allclose(means[:, d : 2 * d], second, atol=0.5)
    # The signal is linear, so that its mean is the signal at the mean of omega.
    alpha, mean = problem.tensors(p)[0], torch.from_numpy(exact.mean)
    signal = problem.signal(alpha, mean, problem.known).numpy()
    seen = problem.conditions.present
    spread = np.abs(means[:, 2 * d + 15 :] - signal)[seen]
    assert spread.max() < 0.25
    whitened = (problem.data - signal) / np.tile(DEVIATIONS, 5) / problem.conditions.scale[:, None]
    spread = np.abs(means[:, 2 * d : 2 * d + 15] - whitened)[seen]
    assert spread.max() < 0.25
    assert not means[:, 2 * d : 2 * d + 15][~seen].any()


# --- a model that is not linear ------------------------------------------------------------------

PAIR = MemberTree(("batch", "specimen"), ((0, 0, 0), (0, 1, 2)))


def decay(z: torch.Tensor) -> torch.Tensor:
    """Return exponential decays (n, 3) of rates (n, 1)."""
    return torch.exp(-z * TIMES)


def decays(noise=None) -> tuple[Problem, np.ndarray]:
    """Return groups of three decays with lognormal rates, and p."""
    rng = np.random.default_rng(8)
    law = LevelLaw(("rate",), [POSITIVE], {"batch": ["rate"], "specimen": ["rate"]}, tree=PAIR)
    one = IsotropicNoise(3) if noise is None else noise
    many = replicated_noise(one, 3)
    alpha = law.from_natural([-0.3, 0.5, 0.4])
    omega = torch.from_numpy(rng.standard_normal((6, law.d_omega)))
    simulate = member_simulator(decay, 3, 1)
    y = simulate(law.sample(torch.from_numpy(alpha), omega)).numpy()
    y = y + 0.1 * rng.standard_normal(y.shape)
    present = np.ones(y.shape, dtype=bool)
    present[1, 6:] = False
    fill = np.zeros(9)
    conditions = Conditions.stated(y.shape, present=present, fill=fill)
    gamma = np.log([0.1] if noise is None else [0.1, 0.2])
    p = np.concatenate([alpha, gamma])
    scale = np.full(len(p), 0.5)
    return Problem(np.where(present, y, fill), simulate, law, many, scale, conditions=conditions), p


def quadrature(problem: Problem, p: np.ndarray, combined: float = 0.0) -> np.ndarray:
    """Return log likelihoods by nested quadrature: members are independent given the batch."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    mean, batch, specimen = p[0], np.exp(p[1]), np.exp(p[2])
    sigma, values = np.exp(p[3]), []
    rates = np.exp(mean + batch * nodes[:, None] + specimen * nodes)
    g = np.exp(-rates[..., None] * TIMES.numpy())
    deviation = np.sqrt(sigma**2 + combined**2 * g**2)
    for y, seen in zip(problem.data, problem.conditions.present, strict=True):
        of_batch = np.ones(len(nodes))
        for own, shown in zip(y.reshape(3, 3), seen.reshape(3, 3), strict=True):
            logs = -0.5 * ((own - g) / deviation) ** 2 - np.log(deviation * np.sqrt(2 * np.pi))
            of_batch *= np.exp(logs[..., shown].sum(axis=-1)) @ weights
        values.append(np.log(of_batch @ weights))
    return np.array(values)


def root_mean_square(values: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(np.square(values), axis=0))


@pytest.mark.parametrize("scores", [True, False])
def test_the_likelihood_is_the_nested_integral(scores):
    problem, p = decays()
    found = evaluate(problem, p, MarginalSettings(draws=1024, scores=scores))
    expected = quadrature(problem, p)
    np.testing.assert_allclose(found.log_likelihood, expected, atol=5e-3)
    # Each error is a draw of its size.
    wrong = root_mean_square(found.log_likelihood - expected)
    assert wrong < 3 * root_mean_square(found.value_error)
    if scores:
        exact = slopes(lambda q: quadrature(problem, q), p, 1e-4)
        wrong = root_mean_square(found.scores - exact)
        assert np.all(wrong < 3 * root_mean_square(found.score_error) + 1e-3)
        assert wrong.max() < 0.01


def test_nested_integrals_are_those_over_all_members_at_once():
    problem, p = decays()
    joint, settings = integrals_at(problem, p), MarginalSettings(draws=16384)
    found = joint.evaluate(settings, joint.find_modes(settings, None), 0)
    nested = evaluate(problem, p, MarginalSettings(draws=1024))
    np.testing.assert_allclose(nested.log_likelihood, found[0], atol=5e-3)
    np.testing.assert_allclose(nested.scores, found[2], atol=0.05)
    np.testing.assert_allclose(nested.modes, found[5], atol=1e-2)
    np.testing.assert_allclose(nested.mean, found[6], atol=0.02)
    np.testing.assert_allclose(nested.variance, found[7], atol=0.02)


DEEP_VALUES = [-0.3, 0.5, 0.35, 0.25]


def deep_quadrature(problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return log likelihoods by quadrature over occasion, specimen and batch in turns."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    mean, (batch, specimen, occasion), sigma = p[0], np.exp(p[1:4]), np.exp(p[4])
    x = mean + batch * nodes[:, None, None] + specimen * nodes[:, None] + occasion * nodes
    g, values = np.exp(-np.exp(x)[..., None] * TIMES.numpy()), []
    for y, seen in zip(problem.data, problem.conditions.present, strict=True):
        of_batch = np.ones(len(nodes))
        for place in range(3):
            of_specimen = np.ones((len(nodes), len(nodes)))
            for member in np.flatnonzero(np.array(TREE.nodes[1]) == place):
                own, shown = (v[3 * member : 3 * member + 3] for v in (y, seen))
                logs = -0.5 * ((own - g) / sigma) ** 2 - np.log(sigma * np.sqrt(2 * np.pi))
                of_specimen *= np.exp(logs[..., shown].sum(axis=-1)) @ weights
            of_batch *= of_specimen @ weights
        values.append(np.log(of_batch @ weights))
    return np.array(values)


def deep_decays() -> tuple[Problem, np.ndarray]:
    """Return groups of decays with rates that vary at three levels, and p."""
    rng, levels = np.random.default_rng(5), {name: ["rate"] for name in TREE.levels}
    law = LevelLaw(("rate",), [POSITIVE], levels, tree=TREE)
    alpha, simulate = law.from_natural(DEEP_VALUES), member_simulator(decay, 5, 1)
    omega = torch.from_numpy(rng.standard_normal((6, law.d_omega)))
    y = simulate(law.sample(torch.from_numpy(alpha), omega)).numpy()
    y = y + 0.1 * rng.standard_normal(y.shape)
    present = np.ones(y.shape, dtype=bool)
    # A lacking occasion, a lacking specimen, and gaps.
    present[1, 9:12] = False
    present[2, 12:] = False
    present[3, ::4] = False
    conditions = Conditions.stated(y.shape, present=present, fill=np.zeros(15))
    noise, scale = replicated_noise(IsotropicNoise(3), 5), np.full(5, 0.5)
    problem = Problem(np.where(present, y, 0.0), simulate, law, noise, scale, conditions=conditions)
    return problem, np.append(alpha, np.log(0.1))


def test_three_levels_are_integrated_one_within_the_other():
    problem, p = deep_decays()
    found, expected = (
        evaluate(problem, p, MarginalSettings(draws=1024)),
        deep_quadrature(problem, p),
    )
    np.testing.assert_allclose(found.log_likelihood, expected, atol=5e-3)
    exact = slopes(lambda q: deep_quadrature(problem, q), p, 1e-4)
    np.testing.assert_allclose(found.scores, exact, atol=0.03)


def test_noise_may_grow_with_the_signal_of_each_member():
    problem, p = decays(Noise(IsotropicNoise(3), Size("combined")))
    found = evaluate(problem, p, MarginalSettings(draws=1024))
    expected = quadrature(problem, p, combined=0.2)
    np.testing.assert_allclose(found.log_likelihood, expected, atol=1e-2)
    exact = slopes(lambda q: quadrature(problem, q, combined=0.2), p[:4], 1e-4)
    np.testing.assert_allclose(found.scores[:, :4], exact, atol=0.1)


def test_replicates_of_members_count_like_further_observations():
    """A member with two replicates is a member whose simulator repeats its observations."""
    problem, p = decays()
    rng = np.random.default_rng(2)
    y = problem.data.reshape(6, 3, 1, 3) + 0.1 * rng.standard_normal((6, 3, 2, 3))
    present = np.repeat(problem.conditions.present.reshape(6, 3, 1, 3), 2, axis=2)

    def of(noise, replicates: int) -> Problem:
        shape = (6, 18)
        return Problem(
            np.where(present, y, 0.0).reshape(shape),
            member_simulator(lambda z: decay(z).repeat(1, 2), 3, 1),
            problem.law,
            noise,
            problem.scale,
            conditions=Conditions.stated(shape, present=present.reshape(shape), fill=np.zeros(18)),
        )

    settings = MarginalSettings(draws=64)
    one = evaluate(of(replicated_noise(IsotropicNoise(3), 6), 6), p, settings)
    other = evaluate(of(replicated_noise(IsotropicNoise(6), 3), 3), p, settings)
    np.testing.assert_allclose(one.log_likelihood, other.log_likelihood, rtol=1e-10)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-8)


def test_calls_of_the_simulator_grow_as_the_members():
    rows = []

    def counted(z: torch.Tensor) -> torch.Tensor:
        rows.append(len(z))
        return decay(z)

    totals = []
    for members in (10, 20):
        problem, p = many_decays(4, members, counted)
        first = evaluate(problem, p, MarginalSettings(draws=64))
        rows.clear()
        evaluate(problem, p, MarginalSettings(draws=64), first.memory)
        totals.append(sum(rows))
    assert totals[1] == pytest.approx(2 * totals[0], rel=0.2)


def many_decays(groups: int, members: int, simulator=decay) -> tuple[Problem, np.ndarray]:
    """Return groups of many decays, and p."""
    rng = np.random.default_rng(1)
    tree = MemberTree(("batch", "specimen"), ((0,) * members, tuple(range(members))))
    law = decays()[0].law.of_groups(tree)
    p = np.append(law.from_natural([-0.3, 0.5, 0.4]), np.log(0.1))
    simulate = member_simulator(simulator, members, 1)
    omega = torch.from_numpy(rng.standard_normal((groups, law.d_omega)))
    y = simulate(law.sample(torch.from_numpy(p[:3]), omega)).numpy()
    y = y + 0.1 * rng.standard_normal(y.shape)
    noise = replicated_noise(IsotropicNoise(3), members)
    scale = np.full(4, 0.5)
    return Problem(y, simulate, law, noise, scale), p


def test_groups_of_many_members_have_their_likelihood():
    problem, p = many_decays(4, 40)
    found = evaluate(problem, p, MarginalSettings(draws=256))
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    weights = weights / weights.sum()
    rates = np.exp(p[0] + 0.5 * nodes[:, None] + 0.4 * nodes)
    g, expected = np.exp(-rates[..., None] * TIMES.numpy()), []
    for y in problem.data.reshape(4, 40, 1, 1, 3):
        logs = (-0.5 * ((y - g) / 0.1) ** 2 - np.log(0.1 * np.sqrt(2 * np.pi))).sum(axis=-1)
        of_batch = np.log(np.exp(logs) @ weights).sum(axis=0)
        top = of_batch.max()
        expected.append(top + np.log(np.exp(of_batch - top) @ weights))
    wrong = root_mean_square(found.log_likelihood - expected)
    assert wrong < 3 * root_mean_square(found.value_error)
    assert wrong < 0.02


@parameters("scores", [True], full=[False])
def test_large_groups_have_the_draws_of_small_ones(scores):
    """The cost is linear in the members, and most draws count."""
    rows: list[int] = []

    def counted(z: torch.Tensor) -> torch.Tensor:
        rows.append(len(z))
        return decay(z)

    totals, settings = [], MarginalSettings(draws=64, scores=scores)
    for members in (64, 512):
        problem, p = many_decays(2, members, counted)
        first = evaluate(problem, p, settings)
        rows.clear()
        again = evaluate(problem, p, settings, first.memory)
        totals.append(sum(rows))
        np.testing.assert_allclose(again.log_likelihood, first.log_likelihood, atol=0.2)
    assert totals[1] == pytest.approx(8 * totals[0], rel=0.1)
    assert first.effective_share.min() > 0.3


LIMIT = 0.2


@parameters("members", [6], full=[3, 20])
def test_observations_of_members_may_be_censored(members):
    problem, p = many_decays(3, members)
    data = np.maximum(problem.data, LIMIT)
    limits = Limits.of_arrays(data.shape, lower=LIMIT)
    problem = replace(
        problem,
        data=data,
        conditions=Conditions.stated(data.shape, limits=limits),
        noise=replicated_noise(IsotropicNoise(3), members),
    )
    assert 0.05 < np.mean(data <= LIMIT) < 0.3
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    omega = np.linspace(-5, 5, 401)

    def exact(p: np.ndarray) -> np.ndarray:
        """Return log likelihoods by quadrature over members, and over a grid of the batch."""
        x = p[0] + np.exp(p[1]) * omega[:, None] + np.exp(p[2]) * nodes
        g, sigma = np.exp(-np.exp(x)[..., None] * TIMES.numpy()), np.exp(p[3])
        below, values = norm.logcdf(LIMIT, g, sigma), []
        for y in data.reshape(3, members, 3):
            logs = norm.logpdf(omega)
            for own in y:
                each = np.where(own <= LIMIT, below, norm.logpdf(own, g, sigma)).sum(axis=-1)
                logs = logs + np.log(np.exp(each) @ (weights / weights.sum()))
            values.append(np.logaddexp.reduce(logs) + np.log(omega[1] - omega[0]))
        return np.array(values)

    settings = MarginalSettings(draws=1024)
    found, expected = evaluate(problem, p, settings), exact(p)
    np.testing.assert_allclose(found.log_likelihood, expected, atol=0.005 * members**0.5)
    for i, slope in enumerate(slopes(exact, p, 1e-4).T):
        error = root_mean_square(found.score_error[:, i])
        np.testing.assert_allclose(found.scores[:, i], slope, atol=5 * error + 0.02)


def test_fixed_draws_of_groups_follow_the_law():
    problem, p = decays()
    (draws,) = adapted_draws(problem, p, MarginalSettings(draws=4096))
    np.testing.assert_allclose(draws(p).log_likelihood, quadrature(problem, p), atol=6e-3)
    near = p + np.array([0.05, 0.1, -0.1, 0.05])
    np.testing.assert_allclose(draws(near).log_likelihood, quadrature(problem, near), atol=1e-2)


# --- simulators ---------------------------------------------------------------------------------


@pytest.mark.parametrize("tangents", [1, 7])
def test_derivatives_of_members_are_those_of_one(tangents):
    rng = np.random.default_rng(0)
    simulate = member_simulator(line, 4, 2)
    z = torch.from_numpy(rng.normal(size=(5, 12)))
    moves = torch.from_numpy(rng.normal(size=(tangents, 5, 12)))
    moves[..., 8:] = 0.0
    y, change = simulate.linearise(z, moves)
    np.testing.assert_allclose(y, simulate(z), rtol=1e-14)
    ends = [simulate(z + sign * 1e-6 * moves[0]) for sign in (1, -1)]
    np.testing.assert_allclose(change[0], (ends[0] - ends[1]) / 2e-6, atol=1e-8)
    for member in range(4):
        own = torch.cat([z[:, 2 * member : 2 * member + 2], z[:, 8 + member, None]], dim=1)
        np.testing.assert_allclose(y[:, 3 * member : 3 * member + 3], line(own), rtol=1e-14)


def test_solves_grow_with_members_and_not_with_their_square():
    calls: list[int] = []

    def counted(z: torch.Tensor, moves: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(len(moves) * len(z))
        return z[:, :1], moves[..., :1]

    def simulate(z: torch.Tensor) -> torch.Tensor:
        return z[:, :1]

    simulate.linearise = counted
    for members in (2, 20):
        z = torch.zeros((3, 2 * members), dtype=torch.float64)
        member_simulator(simulate, members, 2).linearise(z, torch.ones((50, *z.shape)))
    assert calls == [2 * 3 * 2, 2 * 3 * 20]


def test_groups_need_a_law_with_their_levels():
    groups = xr.Dataset(attrs=PAIR.attributes())
    law = decays()[0].law
    assert law_and_members(law.of_groups(MemberTree.of_one(PAIR.levels)), groups)[0].tree == PAIR
    assert law_and_members(normal_law(("a",)), xr.Dataset())[1] == 1
    with pytest.raises(DataError, match="the levels batch, specimen, and the law has none"):
        law_and_members(normal_law(("a",)), groups)
    with pytest.raises(DataError, match="have no levels, and the law has the levels batch"):
        law_and_members(law, xr.Dataset())
