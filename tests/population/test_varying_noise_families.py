"""Noise that varies: its draws, its names and its domain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from popinv.population.noise.section import Errors
from popinv.population.noise.student import log_density, student_of_normal
from popinv.population.noise.terms import Noise, Size
from popinv.population.noise.unstructured import IsotropicNoise


@pytest.mark.parametrize("nu", [2.1, 4.0, 30.0, 1e6])
def test_normal_numbers_become_those_of_students_distribution(nu):
    e = np.concatenate([np.linspace(-7.0, 7.0, 401), [1e-12, 0.0123]])
    eta = torch.tensor(np.log(nu - 2), requires_grad=True)
    found = student_of_normal(torch.from_numpy(e), eta)
    unit = np.sqrt((nu - 2) / nu)
    exact = -np.sign(e) * stats.t.ppf(stats.norm.cdf(-np.abs(e)), nu) * unit
    np.testing.assert_allclose(found.detach().numpy(), exact, rtol=2e-5, atol=1e-7)
    (slope,) = torch.autograd.grad(found[350], eta)
    ends = [student_of_normal(torch.from_numpy(e), eta.detach() + s)[350] for s in (1e-3, -1e-3)]
    assert float(slope) == pytest.approx(float(ends[0] - ends[1]) / 2e-3, rel=1e-3, abs=1e-7)
    density = log_density(torch.from_numpy(e), eta.detach()).numpy()
    np.testing.assert_allclose(density, stats.t.logpdf(e, nu, scale=unit), rtol=1e-6)


def test_the_deviation_grows_with_the_signal_and_the_correlation_stays():
    noise = Noise(IsotropicNoise(3), Size("combined"))
    gamma = torch.from_numpy(noise.from_natural({"standard_deviation": 0.3, "proportional": 0.2}))
    signal = torch.tensor([[0.0, 1.0, -4.0]], dtype=torch.float64)
    expected = np.sqrt(0.3**2 + (0.2 * signal.numpy()) ** 2)
    np.testing.assert_allclose(noise.deviations(gamma, signal).numpy(), expected)
    e = torch.from_numpy(np.random.default_rng(0).standard_normal((100_000, 3)))
    sample = noise.sample_given(gamma, e, signal.expand(100_000, 3)).numpy()
    np.testing.assert_allclose(sample.std(axis=0), expected[0], rtol=0.01)
    with pytest.raises(TypeError, match="without a signal"):
        noise.covariance(gamma)


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"proportional": 1e-9, "degrees_of_freedom": 2.001}, None),
        ({"proportional": 0.0}, "larger than 0."),
        ({"degrees_of_freedom": 2.0}, "larger than 2."),
        ({"noise_age_coefficient": -3.0}, None),
        ({"noise_age_coefficient": [0.1]}, "must be a number"),
    ],
)
def test_values_of_the_errors_lie_in_their_domain(values, part):
    errors = Errors(grows="combined", tails="student", covariates=["age"])
    texts = [problem.text for problem in errors.value_problems(values)]
    assert len(texts) == (part is not None), texts
    assert all(part in text for text in texts)


def test_values_go_to_the_real_line_and_back():
    noise = Noise(IsotropicNoise(3), Size("combined", heavy_tails=True))
    values = {"standard_deviation": 0.3, "proportional": 0.2, "degrees_of_freedom": 5.0}
    gamma = noise.from_natural(values)
    assert noise.names == tuple(values)
    np.testing.assert_allclose(noise.to_natural(gamma), list(values.values()))
    np.testing.assert_allclose(noise.unbounded(noise.bounded(gamma)), gamma)
    with pytest.raises(ValueError, match="degrees_of_freedom"):
        noise.from_natural({**values, "degrees_of_freedom": 2.0})
    with pytest.raises(ValueError, match="proportional"):
        noise.from_natural({"standard_deviation": 0.3, "degrees_of_freedom": 5.0})
