"""The solves of a round as one stage: propose parameters, solve, and judge the last surrogate."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import xarray as xr

from popinv.forward.stages.solve_chunk import solve_chunk
from popinv.inference.stages.collect_solves import collect_solves
from popinv.population.stages.propose_parameters import propose_parameters

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection
    from popinv.population.laws.section import LawSection
    from popinv.population.model import Model
    from popinv.surrogate.collect import Thresholds


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
    thresholds: Thresholds | None = None,
    observations: xr.Dataset | None = None,
    previous_solves: xr.Dataset | None = None,
    previous_surrogate: xr.Dataset | None = None,
    previous_estimate: xr.Dataset | None = None,
    previous_observations: xr.Dataset | None = None,
) -> xr.Dataset:
    """Return the record of all solves so far, those of this round included.

    Parameters
    ----------
    forward, law : ForwardSection, LawSection
    seed, round_name : int, str
        Address of the random draws.
    samples, candidates : int
        As of :func:`popinv.population.stages.propose_parameters.propose_parameters`. Of candidates,
        the last surrogate chooses.
    failure_budget : float
        Share of the solves that may fail.
    chunk_size : int, optional
        Number of systems that are solved together; all of them by default.
    model, thresholds : Model, Thresholds
        What the last surrogate is judged with. The first round has none to judge.
    observations : Dataset, optional
        The observed systems, where they have a design or covariates.
    previous_solves, previous_surrogate, previous_estimate, previous_observations : Dataset
        The artefacts of the last round, and the observations it was for.

    Raises
    ------
    SolverError
        If more solves failed than the budget allows.
    """
    choose = None
    if candidates and previous_surrogate is not None:
        # Plain draws need no surrogate.
        from popinv.surrogate.gaussian_process.acquisition import chosen_rows

        choose = partial(chosen_rows, previous_surrogate)
    proposals = propose_parameters(
        forward,
        law,
        previous_estimate,
        observations,
        seed=seed,
        round_name=round_name,
        samples=samples,
        candidates=candidates,
        choose=choose,
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
