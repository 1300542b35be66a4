"""Tests of law, noise and simulator: their size, their power, and what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from problems import COUNTED, counted
from scipy.stats import kstest
from tiers import parameters

from popinv.inference.checks import faults
from popinv.inference.checks import specification as module
from popinv.inference.checks.features import Feature, features_of
from popinv.inference.checks.pairs import SystemPairs
from popinv.inference.checks.specification import ScoreTest, part_tests, specification
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.population.constraints import REAL
from popinv.population.known import Known
from popinv.population.laws.gaussian import GaussianLaw, normal_law
from popinv.population.laws.mixture import MixtureLaw
from popinv.population.noise.unstructured import IsotropicNoise

TIMES = torch.arange(6, dtype=torch.float64)
# Of a and b: means, logarithms of deviations, and of the noise.
TRUTH = np.array([1.0, -0.5, np.log(0.8), np.log(0.4), np.log(0.5)])
OBSERVATIONS = xr.Dataset(
    coords={
        "observation": np.arange(6),
        "observation_t": ("observation", np.arange(6.0), {"axis": 1}),
    }
)


def lines(z: torch.Tensor) -> torch.Tensor:
    return z[:, :1] + z[:, 1:2] * TIMES


def problem_of(omega: np.ndarray, e: np.ndarray, seed: int = 0) -> Problem:
    """Return a problem of lines with these standard normal numbers (N, 2) and noise (N, 6)."""
    law, noise = GaussianLaw(["a", "b"], [REAL, REAL]), IsotropicNoise(6)
    z = TRUTH[:2] + np.exp(TRUTH[2:4]) * omega
    y = lines(torch.from_numpy(z)).numpy() + np.exp(TRUTH[4]) * e
    return Problem(y, lines, law, noise, np.full(5, 0.5), seed=seed)


def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, 2)), rng.standard_normal((count, 6))


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Simulate a quarter of the systems, and draw a quarter of the samples.

    An adjusted p-value is at least the number of features divided by that of samples.
    """
    monkeypatch.setattr(module, "_SIMULATED", 1000)
    monkeypatch.setattr(module, "_MOST_DRAWN", 1_000_000)


def findings_of(problem: Problem) -> dict[str, ScoreTest]:
    estimate = fit_marginal_likelihood(problem, TRUTH)
    found = specification(problem, OBSERVATIONS, estimate.p)
    return {finding.feature.name: finding for finding in found}


@pytest.mark.full
@pytest.mark.parametrize("count", [14, 60])
def test_the_smallest_p_value_of_a_right_model_is_uniform(count):
    smallest = [
        min(f.p_value for f in findings_of(problem_of(*drawn(count, seed), seed)).values())
        for seed in range(20)
    ]
    # A p-value of the test of Kolmogorov and Smirnov below .001 has a probability of .001.
    assert kstest(smallest, "uniform").pvalue > 0.001
    # Binomial(20, .05): at most 5 with a probability of .9997.
    assert np.sum(np.array(smallest) < 0.05) <= 5


def in_time(omega, e):
    e = e.copy()
    for j in range(1, 6):
        e[:, j] = 0.5 * e[:, j - 1] + np.sqrt(0.75) * e[:, j]
    return omega, e


def uneven(omega, e):
    return omega, e * np.array([1, 1, 1, 1, 1, 2.0])


def by_system(omega, e):
    return omega, e * np.exp(np.where(np.arange(len(e)) % 2, 0.5, -0.5))[:, None]


def tails(omega, e):
    chi = np.random.default_rng(9).chisquare(4, e.shape)
    return omega, e / np.sqrt(chi / 4) / np.sqrt(2)


def correlated(omega, e):
    return np.column_stack([omega[:, 0], 0.7 * omega[:, 0] + np.sqrt(0.51) * omega[:, 1]]), e


def groups(omega, e):
    """Two groups, eight of their deviations apart."""
    first = np.sign(omega[:, 0]) + 0.25 * np.random.default_rng(9).standard_normal(len(omega))
    return np.column_stack([first, omega[:, 1]]), e


def off(omega, e):
    return omega, e + np.array([0, 0, 0, 1.0, 0, 0])


