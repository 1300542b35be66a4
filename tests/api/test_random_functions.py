"""A fit of a function that is random itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import popinv
from popinv.errors import ConfigError, DataError, SolverError
from popinv.evidence.stages.replicate_study import replicate_study
from popinv.inference.answer.result import estimate_of
from popinv.inference.density.densities import density_of
from popinv.inference.estimators.settings import DescentSettings, PolishSettings
from popinv.surrogate.mean_and_factor import MeanAndFactor

TIMES = np.array([0.0, 0.5, 1.0])
ONE = {"mean": 0.0, "standard_deviation": 1.0}
LAW = {"kind": "normal", "start": {"level": ONE, "slope": ONE}}
NOISE = {"kind": "isotropic", "start": {"standard_deviation": 0.4}}
QUICK = {
    "law": LAW,
    "noise": NOISE,
    "progress": False,
    "active_learning": {"rounds": 2, "first_design": 400, "solves_per_round": 1500},
    "surrogate": {"width": 16, "depth": 2, "max_epochs": 60, "batch_size": 100},
}


def walks(z: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Return lines whose common error has the deviation 0.5 exp(slope / 2)."""
    e = np.array([np.random.default_rng(seed).standard_normal() for seed in seeds])
    size = 0.5 * np.exp(z[:, 1] / 2)
    return z[:, :1] + z[:, 1:] * TIMES + (size * e)[:, None] * (1 - TIMES)


def unseeded(z: np.ndarray) -> np.ndarray:
    """Return walks with random numbers of its own."""
    return walks(z, np.random.default_rng().integers(2**31, size=len(z)))


def data(count: int = 200) -> np.ndarray:
    rng = np.random.default_rng(1)
    z = rng.normal([1.0, 0.0], [0.6, 0.5], (count, 2))
    y = walks(z, rng.integers(2**31, size=count))
    return y + 0.2 * rng.standard_normal(y.shape)


@pytest.fixture(scope="module")
def result() -> popinv.Result:
    return popinv.fit(data(), walks, stochastic=True, **QUICK)


@pytest.mark.full
def test_noise_and_variation_are_told_apart(result):
    assert isinstance(result.simulator, MeanAndFactor)
    found = result.summary()
    for name, true in (
        ("level_mean", 1.0),
        ("slope_mean", 0.0),
        ("level_standard_deviation", 0.6),
        ("slope_standard_deviation", 0.5),
        ("noise_standard_deviation", 0.2),
    ):
        row = found.loc[name]
        # Within twice the interval: the surrogate of few solves has an error of its own.
        middle, half = (row["upper"] + row["lower"]) / 2, (row["upper"] - row["lower"]) / 2
        assert abs(true - middle) < 2 * half, name


@pytest.mark.full
def test_the_variation_is_reported_beside_the_noise(result):
    intrinsic = result.population["intrinsic_covariance"].values
    # E C = 0.25 E exp(slope) = 0.25 exp(0.125) in the first entry, none in the last.
    assert intrinsic[0, 0] == pytest.approx(0.25 * np.exp(0.125), rel=0.2)
    assert intrinsic[2, 2] < 0.02
    found = result.answer.intrinsic
    assert found.ratio_error < 0.1
    assert found.repeated_to_learned == pytest.approx(1.0, abs=0.25)
    told = {each.name: each for each in result.judgements}
    assert "times the learned one" in told["Intrinsic variation"].finding
    assert "fresh runs with noise" in told["Surrogate"].finding.lower()
    assert result.population["correction"].values.any()
    assert "Sampling error of the model" not in told
    assert result.answer.metrics()["intrinsic_share"] == found.share


@pytest.mark.full
@pytest.mark.parametrize("through", ["surrogate", "solver"])
def test_new_data_sets_are_drawn_with_the_variation(result, through):
    made = result.artefacts
    found = replicate_study(
        result.model,
        DescentSettings(),
        PolishSettings(),
        "likelihood",
        made["observations"],
        made["surrogate"] if through == "surrogate" else result.simulator,
        made["check"],
        population=result.population,
        seed=1,
        first=0,
        replications=3,
        through=through,
    )
    # 15 errors of at most 4 standard errors each: a false alarm in 1000 seeds.
    error = found["error"].values / found["standard_error"].values
    assert np.abs(error).max() < 4
    # Without the variation in the data, the recovered noise would be near zero or the spread far
    # too small.
    assert (found["noise"].values > 0.1).all()


@pytest.mark.full
def test_the_posterior_of_a_system_is_that_of_a_quadrature(result):
    problem = result.problem
    alpha, gamma = problem.tensors(estimate_of(result.population))
    axis = torch.linspace(-4, 4, 121, dtype=torch.float64)
    omega = torch.cartesian_prod(axis, axis)
    signal = problem.signal(alpha, omega, problem.known_in_turns(len(omega)))
    z = problem.law.sample(alpha, omega)
    systems = torch.arange(20)
    density = density_of(problem, gamma).rows(systems)
    log = density.at(signal.expand(20, *signal.shape)).log - 0.5 * (omega**2).sum(dim=1)
    weights = torch.softmax(log, dim=1)
    mean = weights @ z
    deviation = torch.sqrt(weights @ z**2 - mean**2)
    names = result.observations["system_id"].values[:20]
    found = result.posterior().sel(system=names)
    apart = (found["mean"].values - mean.numpy()) / deviation.numpy()
    # The draws of a chain count as 100 independent ones or more.
    assert np.abs(apart).max() < 0.4
    np.testing.assert_allclose(found["deviation"].values, deviation.numpy(), rtol=0.3)


@pytest.mark.full
def test_what_takes_an_answer_for_its_mean_is_refused(result):
    with pytest.raises(ConfigError, match="predictions are not made for a random simulator"):
        result.predict(data(3))
    with pytest.raises(DataError, match="systems cannot be added to a study of a random simulator"):
        result.add(data(3))


def test_a_random_function_is_recognised_without_the_key():
    with pytest.raises(SolverError, match=r"set 'forward\.stochastic: true' \('stochastic=True'"):
        popinv.fit(data(), unseeded, **QUICK)


def test_random_numbers_that_rows_share_are_refused():
    def shared(z: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        e = np.random.default_rng(seeds[0]).standard_normal((len(z), 1))
        return z[:, :1] + z[:, 1:] * TIMES + e

    with pytest.raises(SolverError, match="The seed of the row was the same") as error:
        popinv.fit(data(), shared, stochastic=True, **QUICK)
    assert "forward.stochastic" not in str(error.value)


def test_censored_values_are_refused():
    with pytest.raises(ConfigError, match="probability of censored values is not computed"):
        popinv.fit(data(), walks, stochastic=True, censored_below=0.0, **QUICK)


def test_the_key_belongs_to_a_function():
    with pytest.raises(ConfigError, match="'stochastic' describe a function"):
        popinv.fit(data(), "lorenz96", stochastic=True)
