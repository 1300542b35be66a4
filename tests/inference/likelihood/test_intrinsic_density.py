"""The likelihood of systems whose simulator is random itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from problems import pseudo_likelihood
from slopes import slopes

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.densities import density_of, log_likelihood
from popinv.inference.density.density import StackedDensity
from popinv.inference.density.intrinsic_density import intrinsic_density
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.integrate import pseudo
from popinv.inference.integrate.marginal import MarginalSettings, evaluate
from popinv.inference.integrate.model_moments import matched_draws, moments_of_systems
from popinv.inference.integrate.modes import find_modes
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.terms import Noise, composed, replicated_noise
from popinv.population.noise.unstructured import DiagonalNoise, IsotropicNoise

COUNT, D = 5, 3
NOISE = composed(DiagonalNoise(D)).with_terms(intrinsic=True)
GAMMA = torch.tensor([-0.5, 0.1, -0.2], dtype=torch.float64)


def drawn(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(len(shape)).standard_normal(shape))


def problem_of(kind: str = "") -> Problem:
    rng = np.random.default_rng(2)
    scale = rng.uniform(0.5, 2.0, COUNT) if "scales" in kind else None
    present = fill = None
    if "gaps" in kind:
        present, fill = rng.random((COUNT, D)) > 0.3, np.zeros(D)
        present[0] = False
    conditions = Conditions.stated((COUNT, D), scale=scale, present=present, fill=fill)
    data = rng.standard_normal((COUNT, D))
    sizes = np.full(2 + D, 0.5)
    return Problem(data, lambda z: z, normal_law(["a"]), NOISE, sizes, conditions=conditions)


def by_torch(
    problem: Problem, gamma: torch.Tensor, signal: torch.Tensor, factor: float = 1.0
) -> torch.Tensor:
    """Return log densities of signals (n, m, d + k) by torch's own normal law."""
    found = []
    for row in range(len(signal)):
        seen = torch.from_numpy(np.array(problem.conditions.present[row]))
        y = torch.from_numpy(problem.data[row])[seen]
        noise = torch.diag(torch.exp(2 * gamma)) * float(problem.conditions.scale[row]) ** 2
        for g in signal[row]:
            covariance = (NOISE.factor.covariance(g[D:]) + noise) * factor**2
            if not len(y):
                found.append(torch.zeros((), dtype=torch.float64))
                continue
            law = torch.distributions.MultivariateNormal(g[:D][seen], covariance[seen][:, seen])
            found.append(law.log_prob(y))
    return torch.stack(found).reshape(signal.shape[:2])


@pytest.mark.parametrize("kind", ["", "scales", "gaps", "scales and gaps"])
def test_value_slope_and_scores_are_those_of_a_normal_density(kind):
    problem = problem_of(kind)
    signal = drawn(COUNT, 4, D + NOISE.factor.size).requires_grad_(True)
    gamma = GAMMA.clone().requires_grad_(True)
    values = by_torch(problem, gamma, signal)
    at = intrinsic_density(problem, GAMMA).at(signal.detach())
    torch.testing.assert_close(at.log, values.detach())
    (slope,) = torch.autograd.grad(values.sum(), signal, retain_graph=True)
    torch.testing.assert_close(at.slope, slope)
    for i, score in enumerate(at.noise_scores()):
        for row in range(COUNT):
            (wanted,) = torch.autograd.grad(values[row].sum(), gamma, retain_graph=True)
            # The scores come from differences of the covariance.
            assert float(score[row].sum()) == pytest.approx(float(wanted[i]), rel=1e-6, abs=1e-8)
    louder = intrinsic_density(problem, GAMMA).louder(1.7).at(signal.detach())
    loud = by_torch(problem, GAMMA, signal, 1.7)
    torch.testing.assert_close(louder.log, loud.detach())
    torch.testing.assert_close(louder.slope, torch.autograd.grad(loud.sum(), signal)[0])


