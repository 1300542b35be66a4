"""Posteriors of single systems against closed forms and quadrature, and their coverage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_systems import ALPHA, MATRIX, closed_form, linear_problem, with_gaps
from scipy.stats import chi2, kstest
from tiers import parameters

from popinv.charts.matplotlib_writer import drawn
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.methods.outcome import write_table
from popinv.methods.posterior import study
from popinv.methods.posterior.chains import (
    LARGEST_R_HAT,
    effective_sample_size,
    elliptical_slice,
    metropolis,
    split_r_hat,
)
from popinv.methods.posterior.references import surprise_p_values
from popinv.methods.posterior.sampling import sample_posteriors
from popinv.methods.posterior.use import draw_calibration, draw_systems
from popinv.population.laws.gaussian import GaussianLaw, normal_law
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.store.variables import variable

AB = study.Quantities(("a", "b"), ("1", "1"))


def sampled(problem, estimate, effective=200, chains=4, most_moves=8000, laws=None):
    """Return the posteriors at an estimate (alpha, gamma)."""
    p = np.concatenate(estimate)
    return sample_posteriors(problem, p, chains, effective, most_moves, laws)


def close_to(draws: np.ndarray, effective: np.ndarray, mean: np.ndarray, covariance: np.ndarray):
    """Check draws (S, d) against moments, within 5 standard errors of the effective size."""
    variance = np.diag(covariance)
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 5 * np.sqrt(variance / effective))
    relative = np.cov(draws.T) / np.sqrt(np.outer(variance, variance))
    expected = covariance / np.sqrt(np.outer(variance, variance))
    np.testing.assert_allclose(relative, expected, atol=5 * (2 / effective.min()) ** 0.5)


@parameters("with_conditions", [True], full=[False])
def test_a_linear_model_has_its_closed_form(with_conditions):
    problem, estimate, _ = linear_problem(6, with_gaps(6) if with_conditions else None)
    posteriors = sampled(problem, estimate, effective=150)
    assert posteriors.effective.min() >= 150
    assert posteriors.r_hat.max() <= LARGEST_R_HAT
    for n in range(6):
        draws = posteriors.draws[n].reshape(-1, 2)
        close_to(draws, posteriors.effective[n], *closed_form(problem, estimate[1], n))


@pytest.mark.full
def test_the_error_of_law_and_noise_is_that_of_the_mixture():
    problem, estimate, _ = linear_problem(6)
    rng = np.random.default_rng(4)
    # The law moves by more than the posteriors are wide.
    laws = np.concatenate(estimate) + rng.standard_normal((8, 6)) * [0.8, 0.8, 0.1, 0.1, 0.1, 0.1]
    posteriors = sampled(problem, estimate, 50, laws=laws)
    for n in range(6):
        parts = []
        for law in laws:
            alpha, gamma = law[:4], law[4:]
            parts.append(closed_form(problem, gamma, n, alpha))
        means, covariances = map(np.array, zip(*parts, strict=True))
        covariance = covariances.mean(axis=0) + np.cov(means.T, bias=True)
        fixed = closed_form(problem, estimate[1], n)[1]
        assert np.all(np.diag(covariance) > 1.05 * np.diag(fixed))
        draws = posteriors.draws[n].reshape(-1, 2)
        close_to(draws, posteriors.effective[n], means.mean(axis=0), covariance)


def nonlinear_problem(observe, data: np.ndarray, law: GaussianLaw, deviation: float):
    """Return a problem with G(z) = observe(z) and independent noise, and its estimate's noise."""
    noise = IsotropicNoise(data.shape[1])
    gamma = noise.from_natural({"standard_deviation": deviation})
    scale = np.full(len(law.names) + 1, 0.5)
    return Problem(data, observe, law, noise, scale, seed=5, stage="posterior"), gamma


@parameters("uncertain", [False], full=[True])
def test_a_posterior_with_two_modes_is_that_of_quadrature(uncertain):
    law, alpha = normal_law(["a"]), np.array([0.3, np.log(1.0)])
    data = np.array([[1.0], [2.5], [0.05]])
    problem, gamma = nonlinear_problem(lambda z: z**2, data, law, 0.05)
    rng, laws = np.random.default_rng(3), None
    every = np.array([[0.3, 0.0, np.log(0.05)]])
    if uncertain:
        laws = every = every + rng.standard_normal((30, 3)) * [0.4, 0.2, 0.2]
    posteriors = sampled(problem, (alpha, gamma), effective=150, laws=laws)
    grid = np.linspace(-4, 4, 20_001)
    for n, y in enumerate(data[:, 0]):
        density = np.zeros_like(grid)
        for mean, log_deviation, log_noise in every:
            prior = (grid - mean) / np.exp(log_deviation)
            log = -0.5 * prior**2 - 0.5 * ((y - grid**2) / np.exp(log_noise)) ** 2
            own = np.exp(log - log.max())
            density += own / own.sum() / len(every)
        draws, size = posteriors.draws[n].reshape(-1), posteriors.effective[n, 0]
        right = density[grid > 0].sum()
        assert abs((draws > 0).mean() - right) < 5 * (right * (1 - right) / size) ** 0.5
        inside = np.interp(draws, grid, density.cumsum())
        # The statistic of so many independent draws exceeds 2.2 in 1 of 10 000 cases. Chains that
        # follow the law from draw to draw lag behind the weights of modes that are far apart.
        assert kstest(inside, "uniform").statistic < (3.0 if uncertain else 2.2) / size**0.5


