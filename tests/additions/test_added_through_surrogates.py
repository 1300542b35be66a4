"""Systems that join a fit through a surrogate, and systems with covariates."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

import popinv
from popinv.additions.estimates import errors_at_modes
from popinv.additions.stages.add_systems import checked_surrogate
from popinv.errors import DataError

sys.path.insert(0, str(Path(__file__).parents[1]))

from linear_systems import Solver, linear_problem

TIMES = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
LAW = {
    "kind": "lognormal",
    "start": {
        "rate": {"mean": -0.5, "standard_deviation": 0.5},
        "volume": {"mean": 1.2, "standard_deviation": 0.4},
    },
}
QUICK = {"noise": "isotropic", "tests": False, "progress": False}


def decay(z, times):
    rate, volume = z.T
    return 10 / volume[:, None] * np.exp(-rate[:, None] * times)


def decaying(count: int, rate: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    z = np.exp(rng.normal([rate, 1.0], [0.3, 0.25], size=(count, 2)))
    return decay(z, TIMES) + 0.1 * rng.normal(size=(count, len(TIMES)))


@pytest.mark.full
def test_the_surrogate_is_judged_at_the_added_systems():
    first = popinv.fit(
        decaying(220, -0.7, 1),
        decay,
        law=LAW,
        times=TIMES,
        polish={"solver_seconds": 0},
        active_learning={"rounds": 1, "first_design": 200},
        surrogate={"width": 16, "depth": 2, "max_epochs": 60},
        descent={"iterations": 20},
        **QUICK,
    )
    assert first.metrics["through"] == "surrogate"
    both = first.add(decaying(4, -0.7, 2))
    batch = both.artefacts["batch"]
    assert batch.attrs["surrogate_error"] > 0
    old, new = (each.artefacts["likelihood"]["correction"] for each in (first, both))
    np.testing.assert_array_equal(old.values, new.values)
    moved = (both.summary()["estimate"] - first.summary()["estimate"]).abs()
    assert np.all(moved < first.summary()["standard_error"])
    # Volumes that the law hardly ever has.
    with pytest.raises(DataError, match="lies where the surrogate was not trained"):
        first.add(12 * decaying(4, -0.7, 3))


def test_the_error_at_the_added_systems_is_in_noise_deviations():
    problem, (alpha, gamma), _ = linear_problem(4)
    p = np.concatenate([alpha, gamma])
    covariance = problem.noise.covariance(torch.from_numpy(gamma)).numpy()
    estimate = xr.Dataset({"noise_covariance": (("a", "b"), covariance)})
    shift = np.array([0.3, -0.2, 0.1, 0.4, 0.0])
    solver = Solver(lambda z: problem.simulate(z) + torch.from_numpy(shift))
    found = errors_at_modes(problem, p, np.zeros((4, 2)), estimate, solver)[0]
    assert found == pytest.approx(np.sqrt(shift @ np.linalg.solve(covariance, shift) / 5))
    going_on = SimpleNamespace(problem=problem, numbers=np.arange(2), last_p=lambda last: p)
    before = {"modes": np.zeros((2, 2))}
    limits = (0.9 * found, 1.1 * found)
    with pytest.raises(DataError, match="lies where the surrogate was not trained"):
        checked_surrogate(going_on, estimate, before, solver, limits[0], "more.csv")
    assert checked_surrogate(
        going_on, estimate, before, solver, limits[1], "more.csv"
    ) == pytest.approx(found)


def line(z: torch.Tensor) -> torch.Tensor:
    return z[:, :1] + z[:, 1:] * torch.linspace(0.0, 1.0, 5, dtype=z.dtype)


@pytest.mark.full
def test_covariates_keep_the_means_of_the_first_systems():
    rng = np.random.default_rng(3)
    age = rng.normal(40.0, 8.0, size=33)
    z = rng.normal([1.0, 2.0], [0.5, 0.4], size=(33, 2))
    z[:, 0] += 0.1 * (age - 40)
    data = line(torch.from_numpy(z)).numpy() + 0.2 * rng.normal(size=(33, 5))
    start = {name: {"mean": 1.0, "standard_deviation": 1.0} for name in ("a", "b")}
    law = {"kind": "normal", "start": start, "covariates": {"a": ["age"]}}

    def fit(rows: slice) -> popinv.Result:
        return popinv.fit(data[rows], line, law=law, known={"age": age[rows]}, **QUICK)

    whole, first = fit(slice(None)), fit(slice(30))
    # One system alone has a covariate that does not vary.
    both = first
    for n in range(30, 33):
        both = both.add(data[[n]], {"age": age[[n]]}, tests=False)
    assert float(both.observations["covariate_centre"][0]) == pytest.approx(age[:30].mean())
    np.testing.assert_allclose(both.observations["covariate"][30:, 0], age[30:] - age[:30].mean())
    # The same law, with its mean at another age.
    assert both.metrics["log_likelihood"] == pytest.approx(
        whole.metrics["log_likelihood"], abs=1e-3
    )
    slope = "a_age_coefficient"
    apart = both.summary()["estimate"][slope] - whole.summary()["estimate"][slope]
    assert abs(apart) < 0.02 * whole.summary()["standard_error"][slope]
