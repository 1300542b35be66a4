"""The verdict of a trial: whether a run would stop, what to look at first, and its time."""

from __future__ import annotations

import math

import numpy as np

from popinv.cli.solve_costs import all_solves, duration
from popinv.config.study import Study
from popinv.forward.base import Solutions
from popinv.forward.checks import too_many_failed
from popinv.observation_files.table import ObservationTable
from popinv.workflow.preflight import stages

# Largest observations of the simulator and of the data that differ by this factor are called so.
_FAR = 100.0
# The exponential of a larger number overflows.
_LARGEST_LOGARITHM = 700.0


def verdict(
    study: Study, solutions: Solutions, table: ObservationTable | None, seconds: float
) -> list[str]:
    """Return lines with the verdict on a study.

    Parameters
    ----------
    solutions : Solutions
        Of the systems that were tried.
    table : ObservationTable or None
        The observations from a file; None if they are synthetic.
    seconds : float
        Measured time of a solve.
    """
    failed, tried = int(solutions.failed.sum()), len(solutions.failed)
    budget = study.active_learning.failure_budget
    tolerated = f"a round tolerates a share of {budget:g} (active_learning.failure_budget)"
    if too_many_failed(failed, tried, budget):
        return [
            f"verdict: a run would stop if as many fail there: {failed} of {tried} solves failed, "
            f"and {tolerated}. Correct the simulator for these parameters, start the law where it "
            "works (law.start, law.spread), or raise the tolerated share"
        ]
    solved = solutions.observations[~solutions.failed]
    if len(solved) > 1 and not np.ptp(solved, axis=0).any():
        return [
            f"verdict: nothing can be learned: the {len(solved)} systems have other parameters, "
            "but all of them have the same observations. Let the simulator use its parameters "
            "(the columns of z)"
        ]
    whole = sum(stage.jobs * stage.demand.seconds for stage in stages(study, seconds))
    solves = all_solves(study)
    took = (
        f"the whole study takes at most about {duration(whole)} of one core, of which its "
        f"{solves:,} solves take {duration(solves * seconds)}"
    )
    lines = [f"{failed} of {tried} solves failed; {tolerated}, so that a run goes on"]
    far = _far(study, solved, table)
    last = f"verdict: look at the ranges first; {took}" if far else f"verdict: it can run; {took}"
    return [*(lines if failed else []), *far, last]


def _far(study: Study, solved: np.ndarray, table: ObservationTable | None) -> list[str]:
    """Return a line if the largest observations of simulator and data are far apart."""
    if table is None:
        return []
    largest = [float(np.nanmax(np.abs(values))) for values in (solved, table.values)]
    if study.forward.observed(study.seed or 0).logarithm:
        tops = ends_of(solved)[1], ends_of(table.values)[1]
        largest = [math.exp(min(top, _LARGEST_LOGARITHM)) for top in tops]
    of_simulator, of_data = largest
    if of_data / _FAR < of_simulator < of_data * _FAR:
        return []
    return [
        f"the ranges differ by more than a factor of {_FAR:g}: the largest observation of the "
        f"simulator is {of_simulator:,.3g}, of the data {of_data:,.3g}. Compare the units, "
        "and the order of the parameters; if they are right, start the law nearer to the data "
        "(law.start), or spread the first solves less (law.spread)"
    ]


def ends_of(values: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest value."""
    return float(np.nanmin(values)), float(np.nanmax(values))
