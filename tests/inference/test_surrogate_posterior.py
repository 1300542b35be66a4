"""The part of an answer's uncertainty that is due to the error of a Gaussian process."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import xarray as xr
from problems import TRUE_ALPHA, curve, curve_problem

from popinv.forward.datasets import reason_codes
from popinv.inference.checks.surrogate_intervals import held_out_solves
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.estimators.polish import _shift
from popinv.inference.uncertainty.scores import pseudo_scores
from popinv.inference.uncertainty.surrogate_bias import FreshSolves, corrected, inflation_of
from popinv.surrogate.gaussian_process.emulator import train_emulator
from popinv.surrogate.simulator import UncertainSurrogate

# Small against the deviation of the heights, so that squares do not count.
TAU = 0.004


@dataclass(frozen=True)
class Shifted:
    """The curve, whose posterior draws have all heights shifted by one number of deviation TAU."""

    components: int = 1
    known: int = 0

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return curve(z)

    def predict(self, z: np.ndarray) -> np.ndarray:
        return curve(torch.from_numpy(z)).numpy()

    def deviation(self, z: np.ndarray) -> np.ndarray:
        return np.full((len(z), 8), TAU)

    def conditioned(self, z: np.ndarray, y: np.ndarray) -> Shifted:
        return replace(self, known=len(z))

    def draws(self, z: np.ndarray, normal: np.ndarray, inflation: float = 1.0) -> np.ndarray:
        moved = np.repeat(z[None], len(normal), axis=0)
        moved[:, :, 1] += inflation * TAU * normal[:, 0, :1]
        flat = curve(torch.from_numpy(moved.reshape(-1, 2))).numpy()
        return flat.reshape(len(normal), len(z), 8)


def solves(count: int, error: float = 0.0) -> FreshSolves:
    rng = np.random.default_rng(5)
    z = TRUE_ALPHA[:2] + np.exp(TRUE_ALPHA[2:]) * rng.standard_normal((count, 2))
    y = curve(torch.from_numpy(z)).numpy()
    return FreshSolves(z, y + error * rng.standard_normal(y.shape))


def test_an_error_that_all_systems_share_is_that_of_the_mean():
    problem, alpha, gamma = curve_problem(count=300)
    estimate = fit_pseudo_likelihood(problem, [np.concatenate([alpha, gamma])])
    through = Shifted()
    assert isinstance(through, UncertainSurrogate)
    scores = pseudo_scores(problem, estimate.p)
    uncertain = replace(problem, simulate=through)
    found = corrected(uncertain, estimate, scores, solves(30), "fresh", pairs=4)
    # A shift of all heights moves their mean by as much, and nothing else.
    errors = np.sqrt(np.diag(found.correction_covariance))
    assert errors[1] == pytest.approx(TAU, rel=0.35)  # 24 draws
    assert np.all(np.delete(errors, 1) < 0.15 * TAU)
    # The estimate itself stays.
    np.testing.assert_array_equal(found.p, estimate.p)
    np.testing.assert_allclose(
        found.total_covariance,
        estimate.total_covariance + found.correction_covariance,
        atol=1e-15,
    )
    # What is reported as the surrogate's push is its deviation.
    np.testing.assert_array_equal(_shift(uncertain, found), errors)
    # Solves that contradict the predictive deviations widen it.
    wider = corrected(uncertain, estimate, scores, solves(200, 3 * TAU), "fresh", pairs=4)
    ratio = np.sqrt(wider.correction_covariance[1, 1]) / errors[1]
    assert ratio == pytest.approx(3.0, rel=0.1)


def test_deviations_are_never_made_smaller():
    assert inflation_of(Shifted(), solves(50)) == 1.0
    assert inflation_of(Shifted(), solves(500, 2 * TAU)) == pytest.approx(2.0, rel=0.05)
    assert inflation_of(Shifted(), solves(0)) == 1.0


@pytest.mark.full
def test_more_solves_leave_less_open():
    problem, alpha, gamma = curve_problem(count=150)
    errors = []
    for count in (8, 40):
        z, fresh = solves(count).z, solves(6)
        through = train_emulator(
            z, curve(torch.from_numpy(z)).numpy(), covariance="matern", restarts=0, seed=1,
            stage="s",
        )  # fmt: skip
        uncertain = replace(problem, simulate=through)
        estimate = fit_pseudo_likelihood(uncertain, [np.concatenate([alpha, gamma])])
        scores = pseudo_scores(uncertain, estimate.p)
        found = corrected(uncertain, estimate, scores, fresh, "fresh", pairs=1)
        errors.append(np.sqrt(np.trace(found.correction_covariance)))
    assert errors[1] < 0.5 * errors[0]


def test_the_share_of_held_out_values_within_their_intervals_is_counted():
    problem, *_ = curve_problem(count=20)
    fresh = solves(2000, TAU)
    check = xr.Dataset(
        {
            "z": (("sample", "parameter"), fresh.z),
            "y": (("sample", "observation"), fresh.y),
            "round": ("sample", np.ones(2000, dtype=int)),
        }
    )
    check["reason"] = reason_codes(np.full(2000, ""))
    assert held_out_solves(problem, check) is None
    found = held_out_solves(replace(problem, simulate=Shifted()), check)
    assert found.coverage == pytest.approx(0.95, abs=0.01)
