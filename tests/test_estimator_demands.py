"""The passes that jobs are charged for are those that the estimators make."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_study import ROOT, TINY

from popinv.config.loading import as_mapping, load, load_file
from popinv.estimator_demands import estimating_passes, resampling_passes
from popinv.inference.likelihood.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.polish import PolishSettings, polish
from popinv.inference.problem import DescentSettings, Problem
from popinv.inference.resampling import bootstrap
from popinv.inference.surrogate_bias import FreshSolves
from popinv.population.laws.matern_field import MaternLaw
from popinv.population.noise.kernel import KernelNoise
from popinv.resources import demand, runtime_minutes, sizes

sys.path.insert(0, str(Path(__file__).parent / "inference"))
from problems import curve_problem

forward_mode = torch.autograd.forward_ad
LEAST, MOST = 1.0, 8.0
"""How much more may be charged than is made: a job of too little time is killed, one of too much
waits."""


class Counting:
    """A simulator that counts its passes: with gradient three, along a tangent two."""

    def __init__(self, simulate) -> None:
        self.simulate, self.passes = simulate, 0

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        along = forward_mode._current_level >= 0 and forward_mode.unpack_dual(z).tangent is not None
        self.passes += len(z) * (2 if along else 3 if z.requires_grad else 1)
        return self.simulate(z)


def field_problem(count: int) -> tuple[Problem, np.ndarray]:
    """Return a population of random fields, seen at eight places, and its truth."""
    places = np.linspace(0.1, 0.9, 8)[:, None]
    law, noise = MaternLaw(1, 12, 1.5), KernelNoise(places, "exponential")
    alpha = np.array([0.5, -0.9, -1.2])
    gamma = noise.from_natural({"amplitude": 0.05, "length": 0.2})
    rng = np.random.default_rng(0)
    matrix = torch.from_numpy(rng.standard_normal((law.d_z, 8)) / np.sqrt(law.d_z))

    def simulate(z: torch.Tensor) -> torch.Tensor:
        return torch.exp(0.5 * z @ matrix)

    omega, e = (torch.from_numpy(rng.standard_normal((count, d))) for d in (law.d_omega, 8))
    clean = simulate(law.sample(torch.from_numpy(alpha), omega))
    data = (clean + noise.sample(torch.from_numpy(gamma), e)).numpy()
    problem = Problem(data, simulate, law, noise, np.full(5, 0.5))
    return problem, np.concatenate([alpha, gamma])


def curves(count: int) -> tuple[Problem, np.ndarray]:
    problem, alpha, gamma = curve_problem(count=count)
    return problem, np.concatenate([alpha, gamma])


def counted(problem: Problem) -> tuple[Problem, Counting]:
    counting = Counting(problem.simulate)
    return replace(problem, simulate=counting), counting


def sizes_of(problem: Problem, fresh: int):
    """Return the sizes of a study that has this problem."""
    config = copy.deepcopy(TINY)
    study = config["studies"]["tiny"]
    study["assessment"]["surrogate_check"] = fresh
    study["descent"] = {"model_samples": 400, "iterations": 40, "directions": 24}
    study["polish"] = {"draws": 64}
    found = sizes(as_mapping(load(config))["studies"]["tiny"])
    d_y = problem.data.shape[1]
    of_law = problem.law.d_z + d_y
    return replace(found, row=of_law, observed=d_y, laws=problem.d_alpha, systems=len(problem.data))


def check(charged: float, made: float) -> None:
    assert LEAST * made <= charged <= MOST * made, (charged, made, charged / made)


@pytest.mark.parametrize(("make", "count"), [(curves, 200), (curves, 1000), (field_problem, 400)])
@pytest.mark.parametrize("estimator", ["likelihood", "pseudo_likelihood", "distance"])
def test_resamples_are_charged_for_what_they_take(make, count, estimator):
    problem, truth = make(count)
    best = fit_pseudo_likelihood(problem, [truth], rough=True).p
    problem, counting = counted(problem)
    settings = DescentSettings(model_samples=400, iterations=40, directions=24)
    bootstrap(problem, estimator, best, 3, settings, progress=False)
    # One more is made, of the systems as they are.
    check(resampling_passes(sizes_of(problem, 100))[estimator], counting.passes / 4)


@pytest.mark.parametrize(("make", "count"), [(curves, 300), (field_problem, 400)])
def test_an_estimate_is_charged_for_what_it_takes(make, count):
    problem, truth = make(count)
    rng, fresh = np.random.default_rng(1), 100
    omega = torch.from_numpy(rng.standard_normal((fresh, problem.law.d_omega)))
    z = problem.law.sample(torch.from_numpy(truth[: problem.d_alpha]), omega)
    solves = FreshSolves(z.numpy(), problem.simulate(z).numpy() + 0.002)
    problem, counting = counted(problem)
    polish(problem, PolishSettings(), [truth + 0.3], solves, say=lambda text: None)
    passes = estimating_passes(sizes_of(problem, fresh))
    check(passes["pseudo_likelihood"] + passes["likelihood"], counting.passes)


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "config" / "examples" / "full_size").glob("*.yaml")),
    ids=lambda p: p.stem,
)
def test_studies_of_full_size_resample_and_replicate_in_a_day(path):
    for section in as_mapping(load_file(path))["studies"].values():
        section["assessment"]["bootstrap"] = 20
        for rule in ("resample_systems", "replicate_study", "measure_calibration"):
            assert runtime_minutes(demand(rule, sizes(section), {})) <= 24 * 60, rule
