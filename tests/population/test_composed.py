"""Laws and noise that are made of others: a wrapper states what it changes, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from popinv.forward.section import ForwardSection, forward_section
from popinv.population.constraints import CORRELATION, POSITIVE, REAL, SHARE
from popinv.population.contract import check_law, check_noise
from popinv.population.laws.composed import ProductLaw, ShiftedLaw, WrappedLaw
from popinv.population.laws.gaussian import GaussianLaw, lognormal_law, normal_law
from popinv.population.laws.section import LawSection
from popinv.population.noise.base import NoiseModel
from popinv.population.noise.composed import WrappedNoise
from popinv.population.noise.section import NoiseSection
from popinv.population.noise.terms import Noise, Size, replicated_noise
from popinv.population.noise.unstructured import DiagonalNoise, FullNoise
from popinv.sections.base import Number, Positive, Section

RING = {"kind": "lorenz96", "windows": 4, "observables": ["x", "x_squared"]}


class Stretched(WrappedLaw):
    """z of the law within, times an unknown factor."""

    def __init__(self, law: GaussianLaw) -> None:
        super().__init__(law, {"factor": POSITIVE})

    def sample(self, alpha: Tensor, omega: Tensor, covariates: Tensor | None = None) -> Tensor:
        return torch.exp(alpha[..., -1:]) * super().sample(alpha, omega, covariates)

    def log_density(self, alpha: Tensor, z: Tensor, covariates: Tensor | None = None) -> Tensor:
        within = super().log_density(alpha, z * torch.exp(-alpha[..., -1:]), covariates)
        return within - self.d_z * alpha[..., -1]


class StretchedStart(Section):
    forcing_mean: Number = 0.3
    forcing_standard_deviation: Positive = 0.8
    factor: Positive = 1.5


class StretchedSection(LawSection):
    kind: str = "stretched"
    start: StretchedStart = StretchedStart()

    def law(self, forward: ForwardSection) -> Stretched:
        return Stretched(lognormal_law(forward.parameter_names()))


class Shared(WrappedNoise):
    """The noise within, and a number that all observations of a system share."""

    def __init__(self, noise: NoiseModel) -> None:
        super().__init__(noise, {"shared": POSITIVE})

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        return super().covariance(gamma) + torch.exp(2 * self.added(gamma)[0])


class SharedStart(Section):
    standard_deviation: list[Positive] = [0.1] * 8
    correlation: Number = 0.2
    shared: Positive = 0.4


class SharedSection(NoiseSection):
    kind: str = "shared"
    start: SharedStart = SharedStart()

    def noise(self, observations: Any) -> Shared:
        return Shared(FullNoise(len(observations), 0.0))


def test_a_wrapper_of_a_law_passes_the_checks_of_a_users_own():
    check_law(StretchedSection(), forward_section(RING))


def test_a_wrapper_of_noise_passes_the_checks_of_a_users_own():
    check_noise(SharedSection(), forward_section(RING).observed(1))


def test_a_wrapped_law_has_the_density_of_its_sample():
    law = Stretched(normal_law("ab", groups=["ab"]))
    alpha = torch.from_numpy(law.from_natural([0.3, -1.0, 0.5, 2.0, 0.6, 1.5]))
    z = law.sample(alpha, torch.randn(5, 2, dtype=torch.float64))
    mean, deviation = 1.5 * np.array([0.3, -1.0]), 1.5 * np.array([0.5, 2.0])
    correlation = np.array([[1.0, 0.6], [0.6, 1.0]])
    expected = torch.distributions.MultivariateNormal(
        torch.from_numpy(mean), torch.from_numpy(np.outer(deviation, deviation) * correlation)
    ).log_prob(z)
    torch.testing.assert_close(law.log_density(alpha, z), expected)


def test_a_wrapped_law_keeps_what_the_law_within_says():
    within = lognormal_law("abc", groups=["abc"], common=[])
    law = WrappedLaw(within, {"share": SHARE, "shift": REAL})
    natural = [0.1, 0.2, 0.3, 1.0, 2.0, 3.0, 0.5, 0.2, -0.3, 0.25, 7.0]
    alpha = law.from_natural(natural)
    np.testing.assert_allclose(alpha[:9], within.from_natural(natural[:9]))
    np.testing.assert_allclose(law.to_natural(alpha), natural)
    rows = np.stack([alpha, alpha + 0.1])
    np.testing.assert_array_equal(law.to_natural(rows)[:, :9], within.to_natural(rows[:, :9]))
    assert law.medians == within.medians
    assert law.logarithmic == (True,) * 3
    assert law.joint
    assert law.unitless.tolist() == [*within.unitless, True, False]
    with pytest.raises(ValueError, match="no joint law"):
        law.from_natural([*natural[:6], 0.9, 0.9, -0.9, *natural[9:]])


def test_wrappers_of_laws_nest():
    law = ShiftedLaw(Stretched(normal_law("a")), ["weight"], [("factor", "weight")])
    assert law.names[-2:] == ("factor", "factor_weight_coefficient")
    alpha = torch.from_numpy(law.from_natural([1.0, 0.5, 2.0, 0.3]))
    omega, weight = torch.randn(4, 1).double(), torch.randn(4, 1).double()
    z = law.sample_given(alpha, omega, weight)
    torch.testing.assert_close(z, 2 * torch.exp(0.3 * weight) * (1.0 + 0.5 * omega))
    with pytest.raises(ValueError, match="depends on covariates"):
        law.sample(alpha, omega)


def test_a_product_keeps_correlations_within_its_laws():
    law = ProductLaw(normal_law("a"), lognormal_law("bcd", groups=["bcd"]))
    natural = [0.0, 1.0, 0.1, 0.2, 0.3, 1.0, 1.0, 1.0, 0.4, 0.3, -0.5]
    np.testing.assert_allclose(law.to_natural(law.from_natural(natural)), natural)
    assert law.correlations.sum() == 3


def test_wrappers_of_noise_nest():
    single = Shared(FullNoise(3, 0.0))
    noise = Noise(single, Size("combined", heavy_tails=True), replicates=2)
    extra = ("shared", "proportional", "degrees_of_freedom")
    assert noise.names == (*FullNoise(3, 0.0).names, *extra)
    assert noise.constraints[3:6] == (CORRELATION,) * 3
    values = {"standard_deviation": [0.1, 0.2, 0.3], "correlation": [0.4, 0.3, -0.5]}
    values |= {"shared": 0.4, "proportional": 0.2, "degrees_of_freedom": 5.0}
    gamma = noise.from_natural(values)
    expected = [0.1, 0.2, 0.3, 0.4, 0.3, -0.5, 0.4, 0.2, 5.0]
    np.testing.assert_allclose(noise.to_natural(gamma), expected)
    np.testing.assert_allclose(noise.bounded(noise.unbounded(np.array(expected))), expected)
    one = single.covariance(torch.from_numpy(gamma[:7]))
    both = replicated_noise(single, 2).covariance(torch.from_numpy(gamma[:7]))
    torch.testing.assert_close(both, torch.block_diag(one, one))
    np.testing.assert_array_equal(noise.scale[:6], FullNoise(3, 0.0).scale)
    assert not noise.unrestricted
    assert not noise.independent
    assert replicated_noise(DiagonalNoise(3), 2).independent
