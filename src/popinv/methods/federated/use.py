"""The use on a study: sites infer law and noise together, and an observer reads their messages."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from popinv.errors import DataError, DivergenceError
from popinv.inference.build import start as start_of
from popinv.inference.problem import Problem
from popinv.inference.result import draws_of_answer, parameter_names
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
from popinv.methods.federated.data import observed_sites
from popinv.methods.federated.noisy import Guarantee, NoisyServer, guarantee
from popinv.methods.federated.own_laws import OwnLawServer
from popinv.methods.federated.reference import fitted, jointly, nothing_divided
from popinv.methods.federated.server import Answer, Server
from popinv.methods.federated.site import Estimator, Site, sites_of
from popinv.methods.outcome import Outcome, StudyInput, write_table
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads

if TYPE_CHECKING:
    from popinv.methods.federated.section import Federated

STAGE = "federated"
# Systems behind a message, of which the observations are reconstructed.
_GROUPS = (1, 2, 10)


@dataclass(frozen=True)
class _Found:
    """The federated answer of each site (one if they share the law), and the rounds to attack.

    ``told`` are the rounds of the first site as an observer of its own message sees them, and
    ``sum`` those of the sum.
    """

    answers: list[Answer]
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
    """Refuse noise of the messages if the systems differ in what is known of them."""
    if asked.noise is not None and problem.conditions is not None:
        raise DataError(
            "downstream.federated.noise: the systems have noise scales, gaps, limits or known "
            "quantities of their own, and the server cannot know their information without "
            "observations; leave the noise out"
        )


def _federated(
    study: StudyInput, sites: Sequence[Site], channel: Channel, start: np.ndarray, used: Estimator
) -> _Found:
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
        return _Found([answer], own, whole, wanted)
    if asked.law == "own":
        server = OwnLawServer(sites, channel)
        answers = server.answers(start, used)
        rounds = server.sites[0].told
        return _Found(answers, [Told(at.point.p, at.to_message, draws) for at, draws in rounds], [])
    server_of_all = Server(sites, channel)
    answer = server_of_all.answer(start, used)
    every = np.eye(len(start))
    # All rounds of the pseudo-likelihood, with the draws of their moments.
    told_at = [Told(p, every, draws) for p, draws in server_of_all.asked]
    return _Found([answer], told_at, told_at)


def _alone(
    name: str, problem: Problem, start: np.ndarray, used: Estimator, draws: int
) -> Answer | None:
    """Return the answer of a site by itself; None if it has none."""
    try:
        return fitted(problem, start, used, draws)
    except DivergenceError as error:
        print(f"{name} has no answer alone: {error}")
        return None


def _errors(problem: Problem, sites: Sequence[Site], found: _Found) -> Mapping[str, float]:
    """Return the error of reconstructed observations by what is behind the message."""
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
