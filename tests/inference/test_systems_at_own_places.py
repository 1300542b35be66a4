"""Systems at few of all places: their problem at their own is the problem at the union of all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiers import parameters, thinned

from popinv.forward.tangents import linearised
from popinv.inference.checks.faults import noise_deviations
from popinv.inference.checks.fitted_samples import sample_model
from popinv.inference.density.build import at_own_places
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.densities import DensitiesAt, density_of
from popinv.inference.density.problem import Problem, replicated_simulator
from popinv.inference.integrate import marginal, pseudo
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.model_moments import matched_draws, moments_of_systems
from popinv.inference.uncertainty.surrogate_bias import (
    FreshSolves,
    PosteriorSolves,
    ScoreDifference,
)
from popinv.population.known import Known
from popinv.population.laws.gaussian import normal_law
from popinv.population.limits import Limits
from popinv.population.noise.channels import ChannelNoise
from popinv.population.noise.kernel import KernelNoise
from popinv.population.noise.terms import Noise, Size, noise_at_places, replicated_noise
from popinv.population.noise.time_series import AutoregressiveNoise
from popinv.population.noise.unstructured import DiagonalNoise, IsotropicNoise
from popinv.population.places import own_places
from popinv.surrogate.exact import ExactSimulator
from popinv.surrogate.simulator import is_exact

COUNT, ENTRIES, MOST = 9, 14, 5
TIMES = torch.linspace(0.0, 3.0, ENTRIES, dtype=torch.float64)
LAW = normal_law(["level", "rate"])


def kernel(nugget: bool = True) -> KernelNoise:
    return KernelNoise(TIMES.numpy()[:, None], "matern32", nugget=nugget)


SERIES = AutoregressiveNoise(1, ENTRIES, 1)
NOISES = {
    "isotropic": IsotropicNoise(ENTRIES),
    "diagonal": DiagonalNoise(ENTRIES),
    "series": SERIES,
    "kernel": kernel(),
    "growing": Noise(IsotropicNoise(ENTRIES), Size("combined")),
    "growing series": Noise(SERIES, Size("proportional")),
    "growing kernel of a covariate": Noise(
        kernel(), Size("combined", covariates=["age"], columns=[0])
    ),
    "series with heavy tails": Noise(SERIES, Size("constant", heavy_tails=True)),
    "below limits": Noise(DiagonalNoise(ENTRIES), Size("combined")),
    "series below limits": Noise(AutoregressiveNoise(1, ENTRIES, 1), Size("combined")),
}
CASES = [(name, 1) for name in NOISES] + [
    ("isotropic", 2), ("diagonal", 3), ("series", 2), ("growing kernel of a covariate", 2),
    ("below limits", 2),
]  # fmt: skip


def simulate(z: torch.Tensor) -> torch.Tensor:
    """Return level exp(- dose rate t) for the inputs (level, rate, dose)."""
    return z[:, :1] * torch.exp(-z[:, 2:] * z[:, 1:2] * TIMES)


def union_of(name: str, replicates: int = 1) -> Problem:
    """Return the problem of systems with two to five of fourteen observations and own doses."""
    rng = np.random.default_rng(2)
    shape = COUNT, replicates, ENTRIES
    present = np.zeros(shape, dtype=bool)
    for number, each in enumerate(present):
        places = rng.choice(ENTRIES, 2 + number % (MOST - 1), replace=False)
        # Replicates have gaps of their own among them.
        each[:, places] = rng.random((replicates, len(places))) < (0.7 if replicates > 1 else 2)
        each[0, places] = True
    known = Known.of_arrays(rng.permutation(COUNT)[:, None] / 4 + 0.2, rng.normal(size=(COUNT, 1)))
    data = np.where(present, rng.uniform(0.5, 2.0, shape), 0.0).reshape(COUNT, -1)
    limited = name.endswith("below limits")
    limits = Limits.of_arrays(data.shape, lower=rng.uniform(0.3, 0.9, data.shape))
    conditions = Conditions.stated(
        data.shape,
        scale=rng.uniform(0.5, 1.5, COUNT),
        present=present.reshape(COUNT, -1),
        fill=np.zeros(data.shape[1]),
        known=known,
        limits=limits if limited else None,
    )
    noise = replicated_noise(NOISES[name], replicates)
    return Problem(
        data=data,
        simulate=replicated_simulator(ExactSimulator(simulate), replicates),
        law=LAW,
        noise=noise,
        scale=np.full(4 + len(noise.names), 0.5),
        seed=1,
        conditions=conditions,
    )


def point_of(problem: Problem) -> np.ndarray:
    alpha = LAW.from_natural([1.2, 0.6, 0.3, 0.2])
    rng = np.random.default_rng(3)
    return np.concatenate([alpha, rng.normal(-0.7, 0.3, len(problem.noise.names))])


@pytest.mark.parametrize(("name", "replicates"), CASES)
def test_the_noise_has_deviations_at_own_places(name, replicates):
    union = union_of(name, replicates)
    own, p = at_own_places(union, ExactSimulator(simulate)), point_of(union)
    found = noise_deviations(own, p)
    assert found.shape == (own.noise.of_one.d_y,)
    assert (found > 0).all()
    # Noise that is the same at all places is the same at these.
    if name in ("isotropic", "kernel", "series"):
        np.testing.assert_allclose(found, noise_deviations(union, p)[0], rtol=1e-12)


@parameters("name, replicates", *thinned(CASES, 3))
def test_likelihood_and_scores_are_those_of_the_union(name, replicates):
    union = union_of(name, replicates)
    own, p = at_own_places(union, ExactSimulator(simulate)), point_of(union)
    assert own.data.shape == (COUNT, replicates * MOST)
    assert own.noise.d_y == replicates * MOST
    assert own.noise.names == union.noise.names
    gamma = torch.from_numpy(union.split(p)[1])
    z = torch.rand((COUNT, 4, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def at(problem: Problem):
        inputs = torch.cat([z, problem.known.design[:, None].expand(-1, 4, -1)], dim=2)
        g = problem.simulate(inputs.flatten(0, 1)).reshape(COUNT, 4, -1)
        return density_of(problem, gamma).at(g)

    here, there = at(own), at(union)
    torch.testing.assert_close(here.log, there.log, rtol=1e-10, atol=1e-10)
    for a, b in zip(here.noise_scores(), there.noise_scores(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(here.slope.sum(dim=2), there.slope.sum(dim=2), rtol=1e-9, atol=1e-9)
    settings = MarginalSettings(draws=32)
    one, other = (marginal.evaluate(problem, p, settings) for problem in (own, union))
    np.testing.assert_allclose(one.log_likelihood, other.log_likelihood, rtol=0, atol=1e-10)
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-8, atol=1e-8)


@pytest.mark.full
@parameters("name, replicates", *thinned(CASES, 3))
def test_pseudo_likelihood_and_scores_are_those_of_the_union(name, replicates):
    union = union_of(name, replicates)
    own, p = at_own_places(union, ExactSimulator(simulate)), point_of(union)
    # Both order their known quantities by the dose, and so use the same draws for the same system.
    omega = matched_draws(union, 1000)
    alpha, gamma = (torch.from_numpy(part) for part in union.split(p))

    def at(problem: Problem) -> pseudo.PseudoEvaluation:
        return pseudo.evaluate(problem, moments_of_systems(problem, alpha, gamma, omega))

    one, value = at(own.of_moments), at(union.of_moments).log_likelihood
    np.testing.assert_allclose(one.log_likelihood, value, rtol=1e-10, atol=1e-10)
    if own.noise.varies and not union.noise.varies:
        # The same differences of moments in place of derivatives.
        noise = replicated_noise(union.noise.of_one, replicates)
        union = replace(union, noise=noise)
    other = at(union.of_moments)
    for name in ("log_likelihood", "scores", "information"):
        a, b = getattr(one, name), getattr(other, name)
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max())


@pytest.mark.parametrize("name", ["diagonal", "series", "kernel", "growing series"])
def test_simulated_noise_has_the_covariance_of_the_places(name):
    union = union_of(name, 2)
    own, p = at_own_places(union, ExactSimulator(simulate)), point_of(union)
    gamma = torch.from_numpy(union.split(p)[1])
    places = own.known.design[:, -MOST:].long()
    signal = simulate(torch.tensor([[1.0, 0.7, 0.9]], dtype=torch.float64)).repeat(1, 2)
    every = union.noise.mean_covariance(gamma, signal)
    for system in range(COUNT):
        both = torch.cat([places[system], places[system] + ENTRIES])
        unit = torch.eye(2 * MOST, dtype=torch.float64)
        rows = own.known.of(np.full(2 * MOST, system)).covariates
        here = signal[:, both].expand(2 * MOST, -1)
        root = own.noise.sample_given(gamma, unit, here, rows)
        torch.testing.assert_close(root.T @ root, every[both][:, both])
        of_mean = own.noise.mean_covariance(gamma, here, rows)
        torch.testing.assert_close(of_mean, every[both][:, both])


def test_noise_of_channels_is_taken_at_the_places():
    noise = Noise(ChannelNoise(1, 2, np.array([0.0, 0.4, 1.0]), correlated_times=True))
    own = noise_at_places(noise, 3)
    gamma = torch.from_numpy(np.full(len(noise.names), 0.3))
    places = torch.tensor([[0.0, 2.0, 5.0], [1.0, 3.0, 4.0]], dtype=torch.float64)
    correlation = noise.correlation(gamma)
    for row, found in zip(places.long(), own.correlation(gamma, places), strict=True):
        torch.testing.assert_close(found, correlation[row][:, row])


def test_simulated_systems_take_places_and_gaps_of_observed_ones():
    union = union_of("isotropic")
    own, p = at_own_places(union, ExactSimulator(simulate)), torch.from_numpy(point_of(union))
    systems = np.array([3, 0, 8, 3])
    omega, none = torch.ones((4, 2), dtype=torch.float64), torch.zeros((4, MOST)).double()
    sample = own.model(p, omega, none, systems)
    whole = union.model(p, omega, torch.zeros((4, ENTRIES)).double(), systems)
    places = own.known.design[systems, -MOST:].long()
    seen = torch.from_numpy(own.conditions.present[systems])
    torch.testing.assert_close(sample[seen], whole.gather(1, places)[seen])
    filled = torch.from_numpy(own.conditions.fill).expand(4, -1)
    torch.testing.assert_close(sample[~seen], filled[~seen])


def test_few_systems_of_the_problem_keep_their_places():
    union = union_of("series")
    own, rows = at_own_places(union, ExactSimulator(simulate)), np.array([4, 1])
    p, settings = point_of(union), MarginalSettings(draws=16)
    one, other = (
        marginal.evaluate(problem.of_systems(rows), p, settings) for problem in (own, union)
    )
    np.testing.assert_allclose(one.log_likelihood, other.log_likelihood, atol=1e-10)
    gamma = torch.from_numpy(union.split(p)[1])
    few, every = DensitiesAt(own, gamma).of(rows), density_of(own, gamma)
    g = torch.ones((COUNT, MOST), dtype=torch.float64)
    at, whole = few.at(g[rows]), every.at(g)
    torch.testing.assert_close(at.log, whole.log[rows])
    for score, of_all in zip(at.noise_scores(), whole.noise_scores(), strict=True):
        torch.testing.assert_close(score, of_all[rows])


def test_where_a_system_has_half_of_all_places_the_union_stays():
    present = np.zeros((3, 1, 10), dtype=bool)
    present[:, 0, :4] = True
    assert own_places(present).shape == (3, 4)
    present[1, 0, 4] = True
    assert own_places(present) is None


def test_places_increase_and_fill_up_with_gaps():
    present = np.zeros((2, 1, 9), dtype=bool)
    present[0, 0, [2, 5, 7]] = present[1, 0, 8] = True
    places = own_places(present)
    assert places.tolist() == [[2, 5, 7], [0, 1, 8]]


def test_unrestricted_noise_stays_at_the_union():
    from popinv.population.noise.unstructured import FullNoise

    union = replace(union_of("isotropic"), noise=FullNoise(ENTRIES, 0.0))
    assert at_own_places(union, ExactSimulator(simulate)) is union


class Learned:
    """A surrogate of all places, with an error that differs from place to place."""

    components = 1

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return simulate(z) * (1 + 0.02 * TIMES)

    def linearise(self, z: torch.Tensor, along: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return linearised(self, z, along)

    def predict(self, z: np.ndarray) -> np.ndarray:
        return self(torch.from_numpy(z)).numpy()

    def deviation(self, z: np.ndarray) -> np.ndarray:
        return np.ones((len(z), ENTRIES))

    def conditioned(self, z: np.ndarray, y: np.ndarray) -> Learned:
        assert (z.shape[1], y.shape[1]) == (3, ENTRIES)
        return self

    def draws(self, z: np.ndarray, normal: np.ndarray, inflation: float) -> np.ndarray:
        """Return draws that are off by the number of the place."""
        return np.repeat((self.predict(z) + np.arange(ENTRIES))[None], len(normal), axis=0)


@pytest.mark.full
@parameters(
    "name, replicates", [("growing series", 1)], full=[("isotropic", 1), ("below limits", 2)]
)
def test_a_surrogate_answers_at_the_places(name, replicates):
    union = union_of(name, replicates).through(Learned())
    own, p = at_own_places(union, Learned()), point_of(union)
    settings = MarginalSettings(draws=16)
    alpha, gamma = (torch.from_numpy(part) for part in union.split(p))
    omega = matched_draws(union, 2000)
    # Another simulator takes its place in both.
    for one, other in ((own, union), (own.through(simulate), union.through(simulate))):
        a, b = (marginal.evaluate(problem, p, settings) for problem in (one, other))
        np.testing.assert_allclose(a.log_likelihood, b.log_likelihood, rtol=0, atol=1e-10)
        np.testing.assert_allclose(a.scores, b.scores, rtol=1e-8, atol=1e-8)
        c, d = (
            pseudo.evaluate(each, moments_of_systems(each, alpha, gamma, omega))
            for each in (one, other)
        )
        np.testing.assert_allclose(c.log_likelihood, d.log_likelihood, rtol=1e-9)
        np.testing.assert_allclose(c.scores, d.scores, rtol=1e-8, atol=1e-7)
    assert not is_exact(own.simulate)


def fresh_solves(problem: Problem) -> FreshSolves:
    systems = np.array([2, 5, 0, 5, 8])
    rng = np.random.default_rng(6)
    design = problem.at_all_places.known.design[systems].numpy()
    z = np.concatenate([rng.uniform(0.5, 1.5, (5, 2)), design], axis=1)
    return FreshSolves(z, simulate(torch.from_numpy(z)).numpy(), systems)


def at_the_places(values: np.ndarray, own: Problem, systems: np.ndarray) -> np.ndarray:
    """Return values (n, d) at the places of systems, zero where they have gaps."""
    places = own.known.design[systems, -MOST:].long().numpy()
    return np.take_along_axis(values, places, axis=1) * own.conditions.present[systems]


def test_the_push_of_a_surrogate_is_that_at_the_places_of_the_systems():
    union = union_of("isotropic").through(Learned())
    own, p = at_own_places(union, Learned()), point_of(union)
    fresh = fresh_solves(own)
    # Scores that are the observations themselves show what is compared.
    assert len(p) == MOST

    def scores(problem: Problem) -> np.ndarray:
        return np.asarray(problem.data)

    compared = ScoreDifference(own, p, scores, "test", 2)
    found = fresh.pushes(compared)
    error = fresh.y - Learned().predict(fresh.z)
    np.testing.assert_allclose(found, at_the_places(error, own, fresh.systems), atol=1e-12)
    # Solves that stand for no systems take the places of all in turns.
    many = FreshSolves(*(np.repeat(part, 3, axis=0) for part in (fresh.z, fresh.y)))
    found, turns = many.pushes(compared), np.arange(15) % COUNT
    expected = at_the_places(np.repeat(error, 3, axis=0), own, turns)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    measure = PosteriorSolves.given(own.at_all_places.simulate, fresh)
    pushes = measure.pushes(replace(compared, pairs=1), union.split(p)[1])
    systems = own.random_systems("test/systems", 0, 96)
    off = np.repeat(np.arange(float(ENTRIES))[None], 96, axis=0)
    np.testing.assert_allclose(pushes[0], at_the_places(off, own, systems).mean(axis=0), atol=1e-10)


def test_samples_of_the_fitted_model_take_residuals_at_their_places():
    union = union_of("diagonal", 2).through(Learned())
    own, p = at_own_places(union, Learned()), point_of(union)
    residuals = np.tile(np.arange(1.0, 1.0 + ENTRIES), (3, 2))
    both = [
        sample_model(own, *own.split(p), COUNT, "test", conditions=own.conditions, residuals=each)
        for each in (residuals, None)
    ]
    places = own.known.design[:, -MOST:].numpy().repeat(2, axis=0).reshape(COUNT, -1) + 1
    np.testing.assert_allclose(both[0] - both[1], places * own.conditions.present, atol=1e-10)


def test_scores_of_draws_are_those_of_noise_at_the_same_places_alone():
    places = np.array([1, 4, 5, 9, 12])
    union = union_of("isotropic")
    present = np.zeros((COUNT, ENTRIES), dtype=bool)
    present[:, places] = True
    conditions = replace(union.conditions, present=present)
    union = replace(union, conditions=conditions, noise=Noise(kernel(), Size("combined")))
    own, p = at_own_places(union, ExactSimulator(simulate)), point_of(union)
    of_places = KernelNoise(TIMES.numpy()[places, None], "matern32", nugget=True)
    alone = replace(
        union,
        data=union.data[:, places],
        simulate=ExactSimulator(lambda z: simulate(z)[:, places]),
        noise=Noise(of_places, Size("combined")),
        conditions=Conditions.stated(
            (COUNT, len(places)), scale=conditions.scale, known=conditions.known
        ),
    )
    alpha, gamma = (torch.from_numpy(part) for part in union.split(p))
    omega = matched_draws(union, 2000)
    pairs = (pseudo.draw_scores(each, alpha, gamma, omega) for each in (own, alone))
    for (count, _, ours), (same, _, theirs) in zip(*pairs, strict=True):
        assert count == same
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-9)