@pytest.mark.full
def test_a_thin_curved_posterior_is_that_of_quadrature():
    law = normal_law(["a", "b"])
    alpha = np.array([0.0, 0.0, 0.0, 0.0])

    def observe(z: torch.Tensor) -> torch.Tensor:
        return torch.stack([z[:, 1] + z[:, 0] ** 2, torch.exp(0.3 * z[:, 0])], dim=1)

    data = np.array([[1.0, 1.1], [0.2, 0.8]])
    problem, gamma = nonlinear_problem(observe, data, law, 0.05)
    posteriors = sampled(problem, (alpha, gamma), effective=150)
    # A step is a fifth of the noise.
    a, b = np.meshgrid(np.linspace(-2, 2, 401), np.linspace(-3, 3, 601), indexing="ij")
    z = torch.from_numpy(np.column_stack([a.ravel(), b.ravel()]))
    signal = observe(z).numpy()
    for n, y in enumerate(data):
        log = -0.5 * (z.numpy() ** 2).sum(axis=1) - 0.5 * ((y - signal) ** 2).sum(axis=1) / 0.05**2
        weight = np.exp(log - log.max())
        weight /= weight.sum()
        mean = weight @ z.numpy()
        centred = z.numpy() - mean
        covariance = (weight[:, None] * centred).T @ centred
        draws = posteriors.draws[n].reshape(-1, 2)
        close_to(draws, posteriors.effective[n], mean, covariance)


@pytest.fixture(scope="module")
def drawn_150():
    """Return the posteriors of 150 systems, with the estimate's problem and the truth."""
    problem, estimate, z = linear_problem(150)
    return sampled(problem, estimate, effective=60), problem, z


def test_coverage_of_a_linear_model_is_nominal(drawn_150):
    posteriors, problem, z = drawn_150
    dataset = study.posterior_dataset(posteriors, AB, 50, z)
    assert dataset["z"].shape == (50, 150, 2)
    omega = np.random.default_rng(0).standard_normal((900, 2))
    population = problem.law.sample(torch.from_numpy(ALPHA), torch.from_numpy(omega)).numpy()
    metrics = study.coverage_metrics(dataset, population, 60)
    inside = (dataset["lower"].values <= z) & (z <= dataset["upper"].values)
    assert metrics["coverage"] == pytest.approx(inside.mean(), abs=0.005)
    # 300 intervals: 4 binomial deviations.
    for name, level in (("coverage", 0.95), ("coverage_80", 0.8), ("coverage_50", 0.5)):
        assert abs(metrics[name] - level) < 4 * (level * (1 - level) / 300) ** 0.5
    assert min(metrics[f"rank_p_value_{name}"] for name in "ab") > 1e-3
    assert 0 < metrics["narrowing_a"] < 1
    assert metrics["shared"] == "none"
    assert 60 <= metrics["effective_min"] <= metrics["effective_01"]
    assert metrics["systems_at_the_cap"] == 0
    assert metrics["moves_median"] <= metrics["moves_max"]
    assert drawn(draw_systems(dataset, population, z)).axes
    assert drawn(draw_calibration(dataset, population)).axes
    without = study.posterior_dataset(posteriors, AB, 50)
    assert "coverage" not in study.coverage_metrics(without, population, 60)
    assert drawn(draw_systems(without, population, None)).axes
    assert drawn(draw_calibration(without, population)).axes


def test_systems_that_reach_the_cap_are_counted():
    problem, estimate, _ = linear_problem(5)
    posteriors = sampled(problem, estimate, effective=5000, most_moves=400)
    np.testing.assert_array_equal(posteriors.moves, 400)
    dataset = study.posterior_dataset(posteriors, AB, 50)
    population = np.random.default_rng(0).standard_normal((50, 2))
    assert study.coverage_metrics(dataset, population, 5000)["systems_at_the_cap"] == 5
    assert study.coverage_metrics(dataset, population, 20)["systems_at_the_cap"] == 0


