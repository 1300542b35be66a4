"""The observations of the sites: parts of the study's, simulated ones, or files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.errors import DataError, SolverError
from popinv.inference.build import descent_problem
from popinv.inference.problem import Problem
from popinv.inference.result import parameters_of
from popinv.methods.sites import site_laws
from popinv.population.laws.values import law_spread
from popinv.population.stages.import_observations import observations_of_file
from popinv.population.synthetic import noise_rows, parameters
from popinv.seeds import generator

if TYPE_CHECKING:
    from popinv.methods.outcome import StudyInput
    from popinv.surrogate.simulator import TrainedSurrogate

_BY_SYSTEM = ("y", "noise_scale", "design", "covariate")


def observed_sites(
    study: StudyInput, surrogate: TrainedSurrogate, stage: str
) -> tuple[Problem, dict[str, np.ndarray]]:
    """Return the problem of all sites' systems, and the rows of each site by its name.

    Rows of a site follow each other.

    Raises
    ------
    DataError
        If a file cannot be read, or does not fit the study or the other files.
    """
    observations, files = study.stores["observations"], study.asked.files()
    if files:
        datasets = _of_files(study, files)
        _check_alike(datasets)
        joined = _joined(list(datasets.values()))
        problem = descent_problem(study.model, joined, surrogate, study.seed, stage)
        sizes = {name: dataset.sizes["system"] for name, dataset in datasets.items()}
    else:
        problem = descent_problem(study.model, observations, surrogate, study.seed, stage)
        parts = divided(len(problem.data), study.asked.sites, study.seed)
        problem = problem.of_systems(np.concatenate(parts))
        if study.asked.shift:
            problem = _simulated(study, problem, [len(part) for part in parts])
        sizes = {f"site {number + 1}": len(part) for number, part in enumerate(parts)}
    ends = np.cumsum(list(sizes.values()))
    rows = np.split(np.arange(ends[-1]), ends[:-1])
    return problem, dict(zip(sizes, rows, strict=True))


def divided(count: int, sites: int, seed: int) -> list[np.ndarray]:
    """Return the systems of each site, a random division into equal parts."""
    order = generator(seed, "federated/sites").permutation(count)
    return np.array_split(order, sites)


def _of_files(study: StudyInput, files: Mapping[str, str]) -> dict[str, xr.Dataset]:
    """Return the observations of each site's file; covariates are about the study's mean."""
    centre = study.stores["observations"].get("covariate_centre")
    datasets = {}
    for name, file in files.items():
        try:
            found = observations_of_file(
                study.forward, study.law, study.noise, study.observations, file, seed=study.seed
            )
        except DataError as error:
            raise DataError(f"downstream.federated.sites.{name}: {error}") from error
        if centre is not None:
            own = found["covariate_centre"].values
            found["covariate"] = found["covariate"] + (own - centre.values)
        datasets[name] = found
    return datasets


def _check_alike(datasets: Mapping[str, xr.Dataset]) -> None:
    """Refuse files that hold different things of their systems."""
    (first, one), *others = datasets.items()
    for name, other in others:
        if one.sizes["observation"] != other.sizes["observation"]:
            raise DataError(
                f"downstream.federated.sites: '{first}' has {one.sizes['observation']} "
                f"observations of a system, and '{name}' {other.sizes['observation']}; all sites "
                "need the same number of replicates"
            )
        if ("noise_scale" in one) != ("noise_scale" in other):
            raise DataError(
                f"downstream.federated.sites: of '{first}' and '{name}' one has noise scales; all "
                "sites need them, or none"
            )


def _joined(datasets: list[xr.Dataset]) -> xr.Dataset:
    """Return the observations of all sites, one site after the other."""
    first = datasets[0]
    joined = first.drop_dims("system")
    for name in _BY_SYSTEM:
        if name in first:
            rows = np.concatenate([dataset[name].values for dataset in datasets])
            joined[name] = (first[name].dims, rows)
    return joined


def _simulated(study: StudyInput, problem: Problem, sizes: list[int]) -> Problem:
    """Return the problem with systems that are simulated from a law of each site."""
    if problem.conditions is not None or problem.replicates > 1:
        raise DataError(
            "downstream.federated.shift: the study's systems have replicates, noise scales, gaps "
            "or known quantities, which simulated ones would lack; set it to 0"
        )
    alpha, gamma = parameters_of(study.stores["population"])
    population, model = study.law.law(study.forward), study.forward.model(study.seed)
    spread = law_spread(study.law, study.forward)
    laws = site_laws(alpha, spread, len(sizes), study.asked.shift, study.seed)
    parts = []
    for site, (law, count) in enumerate(zip(laws, sizes, strict=True)):
        stage = f"federated/{site}"
        clean = model.solve(parameters(population, law, study.seed, stage, count), stage)
        y = clean.observations
        y = y + noise_rows(problem.noise, gamma, study.seed, stage, y)
        if not np.isfinite(y).all():
            raise SolverError(
                f"Site {site + 1}: {int(np.isnan(y).any(axis=1).sum())} of {count} systems were "
                "not solved. Its law may be too far from the recovered one: lower "
                "'downstream.federated.shift'."
            )
        parts.append(y)
    return replace(problem, data=np.concatenate(parts))