@parameters(
    "mistake, count, part, named",
    [
        (in_time, 100, "noise", "lag_1"),
        (off, 60, "simulator", "offset_4"),
    ],
    full=[
        (groups, 60, "law", "groups_a"),
        (uneven, 250, "noise", "deviation_6"),
        (by_system, 250, "noise", "systems"),
        (tails, 250, "noise", "tails"),
        (correlated, 250, "law", "correlation_a_b"),
    ],
)
def test_a_mistake_is_seen_and_named(mistake, count, part, named):
    found = findings_of(problem_of(*mistake(*drawn(count, 3))))
    (tested,) = [test for test in part_tests(list(found.values())) if test.part == part]
    assert found[named].p_value < 0.01
    of_part = [finding for finding in found.values() if finding.feature.part == part]
    assert min(of_part, key=lambda f: f.p_value).feature.part == part
    assert "the next larger model" in tested.finding


def test_the_parameter_of_a_larger_model_is_estimated():
    # At these systems both are there.
    omega, _ = correlated(*drawn(400, 5))
    _, e = off(*drawn(400, 5))
    found = findings_of(problem_of(omega, e))
    finding, shifted = found["correlation_a_b"], found["offset_4"]
    # One step of Newton's method from zero; the rest is of second order in the correlation.
    assert finding.theta == pytest.approx(0.7, abs=0.25)
    assert shifted.theta == pytest.approx(1.0, abs=4 * shifted.error + 0.1)


def test_what_the_fitted_model_has_already_is_not_tested():
    law, noise = GaussianLaw(["a", "b"], [REAL, REAL], groups=[["a", "b"]]), IsotropicNoise(6)
    problem = problem_of(*correlated(*drawn(60, 2)))
    truth = np.insert(TRUTH, 4, 0.5)
    larger = Problem(problem.data, lines, law, noise, np.full(6, 0.5))
    estimate = fit_marginal_likelihood(larger, truth)
    names = [f.feature.name for f in specification(larger, OBSERVATIONS, estimate.p)]
    assert "correlation_a_b" not in names
    assert "skewness_a" in names


def test_a_known_quantity_that_acts_is_seen():
    rng = np.random.default_rng(4)
    omega, e = drawn(80, 4)
    x = rng.standard_normal((80, 1))
    omega[:, 1] += 0.8 * x[:, 0]
    problem = problem_of(omega, e)
    known = Known.of_arrays(np.zeros((80, 0)), x)
    found = specification(
        replace(problem, conditions=Conditions.stated(problem.data.shape, known=known)),
        OBSERVATIONS,
        fit_marginal_likelihood(problem, TRUTH).p,
    )
    by_name = {finding.feature.name: finding for finding in found}
    assert by_name["effect_b_1"].p_value < 0.01
    assert by_name["effect_a_1"].p_value > 0.05


def of_table(count: int, **columns: np.ndarray) -> xr.Dataset:
    """Return observations of systems in the order of a table with columns that are not used."""
    cells = pd.DataFrame({name: each.astype(str) for name, each in columns.items()})
    return OBSERVATIONS.assign_coords(
        row=("system", np.arange(count)),
        unused_name=list(cells.columns),
        unused=(("system", "unused_name"), cells.to_numpy(dtype=np.str_)),
    )


