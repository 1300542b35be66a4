"""Compare the solver calls that both designs need for the same error."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from popinv.evidence.designs import design_curves, design_metrics, trained_rounds
from popinv.surrogate.artefact import surrogate_of


def compare_designs(
    active: Sequence[xr.Dataset],
    fixed: Sequence[xr.Dataset],
    check: xr.Dataset,
    population: xr.Dataset,
    *,
    solves: Sequence[int],
) -> tuple[xr.Dataset, dict[str, float | str]]:
    """Return errors against solver calls of both designs, and the savings of active learning.

    Parameters
    ----------
    active : sequence of Dataset
        The surrogate of each round.
    fixed : sequence of Dataset
        The surrogates of the broad design.
    check, population : Dataset
        The record of solves, and the study's answer.
    solves : sequence of int
        Number of solves on which each surrogate of the broad design was trained.
    """
    curves = design_curves(
        check,
        population["noise_covariance"].values,
        [surrogate_of(active[number]) for number in trained_rounds(check)],
        {n: surrogate_of(each) for n, each in zip(solves, fixed, strict=True)},
    )
    return curves, design_metrics(curves)
