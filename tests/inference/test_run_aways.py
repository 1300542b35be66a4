"""Two hundred data sets, and no estimate that runs away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import default_study, marginal_likelihood
from popinv.inference.density.build import start
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_distance import fit_distance
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.population.laws.section import law_values
from popinv.population.synthetic import noise_rows, parameters

DATA_SETS = 200
# Everything but a mean is a logarithm: an estimate that is off by more than a factor of two, or by
# 0.7 in a mean of the log-permeability, is 15 standard errors away and more.
FAR = np.log(2)


def flow() -> tuple[Problem, np.ndarray, np.ndarray]:
    """Return the default study's problem, its truth, and its start."""
    given = default_study.section()
    problem = default_study.problem(1000)
    truth = given.observations.truth
    alpha = law_values(given.law, truth.law, given.forward)
    gamma = problem.noise.from_natural(truth.noise)
    return problem, np.concatenate([alpha, gamma]), start(default_study.model(), problem)


def template() -> tuple[Problem, np.ndarray, np.ndarray]:
    """Return the template's problem, its truth, and its start."""
    return marginal_likelihood.problem(400), marginal_likelihood.TRUTH, marginal_likelihood.START


@pytest.mark.full
@pytest.mark.firedrake
@pytest.mark.parametrize("study", [flow, template])
def test_no_estimate_runs_away(study):
    problem, truth, begin = study()
    settings = default_study.section().descent.replace(iterations=60, legs=2)
    alpha, gamma = problem.split(truth)
    far = {}
    for number in range(DATA_SETS):
        stage, count = f"run_aways/{number}", len(problem.data)
        z = parameters(problem.law, alpha, 1, stage, count)
        with torch.no_grad():
            clean = problem.simulate(torch.from_numpy(z)).numpy()
        data = clean + noise_rows(problem.noise, gamma, 1, stage, clean)
        again = replace(problem, data=data, stage=stage)
        first = fit_pseudo_likelihood(again, [begin])
        last = fit_distance(again, settings, [first.p], progress=False).estimate
        for name, p in (("pseudo-likelihood", first.p), ("distance", last.p)):
            if np.max(np.abs(p - truth)) > FAR:
                far[number, name] = p - truth
    assert not far
