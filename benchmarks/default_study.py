"""Parts of the default study (config/config.yaml) that several benchmarks start from."""

from __future__ import annotations

import functools

import numpy as np
import torch
import xarray as xr

from benchmarks.machine import ROOT
from popinv.config.loading import load_file
from popinv.config.study import Study
from popinv.forward.base import ForwardModel
from popinv.inference.density.build import descent_problem
from popinv.inference.density.problem import Problem
from popinv.population.laws.section import law_spread, law_values
from popinv.population.model import Model
from popinv.population.observe import observations_dataset
from popinv.population.sections import SyntheticObservations, Truth
from popinv.population.synthetic import broad_parameters, noise_rows, parameters
from popinv.surrogate.trained_network import Surrogate
from popinv.surrogate.training import TrainingData, TrainingSettings, train

__all__ = [
    "SEED",
    "first_design",
    "model",
    "observe",
    "problem",
    "quick_surrogate",
    "section",
    "solver",
    "training",
    "truth",
]

SEED = 1
_CONFIG = ROOT / "config" / "config.yaml"


@functools.cache
def section() -> Study:
    """Return the study's section, with every default filled in."""
    return load_file(_CONFIG).studies["porous_flow"]


def truth(given: Study) -> Truth:
    """Return the truth from which a study's population is drawn."""
    assert isinstance(given.observations, SyntheticObservations)
    return given.observations.truth


def model() -> Model:
    """Return its model."""
    return Model(section().forward, section().law, section().noise)


@functools.cache
def solver() -> ForwardModel:
    """Return its forward model."""
    return section().forward.model(SEED)


def first_design(count: int) -> np.ndarray:
    """Return parameters spread broadly about the start, as in a first round."""
    given = section()
    population = given.law.law(given.forward)
    alpha = law_values(given.law, given.law.start, given.forward)
    spread = law_spread(given.law, given.forward)
    return broad_parameters(population, alpha, spread, SEED, "propose/0", count)


def observe(model: ForwardModel, count: int) -> xr.Dataset:
    """Return observations of ``count`` systems of the true law, through the true noise."""
    given = section()
    stated, observations = truth(given), given.forward.observed(SEED)
    alpha = law_values(given.law, stated.law, given.forward)
    z = parameters(given.law.law(given.forward), alpha, SEED, "propose/truth", count)
    of_noise = given.noise.model(observations)
    gamma = of_noise.from_natural(stated.noise)
    clean = model.solve(z).observations
    y = clean + noise_rows(of_noise, gamma, SEED, "truth", clean)
    return observations_dataset(y, observations, heldout=0)


def training(count: int, epochs: int) -> tuple[TrainingData, TrainingSettings]:
    """Return solves of the first design, and how to train on them.

    Errors are in units of the true noise, as later rounds train in units of the estimated noise.
    """
    given = section()
    z = first_design(count)
    of_noise = given.noise.noise(given.forward.observed(SEED))
    gamma = torch.from_numpy(of_noise.from_natural(truth(given).noise))
    settings = TrainingSettings(
        seed=SEED,
        stage="train/0",
        hyperparameters={"width": given.surrogate.width, "depth": given.surrogate.depth},
        whitening=np.linalg.inv(of_noise.cholesky(gamma).numpy()),
        learning_rate=given.surrogate.learning_rate,
        batch_size=given.surrogate.batch_size,
        max_epochs=epochs,
        patience=epochs,
        validation_fraction=given.surrogate.validation_fraction,
    )
    return TrainingData(z, solver().solve(z).observations), settings


@functools.cache
def quick_surrogate() -> Surrogate:
    """Return a surrogate good enough to time a descent through it."""
    return train(*training(1000, 40), progress=False)[0]


@functools.cache
def problem(count: int) -> Problem:
    """Return the problem of the descent for ``count`` systems, through the quick surrogate."""
    return descent_problem(
        model(), observe(solver(), count), quick_surrogate(), SEED, "benchmarks/descent"
    )
