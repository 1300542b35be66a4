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
from popinv.inference.intrinsic_share import intrinsic_variation
from popinv.inference.problem import Problem
from popinv.judgement.judgements import judgements
from popinv.judgement.measures import IntrinsicVariation
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.intrinsic import IntrinsicNoise
from popinv.population.noise.unstructured import DiagonalNoise
from popinv.report.noise_charts import intrinsic_charts

D = 2
NOISE = IntrinsicNoise(DiagonalNoise(D))
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
    found = intrinsic_variation(PROBLEM, population(scale))
    # 200 covariances of 7 degrees of freedom in two entries: 4 %.
    assert 0.02 < found.ratio_error < 0.06 * scale
    assert found.repeated_to_learned == pytest.approx(scale, abs=4 * found.ratio_error)
    noise = np.diag(np.exp(2 * GAMMA))
    share = np.trace(np.linalg.solve(COVARIANCE + noise, COVARIANCE)) / D
    assert found.share == pytest.approx(share)
    judged = told(replace(ANSWER, intrinsic=found), "Intrinsic variation")
    assert judged.verdict == ("good" if scale == 1.0 else "doubt")
    assert "times the learned one" in judged.finding


def test_noise_below_the_error_of_the_variation_is_not_told_apart():
    quiet = population(solves=10)
    quiet["noise_covariance"] = quiet["noise_covariance"] * 1e-3
    found = intrinsic_variation(PROBLEM, quiet)
    assert found.hides_noise
    judged = told(replace(ANSWER, intrinsic=found), "Intrinsic variation")
    assert judged.verdict == "doubt"
    assert "not told apart" in judged.finding
    loud = IntrinsicVariation(0.5, 1.0, 0.02, 0.5, False)
    assert told(replace(ANSWER, intrinsic=loud), "Intrinsic variation").verdict == "good"


def test_a_simulator_that_is_not_random_has_no_variation():
    assert intrinsic_variation(PROBLEM, xr.Dataset()) is None
    assert "Intrinsic variation" not in {each.name for each in judgements(ANSWER, None)}
