"""Gather a round's chunks, count failures, and judge the last surrogate on the fresh solves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from popinv.errors import DataError
from popinv.population.model import Model
from popinv.sections.base import plain
from popinv.store.rows import rows_of
from popinv.store.storage import config_differences
from popinv.surrogate.collect import Thresholds, check_failures, collect, failure_counts, judge

_REMEDY = "Delete the folder 'chunks' of the round, and run again."


def _check_made(chunks: Sequence[xr.Dataset], seed: int, solver: Mapping[str, Any]) -> None:
    """Refuse chunks whose stores say that another seed, simulator or code made them."""
    wanted = {"seed": seed, **plain(solver)}
    for number, chunk in enumerate(chunks):
        made = {"seed": chunk.attrs.get("seed"), **json.loads(chunk.attrs.get("config", "{}"))}
        # The names are compared one by one only if something differs.
        if made != wanted and (differing := config_differences(made, wanted)):
            raise DataError(
                f"chunk {number} of the solves was made with other settings:\n"
                + "\n".join(f"  {line}" for line in differing)
                + f"\n{_REMEDY}"
            )


def _check_proposed(chunks: Sequence[xr.Dataset], proposals: xr.Dataset) -> None:
    """Refuse chunks whose parameters differ from the proposed ones, in their order."""
    wanted, start = rows_of(proposals["z"].variable), 0
    for number, chunk in enumerate(chunks):
        z = chunk["z"].values
        if not np.array_equal(z, wanted[start : start + len(z)], equal_nan=True):
            raise DataError(
                f"chunk {number} of the solves has other parameters than were proposed. {_REMEDY}"
            )
        start += len(z)
    if start != len(wanted):
        raise DataError(
            f"the chunks hold {start} solves, and {len(wanted)} were proposed. {_REMEDY}"
        )


def collect_solves(
    chunks: Sequence[xr.Dataset],
    *,
    seed: int,
    round_name: str,
    failure_budget: float,
    solver: Mapping[str, Any] | None = None,
    proposals: xr.Dataset | None = None,
    model: Model | None = None,
    thresholds: Mapping[str, float] | None = None,
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
    solver : mapping, optional
        The settings that the stores of the chunks record. Chunks that were never stored record
        nothing.
    proposals : Dataset, optional
        The parameters that were to be solved, ``z`` along ``sample``.
    model : Model, optional
        The model that judges the last surrogate. The first round has no surrogate to judge.
    thresholds : mapping of str to float, optional
        Limits for a good surrogate, as :meth:`popinv.config.study.Study.surrogate_thresholds`
        states them.
    previous_solves, previous_surrogate, previous_estimate, previous_observations : Dataset
        The data and the estimate of the last surrogate.

    Raises
    ------
    SolverError
        If more solves failed than the budget allows.
    DataError
        If a chunk was made with another seed, simulator or code, or of other parameters.
    """
    if solver is not None:
        _check_made(chunks, seed, solver)
    if proposals is not None:
        _check_proposed(chunks, proposals)
    fresh = collect(chunks)
    failed = failure_counts(fresh)
    solves = f"{fresh.sizes['sample']} solves, {f'failed: {failed}' if failed else 'none failed'}"
    print(solves)
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
    from popinv.inference.density.build import descent_problem
    from popinv.inference.uncertainty.scores import surrogate_push
    from popinv.surrogate.artefact import surrogate_of

    surrogate = surrogate_of(previous_surrogate)
    problem = descent_problem(model, previous_observations, surrogate, seed, f"push/{round_name}")
    judged = judge(
        fresh,
        previous_solves,
        surrogate,
        previous_estimate,
        Thresholds(**thresholds),
        surrogate_push(problem, previous_estimate) if problem.solves_show_error else None,
    )
    if not fresh.sizes["sample"]:
        print("no further solves, as the surrogate is good enough")
        return judged
    if getattr(surrogate, "exact", False):
        print(f"{solves}; there is no surrogate")
        return judged
    if problem.noise.intrinsic:
        error = float(judged["surrogate_error"].values[-1])
        print(f"{solves}; the systematic error of the learned mean is {error:.2g} deviations")
        return judged
    error, push = (float(judged[f"surrogate_{name}"].values[-1]) for name in ("error", "push"))
    moves = f"moves the estimate by {push:.2g} standard errors"
    if np.isnan(push):
        moves = "its effect on the estimate is not known, as few whole groups were solved"
    print(f"{solves}; the surrogate's error is {error:.2g} noise standard deviations and {moves}")
    return judged