def test_columns_that_are_left_out_and_act_are_named_with_the_key_to_write():
    rng, count = np.random.default_rng(4), 120
    omega, e = drawn(count, 4)
    x, batch = rng.standard_normal(count).round(3), rng.permutation(np.arange(count) // 6)
    omega[:, 1] += 0.7 * x
    omega[:, 0] += 0.8 * rng.standard_normal(20)[batch]
    table = of_table(count, x=x, idle=rng.standard_normal(count), batch=batch, sex=batch % 2)
    problem = problem_of(omega, e)
    found = specification(problem, table, fit_marginal_likelihood(problem, TRUTH).p)
    by_told = {finding.feature.told: finding for finding in found}
    of_x, of_batch = by_told["b depends on x"], by_told["a differs between the labels of batch"]
    assert of_x.p_value < 0.01
    assert "law.covariates: {b: [x]}" in of_x.told
    assert of_batch.p_value < 0.01
    assert "law.levels: {batch: [a]}" in of_batch.told
    # One step of Newton's method, in units of the fitted law, which has the effects in its size.
    assert of_x.theta == pytest.approx(0.7 / 1.49**0.5, abs=0.25)
    assert of_batch.theta == pytest.approx(0.64 / 1.64, abs=0.25)
    assert min(f.p_value for f in found if f.feature not in (of_x.feature, of_batch.feature)) > 0.01


def test_neighbours_of_the_table_that_are_alike_are_seen():
    omega, e = drawn(100, 2)
    for n in range(1, 100):
        omega[n, 1] = 0.6 * omega[n - 1, 1] + 0.8 * omega[n, 1]
    shuffled = np.random.default_rng(1).permutation(100)
    problem = problem_of(omega[shuffled], e)
    table = of_table(100, one=np.ones(100)).assign_coords(row=("system", shuffled))
    found = specification(problem, table, fit_marginal_likelihood(problem, TRUTH).p)
    by_name = {finding.feature.name: finding for finding in found}
    assert by_name["order_b"].p_value < 0.01 < by_name["order_a"].p_value
    assert by_name["order_b"].theta == pytest.approx(0.6, abs=0.25)


def test_pairs_are_the_score_of_a_common_variance_and_of_a_correlation():
    """Compare with derivatives of normal densities: y = w + e, w of variance 1, e of 0.5."""
    rng = np.random.default_rng(3)
    y, labels = rng.standard_normal(9), np.array([0, 1, 1, 2, 0, 2, 2, -1, 1])
    y -= y.mean()
    alike = (labels[:, None] == labels) & (labels >= 0)
    beside = np.eye(9, k=1) + np.eye(9, k=-1)

    def log_density(covariance: np.ndarray) -> float:
        return -0.5 * (y @ np.linalg.solve(covariance, y) + np.linalg.slogdet(covariance)[1])

    single, step = 1.5 * np.eye(9), 1e-4
    for pairs, shape in (
        (SystemPairs.of_groups(labels), alike & ~np.eye(9, dtype=bool)),
        (SystemPairs(np.arange(9)), beside),
    ):
        ahead, behind = (log_density(single + sign * step * shape) for sign in (1, -1))
        (found,) = pairs.sums(y[None] / 1.5)
        assert found == pytest.approx((ahead - behind) / (2 * step), rel=1e-6)
        assert pairs.count == shape.sum() / 2


def told_of(problem: Problem) -> dict[str, str]:
    """Return what the tests of each part find."""
    found = specification(problem, OBSERVATIONS, fit_marginal_likelihood(problem, TRUTH).p)
    return {test.part: test.finding for test in part_tests(found)}


def test_observations_that_are_equal_at_their_end_are_at_a_limit():
    problem = problem_of(*drawn(60, 3))
    limit = np.quantile(problem.data, 0.9)
    told = told_of(replace(problem, data=np.minimum(problem.data, limit)))["simulator"]
    assert "36 observations are equal to the largest one" in told
    assert f"observations.censored_above: {limit:.6g}" in told


def test_rounded_observations_are_not_at_a_limit():
    problem = problem_of(*drawn(60, 3))
    rounded = replace(problem, data=np.round(problem.data))
    (low, *_) = faults.values_at_limits(rounded, OBSERVATIONS)
    # All that rounds to the smallest value is counted in simulated systems.
    assert low.count == (rounded.data == low.value).sum()
    assert low.width == 0.5
    found = low(problem.data, np.ones_like(problem.data, dtype=bool)).sum()
    assert found == low.count
    assert low(rounded.data, np.ones_like(problem.data, dtype=bool)).sum() == low.count - 1


def test_small_values_that_were_left_out_are_seen():
    problem = problem_of(*drawn(60, 3))
    present = problem.data > np.quantile(problem.data, 0.12)
    present[:, 0] = True
    fill = np.nanmean(np.where(present, problem.data, np.nan), axis=0)
    conditions = Conditions.stated(problem.data.shape, present=present, fill=fill)
    data = np.where(present, problem.data, fill)
    told = told_of(replace(problem, data=data, conditions=conditions))
    assert "observations are missing where the signal is small" in told["simulator"]


@parameters("size", [30], full=[10])
def test_a_single_observation_and_a_single_system_are_named(size):
    omega, e = drawn(60, 3)
    # The noise of all systems is three times as large with it.
    e[17, 3] += size
    told = told_of(problem_of(omega, e))
    assert "system 17, observation 4" in told["noise"]
    assert "observations.without" in told["noise"]
    omega, e = drawn(60, 3)
    omega[5, 1] += 8
    assert "b is far from that of all others: system 5" in told_of(problem_of(omega, e))["law"]


@pytest.mark.parametrize("squared", [True, False])
def test_the_furthest_of_right_systems_is_as_far_as_it_says(squared):
    """Normal numbers, or their squares: the largest of 60 has a uniform p-value."""
    rng, p_values = np.random.default_rng(2), []
    for _ in range(400):
        values = rng.standard_normal(1060)
        largest = faults.Largest((), squared)
        values = values if squared else values**2
        rows = rng.integers(1000, size=(1000, 60))
        drawn_ones = largest.drawn(values[60:], [rows], rng)
        p_values.append(np.mean(drawn_ones >= largest.distances(values[:60]).max()))
    # Of 400, a share of 5 % has the standard error .011; 2 % of 1000 have a tail known to 20 %.
    assert np.mean(np.array(p_values) < 0.05) <= 0.05 + 3 * 0.011
    assert np.mean(np.array(p_values) < 0.5) == pytest.approx(0.5, abs=0.08)


def test_the_furthest_of_few_right_systems_is_as_far_as_it_says(monkeypatch):
    """Standardised by their own mean and deviation, the largest of 8 is at most 2.47."""
    # A third of 60,000 samples are kept.
    monkeypatch.setattr(module, "_MOST_DRAWN", 480_000)
    rng, p_values = np.random.default_rng(2), []
    feature = Feature("law", "far", "", "", "", 1.0, pooled=faults.Largest((), squared=True))
    g = rng.standard_normal((1000, 1))
    for seed in range(60):
        f = rng.standard_normal((8, 1))
        f = (f - f.mean()) / f.std()
        scores = (np.hstack([each, each**2 - 1]) for each in (f, g))
        (found,) = module.tests([feature], f, next(scores), g, next(scores), seed)
        p_values.append(found.p_value)
    # A share of 30 % of 60 has the standard error .06.
    assert np.mean(np.array(p_values) < 0.3) == pytest.approx(0.3, abs=0.15)


@pytest.mark.full
def test_a_broken_sensor_is_not_heavy_tails():
    omega, e = drawn(100, 3)
    e[:, 2] *= 4
    told = told_of(problem_of(omega, e))["noise"]
    assert "different in observation 3" in told
    assert "noise.kind: diagonal" in told


@pytest.mark.full
def test_a_test_without_power_says_so():
    few = findings_of(problem_of(*drawn(12, 1)))
    law = part_tests(list(few.values()))[0]
    assert not few["kurtosis_a"].powerful
    assert "the law of a has other tails than a normal one" in law.unseen
    many = findings_of(problem_of(*drawn(300, 1)))
    assert many["lag_1"].powerful
    noise = part_tests(list(many.values()))[1]
    assert "correlated in time" not in "; ".join(noise.unseen)


def test_features_are_the_scores_of_larger_models():
    """Compare with the derivative of the log likelihood of a model with the parameter."""
    omega, e = drawn(40, 8)
    problem = problem_of(omega, e)
    chosen = features_of(problem, OBSERVATIONS, TRUTH)
    names = [feature.name for feature in chosen.features]
    means, _ = module._with_scores(
        problem, TRUTH, module.MarginalSettings(draws=4096, features=chosen), chosen
    )
    step = 1e-4
    design = np.column_stack([np.ones(6), TIMES.numpy()])
    deviations = np.exp(TRUTH[2:4])

    def log_density(rho: float, lag: float, offset: float) -> np.ndarray:
        law = np.diag(deviations) @ np.array([[1, rho], [rho, 1]]) @ np.diag(deviations)
        noise = np.eye(6) + lag * (np.eye(6, k=1) + np.eye(6, k=-1))
        covariance = design @ law @ design.T + np.exp(2 * TRUTH[4]) * noise
        mean = design @ TRUTH[:2] + offset * np.exp(TRUTH[4]) * np.eye(6)[3]
        rest = problem.data - mean
        values = np.einsum("ni,ij,nj->n", rest, np.linalg.inv(covariance), rest)
        return -0.5 * (values + np.linalg.slogdet(covariance)[1])

    for name, unit in (
        ("correlation_a_b", (1, 0, 0)),
        ("lag_1", (0, 1, 0)),
        ("offset_4", (0, 0, 1)),
    ):
        ahead, behind = (log_density(*(sign * step * np.array(unit))) for sign in (1, -1))
        exact = (ahead - behind) / (2 * step)
        np.testing.assert_allclose(means[:, names.index(name)], exact, atol=0.05)


def test_features_of_shape_tell_nothing_that_mean_and_deviation_tell():
    """They are the polynomials that are orthogonal to all lower ones under the normal law."""
    features = features_of(problem_of(*drawn(8, 0)), OBSERVATIONS, TRUTH).features
    chosen = {feature.name: feature for feature in features}
    # Gauss's rule is exact for these polynomials.
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    weights /= weights.sum()
    x = torch.from_numpy(nodes)
    omega, residual = torch.zeros(1, 8, 2).double(), torch.zeros(1, 8, 6).double()
    omega[0, :, 1], residual[0, :, 2] = x, x
    for name, order in (("skewness_b", 3), ("kurtosis_b", 4), ("tails", 4)):
        values = chosen[name].of(omega, residual, residual)[0].numpy()
        moments = [float(weights @ (values * nodes**k)) for k in range(order)]
        np.testing.assert_allclose(moments, 0.0, atol=1e-12)
        # One unit of the parameter adds as much to the moment of this order.
        assert weights @ (values * nodes**order) == pytest.approx(1.0)


def located(**axes: list[float]) -> xr.Dataset:
    """Return observations at these coordinates."""
    return xr.Dataset(
        coords={"observation": np.arange(6)}
        | {
            f"observation_{name}": ("observation", np.array(values, dtype=float), {"axis": i})
            for i, (name, values) in enumerate(axes.items())
        }
    )


@pytest.mark.parametrize(
    ("observations", "wanted"),
    [
        # The nearest of those before it; each axis is measured by its own spread.
        (
            located(x=[0, 1, 0.1, 0.9, 0, 1], y=[0, 0, 0, 0, 500, 400]),
            {"neighbours": [(0, 1), (0, 2), (1, 3), (0, 4), (1, 5)]},
        ),
        (
            located(x=[0, 0, 0, 1, 1, 1], t=[0, 1, 2, 0, 1, 2]),
            {"lag_1": [(0, 1), (1, 2), (3, 4), (4, 5)], "neighbours": [(0, 3), (1, 4), (2, 5)]},
        ),
        (located(x=[3, 1, 4, 1, 5, 9], t=[0, 0, 0, 0, 0, 0]), {"neighbours": None}),
        (
            located(t=[0, 1, 2, 3, 4, 5]),
            {
                "lag_1": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)],
                "lag_2": [(0, 2), (1, 3), (2, 4), (3, 5)],
            },
        ),
        # Without times and places, each is beside the one before it.
        (located(), {"neighbours": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]}),
    ],
)
def test_neighbours_in_time_and_in_space_are_paired(observations, wanted):
    chosen = features_of(problem_of(*drawn(8, 0)), observations, TRUTH)
    omega, residual = (torch.from_numpy(part)[:, None] for part in drawn(5, 1))
    found = {
        feature.name: feature.of(omega, residual, residual)[:, 0].numpy()
        for feature in chosen.features
        if feature.unit == "correlation" and feature.part == "noise"
    }
    assert set(found) == set(wanted)
    r = residual[:, 0].numpy()
    for name, pairs in wanted.items():
        if pairs is not None:
            exact = sum(r[:, j] * r[:, k] for j, k in pairs)
            np.testing.assert_allclose(found[name], exact, rtol=1e-12)


