"""Estimate the population through the round's surrogate, for the next round's solves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from popinv.population.model import Model

if TYPE_CHECKING:
    from popinv.surrogate.simulator import TrainedSurrogate


# Starts in addition to the study's own.
_FURTHER_STARTS = 3


def update_population(
    model: Model,
    observations: xr.Dataset,
    surrogate: xr.Dataset | TrainedSurrogate,
    previous_estimate: xr.Dataset | None = None,
    *,
    seed: int,
    round_number: int,
    device: str = "cpu",
) -> xr.Dataset:
    """Return the estimate of a round, by the pseudo-likelihood.

    Parameters
    ----------
    surrogate : Dataset or TrainedSurrogate
        The surrogate of the round, or the forward model itself in its place. If the surrogate was
        passed on, so is the last estimate.
    previous_estimate : Dataset, optional
        The estimate of the last round.
    seed, round_number : int
        Address of the random draws.
    device : {"cpu", "auto", "cuda"}
    """
    if previous_estimate is not None and _passed_on(surrogate):
        print("the last estimate is kept")
        return previous_estimate.assign_attrs(converged=1)
    # These are imported here, as passing on needs no tensor library.
    from popinv.inference.answer.result import estimate_dataset, estimate_of
    from popinv.inference.answer.stated_values import in_words
    from popinv.inference.density.build import descent_problem, start
    from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood, promising_starts
    from popinv.inference.integrate.model_moments import FEWEST_DRAWS, draws_for
    from popinv.surrogate.artefact import surrogate_of
    from popinv.surrogate.simulator import is_exact

    through = surrogate_of(surrogate, device)
    problem = descent_problem(model, observations, through, seed, f"update/{round_number}")
    # An early surrogate can mislead the estimate; the study's start then corrects it.
    starts = [start(model, problem)]
    if is_exact(through):
        starts += promising_starts(problem, starts[0], _FURTHER_STARTS)
    if previous_estimate is not None:
        starts.insert(0, estimate_of(previous_estimate))
    # These draws suffice, as the estimate only chooses solves and weighs the surrogate's error.
    draws = min(FEWEST_DRAWS, draws_for(len(problem.data)))
    estimate = fit_pseudo_likelihood(problem, starts, draws=draws)
    dataset = estimate_dataset(problem, estimate, {"converged": 0})
    print(in_words(problem, estimate.p))
    return dataset


def _passed_on(surrogate: xr.Dataset | TrainedSurrogate) -> bool:
    return isinstance(surrogate, xr.Dataset) and bool(surrogate.attrs["converged"])
