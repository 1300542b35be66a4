"""The likelihood on the real data of the examples, against published values and another method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import yaml
from study_sections import EXAMPLES, example_models

from popinv.config.loading import load
from popinv.inference.density.build import descent_problem, start
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.population.model import Model
from popinv.population.stages.import_observations import import_observations


def problem_of(name: str, noise: dict[str, Any] | None = None) -> tuple[Problem, np.ndarray]:
    """Return the problem of an example with the model itself, and where its estimate starts.

    The noise may be another one than the example's.
    """
    given = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    (mapping,) = given["studies"].values()
    mapping["noise"] = noise or mapping["noise"]
    (study,) = load(given, name).studies.values()
    observations = import_observations(study.forward, study.law, study.observations, seed=1)
    model = Model(study.forward, study.law, study.noise)
    function = getattr(example_models(), study.forward.function.split(":")[1])
    times, d_z = study.forward.observations.times, len(study.forward.parameters())
    times = None if times is None else np.array(times)

    def simulate(x: torch.Tensor) -> torch.Tensor:
        if times is None:
            return function(x)
        if x.shape[1] == d_z:
            return function(x, times)
        return function(x[:, :d_z], x[:, d_z:], times)

    problem = descent_problem(model, observations, simulate, 1, "test")
    return problem, start(model, problem)


@pytest.mark.full
def test_theophylline():
    problem, first = problem_of("theophylline")
    assert len(problem.data) == 12
    # The start of an ascent through the model itself is to be near.
    first[:3] = [0.4, 3.4, 1.0]
    estimate = fit_marginal_likelihood(problem, first, MarginalSettings(draws=256))
    assert estimate.passes
    errors = estimate.standard_errors
    # Adaptive Gauss-Hermite quadrature, 9 nodes a dimension: an independent program.
    quadrature = [0.4623, 3.4540, 1.0120, *np.log([0.6381, 0.1365, 0.2657, 0.6960])]
    assert np.all(np.abs(estimate.p - quadrature) < 0.15 * errors)
    # Published maximum likelihood: ka 1.54, V 31.5, CL 2.74, deviations .61, .13, .26, noise .70.
    published = np.log([1.54, 31.5, 2.74, 0.61, 0.13, 0.26, 0.70])
    assert np.all(np.abs(estimate.p - published) < 0.3 * errors)
    assert estimate.diagnostics["value_error"] <= 0.005
    assert estimate.arrays["log_likelihood"].sum() == pytest.approx(-180.351, abs=0.02)


@pytest.mark.full
def test_theophylline_with_combined_errors():
    errors = {"kind": "isotropic", "errors": {"grows": "combined"}}
    problem, first = problem_of("theophylline", errors)
    # The moments of twelve people put the proportional part at zero.
    first = np.array([0.4, 3.4, 1.0, *first[3:6], np.log(0.5), np.log(0.1) - 3])
    estimate = fit_marginal_likelihood(problem, first, MarginalSettings(draws=1000))
    assert estimate.passes
    # Importance sampling with 8192 quasi-random draws about the modes by SciPy: a program of its
    # own. With the additive part alone the log likelihood is -180.35.
    other = [0.4058, 3.4601, 1.0143, *np.log([0.6349, 0.1226, 0.2553, 0.2608, 0.1370])]
    assert np.all(np.abs(estimate.p - other) < 0.15 * estimate.standard_errors)
    assert estimate.arrays["log_likelihood"].sum() == pytest.approx(-173.541, abs=0.02)


def test_boys_heights():
    problem, first = problem_of("boys_heights")
    assert problem.data.shape == (26, 16)
    estimate = fit_marginal_likelihood(problem, first, MarginalSettings(draws=64))
    assert estimate.passes
    # The closed form, maximised by scipy.
    closed = [149.3718, 6.5255, *np.log([7.9240, 1.6467]), np.arctanh(0.6418), np.log(0.6599)]
    assert np.all(np.abs(estimate.p - closed) < 0.1 * estimate.standard_errors)
    # REML of nlme: 149.37, 6.53; deviations 8.08, 1.68; correlation 0.64; noise 0.66.
    reml = [149.37, 6.53, *np.log([8.08, 1.68]), np.arctanh(0.64), np.log(0.66)]
    assert np.all(np.abs(estimate.p - reml) < 0.5 * estimate.standard_errors)
    assert estimate.arrays["log_likelihood"].sum() == pytest.approx(-362.984, abs=0.01)


def test_rails():
    problem, first = problem_of("rails")
    assert problem.data.shape == (6, 3)
    estimate = fit_marginal_likelihood(problem, first, MarginalSettings(draws=64))
    assert estimate.passes
    # Maximum likelihood of nlme (Pinheiro and Bates, Mixed-Effects Models in S and S-PLUS, 2000):
    # mean 66.5, deviations 22.624 between rails and 4.0208 within, log likelihood -64.28.
    published = [66.5, *np.log([22.624, 4.0208])]
    assert np.all(np.abs(estimate.p - published) < 0.1 * estimate.standard_errors)
    assert estimate.arrays["log_likelihood"].sum() == pytest.approx(-64.28, abs=0.005)
