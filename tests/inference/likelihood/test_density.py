"""Densities of observations: the fast one of constant noise against the general one and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.densities import density_of, log_likelihood
from popinv.inference.density.density import NormalDensity, StackedDensity
from popinv.inference.density.problem import Problem
from popinv.inference.density.varying_density import varying_density
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.base import NoiseModel
from popinv.population.noise.terms import Noise, Size
from popinv.population.noise.time_series import AutoregressiveNoise
from popinv.population.noise.unstructured import DiagonalNoise, IsotropicNoise

COUNT, ENTRIES, DRAWS, PARAMETERS = 6, 5, 4, 3
NOISES = {
    "isotropic": IsotropicNoise(ENTRIES),
    "diagonal": DiagonalNoise(ENTRIES),
    "series": AutoregressiveNoise(1, ENTRIES, 1),
}


def conditions_of(kind: str) -> Conditions | None:
    rng = np.random.default_rng(2)
    scale = rng.uniform(0.5, 2.0, COUNT) if "scales" in kind else None
    present, fill = None, None
    if "gaps" in kind:
        present, fill = rng.random((COUNT, ENTRIES)) > 0.3, np.zeros(ENTRIES)
    return Conditions.stated((COUNT, ENTRIES), scale=scale, present=present, fill=fill)


def problem_of(noise: NoiseModel, kind: str = "") -> Problem:
    data = np.random.default_rng(3).uniform(0.5, 3.0, (COUNT, ENTRIES))
    scale = np.full(2 + len(noise.names), 0.5)
    law = normal_law(["rate"])
    return Problem(data, lambda z: z, law, noise, scale, conditions=conditions_of(kind))


def drawn(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(len(shape)).standard_normal(shape))


def gamma_of(noise: NoiseModel) -> torch.Tensor:
    return torch.from_numpy(0.3 * np.random.default_rng(5).standard_normal(len(noise.names)))


def close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ["", "scales", "gaps", "scales and gaps"])
@pytest.mark.parametrize("name", NOISES)
def test_constant_noise_through_the_general_density_is_the_fast_one(name, kind):
    noise = NOISES[name]
    gamma = gamma_of(noise)
    fast = density_of(problem_of(noise, kind), gamma)
    general = varying_density(problem_of(Noise(noise), kind), gamma)
    assert isinstance(fast, NormalDensity)
    g = drawn(COUNT, DRAWS, ENTRIES)
    J, K = drawn(COUNT, ENTRIES, PARAMETERS), drawn(COUNT, ENTRIES, 2)
    eye = torch.eye(PARAMETERS, dtype=torch.float64)
    some = torch.tensor([4, 0, 4])
    for ours, theirs, at, jacobian, other in (
        (fast, general, g, J, K),
        (fast.rows(some), general.rows(some), g[some], J[some], K[some]),
        (fast.louder(3.0), general.louder(3.0), g, J, K),
    ):
        first, second = ours.at(at), theirs.at(at)
        close(ours.seen.double(), theirs.seen.double())
        close(first.log, second.log)
        close(first.slope, second.slope)
        close(first.residual, second.residual)
        one = at[:, 0]
        close(ours.weigh(one, jacobian), theirs.weigh(one, jacobian))
        close(ours.information(one, jacobian), theirs.information(one, jacobian))
        close(ours.information(one, jacobian, other), theirs.information(one, jacobian, other))
        # Both take differences, of a covariance and of a density, with errors of second order.
        for score, same in zip(first.noise_scores(), second.noise_scores(), strict=True):
            close(score, same, 1e-6)
        hessian = ours.information(one, jacobian) + eye
        fields, others = (x.noise_fields(one, jacobian, hessian) for x in (ours, theirs))
        for field, same in zip(fields, others, strict=True):
            close(field.constant, same.constant, 1e-6)
            close(field.linear, same.linear, 1e-6)


@pytest.mark.parametrize("kind", ["", "scales and gaps"])
@pytest.mark.parametrize("varies", [False, True])
def test_the_density_is_that_of_scipy(kind, varies):
    noise = NOISES["series"]
    gamma = gamma_of(noise)
    problem = problem_of(Noise(noise) if varies else noise, kind)
    g, covariance = drawn(COUNT, ENTRIES), noise.covariance(gamma).numpy()
    found = density_of(problem, gamma).at(g).log
    for n in range(COUNT):
        seen, scale = np.array(problem.conditions.present[n]), problem.conditions.scale[n]
        block = scale**2 * covariance[np.ix_(seen, seen)]
        expected = multivariate_normal(g[n, seen], block).logpdf(problem.data[n, seen])
        assert float(found[n]) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("grows", [None, "combined"])
def test_observations_side_by_side_are_a_product(grows):
    single = NOISES["series"]
    noise = single if grows is None else Noise(single, Size(grows))
    problem, gamma = problem_of(noise, "scales and gaps"), gamma_of(noise)
    each = density_of(problem, gamma)
    pairs = StackedDensity(each, 2)
    half = COUNT // 2
    g = drawn(half, DRAWS, 2 * ENTRIES)
    apart = g.reshape(half, DRAWS, 2, ENTRIES).movedim(2, 1).reshape(COUNT, DRAWS, ENTRIES)
    at, of_each = pairs.at(g), each.at(apart)
    close(at.log, of_each.log.reshape(half, 2, DRAWS).sum(dim=1))
    for score, one in zip(at.noise_scores(), of_each.noise_scores(), strict=True):
        close(score, one.reshape(half, 2, DRAWS).sum(dim=1))
    J = drawn(half, 2 * ENTRIES, PARAMETERS)
    first = g[:, 0]
    close(pairs.information(first, J), J.transpose(1, 2) @ pairs.weigh(first, J))
    close(pairs.seen.double(), each.seen.double().reshape(half, 2).sum(dim=1))
    # The slope is that by differences, and the fields cancel the change of the scores along J.
    step = 1e-6 * drawn(half, 2 * ENTRIES)
    change = pairs.at(first + step).log - pairs.at(first - step).log
    close(change, 2 * (pairs.at(first).slope * step).sum(dim=1), 1e-9)
    swapped = pairs.rows(torch.tensor([2, 0]))
    close(swapped.at(g[[2, 0]]).log, at.log[[2, 0]])
    if grows is None:
        delta = 1e-3 * drawn(half, PARAMETERS)
        hessian = pairs.information(first, J) + torch.eye(PARAMETERS, dtype=torch.float64)
        moved = pairs.at(first + (J @ delta[..., None])[..., 0])
        fields = pairs.noise_fields(first, J, hessian)
        for now, then, field in zip(
            pairs.at(first).noise_scores(), moved.noise_scores(), fields, strict=True
        ):
            gradient = -(hessian @ delta[..., None])[..., 0]
            variate = field.variate(delta[:, None], gradient[:, None])[:, 0]
            trace = field.linear.diagonal(dim1=1, dim2=2).sum(dim=1)
            close(then - now, variate - trace, 1e-8)


def test_a_louder_density_has_larger_deviations_of_the_size_of_the_observations():
    problem = problem_of(Noise(NOISES["diagonal"], Size("combined")), "scales")
    gamma, g = gamma_of(problem.noise), drawn(COUNT, ENTRIES)
    y = torch.from_numpy(np.asarray(problem.data))
    d = 2.0 * torch.from_numpy(problem.conditions.scale)[:, None]
    d = d * problem.noise.deviations(gamma, y, None)
    louder = density_of(problem, gamma).louder(2.0).at(g)
    close(louder.log, torch.distributions.Normal(g, d).log_prob(y).sum(dim=1))


@pytest.mark.parametrize("name", ["constant", "varying"])
def test_a_likelihood_has_derivatives_in_noise_and_signal(name):
    base = NOISES["diagonal"]
    noise = base if name == "constant" else Noise(base, Size("combined"))
    problem, gamma = problem_of(noise, "scales and gaps"), gamma_of(noise)
    signal = drawn(COUNT, ENTRIES)

    def value(c: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        return log_likelihood(problem, c, g).sum()

    inputs = gamma.requires_grad_(True), signal.requires_grad_(True)
    slopes = torch.autograd.grad(value(*inputs), inputs)
    with torch.no_grad():
        for which, slope in enumerate(slopes):
            change = 1e-5 * torch.ones_like(slope)
            ends = []
            for sign in (1, -1):
                moved = [x + sign * change if i == which else x for i, x in enumerate(inputs)]
                ends.append(value(*moved))
            assert float(ends[0] - ends[1]) == pytest.approx(2e-5 * float(slope.sum()), rel=1e-5)