@pytest.mark.parametrize("factor", [1.0, 1.7])
def test_the_information_is_the_mean_square_of_the_slope(factor):
    # Points with the fourth moments of a normal law: +-sqrt(3) e_i and (+-e_i +- e_j) sqrt(3/2)
    # are not needed, as Gauss-Hermite rules of three points are exact for polynomials of degree 5.
    problem = replace(problem_of(), data=np.zeros((1, D)), conditions=Conditions.stated((1, D)))
    signal, along = drawn(1, D + NOISE.factor.size), drawn(1, D + NOISE.factor.size, 4)
    density = intrinsic_density(problem, GAMMA).louder(factor)
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    grid = np.stack(np.meshgrid(*[nodes] * D, indexing="ij"), axis=-1).reshape(-1, D)
    mass = np.prod(np.stack(np.meshgrid(*[weights] * D, indexing="ij"), axis=-1).reshape(-1, D), 1)
    mass = torch.from_numpy(mass / mass.sum())
    covariance = NOISE.factor.covariance(signal[0, D:]) + torch.diag(torch.exp(2 * GAMMA))
    root = factor * torch.linalg.cholesky(covariance)
    y = signal[0, :D] + torch.from_numpy(grid) @ root.T
    there = torch.ones(len(y), D, dtype=torch.bool)
    ones = torch.ones(len(y), dtype=torch.float64)
    slopes = replace(density, data=y, there=there, scale=ones).at(signal.expand(len(y), -1)).slope
    moved = slopes @ along[0]
    torch.testing.assert_close(
        density.information(signal, along)[0], moved.T @ (mass[:, None] * moved)
    )
    weighed = density.weigh(signal, along)
    torch.testing.assert_close(along[0].T @ weighed[0], density.information(signal, along)[0])


def test_replicates_are_runs_of_their_own():
    data, signal = drawn(COUNT, 2 * D).numpy(), drawn(COUNT, 2 * (D + NOISE.factor.size))
    noise = replicated_noise(NOISE, 2)
    problem = replace(
        problem_of(), data=data, noise=noise, conditions=Conditions.stated(data.shape)
    )
    density = density_of(problem, GAMMA)
    assert isinstance(density, StackedDensity)
    apart = [
        by_torch(replace(problem_of(), data=each), GAMMA, part[:, None])[:, 0]
        for each, part in zip(np.split(data, 2, 1), signal.chunk(2, dim=1), strict=True)
    ]
    torch.testing.assert_close(density.at(signal).log, apart[0] + apart[1])


