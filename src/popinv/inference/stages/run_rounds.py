"""All rounds of active learning as one stage: solve, train, estimate, and check the surrogate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import xarray as xr

from popinv.forward.stages.solve_chunk import solve_chunk
from popinv.inference.stages.collect_solves import collect_solves
from popinv.inference.stages.update_population import update_population
from popinv.surrogate.stages.propose_parameters import propose_parameters
from popinv.surrogate.stages.train_surrogate import train_surrogate

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection
    from popinv.population.laws.section import LawSection
    from popinv.population.model import Model
    from popinv.surrogate.section import SurrogateSettings


# Name of the last solves, on which the last surrogate is judged.
_CHECK = "check"


@dataclass(frozen=True)
class Round:
    """The artefacts of a round; the check at the end has only solves.

    Attributes
    ----------
    name : str
        Its number from 0, or ``check``.
    solves : Dataset
        All solves so far.
    candidates : int
        Number of draws among which the last surrogate chose the solves, 0 for none.
    judged : bool
        Whether there was a last surrogate to judge on the solves.
    """

    name: str
    solves: xr.Dataset
    candidates: int
    judged: bool
    surrogate: xr.Dataset | None = None
    estimate: xr.Dataset | None = None


def run_rounds(
    model: Model,
    surrogate: SurrogateSettings,
    observations: xr.Dataset,
    *,
    seed: int,
    samples: Mapping[str, int],
    thresholds: Mapping[str, float],
    failure_budget: float,
    recency_decay: float,
    candidates: int = 0,
    known: bool = False,
    chunk_size: int | None = None,
    device: str = "cpu",
    say: Callable[[str], object] = print,
) -> Iterator[Round]:
    """Yield the rounds, each as soon as it is done.

    Parameters
    ----------
    seed : int
        The study's seed.
    samples : mapping of str to int
        Number of solves of each round, by its name and in their order.
    thresholds : mapping of str to float
        As :meth:`popinv.config.study.Study.surrogate_thresholds` states them. A surrogate below
        them is good enough: later rounds pass it on, without solves.
    failure_budget, recency_decay, chunk_size
        As of :func:`solve_round` and
        :func:`popinv.surrogate.stages.train_surrogate.train_surrogate`.
    candidates : int
        Number of draws among which the last surrogate chooses the solves of a round, 0 for none.
    known : bool
        Whether the systems have a design or covariates, which are proposed with the parameters.
    device : {"cpu", "auto", "cuda"}
    say : callable
        Receives a sentence about the next step.

    Raises
    ------
    SolverError
        If more solves of a round failed than the budget allows.
    """
    last: dict[str, Any] = {}
    rounds = sum(name != _CHECK for name in samples)
    judging = {"model": model, "thresholds": thresholds, "previous_observations": observations}
    for name, count in samples.items():
        if name == _CHECK:
            say("solving fresh systems")
        else:
            of = f"round {int(name) + 1} of {rounds}"
            say(f"{of}: solving the forward model")
        chosen = candidates if last and name != _CHECK else 0
        solves = solve_round(
            model.forward,
            model.law,
            seed=seed,
            round_name=name,
            samples=count,
            candidates=chosen,
            failure_budget=failure_budget,
            chunk_size=chunk_size,
            observations=observations if known else None,
            **({**judging, **last} if last else {}),
        )
        if name == _CHECK:
            yield Round(name, solves, chosen, bool(last))
            continue
        number = int(name)
        say(f"{of}: training the surrogate")
        trained = train_surrogate(
            model.forward,
            model.law,
            surrogate,
            solves,
            last.get("previous_surrogate"),
            last.get("previous_estimate"),
            seed=seed,
            round_number=number,
            recency_decay=recency_decay,
            device=device,
        )
        say(f"{of}: estimating the population")
        estimate = update_population(
            model,
            observations,
            trained,
            last.get("previous_estimate"),
            seed=seed,
            round_number=number,
            device=device,
        )
        yield Round(name, solves, chosen, bool(last), trained, estimate)
        last = {
            "previous_solves": solves,
            "previous_surrogate": trained,
            "previous_estimate": estimate,
        }


def solve_round(
    forward: ForwardSection,
    law: LawSection,
    *,
    seed: int,
    round_name: str,
    samples: int,
    candidates: int,
    failure_budget: float,
    chunk_size: int | None = None,
    model: Model | None = None,
    thresholds: Mapping[str, float] | None = None,
    observations: xr.Dataset | None = None,
    previous_solves: xr.Dataset | None = None,
    previous_surrogate: xr.Dataset | None = None,
    previous_estimate: xr.Dataset | None = None,
    previous_observations: xr.Dataset | None = None,
) -> xr.Dataset:
    """Propose parameters, solve, and return the record of all solves so far.

    Parameters
    ----------
    forward, law : ForwardSection, LawSection
    seed, round_name : int, str
        Address of the random draws.
    samples, candidates : int
        As of :func:`popinv.surrogate.stages.propose_parameters.propose_parameters`.
    failure_budget : float
        Share of the solves that may fail.
    chunk_size : int, optional
        Number of systems that are solved together; all of them by default.
    model, thresholds : Model, mapping of str to float
        The model and limits that judge the last surrogate. The first round has no surrogate to
        judge.
    observations : Dataset, optional
        The observed systems, where they have a design or covariates.
    previous_solves, previous_surrogate, previous_estimate, previous_observations : Dataset
        The artefacts of the last round, and the observations for which they were made.

    Raises
    ------
    SolverError
        If more solves failed than the budget allows.
    """
    proposals = propose_parameters(
        forward,
        law,
        previous_estimate,
        observations,
        previous_surrogate if candidates else None,
        seed=seed,
        round_name=round_name,
        samples=samples,
        candidates=candidates,
    )
    size = chunk_size or max(1, samples)
    chunks = [
        solve_chunk(
            forward, proposals, seed=seed, round_name=round_name, chunk=chunk, chunk_size=size
        )
        for chunk in range(max(1, -(-samples // size)))
    ]
    return collect_solves(
        chunks,
        seed=seed,
        round_name=round_name,
        failure_budget=failure_budget,
        model=model,
        thresholds=thresholds,
        previous_solves=previous_solves,
        previous_surrogate=previous_surrogate,
        previous_estimate=previous_estimate,
        previous_observations=previous_observations,
    )
