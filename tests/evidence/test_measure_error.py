"""Data sets of other sizes, of systems of which all is stated that can be."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

from popinv.config.loading import load
from popinv.evidence.stages import measure_error as stage
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimation import NamedEstimate
from popinv.inference.uncertainty.surrogate_bias import FreshSolves, ScoreDifference
from popinv.population.known import Known
from popinv.population.laws.gaussian import normal_law
from popinv.population.model import Model
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.population.synthetic_observed import observed_systems

SPREAD = {"level": {"mean": 3.0, "standard_deviation": 0.3}}
NOISE = {"standard_deviation": 0.1, "proportional": 0.05}


class Line:
    """G(level, dose) at the times 0, 1: level + dose time, off by some constant."""

    def __init__(self, off: float = 0.0) -> None:
        self.off = off

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return z[:, :1] + z[:, 1:] * torch.tensor([0.0, 1.0]) + self.off

    def predict(self, z: np.ndarray) -> np.ndarray:
        return self(torch.from_numpy(z)).numpy()


def study():
    return load(
        {
            "studies": {
                "s": {
                    "forward": {
                        "kind": "python",
                        "function": "simulator:solve",
                        "parameters": ["level"],
                        "design": ["dose"],
                        "observations": {"times": [0.0, 1.0]},
                    },
                    "law": {"kind": "normal", "start": SPREAD, "covariates": {"level": ["age"]}},
                    "noise": {"kind": "isotropic", "errors": {"grows": "combined"}},
                    "observations": {
                        "count": 30,
                        "heldout": 2,
                        "replicates": 2,
                        "noise_scale": {"low": 0.5, "high": 2.0},
                        "censored_below": 2.9,
                        "known": {"dose": {"uniform": [1.0, 2.0]}, "age": {"normal": [0.0, 1.0]}},
                        "truth": {"law": {**SPREAD, "level_age_coefficient": 0.4}, "noise": NOISE},
                    },
                    "evidence": {"system_counts": [40, 80, 160], "design_counts": [100, 200]},
                }
            }
        }
    ).studies["s"]


@pytest.mark.parametrize("solved", [False, True])
def test_the_data_sets_are_of_systems_as_the_study_states_them(monkeypatch, solved):
    made, through = study(), Line()
    model, stated = Model(made.forward, made.law, made.noise), made.observations
    clean = through.predict(np.column_stack([np.full(30, 3.0), np.ones(30)]))
    observations = observed_systems(model, stated, clean, seed=1, stage="truth")
    alpha = np.array([3.0, np.log(0.3), 0.4])
    gamma = np.log([0.1, 0.05])
    truth = xr.Dataset(
        {
            "alpha": ("law_parameter", alpha),
            "gamma": ("noise_parameter", gamma),
            "law": ("law_parameter", [3.0, 0.3, 0.4]),
            "noise_covariance": (("observation", "observation_other"), 0.05 * np.eye(2)),
        }
    )
    parts, solves = [], None
    if solved:
        solves = xr.Dataset({"y": (("sample", "observation"), np.full((160, 2), 5.0))})

    def answer(part, estimator, polish, descent, starts, fresh):
        parts.append((part, fresh))
        return NamedEstimate("likelihood", SimpleNamespace(p=np.concatenate([alpha, gamma])))

    monkeypatch.setattr(stage, "estimate_population", answer)
    systems = np.array([3, 4])
    z = np.array([[3.0, 1.5], [3.1, 1.2]])
    check = xr.Dataset(
        {
            "z": (("sample", "parameter"), z),
            "y": (("sample", "observation"), through.predict(z) + 0.5),
            "reason": ("sample", [0, 0]),
            "round": ("sample", [1, 1]),
            "system": ("sample", systems),
        }
    )
    errors = stage.measure_error(
        model, made.descent, made.polish, made.estimator, stated, truth, observations, through,
        truth, check, solves, seed=1, systems=40, repeats=4,
    )  # fmt: skip
    assert errors["systems"].values.tolist() == [40] * 4
    np.testing.assert_array_equal(errors["law_error"], 0)
    conditions = [part.conditions for part, _ in parts]
    assert all(part.replicates == 2 for part, _ in parts)
    np.testing.assert_array_equal(np.concatenate([c.limits.lower for c in conditions]), 2.9)
    scale = np.concatenate([c.scale for c in conditions])
    assert len(np.unique(scale)) == 160
    data = np.concatenate([part.data for part, _ in parts])
    seen = data[:, [0, 2]].mean(axis=1)
    if solved:
        assert np.abs(seen - 5).max() < 5 * np.sqrt(0.1**2 + 0.25**2) * 2
    else:
        # The level at time 0 follows age by its coefficient; the dose moves time 1 alone.
        age = np.concatenate([c.known.covariates[:, 0] for c in conditions])
        assert age.mean() == pytest.approx(0, abs=1e-12)
        slope = np.polyfit(age, seen, 1)[0]
        # The limit cuts the lower half's ends, so that the slope is somewhat less.
        assert slope == pytest.approx(0.3, abs=0.12)
        dose = np.concatenate([c.known.design[:, 0] for c in conditions])
        rise = data[:, [1, 3]].mean(axis=1) - seen
        high = seen > 3.2
        assert np.polyfit(dose[high], rise[high], 1)[0] == pytest.approx(1.0, abs=0.3)
    # Solves keep the conditions of the study's systems that they were drawn for.
    for _, fresh in parts:
        np.testing.assert_array_equal(
            fresh.conditions.scale, observations["noise_scale"].values[systems]
        )
        np.testing.assert_allclose(
            fresh.conditions.known.covariates[:, 0], observations["covariate"].values[systems, 0]
        )
    push = parts[0][1].y - through.predict(z)
    np.testing.assert_allclose(push, 0.5 if solved else 0.0, atol=1e-12)


def test_the_push_of_the_surrogates_error_is_the_same_whatever_systems_the_problem_has():
    rng = np.random.default_rng(0)
    known = Known.of_arrays(rng.uniform(1, 2, (20, 1)), rng.standard_normal((20, 1)))
    law = normal_law(["level"], covariates=["age"], effects=[("level", "age")])
    conditions = Conditions.stated((20, 2), scale=rng.uniform(0.5, 2, 20), known=known)
    whole = Problem(
        rng.standard_normal((20, 2)), Line(), law, IsotropicNoise(2), np.full(4, 0.5),
        conditions=conditions,
    )  # fmt: skip
    systems = np.array([7, 19, 2])
    z = np.column_stack([rng.standard_normal(3), known.design.numpy()[systems, 0]])
    fresh = FreshSolves(z, Line(0.3).predict(z), systems)
    p = np.array([0.1, -0.2, 0.5, -1.0])

    def scores(problem: Problem) -> np.ndarray:
        # Of each system: the residual over its scale, and what is known of it.
        scale = problem.conditions.scale[:, None]
        return np.hstack([problem.data / scale, scale, problem.known.covariates.numpy()])

    expected = fresh.pushes(ScoreDifference(whole, p, scores, "push", 2))
    np.testing.assert_allclose(
        expected[:, :2], 0.3 / conditions.scale[systems][:, None] * np.ones(2), rtol=1e-10
    )
    part = replace(whole.of_systems(np.arange(5)), stage=whole.stage)
    found = fresh.with_conditions_of(whole).pushes(ScoreDifference(part, p, scores, "push", 2))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