def test_the_log_likelihood_is_differentiable_in_noise_and_signal():
    problem = problem_of()
    signal = drawn(COUNT, D + NOISE.factor.size).requires_grad_(True)
    gamma = GAMMA.clone().requires_grad_(True)
    own = torch.autograd.grad(log_likelihood(problem, gamma, signal).sum(), (gamma, signal))
    wanted = torch.autograd.grad(by_torch(problem, gamma, signal[:, None]).sum(), (gamma, signal))
    for one, other in zip(own, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("bad", [torch.inf, 1e200, torch.nan])
def test_a_covariance_without_factor_has_no_density_and_leaves_the_others_alone(bad):
    density = intrinsic_density(problem_of(), GAMMA)
    signal = drawn(COUNT, 4, D + NOISE.factor.size)
    good, wrong = density.at(signal), signal.clone()
    wrong[1, 2, D] = bad
    at = density.at(wrong)
    others = torch.ones(COUNT, 4, dtype=torch.bool)
    others[1, 2] = False
    assert at.log[1, 2] == -torch.inf
    assert not at.slope[1, 2].any()
    assert torch.equal(at.log[others], good.log[others])
    assert torch.equal(at.slope[others], good.slope[others])
    for one, other in zip(at.noise_scores(), good.noise_scores(), strict=True):
        assert torch.equal(one[others], other[others])
        assert one[1, 2] == 0


@dataclass(frozen=True)
class Overflowing:
    """Signals whose variation overflows where a standard normal number is beyond 5."""

    trials: list[float]

    def rows(self, index: torch.Tensor) -> Overflowing:
        return self

    def __call__(self, omega: torch.Tensor) -> torch.Tensor:
        self.trials.append(float(omega.max()))
        return overflowing(omega)

    def linearise(self, omega: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tangent = torch.ones_like(omega)
        signal, change = torch.autograd.functional.jvp(overflowing, omega, tangent)
        return signal, change[..., None]


def overflowing(omega: torch.Tensor) -> torch.Tensor:
    """Return a mean sinh(omega) and deviations 0.1, which are infinite from omega = 5 on."""
    size = torch.where(omega < 5, 0.1, torch.inf).expand(-1, D)
    rest = omega.new_zeros((len(omega), NOISE.factor.size - D))
    return torch.cat([torch.sinh(omega).expand(-1, D), size, rest], dim=1)


def test_a_trial_point_without_density_is_refused_for_its_system_alone():
    # The first step of the second system is to omega = 20.
    data = np.sinh([[0.5] * D, [3.0] * D])
    data[1] = 20.0
    noise = torch.full((D,), np.log(0.05), dtype=torch.float64)
    problem = replace(problem_of(), data=data, conditions=Conditions.stated((2, D)))
    density = intrinsic_density(problem, noise)
    signals = Overflowing([])
    found = find_modes(signals, density, torch.zeros((2, 1), dtype=torch.float64), 50)
    assert max(signals.trials) > 5
    assert found.arrived.all()
    assert torch.isfinite(found.hessian).all()
    # The prior moves the modes little.
    np.testing.assert_allclose(found.omega[:, 0], np.arcsinh(data[:, 0]), atol=0.01)


def test_draws_have_the_covariance_of_the_density_with_scales():
    problem, count = problem_of("scales"), 40_000
    signal = drawn(COUNT, D + NOISE.factor.size)
    systems = np.repeat(np.arange(COUNT), count)
    e = torch.from_numpy(np.random.default_rng(3).standard_normal((COUNT * count, D)))
    y = problem.observed(GAMMA, signal[systems], e, systems).reshape(COUNT, count, D)
    noise = torch.diag(torch.exp(2 * GAMMA))
    for row in range(COUNT):
        scale = float(problem.conditions.scale[row])
        assert abs(scale - 1) > 0.02
        covariance = NOISE.factor.covariance(signal[row, D:]) + scale**2 * noise
        root = torch.linalg.cholesky(covariance)
        white = torch.linalg.solve_triangular(root, (y[row] - signal[row, :D]).T, upper=False)
        # The standard error of a variance of 40,000 draws is 0.7 %.
        torch.testing.assert_close(
            white @ white.T / count, torch.eye(D, dtype=torch.float64), rtol=0, atol=0.035
        )


def test_a_draw_without_a_factor_is_no_number_and_leaves_the_others_alone():
    signal, e = drawn(4, D + NOISE.factor.size), drawn(4, D)
    good, wrong = NOISE.sample_given(GAMMA, e, signal), signal.clone()
    wrong[2, D] = torch.inf
    found = NOISE.sample_given(GAMMA, e, wrong.requires_grad_(True))
    kept = torch.tensor([0, 1, 3])
    assert torch.isnan(found[2]).all()
    torch.testing.assert_close(found[kept].detach(), good[kept])
    (slope,) = torch.autograd.grad(found[kept].sum(), wrong)
    assert torch.isfinite(slope[kept]).all()


# A line y = a + b t whose variation has one size for all systems, or a size that depends on b.
PLACES = torch.linspace(-1, 1, D, dtype=torch.float64)


def line(z: torch.Tensor, slope: float, deviation: float = 0.4) -> torch.Tensor:
    """Return the signals of lines with independent variation ``deviation exp(slope b)``."""
    mean = z[:, :1] + z[:, 1:2] * PLACES
    size = deviation * torch.exp(slope * z[:, 1:2])
    rest = torch.zeros(len(z), composed(IsotropicNoise(D)).factor.size - D, dtype=z.dtype)
    return torch.cat([mean, size.expand(-1, D), rest], dim=1)


ALPHA = np.array([0.5, -0.3, np.log(0.8), np.log(0.5)])


def lines(slope: float, count: int = 60) -> Problem:
    """Return a population of lines, drawn from the model, with noise 0.3."""
    rng = np.random.default_rng(4)
    law, noise = normal_law(["a", "b"]), composed(IsotropicNoise(D)).with_terms(intrinsic=True)
    problem = Problem(np.zeros((count, D)), lambda z: line(z, slope), law, noise, np.full(5, 0.5))
    p = torch.from_numpy(np.append(ALPHA, np.log(0.3)))
    omega, e = (torch.from_numpy(rng.standard_normal((count, n))) for n in (2, D))
    return replace(problem, data=problem.model(p, omega, e).numpy())


def test_variation_of_constant_size_has_the_likelihood_in_closed_form():
    problem, basis = lines(0.0), torch.stack([torch.ones(D, dtype=torch.float64), PLACES], dim=1)
    p = torch.from_numpy(np.append(ALPHA, np.log(0.3))).requires_grad_(True)
    noise = (0.16 + torch.exp(2 * p[4])) * torch.eye(D, dtype=torch.float64)
    covariance = basis @ torch.diag(torch.exp(2 * p[2:4])) @ basis.T + noise
    law = torch.distributions.MultivariateNormal(basis @ p[:2], covariance)
    value = law.log_prob(torch.from_numpy(problem.data))
    found = evaluate(problem, p.detach().numpy(), MarginalSettings(draws=1024))
    # The errors of 1024 draws are about 0.005 for a system, and average out.
    np.testing.assert_allclose(found.log_likelihood, value.detach().numpy(), atol=0.02)
    assert abs((found.log_likelihood - value.detach().numpy()).mean()) < 2e-3
    (wanted,) = torch.autograd.grad(value.sum(), p)
    np.testing.assert_allclose(found.scores.sum(axis=0), wanted.numpy(), atol=0.3)


def test_scores_are_the_derivatives_of_the_log_likelihood():
    problem, settings = lines(0.5), MarginalSettings(draws=256)
    p = np.append(ALPHA, np.log(0.3)) + 0.05
    here = evaluate(problem, p, settings)

    def value(q: np.ndarray) -> float:
        return evaluate(problem, q, settings, here.memory).log_likelihood.sum()

    # The draws of values and scores differ by their control variates.
    assert slopes(value, p, 1e-3) == pytest.approx(here.scores.sum(axis=0), abs=0.3)


def test_the_moments_are_those_of_a_quadrature():
    slope = 0.5
    problem = lines(slope)
    alpha, gamma = torch.from_numpy(ALPHA), torch.tensor([np.log(0.3)])
    moments = moments_of_systems(problem, alpha, gamma, matched_draws(problem, 40_000))
    spread = torch.diag(torch.exp(2 * alpha[2:]))
    basis = torch.stack([torch.ones(D, dtype=torch.float64), PLACES], dim=1)
    # E exp(2 slope b) of a normal b.
    variation = 0.16 * np.exp(2 * slope * ALPHA[1] + 2 * slope**2 * np.exp(2 * ALPHA[3]))
    wanted = basis @ spread @ basis.T + variation * torch.eye(D, dtype=torch.float64)
    # The matched draws have exact first and second moments. The error of the mean of exp(b) over
    # 40,000 draws is 0.3 %.
    torch.testing.assert_close(moments.signal[0], wanted, rtol=0, atol=0.004)
    torch.testing.assert_close(moments.noise[0], 0.09 * torch.eye(D, dtype=torch.float64))
    # d / d (mean of b), d / d (log deviation of b).
    for entry, factor in ((1, 2 * slope), (3, 4 * slope**2 * np.exp(2 * ALPHA[3]))):
        change = moments.of_signal[0, entry]
        if entry == 3:
            change = change - 2 * spread[1, 1] * torch.outer(PLACES, PLACES)
        torch.testing.assert_close(
            change, factor * variation * torch.eye(D, dtype=torch.float64), rtol=0, atol=0.004
        )


def test_the_pseudo_likelihood_has_the_scores_of_its_values():
    problem = lines(0.5)
    p, draws = np.append(ALPHA, np.log(0.3)), matched_draws(problem, 4000)
    at = pseudo_likelihood(problem, draws)
    here = at(p)
    change = slopes(lambda q: at(q).log_likelihood, p, 1e-4)
    np.testing.assert_allclose(change, here.scores, rtol=2e-3, atol=2e-3)


def test_a_draw_of_the_moments_counts_as_data_of_its_mean_and_covariance():
    problem = lines(0.5)
    alpha, gamma = problem.tensors(np.append(ALPHA, np.log(0.3)))
    omega = matched_draws(problem, 400)
    ((_, pairs, each),) = pseudo.draw_scores(problem, alpha, gamma, omega)
    moments = moments_of_systems(problem, alpha, gamma, omega)

    def expected(pair: int) -> np.ndarray:
        """Return the mean score of data with mean and covariance of a pair of draws."""
        signal = problem.signal(alpha, omega[[pair, pair + pairs]])
        noise = problem.noise
        assert isinstance(noise, Noise)
        covariance = noise.variation(signal)[:, 0] + noise.covariance(gamma)
        # Scores are quadratic in the data, for which these points are exact.
        moves = D**0.5 * torch.linalg.cholesky(covariance).mT
        data = noise.mean(signal)[:, None] + torch.cat([moves, -moves], dim=1)
        some = replace(
            problem, data=data.reshape(-1, D).numpy(), conditions=Conditions.stated((4 * D, D))
        )
        return pseudo.evaluate(some, moments).scores.mean(axis=0)

    wanted = np.array([expected(pair) for pair in range(20)])
    np.testing.assert_allclose(each[:20] - each[0], wanted - wanted[0], rtol=1e-6, atol=1e-9)


@pytest.mark.full
def test_law_and_measurement_noise_are_recovered_beside_the_variation():
    problem = lines(0.5, 800)
    p = np.append(ALPHA, np.log(0.3))
    found = fit_marginal_likelihood(problem, p + 0.2, MarginalSettings(draws=64))
    assert found.arrived
    # Five estimates within 3.5 standard errors: a false alarm in 400 seeds.
    assert (np.abs(found.p - p) < 3.5 * found.standard_errors).all()
    # Counted as noise, the variation makes the noise larger by many standard errors.
    without = replace(problem, simulate=lambda z: line(z, 0.0)[:, :D], noise=IsotropicNoise(D))
    wrong = fit_marginal_likelihood(without, p, MarginalSettings(draws=64))
    assert wrong.p[4] - p[4] > 5 * wrong.standard_errors[4]
