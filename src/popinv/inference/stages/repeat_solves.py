"""Solve some systems repeatedly from other initial states, for the sampling error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.inference.answer.result import parameters_of
from popinv.inference.uncertainty.sampling_error import sampling_error_dataset
from popinv.population.members import known_of_members
from popinv.population.synthetic import parameters

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection
    from popinv.population.laws.section import LawSection


def repeat_solves(
    forward: ForwardSection,
    law: LawSection,
    observations: xr.Dataset,
    distance: xr.Dataset,
    *,
    seed: int,
    repeats: int,
    systems: int,
) -> xr.Dataset:
    """Return the covariance of the forward model's sampling error.

    Parameters
    ----------
    forward, law : ForwardSection, LawSection
    observations : Dataset
        Observations of the systems whose known quantities the solved systems take in turns.
    distance : Dataset
        The estimate of the descent; the systems are drawn from its law.
    seed, repeats, systems : int
        The study's seed, solves of each system, and number of systems.
    """
    alpha, _ = parameters_of(distance)
    known = known_of_members(observations).in_turns(systems)
    z = parameters(law.law(forward), alpha, seed, "repeat", systems, known)
    solver = forward.model(seed)
    solves = [solver.solve(z, f"repeat/{repeat}") for repeat in range(repeats)]
    failed = sum(int(solutions.failed.sum()) for solutions in solves)
    print(f"{repeats} solves of {systems} systems each, {failed} failed")
    y = np.array([solutions.observations for solutions in solves])
    return sampling_error_dataset(y, z if forward.is_random() else None)
