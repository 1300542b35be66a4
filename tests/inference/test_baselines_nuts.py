"""The No-U-Turn sampler, where numpyro is installed."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from problems import curve_problem

from popinv.baselines.hierarchical import (
    NutsSettings,
    posterior_dataset,
    sample_posterior,
)
from popinv.errors import ConfigError
from popinv.inference.uncertainty.identifiability import identifiability


def test_without_numpyro_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpyro", None)
    monkeypatch.delitem(sys.modules, "popinv.inference.uncertainty.numpyro_sampler", raising=False)
    problem, alpha, gamma = curve_problem(count=3)
    with pytest.raises(ConfigError, match=r"needs numpyro .*bayes.*leave 'nuts' out"):
        sample_posterior(problem, (alpha, gamma))


@pytest.mark.full
def test_the_posterior_of_law_and_noise_holds_the_truth():
    pytest.importorskip("numpyro")
    problem, alpha, gamma = curve_problem(count=60)
    settings = NutsSettings(systems=40, warmup=300, samples=300)
    posterior = sample_posterior(problem, (alpha + 0.3, gamma + 0.3), settings, progress=False)
    assert posterior.systems == 40
    short = replace(settings, warmup=20, samples=10)
    one, two = (sample_posterior(problem, (alpha, gamma), short, False) for _ in range(2))
    np.testing.assert_array_equal(one.draws, two.draws)
    truth = np.concatenate([alpha, gamma])
    centre, spread = posterior.draws.mean(axis=0), posterior.draws.std(axis=0)
    # Six parameters within four posterior deviations.
    assert np.abs((centre - truth) / spread).max() < 4
    # The information of three moments is nearly all there is; the law's widths have skewed
    # posteriors with so few systems.
    predicted = identifiability(problem.of_systems(np.arange(40)), alpha, gamma).standard_errors
    assert np.all(spread / predicted < 3)
    assert np.all(spread / predicted > 0.4)
    dataset = posterior_dataset(problem, posterior)
    assert dataset.attrs["systems_used"] == 40
    assert np.all(dataset["law_lower"] < dataset["law_upper"])
