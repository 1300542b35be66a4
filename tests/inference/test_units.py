"""The answer does not depend on the units of observations and parameters."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from tiers import parameters

from popinv.config.loading import load
from popinv.inference.density.build import descent_problem
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_distance import fit_distance
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.estimators.settings import DescentSettings
from popinv.observation_files.known_columns import KnownColumns
from popinv.population.laws.gaussian import normal_law
from popinv.population.model import Model
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.population.observe import observations_dataset

AGES = torch.linspace(-1, 1, 9, dtype=torch.float64)
BOYS = 200


def heights(z: torch.Tensor) -> torch.Tensor:
    """Return heights at nine ages from the height in the middle and the growth."""
    return z[:, :1] + z[:, 1:] * AGES


def boys(unit: float) -> Problem:
    """Return heights in this many units to the centimetre, with natural sizes of the start's."""
    rng = np.random.default_rng(3)
    omega = rng.standard_normal((BOYS, 2))
    z = np.array([149.4, 6.5]) + np.array([8.1, 1.7]) * omega
    data = heights(torch.from_numpy(z)).numpy() + 0.66 * rng.standard_normal((BOYS, 9))
    law = normal_law(["height", "growth"])
    return Problem(unit * data, heights, law, IsotropicNoise(9), np.full(5, 0.5))


def start(unit: float) -> np.ndarray:
    """Return a start of 0, with deviations of 10 cm."""
    return np.array([0.0, 0.0, *np.log([10 * unit] * 3)])


def in_centimetres(p: np.ndarray, unit: float) -> np.ndarray:
    return np.concatenate([p[:2] / unit, p[2:] - np.log(unit)])


@cache
def answers(scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the answers of three estimators in centimetres, and the standard errors."""
    settings = DescentSettings(iterations=60, model_samples=200, directions=16)
    problem = boys(scale)
    first = fit_pseudo_likelihood(problem, [start(scale)])
    best = fit_marginal_likelihood(problem, first.p)
    distance = fit_distance(problem, settings, [start(scale)], progress=False).estimate
    assert distance.arrived
    errors = best.standard_errors.copy()
    errors[:2] /= scale
    return np.array([in_centimetres(e.p, scale) for e in (first, best, distance)]), errors


@parameters("unit", [0.01], full=[10.0])
def test_millimetres_and_metres_give_the_same_boys(unit):
    there, _ = answers(1.0)
    here, errors = answers(unit)
    # The likelihoods to rounding and where their ascents stop; the descent takes other steps on the
    # way, and ends within its own randomness.
    np.testing.assert_array_less(np.abs(there - here)[:2] / errors, 0.05)
    np.testing.assert_array_less(np.abs(there - here)[2] / errors, 0.5)
    np.testing.assert_allclose(there[:, 0], 149.4, atol=1.5)


def test_a_large_change_of_a_coefficient_is_one_for_the_covariate_in_any_unit():
    study = load({"studies": {"s": {
        "forward": {"kind": "python", "function": "line:solve",
                    "parameters": ["a"], "observations": {"count": 2}},
        "law": {"kind": "normal", "start": {"a": {"mean": 0.0, "standard_deviation": 1.0}},
                "covariates": {"a": ["age"]}},
        "observations": {"file": "none.csv"}, "noise": {"kind": "isotropic"},
    }}}).studies["s"]  # fmt: skip
    y, age = np.random.default_rng(0).standard_normal((2, 40, 2))
    model = Model(study.forward, study.law, study.noise)

    def scales(unit: float) -> tuple[np.ndarray, int]:
        known = KnownColumns.of_values({"age": unit * age[:, 0]}, (), ("age",), np.zeros(1), 40)
        observations = observations_dataset(
            y, study.forward.observed(1), 0, known=known, covariate_names=["age"]
        )
        problem = descent_problem(model, observations, lambda z: z, 1, "test")
        ((entry, _),) = problem.law.coefficients
        return problem.scale, entry

    (years, entry), (months, _) = scales(1.0), scales(12.0)
    # The coefficient of months is a twelfth of that of years, and nothing else differs.
    years[entry] /= 12
    np.testing.assert_allclose(months, years, rtol=1e-12)