@pytest.mark.parametrize("wrong", ["narrow", "shifted"])
def test_posteriors_that_are_wrong_are_seen_in_the_ranks(wrong, drawn_150):
    posteriors, _, z = drawn_150
    changed = []
    for draws in posteriors.draws:
        centre, spread = draws.mean(axis=(0, 1)), draws.std(axis=(0, 1))
        narrow = centre + (draws - centre) / 2
        changed.append(narrow if wrong == "narrow" else draws + 0.7 * spread)
    wrong_ones = replace(posteriors, draws=changed)
    dataset = study.posterior_dataset(wrong_ones, AB, 50, z)
    metrics = study.coverage_metrics(dataset, z, 50)
    assert max(metrics[f"rank_p_value_{name}"] for name in "ab") < 1e-3
    assert metrics["coverage"] < 0.93


def test_what_all_systems_share_is_no_part_of_the_coverage():
    problem, estimate, z = linear_problem(40)
    posteriors = sampled(problem, estimate, effective=50)
    with_shared = replace(
        posteriors,
        draws=[
            np.concatenate([np.full_like(d[..., :1], 0.3), d], axis=2) for d in posteriors.draws
        ],
        r_hat=np.column_stack([np.ones(40), posteriors.r_hat]),
        effective=np.column_stack([np.full(40, 100.0), posteriors.effective]),
    )
    truth = np.column_stack([np.full(40, 0.31), z])
    # Rounding is no difference.
    population = np.column_stack([0.3 + 1e-15 * np.arange(40), z])
    np.testing.assert_array_equal(study.varying(population), [False, True, True])
    dataset = study.posterior_dataset(
        with_shared, study.Quantities(("level", "a", "b"), ("1",) * 3), 20, truth
    )
    metrics = study.coverage_metrics(dataset, population, 50)
    assert metrics["shared"] == "level"
    assert not any(name.endswith("_level") for name in metrics)
    own = study.posterior_dataset(posteriors, AB, 20, z)
    assert metrics["coverage"] == study.coverage_metrics(own, z, 50)["coverage"]
    panels = draw_systems(dataset, population, truth).panels
    assert [panel.title for panel in panels] == ["a", "b"]


def standard_normal_log(omega: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return -0.5 * (omega**2).sum(dim=1)


@pytest.mark.parametrize("move", ["slice", "metropolis"])
def test_moves_leave_the_target_invariant_whatever_their_reference(move):
    rng = np.random.default_rng(0)

    def normal() -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal((1500, 2, 3)))

    def uniform() -> torch.Tensor:
        return torch.from_numpy(rng.random((1500, 2)))

    omega = normal()
    current = standard_normal_log(omega.reshape(-1, 3), omega).reshape(1500, 2)
    mean = torch.tensor([0.7, -0.5, 0.0], dtype=torch.float64)
    factor = torch.tensor([[0.6, 0, 0], [0.3, 1.2, 0], [0, 0, 0.8]], dtype=torch.float64)
    inverse = torch.linalg.inv(factor)
    first = omega.clone()
    for _ in range(8):
        if move == "slice":
            reference = (
                mean.expand_as(omega),
                factor.expand(1500, 3, 3),
                inverse.expand(1500, 3, 3),
            )
            omega, current, _ = elliptical_slice(
                standard_normal_log, omega, current, reference, normal(), uniform
            )
        else:
            proposed = mean + normal() @ factor.T

            def log_proposal(x: torch.Tensor) -> torch.Tensor:
                return -0.5 * (((x - mean) @ inverse.T) ** 2).sum(dim=2)

            logs = log_proposal(omega), log_proposal(proposed)
            omega, current, _ = metropolis(
                standard_normal_log, omega, current, proposed, logs, uniform
            )
    flat = omega.reshape(-1, 3)
    torch.testing.assert_close(
        current.reshape(-1), standard_normal_log(flat, flat), rtol=0, atol=1e-12
    )
    # Independent offers leave some rows where the reference is thin.
    assert (omega != first).any(dim=2).float().mean() > (0.95 if move == "slice" else 0.6)
    np.testing.assert_allclose(flat.mean(dim=0), 0, atol=4.5 / 3000**0.5)
    np.testing.assert_allclose(np.cov(flat.T), np.eye(3), atol=4.5 * (2 / 3000) ** 0.5)


@pytest.mark.full
def test_a_systems_draws_depend_neither_on_repetition_nor_on_when_others_finish():
    problem, estimate, _ = linear_problem(5)
    first, again = (sampled(problem, estimate, effective=30) for _ in range(2))
    longer = sampled(problem, estimate, effective=80)
    assert first.evaluations == again.evaluations
    for one, same, more in zip(first.draws, again.draws, longer.draws, strict=True):
        np.testing.assert_array_equal(one, same)
        np.testing.assert_allclose(one, more[:, : one.shape[1]], rtol=1e-9)