def test_where_the_surrogate_errs_the_tests_go_through_the_solver_as_the_answer_did(monkeypatch):
    def erring(z: torch.Tensor) -> torch.Tensor:
        return lines(z) + 1.5 * torch.sin(3 * z[:, :1] + TIMES)

    monkeypatch.setattr(module, "_SIMULATED", 400)
    rng, (omega, e) = np.random.default_rng(8), drawn(120, 7)
    solved = problem_of(omega, e)
    p = fit_marginal_likelihood(solved, TRUTH).p
    names = {"estimator": "likelihood", "through": "solver"}
    population = xr.Dataset({"alpha": ("law", p[:4]), "gamma": ("noise", p[4:])}, attrs=names)
    z = TRUTH[:2] + np.exp(TRUTH[2:4]) * rng.standard_normal((200, 2))
    check = xr.Dataset(
        {
            "z": (("sample", "parameter"), z),
            "y": (("sample", "observation"), lines(torch.from_numpy(z)).numpy()),
            "round": ("sample", np.ones(200)),
        }
    )
    problem = replace(solved, simulate=erring)
    settings = MarginalSettings(draws=16)
    monkeypatch.setattr(module, "MarginalSettings", lambda **named: replace(settings, **named))

    def smallest(solver) -> float:
        found = module.specification_tests(problem, population, OBSERVATIONS, check, solver)[0]
        return min(test.p_value for test in found)

    assert smallest(None) < 0.01
    assert smallest(lambda: lines) > 0.05


