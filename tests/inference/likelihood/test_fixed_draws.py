"""Draws adapted to the posteriors of hard systems, against quadrature and differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bent_population import BENT, bent_problem, by_quadrature, by_sum
from scipy.stats import norm
from slopes import slopes
from tiers import parameters

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.integrate.fixed_draws import adapted_draws
from popinv.inference.integrate.marginal import MarginalSettings, evaluate
from popinv.inference.integrate.marginal_near import can_adapt, likelihood_near
from popinv.optimisation.adapted_mixtures import Mixtures, fitted, inverse_factor
from popinv.population.constraints import POSITIVE, REAL
from popinv.population.known import Known
from popinv.population.laws.fields import LevelSetLaw, MaternLaw
from popinv.population.laws.gaussian import GaussianLaw, normal_law
from popinv.population.noise.unstructured import IsotropicNoise

SETTINGS = MarginalSettings(draws=4000)


def squares(z: torch.Tensor) -> torch.Tensor:
    return torch.cat([z**2, 0.5 * z**2], dim=1)


def problem_of_squares(count: int, mean: float, deviation: float) -> Problem:
    """Return the squares of normal parameters, whose posteriors have two modes."""
    rng = np.random.default_rng(0)
    z = torch.from_numpy(mean + deviation * rng.standard_normal((count, 1)))
    data = squares(z).numpy() + 0.1 * rng.standard_normal((count, 2))
    return Problem(data, squares, normal_law(["a"]), IsotropicNoise(2), np.full(3, 0.5))


def squares_by_quadrature(problem: Problem, p: np.ndarray) -> np.ndarray:
    z = np.linspace(-12, 12, 120_001)
    law = -0.5 * ((z - p[0]) / np.exp(p[1])) ** 2 - p[1] - 0.5 * np.log(2 * np.pi)
    g = squares(torch.from_numpy(z[:, None])).numpy()
    return by_sum(problem.data, g, law + np.log(z[1] - z[0]), np.exp(p[2]))


def test_a_mixture_about_given_modes_is_a_density():
    means = torch.tensor([[[-2.0], [1.5]]], dtype=torch.float64)
    factors = torch.tensor([[[[0.5]], [[0.2]]]], dtype=torch.float64)
    mixture = Mixtures.about(means, factors)
    x = torch.linspace(-9.0, 9.0, 20_001, dtype=torch.float64)
    density = mixture.log_density(x[None, :, None])[0].exp().numpy() / np.sqrt(2 * np.pi)
    # The law has a tenth, and each mode as much as the other.
    parts = [norm(0.0, 1.0), norm(-2.0, 0.5), norm(1.5, 0.2)]
    exact = sum(w * part.pdf(x.numpy()) for w, part in zip((0.1, 0.45, 0.45), parts, strict=True))
    np.testing.assert_allclose(density, exact, rtol=1e-9)


def test_a_fitted_mixture_moves_with_its_draws():
    rng = np.random.default_rng(8)
    omega = torch.from_numpy(0.1 * rng.standard_normal((1, 400, 2)))
    log_weight = torch.from_numpy(-0.5 * rng.standard_normal((1, 400)) ** 2)
    here, there = (fitted(omega + shift, log_weight) for shift in (0.0, 5.0))
    torch.testing.assert_close(there.shares, here.shares)
    torch.testing.assert_close(there.means[:, 1:], here.means[:, 1:] + 5.0)
    torch.testing.assert_close(there.factors, here.factors)


def test_a_few_heavy_draws_do_not_determine_a_mixture():
    # Five draws lie together at (2, 2), and hold nearly all of the weight.
    rng = np.random.default_rng(8)
    omega = torch.from_numpy(rng.standard_normal((1, 1000, 2)))
    omega[0, :5] = 2.0 + 1e-3 * omega[0, :5]
    log_weight = torch.full((1, 1000), -24.0, dtype=torch.float64)
    log_weight[0, :5] = 0.0
    mixture = fitted(omega, log_weight)
    shares = mixture.shares[0, 1:, None]
    means = mixture.means[0, 1:]
    mean = (shares * means).sum(dim=0) / shares.sum()
    spread = ((shares * (means - mean) ** 2).sum(dim=0) / shares.sum()).sqrt()
    # The weights are tempered until those of the other draws count, which lie a deviation of one
    # about zero.
    assert bool((mean < 1.0).all())
    assert bool((spread > 0.5).all())


def test_components_of_a_mixture_are_as_wide_as_so_few_draws_can_tell():
    # Six points, each drawn four times: no component has a width of its own.
    points = torch.linspace(-5.0, 5.0, 6, dtype=torch.float64)
    mixture = fitted(points.repeat(4)[None, :, None], torch.zeros((1, 24), dtype=torch.float64))
    torch.testing.assert_close(mixture.means[0, 1:, 0], points)
    # The prior of two of 24 draws has a sixth of the whole width.
    prior, share = 2 / 24, 1 / 6
    variance = prior / (prior + share) * float(points.var(correction=0)) / 6**2
    widths = mixture.factors[0, 1:, 0, 0].numpy()
    np.testing.assert_allclose(widths, np.sqrt(1.3 * variance), rtol=1e-6)


@pytest.mark.parametrize("deviation", [0.3, 0.03])
def test_the_likelihood_of_a_curved_model_is_that_of_quadrature(deviation):
    problem = bent_problem(12, deviation)
    p = BENT.copy()
    p[4] = np.log(deviation)
    (draws,) = adapted_draws(problem, p, SETTINGS)
    evaluation = draws(p)
    exact = by_quadrature(problem, p)
    # 4000 draws of which at least a third are effective.
    assert evaluation.effective_share.min() > 0.33
    np.testing.assert_allclose(evaluation.log_likelihood, exact, atol=0.08)
    # The same draws serve at a nearby p.
    near = p + 0.05
    moved = draws(near).log_likelihood.sum() - evaluation.log_likelihood.sum()
    assert moved == pytest.approx((by_quadrature(problem, near) - exact).sum(), abs=0.1)


def test_both_modes_count():
    problem = problem_of_squares(20, 0.0, 1.5)
    p = np.array([0.3, np.log(1.4), np.log(0.1)])
    (draws,) = adapted_draws(problem, p, SETTINGS)
    exact = squares_by_quadrature(problem, p)
    np.testing.assert_allclose(draws(p).log_likelihood, exact, atol=0.08)
    # Draws about one mode miss up to half of the integral.
    assert np.abs(evaluate(problem, p, SETTINGS).log_likelihood - exact).max() > 0.3


@pytest.mark.full
def test_the_estimate_of_systems_with_two_modes_passes():
    problem = problem_of_squares(30, 0.8, 0.6)
    start = np.array([0.9, np.log(0.5), np.log(0.12)])
    estimate = fit_marginal_likelihood(problem, start, MarginalSettings(draws=512))
    assert estimate.passes, estimate.reason
    assert estimate.diagnostics["several_modes_share"] == 0.0
    # The likelihood by quadrature has no gradient there, in units of the standard errors.
    for i, error in enumerate(estimate.standard_errors):
        shift = np.zeros(3)
        shift[i] = 0.1 * error
        up, down = (squares_by_quadrature(problem, estimate.p + s).sum() for s in (shift, -shift))
        assert abs(up - down) / 0.2 < 0.2


def growing(x: torch.Tensor) -> torch.Tensor:
    """Return a curve that depends on three parameters and on a known factor."""
    a, b, c, factor = x.unbind(1)
    times = torch.linspace(0.5, 2, 5, dtype=torch.float64)
    return a[:, None] * torch.exp(-b[:, None] * times) * factor[:, None] + c[:, None]


def test_scores_are_the_derivatives_with_common_parameters_and_covariates():
    law = GaussianLaw(
        ["a", "b", "c"],
        [POSITIVE, POSITIVE, REAL],
        common=["c"],
        groups=[["a", "b"]],
        covariates=["weight"],
        effects=[("a", "weight")],
    )
    noise, rng = IsotropicNoise(5), np.random.default_rng(3)
    covariates, design = rng.standard_normal((15, 1)), 1 + rng.random((15, 1))
    known = Known.of_arrays(design, covariates)
    alpha = law.from_natural([0.5, 0.1, 0.2, 0.3, 0.2, 0.4, 0.3])
    p = np.concatenate([alpha, [np.log(0.05)]])
    z = law.sample(
        torch.from_numpy(alpha), torch.from_numpy(rng.standard_normal((15, 2))), known.covariates
    )
    data = growing(torch.cat([z, known.design], dim=1)).numpy()
    data = data + 0.05 * rng.standard_normal(data.shape)
    present = rng.random(data.shape) > 0.2
    conditions = Conditions.stated(data.shape, present=present, fill=data.mean(axis=0), known=known)
    problem = Problem(data, growing, law, noise, np.full(8, 0.5), conditions=conditions)
    (draws,) = adapted_draws(problem, p, MarginalSettings(draws=1000))
    scores = draws(p).scores.sum(axis=0)
    # The value is a smooth function of p, so that its difference is exact to rounding.
    exact = slopes(lambda q: draws(q).log_likelihood.sum(), p, 1e-5)
    assert scores == pytest.approx(exact, rel=1e-4, abs=1e-4)


@pytest.mark.full
@parameters("count", [150], full=[400])
def test_draws_of_hard_systems_adapt_whatever_their_number(count):
    problem = problem_of_squares(count, 0.8, 0.6)
    p = np.array([0.8, np.log(0.6), np.log(0.1)])
    plain = evaluate(problem, p, MarginalSettings(draws=64))
    near = likelihood_near(problem, p, MarginalSettings(draws=64), hard=np.array([0, 1]))
    poor = np.flatnonzero(plain.effective_share < 0.3)
    assert len(poor)
    # Systems with long tails are hard too.
    assert not set(np.union1d(poor, [0, 1])) - set(near.hard)
    (adapted,) = near.adapted
    # Few draws do not adapt well.
    assert adapted.omega.shape[1] >= 512
    # The others keep theirs.
    easy = np.setdiff1d(np.arange(count), near.hard)
    np.testing.assert_array_equal(near.here.log_likelihood[easy], plain.log_likelihood[easy])
    exact = squares_by_quadrature(problem, p)
    found = near(p).log_likelihood
    np.testing.assert_allclose(found[near.hard], exact[near.hard], atol=0.15)
    # Draws about the mode miss at most a few hundredths of the others' posteriors.
    np.testing.assert_allclose(found[easy], exact[easy], atol=0.15)


def test_draws_adapt_where_a_density_and_few_dimensions_allow_it():
    assert can_adapt(normal_law([f"z{i}" for i in range(8)]))
    assert not can_adapt(normal_law([f"z{i}" for i in range(9)]))
    # The kinds of material of a level set have no density.
    assert not can_adapt(LevelSetLaw(1, 4))


def test_scores_of_a_field_whose_mean_is_the_same_in_all_systems():
    law, noise = MaternLaw(1, 3, 0.5), IsotropicNoise(4)
    mix = torch.from_numpy(np.random.default_rng(5).standard_normal((4, law.d_z)))

    def simulate(z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(0.5 * z @ mix.T)

    p = np.array([0.3, np.log(0.8), np.log(0.4), np.log(0.1)])
    omega = torch.from_numpy(np.random.default_rng(6).standard_normal((12, law.d_omega)))
    data = simulate(law.sample(torch.from_numpy(p[:3].copy()), omega)).numpy()
    problem = Problem(data, simulate, law, noise, np.full(4, 0.5))
    (draws,) = adapted_draws(problem, p, MarginalSettings(draws=1000))
    scores = draws(p).scores.sum(axis=0)
    assert abs(scores[0]) > 0.1
    exact = slopes(lambda q: draws(q).log_likelihood.sum(), p, 1e-5)
    assert scores == pytest.approx(exact, rel=1e-4, abs=1e-4)


def test_the_factor_of_an_inverse_is_accurate_where_information_is_lopsided():
    turn = torch.linalg.qr(torch.from_numpy(np.random.default_rng(7).standard_normal((5, 4, 4))))[0]
    values = torch.tensor([1.0, 3.0, 1e8, 1e12], dtype=torch.float64)
    factor = inverse_factor((turn * values) @ turn.mT)
    assert (factor.diagonal(dim1=1, dim2=2) > 0).all()
    assert torch.equal(factor, torch.tril(factor))
    exact = (turn / values) @ turn.mT
    # The rounding of the largest entries, 1e12, is 1e-4 of the smallest.
    torch.testing.assert_close(factor @ factor.mT, exact, rtol=0.0, atol=1e-2)
