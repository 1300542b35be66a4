"""The use on a study: sites infer law and noise together, and an observer reads their messages.

The observations of the sites are parts of the study's observations, simulated observations, or
files.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.errors import DataError, DivergenceError, SolverError
from popinv.inference.answer.result import draws_of_answer, parameter_names, parameters_of
from popinv.inference.density.build import descent_problem
from popinv.inference.density.build import start as start_of
from popinv.inference.density.problem import Problem
from popinv.late import torch
from popinv.methods.federated.attack import Told, can_attack, reconstruction_error
from popinv.methods.federated.channel import Channel
from popinv.methods.federated.comparison import (
    Compared,
    answers_table,
    dataset,
    draw_answers,
    draw_reconstruction,
    metrics_of,
    rounds_table,
)
from popinv.methods.federated.noisy import Guarantee, NoisyServer, guarantee
from popinv.methods.federated.own_laws import OwnLawServer
from popinv.methods.federated.reference import fitted, jointly, nothing_divided
from popinv.methods.federated.server import FederatedAnswer, Server
from popinv.methods.federated.site import Estimator, Site, sites_of
from popinv.methods.outcome import Outcome, StudyInput, write_table
from popinv.methods.sites import site_laws
from popinv.observation_files.limit_keys import VARIABLES
from popinv.population.laws.section import law_spread
from popinv.population.stages.import_observations import observations_of_file
from popinv.population.synthetic import parameters
from popinv.sections.refusals import REFUSED
from popinv.seeds import generator, standard_normal_rows
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads

if TYPE_CHECKING:
    from popinv.methods.federated.method import Federated
    from popinv.surrogate.simulator import TrainedSurrogate

STAGE = "federated"
# Numbers of systems behind a message whose observations are reconstructed.
_GROUPS = (1, 2, 10)
_BY_SYSTEM = ("y", "design", "covariate", *VARIABLES)
# Values in place of the replicates that a site lacks.
_LACKING = dict(zip(VARIABLES, (-np.inf, np.inf, -np.inf, np.inf), strict=True))


@dataclass(frozen=True)
class _FederatedResult:
    """The federated answer of each site (one if they share the law), and the rounds to attack.

    ``told`` are the rounds of the first site as an observer of its own message sees them, and
    ``sum`` the rounds as an observer of the sum sees them.
    """

    answers: list[FederatedAnswer]
    told: list[Told]
    sum: list[Told]
    wanted: Guarantee | None = None


def use(study: StudyInput) -> Outcome:
    """Infer by sites, in one place and by each site alone, and read the messages."""
    asked, seed = study.asked, study.seed
    surrogate = surrogate_of(study.stores["surrogate"])
    problem, rows = observed_sites(study, surrogate, STAGE)
    _refuse_noise(asked, problem)
    answer = str(study.stores["population"].attrs["estimator"])
    # The distance has no scores of single systems.
    used: Estimator = "likelihood" if answer == "likelihood" else "pseudo_likelihood"
    problems = {name: problem.of_systems(own) for name, own in rows.items()}
    channel = Channel(len(rows), asked.secure, seed)
    start = start_of(study.model, problem)
    draws = draws_of_answer(study.stores["population"], study.polish.draws)
    with fixed_threads():
        sites = sites_of(problems, draws)
        apart = Channel(len(rows), asked.secure, seed)
        invariant = nothing_divided(problem, sites, apart, start)
        found = _federated(study, sites, channel, start, used)
        if asked.law == "own":
            pooled = jointly(sites_of(problems, draws), start, used)
        else:
            pooled = [fitted(problem, start, used, draws)]
        alone = {name: _alone(name, own, start, used, draws) for name, own in problems.items()}
        errors = _errors(problem, sites, found)
    compared = Compared(
        parameter_names(problem),
        tuple(rows),
        found.answers,
        pooled,
        alone,
        channel,
        errors,
        {name: len(own) for name, own in rows.items()},
        used,
    )
    told = metrics_of(compared, asked, found.wanted)
    print(told["statement"])
    result = dataset(compared, problem)
    return Outcome(
        metrics=told,
        figures={"answers": draw_answers(result), "reconstruction": draw_reconstruction(result)},
        result=result,
        files={
            "answers.csv": partial(write_table, answers_table(compared, problem)),
            "rounds.csv": partial(write_table, rounds_table(channel)),
        },
        invariants=[invariant],
    )


def _refuse_noise(asked: Federated, problem: Problem) -> None:
    """Refuse noise of the messages if the systems differ in known quantities."""
    if asked.noise is not None and not problem.conditions.plain:
        raise DataError(
            "downstream.federated.noise: the systems have noise scales, gaps, limits or known "
            f"quantities of their own, and {REFUSED['downstream.federated.noise', 'gaps']}"
        )


def _federated(
    study: StudyInput, sites: Sequence[Site], channel: Channel, start: np.ndarray, used: Estimator
) -> _FederatedResult:
    asked, count = study.asked, sites[0].systems
    if asked.noise is not None:
        wanted = guarantee(asked.noise.epsilon, 1 / count, asked.noise.rounds)
        noise_seed = study.seed if asked.noise.kind == "seeded" else secrets.randbits(62)
        noisy = NoisyServer(sites, channel, wanted, asked.noise.clipping, noise_seed)
        answer = noisy.answer(start, used)
        seen = [step for step in noisy.steps if step.estimator == "pseudo_likelihood"]
        own = [
            Told(step.p, step.whitening, None, False, wanted.sigma(r) * step.longest)
            for r, step in enumerate(seen)
        ]
        whole = [Told(step.p, step.whitening, None, False, step.deviation) for step in seen]
        return _FederatedResult([answer], own, whole, wanted)
    if asked.law == "own":
        server = OwnLawServer(sites, channel)
        answers = server.answers(start, used)
        rounds = server.sites[0].told
        return _FederatedResult(
            answers, [Told(at.point.p, at.to_message, draws) for at, draws in rounds], []
        )
    server_of_all = Server(sites, channel)
    answer = server_of_all.answer(start, used)
    every = np.eye(len(start))
    # All rounds of the pseudo-likelihood, with the draws of their moments.
    told_at = [Told(p, every, draws) for p, draws in server_of_all.asked]
    return _FederatedResult([answer], told_at, told_at)


def _alone(
    name: str, problem: Problem, start: np.ndarray, used: Estimator, draws: int
) -> FederatedAnswer | None:
    """Return the answer of a site by itself, or None."""
    try:
        return fitted(problem, start, used, draws)
    except DivergenceError as error:
        print(f"{name} has no answer alone: {error}")
        return None


def _errors(
    problem: Problem, sites: Sequence[Site], found: _FederatedResult
) -> Mapping[str, float]:
    """Return the error of reconstructed observations by the systems behind the message."""
    if not can_attack(problem) or not found.told:
        print("the messages are not inverted: the scores are not quadratic in the observations")
        return {}
    first, errors = sites[0], {}
    for n in (n for n in _GROUPS if n < first.count):
        few = first.problem.of_systems(np.arange(n))
        name = f"{n} system{'s' * (n > 1)}"
        errors[name] = reconstruction_error(few, found.told, first.moments)
    errors["one site"] = reconstruction_error(first.problem, found.told, first.moments)
    if found.sum:
        errors["all sites"] = reconstruction_error(problem, found.sum, first.moments)
    return errors


def observed_sites(
    study: StudyInput, surrogate: TrainedSurrogate, stage: str
) -> tuple[Problem, dict[str, np.ndarray]]:
    """Return the problem of all sites' systems, and the rows of each site by its name.

    The rows of a site are consecutive.

    Raises
    ------
    DataError
        If a file cannot be read, or does not fit the study or the other files.
    """
    observations, files = study.stores["observations"], study.asked.files()
    if files:
        datasets = _of_files(study, files)
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


def _joined(datasets: list[xr.Dataset]) -> xr.Dataset:
    """Return the observations of all sites, one site after the other.

    A site without noise scales has the scale 1, and the replicates that a site lacks are missing.
    """
    most = max(datasets, key=lambda dataset: dataset.sizes["observation"])
    scales = [dataset.get("noise_scale") for dataset in datasets]
    joined = most.drop_dims("system")
    for name in _BY_SYSTEM:
        if name in most:
            joined[name] = (
                most[name].dims,
                np.concatenate([_rows(d, name, most) for d in datasets]),
            )
    if any(scale is not None for scale in scales):
        each = [
            np.ones(dataset.sizes["system"]) if scale is None else scale.values
            for dataset, scale in zip(datasets, scales, strict=True)
        ]
        joined["noise_scale"] = ("system", np.concatenate(each))
    return joined


def _rows(dataset: xr.Dataset, name: str, most: xr.Dataset) -> np.ndarray:
    """Return the rows of a variable, as wide as in the dataset with the most replicates."""
    values = dataset[name].values
    missing = most[name].shape[1] - values.shape[1]
    own = _LACKING.get(name, np.nan)
    return np.pad(values, [(0, 0), (0, missing)], constant_values=own)


def _simulated(study: StudyInput, problem: Problem, sizes: list[int]) -> Problem:
    """Return the problem with newly simulated systems, from a law of each site.

    The known quantities of the systems stay.
    """
    alpha, gamma = parameters_of(study.stores["population"])
    population, model = study.law.law(study.forward), study.forward.model(study.seed)
    spread = law_spread(study.law, study.forward)
    laws = site_laws(alpha, spread, len(sizes), study.asked.shift, study.seed)
    parts, rows = [], np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    for site, (law, own) in enumerate(zip(laws, rows, strict=True)):
        stage, count = f"federated/{site}", len(own)
        z = parameters(population, law, study.seed, stage, count, problem.known.of(own))
        signal = torch.from_numpy(problem.replicated(model.solve(z, stage).observations))
        e = standard_normal_rows(study.seed, f"{stage}/noise", 0, *signal.shape)
        with torch.no_grad():
            noisy = problem.observed(torch.from_numpy(gamma), signal, torch.from_numpy(e), own)
        y = noisy.numpy()
        if not np.isfinite(y).all():
            raise SolverError(
                f"Site {site + 1}: {int(np.isnan(y).any(axis=1).sum())} of {count} systems were "
                "not solved. Its law may be too far from the recovered one: lower "
                "'downstream.federated.shift'."
            )
        parts.append(y)
    return replace(problem, data=np.concatenate(parts))