def test_surprise_is_that_of_the_distance_from_the_population():
    present = np.ones((150, 5), dtype=bool)
    present[::3, 1:3] = False
    conditions = Conditions.stated((150, 5), np.linspace(0.5, 2, 150), present, np.zeros(5))
    problem, (alpha, gamma), _ = linear_problem(150, conditions)
    data = problem.data.copy()
    data[7] += 50.0
    problem = replace(problem, data=data)
    p = np.concatenate([alpha, gamma])
    posteriors = sampled(problem, (alpha, gamma), effective=20, chains=2, most_moves=200)
    found = surprise_p_values(problem, p, posteriors.least_misfit)
    noise = problem.noise.covariance(torch.from_numpy(gamma)).numpy()
    spread = MATRIX @ np.diag(np.exp(2 * alpha[2:])) @ MATRIX.T
    exact = []
    for n in range(150):
        seen = present[n]
        covariance = (spread + conditions.scale[n] ** 2 * noise)[np.ix_(seen, seen)]
        centred = (data[n] - MATRIX @ alpha[:2])[seen]
        exact.append(chi2.sf(centred @ np.linalg.solve(covariance, centred), seen.sum()))
    np.testing.assert_allclose(found, exact, atol=5 * 0.5 / 2000**0.5)
    assert found[7] == 1 / 2001


def test_the_table_of_all_systems_has_names_units_and_the_surprise(tmp_path):
    problem, estimate, _ = linear_problem(4)
    posteriors = sampled(problem, estimate, effective=50)
    dataset = study.posterior_dataset(posteriors, study.Quantities(("a", "b"), ("m / s", "1")), 20)
    dataset["surprise_p_value"] = variable("system", np.array([0.5, 0.25, 0.1, 0.9]), "surprise")
    own = np.array([True, True])
    assert study.systems_table(dataset, ["m / s", "1"], own)["system"].tolist() == [0, 1, 2, 3]
    ids = np.array(["007", "x, y", "é", "d"])
    dataset = dataset.assign_coords(system_id=variable("system", ids, "name"))
    table = study.systems_table(dataset, ["m / s", "1"], own)
    write_table(table, tmp_path / "systems.csv")
    lines = (tmp_path / "systems.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == (
        "system,a mean [m / s],a standard deviation [m / s],a 2.5 % [m / s],a median [m / s],"
        "a 97.5 % [m / s],b mean,b standard deviation,b 2.5 %,b median,b 97.5 %,"
        "surprise p-value,smallest effective sample size,largest R-hat"
    )
    assert [line.split(",")[0] for line in lines[1:]] == ["007", '"x', "é", "d"]
    draws = posteriors.draws[2].reshape(-1, 2)
    assert table["b mean"][2] == pytest.approx(draws[:, 1].mean())
    assert table["b standard deviation"][2] == pytest.approx(draws[:, 1].std(ddof=1))
    assert table["a median [m / s]"][2] == pytest.approx(np.median(draws[:, 0]))
    below = (draws[:, 0] < table["a 2.5 % [m / s]"][2]).mean()
    assert below == pytest.approx(0.025, abs=0.01)
    assert table["smallest effective sample size"][2] == posteriors.effective[2].min()


def test_r_hat_sees_chains_apart():
    rng = np.random.default_rng(0)
    same = rng.standard_normal((4, 400, 2))
    assert np.all(split_r_hat(same) < 1.02)
    apart = same + np.arange(4.0)[:, None, None]
    assert np.all(split_r_hat(apart) > 1.3)
    assert np.all(split_r_hat(np.ones((2, 10, 1))) == 1)
    # The mean of equal numbers is rounded, by another amount in each half.
    for value in np.random.default_rng(3).standard_normal(50):
        equal = np.full((4, 145, 1), value)
        assert split_r_hat(equal) == 1
        assert effective_sample_size(equal) == 580


def test_effective_sample_sizes_are_those_of_autoregressive_chains():
    rng = np.random.default_rng(1)
    for coefficient in (0.0, 0.5, 0.9):
        noise = rng.standard_normal((4, 1000, 50))
        z = noise.copy()
        for t in range(1, 1000):
            z[:, t] = coefficient * z[:, t - 1] + (1 - coefficient**2) ** 0.5 * noise[:, t]
        expected = 4000 * (1 - coefficient) / (1 + coefficient)
        assert np.mean(effective_sample_size(z)) == pytest.approx(expected, rel=0.1)
    apart = rng.standard_normal((2, 100, 3)) + 5 * np.arange(2.0)[:, None, None]
    assert np.all(effective_sample_size(apart) < 10)
    assert np.all(effective_sample_size(np.ones((2, 10, 1))) == 20)
