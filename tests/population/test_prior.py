"""The prior: densities that integrate to one, their derivatives, and the LKJ law."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from slopes import slopes
from tiers import parameters

from popinv.inference.density.problem import Problem
from popinv.inference.integrate.penalty import penalty_at
from popinv.population.constraints import CORRELATION, POSITIVE, REAL, SHARE, Above
from popinv.population.correlation_matrix import (
    CorrelationMatrix,
    slope_of_partials,
    slope_of_rows,
)
from popinv.population.laws.free_form import FreeFormLaw
from popinv.population.laws.gaussian import GaussianLaw, cholesky_factor, normal_law
from popinv.population.noise.channels import ChannelNoise
from popinv.population.noise.terms import composed
from popinv.population.noise.unstructured import FullNoise, IsotropicNoise
from popinv.population.priors.prior import (
    CorrelationPriors,
    EntryPriors,
    Jacobian,
    LkjPrior,
    MatrixJacobian,
    Prior,
    StatedPrior,
    beta,
    half_student,
    lognormal,
    nonnegative,
    normal,
    square_root,
)

HALF_T = stats.t(4, scale=0.3)
# Each density, its constraint, and the same density by SciPy where there is a name for it.
DENSITIES = {
    "normal": (normal(0.4, 1.3, REAL.ends), REAL, stats.norm(0.4, 1.3).logpdf),
    "normal, positive": (
        normal(0.4, 1.3, POSITIVE.ends),
        POSITIVE,
        stats.truncnorm(-0.4 / 1.3, np.inf, 0.4, 1.3).logpdf,
    ),
    "normal far below its interval": (
        normal(-9.0, 1.0, POSITIVE.ends),
        POSITIVE,
        stats.truncnorm(9, np.inf, -9, 1).logpdf,
    ),
    "normal very far below its interval": (
        normal(-600.0, 10.0, POSITIVE.ends),
        POSITIVE,
        stats.truncnorm(60, np.inf, -600, 10).logpdf,
    ),
    "normal very far above its interval": (
        normal(60.0, 1.0, CORRELATION.ends),
        CORRELATION,
        stats.truncnorm(-61, -59, 60, 1).logpdf,
    ),
    "normal correlation": (
        normal(0.3, 0.5, CORRELATION.ends),
        CORRELATION,
        stats.truncnorm(-2.6, 1.4, 0.3, 0.5).logpdf,
    ),
    "half-normal": (normal(0.0, 0.7, POSITIVE.ends), POSITIVE, stats.halfnorm(scale=0.7).logpdf),
    "lognormal": (
        lognormal(-0.5, 0.8, POSITIVE.ends),
        POSITIVE,
        stats.lognorm(0.8, scale=np.exp(-0.5)).logpdf,
    ),
    "lognormal above 2": (lognormal(1.5, 0.8, Above(2.0).ends), Above(2.0), None),
    "half-Student": (
        half_student(4.0, 0.3, POSITIVE.ends),
        POSITIVE,
        lambda x: np.log(2) + HALF_T.logpdf(x),
    ),
    "half-Student above 2": (half_student(3.0, 5.0, Above(2.0).ends), Above(2.0), None),
    "beta correlation": (
        beta(2.5, 1.5, CORRELATION.ends),
        CORRELATION,
        stats.beta(2.5, 1.5, loc=-1, scale=2).logpdf,
    ),
    "uniform correlation": (
        beta(1.0, 1.0, CORRELATION.ends),
        CORRELATION,
        stats.uniform(-1, 2).logpdf,
    ),
    "beta share": (beta(2.0, 3.0, SHARE.ends), SHARE, stats.beta(2, 3).logpdf),
}


def single(name):
    """Return the part of one density, and its Jacobian."""
    density, constraint, _ = DENSITIES[name]
    entries = np.array([0])
    return EntryPriors(entries, (constraint,), (density,)), Jacobian(entries, (constraint,))


@pytest.mark.parametrize("name", DENSITIES)
def test_a_density_with_its_jacobian_integrates_to_one(name):
    own, slope = single(name)

    def density(u):
        at = np.array([u])
        return np.exp(own.derivatives(at)[0] + slope.derivatives(at)[0])

    # The ends leave out a mass of exp(-17) times the density there.
    total, _ = quad(density, -17, 17, points=[-3, 0, 3], limit=400, epsabs=1e-11)
    assert total == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", [name for name, (*_, known) in DENSITIES.items() if known])
@pytest.mark.parametrize("u", [-1.2, 0.1, 0.9])
def test_a_density_is_that_of_scipy(name, u):
    own, _ = single(name)
    _, constraint, known = DENSITIES[name]
    x = constraint.bounded(np.array([u]))[0]
    assert own.derivatives(np.array([u]))[0] == pytest.approx(known(x), rel=1e-10)


def matrix_of_partials(size):
    entries = tuple(range(size * (size - 1) // 2))
    return CorrelationMatrix(entries, size, partial(cholesky_factor, size=size), slope_of_partials)


def matrix_of_rows(size):
    noise = FullNoise(size, 0.0)
    return CorrelationMatrix(
        tuple(range(size * (size - 1) // 2)), size, noise._unit_rows, slope_of_rows
    )


@pytest.mark.parametrize("coordinates", [matrix_of_partials, matrix_of_rows])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_jacobian_of_correlations_is_their_determinant(coordinates, size):
    matrix = coordinates(size)
    u = torch.from_numpy(np.random.default_rng(size).normal(0, 0.7, size * (size - 1) // 2))
    jacobian = torch.autograd.functional.jacobian(matrix.correlations, u)
    expected = torch.linalg.slogdet(jacobian)[1].item()
    assert matrix.log_jacobian(u).item() == pytest.approx(expected, rel=1e-10)


@parameters(
    "coordinates, shape",
    [(matrix_of_partials, 0.8), (matrix_of_rows, 2.5)],
    full=[
        (matrix_of_partials, 1.0),
        (matrix_of_partials, 2.5),
        (matrix_of_rows, 1.0),
        (matrix_of_rows, 0.8),
    ],
)
def test_a_correlation_of_an_lkj_matrix_has_a_beta_density(coordinates, shape):
    matrix = coordinates(3)
    entries = np.arange(3)
    own, slope = LkjPrior(entries, matrix, shape), MatrixJacobian(entries, matrix)
    # The rule is exact for smooth functions of the angles; a = tan(angle), or atanh of its sine.
    nodes, weights = np.polynomial.legendre.leggauss(30)
    angles = nodes * np.pi / 2
    inner = np.tan(angles) if coordinates is matrix_of_rows else np.arctanh(np.sin(angles))
    of_angle = 1 / np.cos(angles) ** (2 if coordinates is matrix_of_rows else 1)
    weights = weights * np.pi / 2 * of_angle
    marginal = stats.beta(shape + 0.5, shape + 0.5, loc=-1, scale=2)
    for r in (-0.6, 0.3):
        first = r / np.sqrt(1 - r**2) if coordinates is matrix_of_rows else np.arctanh(r)
        # dr / du of the first coordinate, on which no other correlation depends.
        steep = (1 - r**2) ** (1.5 if coordinates is matrix_of_rows else 1.0)
        total = 0.0
        for x, one in zip(inner, weights, strict=True):
            for y, other in zip(inner, weights, strict=True):
                u = torch.tensor([first, x, y], dtype=torch.float64)
                log = own.log_density(u) + slope.log_density(u)
                total += one * other * float(torch.exp(log))
        assert total / steep == pytest.approx(marginal.pdf(r), rel=2e-3)


def test_lkj_of_shape_one_is_constant():
    part = LkjPrior(np.arange(6), matrix_of_partials(4), 1.0)
    draws = np.random.default_rng(1).normal(size=(3, 6))
    values = [part.derivatives(u)[0] for u in draws]
    np.testing.assert_allclose(values, values[0], rtol=1e-12)


def whole_prior():
    """Return a prior with every kind of part, and a place."""
    law = normal_law(["a", "b", "c"], groups=[["a", "b", "c"]])
    noise = ChannelNoise(1, 3, np.array([0.0, 1.0]), True)
    of_law, of_noise = law.matrices[0], noise.matrices[0].after(len(law.names))
    ends = CORRELATION.ends
    parts = (
        EntryPriors(
            np.array([0, 3, 4]),
            (REAL, POSITIVE, POSITIVE),
            (
                normal(0.2, 2.0, REAL.ends),
                half_student(4, 0.3, (0, np.inf)),
                DENSITIES["lognormal"][0],
            ),
        ),
        LkjPrior(np.array(of_law.entries), of_law, 1.7),
        CorrelationPriors(
            np.array(of_noise.entries), of_noise, {0: beta(2, 3, ends), 2: normal(0, 0.4, ends)}
        ),
    )
    prior = Prior.of(law, composed(noise), StatedPrior(parts))
    p = np.random.default_rng(3).normal(0, 0.6, prior.size)
    return prior, p


@pytest.mark.parametrize("jacobian", [False, True])
def test_gradient_and_curvature_are_those_of_the_value(jacobian):
    prior, p = whole_prior()
    value = partial(prior.value, jacobian=jacobian)
    gradient = partial(prior.gradient, jacobian=jacobian)
    np.testing.assert_allclose(gradient(p), slopes(value, p, 1e-5), rtol=1e-6, atol=1e-8)
    curvature = prior.curvature(p, jacobian=jacobian)
    np.testing.assert_allclose(-curvature, slopes(gradient, p, 1e-5), rtol=1e-6, atol=1e-7)
    assert float(prior.log_density(torch.from_numpy(p))) == pytest.approx(prior.value(p))


def test_the_jacobian_is_that_of_the_natural_values():
    prior, p = whole_prior()
    law = normal_law(["a", "b", "c"], groups=[["a", "b", "c"]])
    noise = ChannelNoise(1, 3, np.array([0.0, 1.0]), True)
    problem = Problem(np.zeros((2, 6)), lambda z: z, law, noise, np.full(len(p), 0.5))
    expected = np.linalg.slogdet(slopes(problem.natural, p, 1e-6))[1]
    assert prior.value(p, jacobian=True) - prior.value(p) == pytest.approx(expected, abs=1e-7)


def test_the_entries_with_a_prior_are_known():
    prior, p = whole_prior()
    # Three entries, the three correlations of the law, and the first and last of the noise.
    expected = np.zeros(len(p), dtype=bool)
    expected[[0, 3, 4, 6, 7, 8, 12, 14]] = True
    np.testing.assert_array_equal(prior.entries, expected)


def test_the_prior_is_a_penalty_of_what_moves():
    prior, p = whole_prior()
    law = normal_law(["a", "b", "c"], groups=[["a", "b", "c"]])
    noise = ChannelNoise(1, 3, np.array([0.0, 1.0]), True)
    stated = StatedPrior(prior.parts)
    data, scale = np.zeros((7, 6)), np.full(len(p), 0.5)
    problem = Problem(data, lambda z: z, law, noise, scale, stated_prior=stated)
    found = penalty_at(problem, p)
    assert found.value == pytest.approx(-prior.value(p), rel=1e-12)
    np.testing.assert_allclose(found.gradient, -prior.gradient(p), rtol=1e-12)
    np.testing.assert_allclose(found.observed, prior.curvature(p), rtol=1e-12)
    # Half-Student-t, lognormal and normal are concave in p; the correlations may not be.
    assert np.linalg.eigvalsh(found.curvature)[0] > -1e-12
    held = Problem(
        data, lambda z: z, law, noise, scale, stated_prior=stated, free_law=False, fixed=(12,)
    )
    of_noise = penalty_at(held, p)
    assert not of_noise.gradient[:9].any()
    assert of_noise.gradient[12] == 0
    assert of_noise.gradient[14] == pytest.approx(-prior.gradient(p)[14], rel=1e-12)
    assert not of_noise.observed[12].any()


def test_a_curvature_that_is_not_positive_is_taken_without_its_negative_part():
    rng = np.random.default_rng(2)
    vectors = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    matrix = (vectors * [-2.0, 0.0, 1.0, 3.0]) @ vectors.T
    expected = (vectors * [0.0, 0.0, 1.0, 3.0]) @ vectors.T
    np.testing.assert_allclose(nonnegative(matrix), expected, atol=1e-12)
    root = square_root(matrix)
    np.testing.assert_allclose(root @ root.T, expected, atol=1e-12)
    np.testing.assert_array_equal(nonnegative(np.diag([1.0, -2.0])), np.diag([1.0, 0.0]))


def test_a_law_of_no_prescribed_shape_has_a_prior_of_its_own():
    law = FreeFormLaw(["a"], [REAL], 4, 1.0, True)
    prior = Prior.of(law, composed(IsotropicNoise(2)), StatedPrior())
    p = np.linspace(-1, 1, prior.size)
    assert prior.value(p) == pytest.approx(-0.5 * np.sum(p[2:6] ** 2), rel=1e-12)
    assert prior.own.entries.tolist() == [False, False, *[True] * 4, False]
    assert not prior.stated
    assert not Prior.of(normal_law(["a"]), composed(IsotropicNoise(2)), StatedPrior())


def test_draws_have_the_distributions_of_the_priors():
    law = GaussianLaw(["a", "b"], [REAL, POSITIVE], groups=[["a", "b"]])
    noise = IsotropicNoise(3)
    entries = EntryPriors(
        np.array([0, 2, 3]),
        (REAL, POSITIVE, POSITIVE),
        (
            normal(1e5, 1.0, REAL.ends),
            half_student(4.0, 2.5, POSITIVE.ends),
            lognormal(-12.0, 0.01, POSITIVE.ends),
        ),
    )
    stated = StatedPrior((entries, LkjPrior(np.array([4]), law.matrices[0], 3.0)))
    drawn = Prior.of(law, composed(noise), stated).draws(20_000, np.random.default_rng(1))
    # The mean of b and the noise are flat.
    assert np.isnan(drawn).all(axis=0).tolist() == [False, True, False, False, False, True]
    for values, expected in (
        (drawn[:, 0], stats.norm(1e5, 1.0).cdf),
        (np.exp(drawn[:, 2]) / 2.5, lambda x: 2 * stats.t(4).cdf(x) - 1),
        (drawn[:, 3], stats.norm(-12.0, 0.01).cdf),
        (np.tanh(drawn[:, 4]) / 2 + 0.5, stats.beta(3.0, 3.0).cdf),
    ):
        assert stats.kstest(values, expected).statistic < 0.012
    # A correlation without a prior is uniform.
    alone = Prior.of(law, composed(noise), StatedPrior()).draws(20_000, np.random.default_rng(2))
    assert np.isnan(alone).all(axis=0).tolist() == [True] * 4 + [False, True]
    assert stats.kstest(np.tanh(alone[:, 4]) / 2 + 0.5, "uniform").statistic < 0.012
