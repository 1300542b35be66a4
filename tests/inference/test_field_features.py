"""Tests of the law of a random field, on fields of which points are observed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import kstest
from tiers import parameters

from popinv.inference.checks import specification as module
from popinv.inference.checks.features import Feature
from popinv.inference.checks.field_features import FieldCosines, of_field
from popinv.inference.checks.specification import ScoreTest, specification
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.population.constraints import REAL
from popinv.population.laws.composed import ProductLaw, ShiftedLaw
from popinv.population.laws.fields import LevelSetLaw, MaternLaw
from popinv.population.laws.gaussian import GaussianLaw
from popinv.population.noise.unstructured import IsotropicNoise

COSINES, POINTS = 12, 16
X = (np.arange(POINTS) + 0.5) / POINTS
BASIS = torch.from_numpy(np.cos(np.pi * X[:, None] * np.arange(1, COSINES + 1)))
LAW = MaternLaw(1, COSINES, 1.5)
# Mean, logarithms of deviation and length, and of the noise.
TRUTH = np.array([0.5, np.log(0.4), np.log(0.3), np.log(0.1)])


def observed(count: int, **unused: list[str]) -> xr.Dataset:
    coords = {
        "observation": np.arange(POINTS),
        "observation_x": ("observation", X, {"axis": 0}),
        "unused_name": list(unused),
        "unused": (("system", "unused_name"), np.array([*unused.values()]).reshape(-1, count).T),
    }
    return xr.Dataset(coords=coords if unused else dict(list(coords.items())[:2]))


def points(z: torch.Tensor) -> torch.Tensor:
    return z[:, :1] + z[:, 1:] @ BASIS.T


def problem_of(
    count: int, seed: int, changed: Callable[[np.ndarray, np.random.Generator], np.ndarray]
) -> Problem:
    """Return a problem whose fields, in deviations from their mean, a mistake has changed."""
    rng = np.random.default_rng(seed)
    omega = torch.from_numpy(rng.standard_normal((count, COSINES)))
    field = points(LAW.sample(torch.from_numpy(TRUTH[:3]), omega)).numpy()
    y = 0.5 + 0.4 * changed((field - 0.5) / 0.4, rng) + 0.1 * rng.standard_normal(field.shape)
    return Problem(y, points, LAW, IsotropicNoise(POINTS), np.full(4, 0.5), seed=seed)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(module, "_SIMULATED", 1000)
    monkeypatch.setattr(module, "_MOST_DRAWN", 1_000_000)


def findings(problem: Problem, observations: xr.Dataset | None = None) -> list[ScoreTest]:
    estimate = fit_marginal_likelihood(problem, TRUTH)
    known = observed(len(problem.data)) if observations is None else observations
    found = specification(problem, known, estimate.p)
    return sorted(found, key=lambda t: (t.p_value, -abs(t.theta / t.error)))


def rough(w, rng):
    """A third of the variance is in the fifth cosine."""
    fifth = np.sqrt(2) * np.cos(5 * np.pi * X) * rng.standard_normal((len(w), 1))
    return np.sqrt(0.67) * w + np.sqrt(0.33) * fifth


def shifted(w, rng):
    return w + 0.5 * np.cos(np.pi * X)


def of_size(w, rng):
    return w * np.exp(0.5 * rng.standard_normal((len(w), 1)))


def uneven(w, rng):
    return w * np.exp(1.2 * (X - 0.5))


def skewed(w, rng):
    return (np.exp(0.7 * w) - np.exp(0.245)) / 1.2


@parameters(
    "mistake, name",
    [(of_size, "field_size")],
    full=[
        (shifted, "mean_1"),
        (rough, "band_"),
        (uneven, "field_neighbours"),
        (skewed, "field_skewness"),
    ],
)
def test_a_mistake_of_the_field_is_seen(mistake, name):
    found = [t for t in findings(problem_of(150, 1, mistake)) if t.p_value < 0.05]
    assert any(t.feature.name.startswith(name) for t in found)


@pytest.mark.full
@pytest.mark.parametrize("count", [20, 60])
def test_the_smallest_p_value_of_a_right_field_is_uniform(count):
    smallest = [
        findings(problem_of(count, seed, lambda w, rng: w))[0].p_value for seed in range(20)
    ]
    assert kstest(smallest, "uniform").pvalue > 0.001


def features(law: MaternLaw) -> dict[str, Feature]:
    k, amplitudes = law.wave_numbers, law.amplitudes(torch.from_numpy(TRUTH[:3])).numpy()
    shares = np.linspace(1, 0.2, len(k))
    return {each.name: each for each in of_field(FieldCosines(k, amplitudes, shares))}


@pytest.mark.parametrize("law", [LAW, MaternLaw(2, 3, 1.5)])
def test_features_have_mean_zero_under_the_law(law):
    rng = np.random.default_rng(4)
    omega = torch.from_numpy(rng.standard_normal((40_000, len(law.wave_numbers))))
    found = features(law)
    assert {"band_1", "mean_1", "field_size", "field_neighbours", "field_kurtosis"} <= set(found)
    for name, feature in found.items():
        values = feature.of(omega, omega, omega).numpy()
        # Four standard errors: of ten features, a right one fails in 6 of 10,000 cases.
        assert abs(values.mean()) < 4 * values.std() / 200, name


@pytest.mark.parametrize("name", ["band_1", "field_size", "field_neighbours"])
def test_features_are_the_score_of_a_larger_law(name):
    """Compare with differences of densities of omega, averaged over the further random number."""
    k = np.arange(1, 5)[:, None]
    d = np.array([1.0, 0.8, 0.5, 0.3])
    feature = {f.name: f for f in of_field(FieldCosines(k, np.ones(4), d))}[name]
    omega = np.random.default_rng(5).standard_normal((6, 4))
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)

    def log_density(theta: float) -> np.ndarray:
        if name == "field_neighbours":
            shape = np.diag(d[:-1] * d[1:], 1)
            # The precision, since the correlation is small.
            precision = np.eye(4) - theta * (shape + shape.T)
            quadratic = np.einsum("ni,ij,nj->n", omega, precision, omega)
            return -quadratic / 2 + np.linalg.slogdet(precision)[1] / 2
        if name == "band_1":
            logs = theta * d * (np.arange(1, 5) < 2)
            return (-(omega**2) * np.exp(-logs) - logs).sum(axis=1) / 2
        # Logarithms of deviations d_j u with u of variance theta, by quadrature in u.
        logs = 2 * np.sqrt(theta) * nodes[:, None] * d
        each = (-(omega[:, None] ** 2) * np.exp(-logs) - logs).sum(axis=-1) / 2
        return np.log(np.exp(each) @ weights / weights.sum())

    step = 1e-5
    # A variance is not negative.
    behind = 0.0 if name == "field_size" else -step
    derivative = (log_density(step) - log_density(behind)) / (step - behind)
    omegas = torch.from_numpy(omega)
    np.testing.assert_allclose(derivative, feature.of(omegas, omegas, omegas).numpy(), atol=4e-3)


def test_a_column_that_moves_the_mean_of_the_field_is_named():
    problem = problem_of(120, 2, lambda w, rng: w)
    batch = np.arange(120) // 12
    shift = 0.3 * np.random.default_rng(7).standard_normal(10)[batch]
    moved = replace(problem, data=problem.data + shift[:, None])
    found = findings(moved, observed(120, batch=[f"b{each}" for each in batch]))
    best = next(t for t in found if t.feature.part == "law")
    assert best.feature.told == "mean differs between the labels of batch"
    assert best.p_value < 0.01


def test_laws_around_a_field_have_its_cosines():
    alpha = torch.tensor([0.5, -1.0, -1.2, 0.3, -0.5])
    beside = ProductLaw(LAW, GaussianLaw(["damping"], [REAL]))
    np.testing.assert_array_equal(beside.amplitudes(alpha), LAW.amplitudes(alpha[:3]))
    known = ShiftedLaw(LAW, ["porosity"], [("mean", "porosity")])
    np.testing.assert_array_equal(known.amplitudes(alpha[:4]), LAW.amplitudes(alpha[:3]))
    assert known.wave_numbers is LAW.wave_numbers
    sets = LevelSetLaw(1, 5)
    assert sets.amplitudes(torch.tensor([1.0, 0.0, 1.0])).shape == (5,)
    with pytest.raises(NotImplementedError, match="GaussianLaw is not the law of a field"):
        GaussianLaw(["a"], [REAL]).amplitudes(alpha)
