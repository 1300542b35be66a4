"""Gather a round's chunks, count failures, and judge the last surrogate on the fresh solves."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from popinv.errors import DataError
from popinv.population.model import Model
from popinv.surrogate.collect import Thresholds, check_failures, collect, failure_counts, judge

__all__ = ["collect_solves"]


def _check_alike(chunks: Sequence[xr.Dataset], seed: int) -> None:
    """Refuse chunks of another study; a chunk that was not stored yet has no attributes."""
    first = chunks[0].attrs
    for number, chunk in enumerate(chunks):
        if chunk.attrs.get("seed", seed) != seed:
            what = f"with seed {chunk.attrs['seed']}, and this study has {seed}"
        elif chunk.attrs.get("config") != first.get("config"):
            what = "with another simulator than chunk 0"
        else:
            continue
        raise DataError(
            f"chunk {number} of the solves was made {what}. Delete its store in the folder "
            "'chunks' of the round, and run again."
        )


def collect_solves(
    chunks: Sequence[xr.Dataset],
    *,
    seed: int,
    round_name: str,
    failure_budget: float,
    model: Model | None = None,
    thresholds: Thresholds | None = None,
    previous_solves: xr.Dataset | None = None,
    previous_surrogate: xr.Dataset | None = None,
    previous_estimate: xr.Dataset | None = None,
    previous_observations: xr.Dataset | None = None,
) -> xr.Dataset:
    """Return the record of all solves so far.

    Parameters
    ----------
    chunks : sequence of Dataset
        The fresh solves, from :func:`popinv.forward.stages.solve_chunk.solve_chunk`.
    seed, round_name : int, str
        Address of the random draws.
    failure_budget : float
        Share of the fresh solves that may fail.
    model, thresholds : Model, Thresholds
        What the last surrogate is judged with. The first round has no surrogate to judge.
    previous_solves, previous_surrogate, previous_estimate, previous_observations : Dataset
        What the last surrogate was made of and for.

    Raises
    ------
    SolverError
        If more solves failed than the budget allows.
    DataError
        If a chunk was made with another seed, or with another simulator than the first.
    """
    _check_alike(chunks, seed)
    fresh = collect(chunks)
    print(f"{fresh.sizes['sample']} solves; failed: {failure_counts(fresh) or 'none'}")
    check_failures(fresh, failure_budget)
    if (
        model is None
        or thresholds is None
        or previous_solves is None
        or previous_surrogate is None
        or previous_estimate is None
        or previous_observations is None
    ):
        return fresh
    # These are imported here, as the first round needs no tensor library.
    # `popinv.workflow.selection` names them.
    from popinv.inference.build import descent_problem
    from popinv.inference.surrogate_push import surrogate_push
    from popinv.surrogate.artefact import surrogate_of

    surrogate = surrogate_of(previous_surrogate)
    problem = descent_problem(model, previous_observations, surrogate, seed, f"push/{round_name}")
    judged = judge(
        fresh,
        previous_solves,
        surrogate,
        previous_estimate,
        thresholds,
        surrogate_push(problem, previous_estimate),
    )
    for name, unit in (("error", "noise standard deviations"), ("push", "standard errors")):
        told = ", ".join(f"{e:.3f}" for e in judged[f"surrogate_{name}"].values)
        print(f"surrogate {name} on fresh solves, in {unit}: {told}")
    return judged