def test_a_model_that_is_not_the_likelihoods_is_not_judged():
    population = xr.Dataset(attrs={"estimator": "distance"})
    tests, features = module.specification_tests(
        problem_of(*drawn(8, 0)), population, OBSERVATIONS, xr.Dataset()
    )
    assert [test.part for test in tests] == ["law", "noise", "simulator"]
    assert all("need the likelihood" in test.not_judged for test in tests)
    assert not features


def test_adjusted_p_values_count_the_number_of_tests():
    null = np.random.default_rng(0).standard_normal((4000, 20))
    one = module._adjusted(np.array([3.5] + [0.0] * 19), null)
    alone = module._adjusted(np.array([3.5]), null[:, :1])
    assert one[0] == pytest.approx(20 * alone[0], rel=0.8)
    assert np.all(one[1:] > 0.9)


@pytest.mark.full
def test_of_few_systems_the_tail_has_the_distribution_that_is_left_once_its_variance_is_known(
    monkeypatch,
):
    """The kurtosis of eight numbers is at most 8, whatever they are."""
    monkeypatch.setattr(module, "_CLOSEST", 1000)
    monkeypatch.setattr(module, "_MOST_DRAWN", 160_000)
    feature = Feature("law", "tails", "heavy tails", "a mixture", "kurtosis", 1.0, len)

    def of_standard_normal(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return w[:, None] ** 4 - 3, np.column_stack([w, w**2 - 1])

    g, t = of_standard_normal(np.random.default_rng(0).standard_normal(4000))
    p_values, shares = [], np.arange(1, 10) / 10
    for seed in range(1, 301):
        x = np.random.default_rng(seed).standard_normal(8)
        # At the maximum of the likelihood.
        f, s = of_standard_normal((x - x.mean()) / x.std())
        (found,) = module.tests([feature], f, s, g, t, seed)
        p_values.append(found.p_value)
    below = np.array([np.mean(np.array(p_values) < share) for share in shares])
    # 300 data sets have a standard error of .03, and the scores are close, not equal. If the scores
    # are left alone, .003 are below .1 and .05 below .2.
    np.testing.assert_allclose(below, shares, atol=0.1)


@pytest.mark.parametrize("count", [1, 30])
def test_what_is_seen_is_ranked_as_a_row_of_the_null_is(count):
    rng, few = np.random.default_rng(1), []
    for _ in range(400):
        every = rng.standard_normal((200, count))
        few.append(module._adjusted(every[0], every[1:]).min() <= 0.1)
    # The share has a standard error of .015. With 199 rows, what is further out than all of them in
    # one of 30 columns, on either side, has a probability of .26.
    assert np.mean(few) <= 0.1 + 3 * 0.015


def test_a_finding_names_the_parameter_and_the_larger_model():
    feature = Feature(
        "noise", "lag_1", "the noise is correlated", "noise.kind: kernel", "correlation", 0.4, len
    )
    told = ScoreTest(feature, 0.5, 0.05, 0.001, True).told
    assert told == (
        "the noise is correlated (correlation +0.5 ± 0.05); the next larger model: "
        "noise.kind: kernel"
    )


def test_rounding_beyond_the_noise_is_seen_and_finer_rounding_is_none():
    problem = problem_of(*drawn(60, 3))
    told = told_of(replace(problem, data=1.2 * np.round(problem.data / 1.2)))["noise"]
    assert "the observations are rounded to multiples of 1.2" in told
    fine = replace(problem, data=0.4 * np.round(problem.data / 0.4))
    assert not [*faults.roundings(fine, OBSERVATIONS, TRUTH)]
    assert not [*faults.roundings(problem, OBSERVATIONS, TRUTH)]


def test_residuals_of_few_systems_have_the_spread_of_the_model():
    """Otherwise right systems look more alike than those that the model makes."""
    problem, rng = problem_of(*drawn(60, 3)), np.random.default_rng(8)
    r = rng.standard_normal((60, 6))
    found = faults.Spread.of(r, r**2, problem)
    assert np.all(found.mean.numpy() == 0)
    assert np.all(found.deviation.numpy() == 1)
    r[:, 2] = 2 + 3 * r[:, 2]
    found = faults.Spread.of(r, r**2, problem)
    np.testing.assert_allclose(found.deviation, [1, 1, r[:, 2].std(), 1, 1, 1])
    np.testing.assert_allclose(found.mean, [0, 0, r[:, 2].mean(), 0, 0, 0])


@pytest.mark.full
def test_a_larger_model_moves_the_answer_as_far_as_is_said(monkeypatch):
    """A law with correlations, fitted: the move of each parameter, in standard errors."""
    monkeypatch.setattr(module, "_SIMULATED", 4000)
    omega, e = drawn(80, 5)
    problem = problem_of(np.column_stack([omega[:, 0], 0.3 * omega[:, 0] + omega[:, 1]]), e)
    estimate = fit_marginal_likelihood(problem, TRUTH)
    found = {t.feature.name: t for t in specification(problem, OBSERVATIONS, estimate.p)}
    law = GaussianLaw(["a", "b"], [REAL, REAL], groups=[["a", "b"]])
    larger = replace(problem, law=law, scale=np.full(6, 0.5))
    refitted = fit_marginal_likelihood(larger, np.insert(estimate.p, 4, 0.1)).p
    moved = np.delete(refitted, 4) - estimate.p
    errors = np.sqrt(np.diag(estimate.covariance))
    assert np.abs(moved / errors).max() > 0.2
    # The move is of first order in the correlation, and has an error of 4 / sqrt(4000) by the
    # simulated systems, as the correlation is 4 of its standard errors.
    seen = found["correlation_a_b"]
    np.testing.assert_allclose(seen.moves, moved / errors, atol=0.2)
    # It is told in either direction.
    most = int(np.abs(seen.moves).argmax())
    for sign in (1, -1):
        turned = replace(seen, moves=sign * seen.moves)
        effect = module._with_answer(problem, xr.Dataset(), turned).effect
        assert effect.endswith(f"by {sign * seen.moves[most]:+.1f} standard errors")


@pytest.mark.full
def test_a_column_that_moves_each_component_of_a_mixture_is_named():
    rng, count = np.random.default_rng(5), 100
    sex = rng.integers(0, 2, count)
    law = MixtureLaw(["a", "b"], [REAL, REAL], 2)
    apart, omega = np.where(rng.random(count) < 0.4, -2.0, 2.0), rng.standard_normal((count, 2))
    z = np.column_stack([apart + 0.5 * omega[:, 0], 1 + 0.5 * omega[:, 1] + 0.8 * (sex - 0.5)])
    y = lines(torch.from_numpy(z)).numpy() + 0.15 * rng.standard_normal((count, 6))
    start = np.array([-0.4, -2.0, 1.0, np.log(4), 1.0, *np.log([0.5] * 4), np.log(0.15)])
    problem = Problem(y, lines, law, IsotropicNoise(6), np.full(10, 0.5))
    table = of_table(count, sex=np.where(sex, "f", "m"), idle=rng.standard_normal(count))
    found = specification(problem, table, fit_marginal_likelihood(problem, start).p)
    by_told = {finding.feature.told: finding for finding in found}
    seen = by_told["b differs between the labels of sex"]
    assert seen.p_value < 0.01
    assert "with a normal law, as the law of this study takes none" in seen.told
    assert min(f.p_value for f in found if f.feature != seen.feature) > 0.01


def test_whole_numbers_of_a_random_simulator_are_no_rounding():
    """Counts of a few are whole numbers, and their tests take mean and covariance as learned."""
    rng, p = np.random.default_rng(3), np.array([-1.0, np.log(0.3), np.log(0.1)])
    z = p[0] + np.exp(p[1]) * rng.standard_normal((60, 1))
    counts = rng.poisson(np.exp(z), (60, 4)).astype(float)
    problem = Problem(counts, counted, normal_law(["a"]), COUNTED, np.full(3, 0.5))
    table = xr.Dataset({"y": (("system", "observation"), counts)})
    found = {test.feature.name for test in specification(problem, table, p)}
    assert "deviation_1" in found
    assert not any(name.startswith("rounding") for name in found)
