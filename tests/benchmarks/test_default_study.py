"""What the benchmarks start from is the default study."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import default_study, whole_study
from popinv.population.laws.section import law_values
from popinv.population.synthetic import parameters


@pytest.mark.firedrake
def test_systems_are_observed_through_the_true_noise():
    given, model, count = default_study.section(), default_study.solver(), 400
    y = default_study.observe(model, count)["y"].values
    truth = default_study.truth(given)
    alpha = law_values(given.law, truth.law, given.forward)
    law = given.law.law(given.forward)
    z = parameters(law, alpha, default_study.SEED, "propose/truth", count)
    residual = y - model.solve(z).observations
    noise = given.noise.noise(given.forward.observed(default_study.SEED))
    gamma = torch.from_numpy(noise.from_natural(truth.noise))
    whitened = np.linalg.solve(noise.cholesky(gamma).numpy(), residual.T)
    # Of 400 times 50 standard normal numbers, whose mean square scatters by 0.01.
    assert np.mean(whitened**2) == pytest.approx(1, abs=0.05)


@pytest.mark.full
@pytest.mark.firedrake
def test_the_row_of_the_whole_study_begins(monkeypatch):
    sizes = {"SYSTEMS": 40, "SOLVES": 40, "EPOCHS": 2}
    sizes |= {"ITERATIONS": 8, "ROUND_ITERATIONS": 4, "PEER_ITERATIONS": 8}
    for name, size in sizes.items():
        monkeypatch.setattr(whole_study, f"_{name}", size)
    contest = whole_study._contest()
    assert np.isfinite(contest.ours()).all()
    assert np.isfinite(contest.peer()).all()
