"""Train a surrogate on solves of the broad design alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from popinv.evidence.designs import train_fixed, trained_rounds
from popinv.surrogate.artefact import surrogate_dataset
from popinv.surrogate.section import SurrogateSettings

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection
    from popinv.population.laws.section import LawSection


def train_fixed_design(
    forward: ForwardSection,
    law: LawSection,
    surrogate: SurrogateSettings,
    solves: xr.Dataset,
    check: xr.Dataset,
    population: xr.Dataset,
    *,
    seed: int,
    solver_calls: int,
) -> xr.Dataset:
    """Return a surrogate trained on the first solves of the broad design.

    Parameters
    ----------
    forward, law : ForwardSection, LawSection
    solves : Dataset
        The solves of the broad design.
    check : Dataset
        The record of active learning, which says how often it trained.
    population : Dataset
        The study's answer, whose noise whitens the errors.
    seed, solver_calls : int
        The study's seed, and how many solves are used.
    """
    trainings = len(trained_rounds(check))
    trained, history = train_fixed(
        solves,
        solver_calls,
        surrogate,
        forward,
        seed,
        population,
        trainings,
        (*law.law(forward).logarithmic, *(False for _ in forward.design())),
    )
    print(f"{solver_calls} solves, trained {trainings} times")
    return surrogate_dataset(trained, history, {"solver_calls": solver_calls})
