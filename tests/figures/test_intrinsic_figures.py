"""What spreads the observations of a random simulator: its parts, and the judgement of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from answers import ANSWER, told

from popinv.charts.description import Cloud, Points
from popinv.figures.draws import noise_free_covariance
from popinv.figures.intrinsic import variance_panels, variance_parts
from popinv.inference.checks.intrinsic_share import intrinsic_variation, lost_information
from popinv.inference.density.problem import Problem
from popinv.inference.uncertainty.surrogate_bias import FreshSolves
from popinv.judgement.judgements import judgements
from popinv.judgement.measures import IntrinsicVariation
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.terms import composed
from popinv.population.noise.unstructured import DiagonalNoise
from popinv.report.noise_charts import intrinsic_charts

D = 2
NOISE = composed(DiagonalNoise(D)).with_terms(intrinsic=True)
# y = z (1, 2) + variation of covariance F F^T, whatever z.
FACTOR = torch.tensor([0.4, 0.3, 0.2], dtype=torch.float64)
COVARIANCE = NOISE.factor.covariance(FACTOR).numpy()


def simulate(z: torch.Tensor) -> torch.Tensor:
    mean = z * torch.tensor([1.0, 2.0], dtype=torch.float64)
    return torch.cat([mean, FACTOR.expand(len(z), -1)], dim=1)


PROBLEM = Problem(np.zeros((50, D)), simulate, normal_law(["a"]), NOISE, np.full(4, 0.5))
ALPHA, GAMMA = np.array([1.0, np.log(0.5)]), np.log([0.1, 0.3])


def population(scale: float = 1.0, solves: int = 200) -> xr.Dataset:
    """Return an answer, with repeated solves whose variance is ``scale`` times the learned one."""
    rng = np.random.default_rng(0)
    root = np.sqrt(scale) * np.linalg.cholesky(COVARIANCE)
    solved = rng.standard_normal((solves, 8, D)) @ root.T
    return xr.Dataset(
        {
            "alpha": ("law_parameter", ALPHA),
            "gamma": ("noise_parameter", GAMMA),
            "noise_covariance": (("i", "j"), np.diag(np.exp(2 * GAMMA))),
            "intrinsic_covariance": (("i", "j"), COVARIANCE),
            "repeated_inputs": (("s", "z"), rng.standard_normal((solves, 1))),
            "repeated_covariance": (
                ("s", "i", "j"),
                np.array([np.cov(rows, rowvar=False) for rows in solved]),
            ),
        }
    )


def fresh(count: int = 20_000) -> FreshSolves:
    """Return solves whose variation is normal."""
    z, e = (np.random.default_rng(1).standard_normal((count, k)) for k in (1, D))
    return FreshSolves(z, z * [1.0, 2.0] + e @ np.linalg.cholesky(COVARIANCE).T)


FRESH = fresh()


def test_the_answers_covariance_contains_the_intrinsic_variation():
    # The draws of the law are matched, so that their covariance is exact but for n - 1.
    wanted = 0.25 * np.outer([1, 2], [1, 2]) + COVARIANCE
    np.testing.assert_allclose(noise_free_covariance(PROBLEM, population()), wanted, rtol=0.05)


def test_the_parts_add_up_to_the_variance():
    parts = variance_parts(PROBLEM, population())
    np.testing.assert_allclose(parts.law, [0.25, 1.0], rtol=0.07)
    np.testing.assert_allclose(parts.intrinsic, np.diag(COVARIANCE))
    np.testing.assert_allclose(parts.noise, [0.01, 0.09])
    assert parts.repeated.shape == parts.learned.shape == (200, D)
    first, second = variance_panels(parts, ["one", "two"], "m")
    assert sum(isinstance(mark, Points) for mark in first.marks) == 3
    assert sum(isinstance(mark, Cloud) for mark in second.marks) == 1
    (chart,) = intrinsic_charts(parts, ["one", "two"], "m")
    assert "measurement noise" in str(chart)
    assert variance_parts(PROBLEM, population().drop_vars("intrinsic_covariance")) is None
    assert intrinsic_charts(None, [], "m") == []


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_repeated_solves_check_the_learned_variance(scale):
    found = intrinsic_variation(PROBLEM, population(scale), FRESH)
    # 200 covariances of 7 degrees of freedom in two entries: 4 %.
    assert 0.02 < found.ratio_error < 0.06 * scale
    assert found.repeated_to_learned == pytest.approx(scale, abs=4 * found.ratio_error)
    noise = np.diag(np.exp(2 * GAMMA))
    share = np.trace(np.linalg.solve(COVARIANCE + noise, COVARIANCE)) / D
    assert found.share == pytest.approx(share)
    assert found.lost == 0
    judged = told(replace(ANSWER, intrinsic=found), "Intrinsic variation")
    assert judged.verdict == ("good" if scale == 1.0 else "doubt")
    assert "times the learned one" in judged.finding


def test_noise_below_the_error_of_the_variation_is_not_told_apart():
    quiet = population(solves=10)
    quiet["noise_covariance"] = quiet["noise_covariance"] * 1e-3
    found = intrinsic_variation(PROBLEM, quiet, FRESH)
    assert found.hides_noise
    judged = told(replace(ANSWER, intrinsic=found), "Intrinsic variation")
    assert judged.verdict == "doubt"
    assert "not told apart" in judged.finding
    loud = IntrinsicVariation(0.5, 1.0, 0.02, 0.5, False)
    assert told(replace(ANSWER, intrinsic=loud), "Intrinsic variation").verdict == "good"


@pytest.mark.parametrize("mean", [2.0, 6.0, 20.0])
def test_counts_of_a_few_lose_information(mean):
    """Poisson counts have l = 1 / (2 lambda + 1), and noise makes g_1 and g_2 smaller."""
    rng, noise = np.random.default_rng(3), 0.5
    counts = rng.poisson(mean, (100_000, 1)) + noise * rng.standard_normal((100_000, 1))
    size = mean / (mean + noise**2)
    wanted = size**3 / mean / (size**2 / mean + 2)
    assert lost_information(counts) == pytest.approx(wanted, rel=0.1)
    # Of many observations, the one that loses most counts; a normal one loses nothing.
    both = np.hstack([rng.standard_normal(counts.shape), counts])
    assert lost_information(both) == pytest.approx(lost_information(counts))
    assert lost_information(both[:, :1]) == 0


def test_fresh_solves_show_answers_that_are_not_normal():
    # The first factor's variation is exponential less 1, with skewness 2 and excess 6.
    skewed = fresh(5000)
    e = np.random.default_rng(1).exponential(size=(5000, D)) - 1
    skewed = replace(skewed, y=skewed.z * [1.0, 2.0] + e @ np.linalg.cholesky(COVARIANCE).T)
    found = intrinsic_variation(PROBLEM, population(), skewed)
    judged = told(replace(ANSWER, intrinsic=found), "Intrinsic variation")
    assert judged.verdict == "doubt"
    assert "not normal" in judged.short
    assert "pseudo_likelihood" in judged.finding
    nothing = FreshSolves(skewed.z[:1], skewed.y[:1])
    assert intrinsic_variation(PROBLEM, population(), nothing).lost is None
    few = replace(found, lost=0.03)
    assert told(replace(ANSWER, intrinsic=few), "Intrinsic variation").verdict == "good"


def test_a_simulator_that_is_not_random_has_no_variation():
    assert intrinsic_variation(PROBLEM, xr.Dataset(), FRESH) is None
    assert "Intrinsic variation" not in {each.name for each in judgements(ANSWER, None)}
