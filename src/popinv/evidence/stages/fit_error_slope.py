"""Fit power laws to the errors against the number of systems."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from popinv.evidence.convergence import error_metrics


def fit_error_slope(
    errors: Sequence[xr.Dataset], *, through: str
) -> tuple[xr.Dataset, dict[str, float | int | str]]:
    """Return the errors of all data sets, and the slopes of their logarithms.

    Parameters
    ----------
    errors : sequence of Dataset
        From :func:`popinv.evidence.stages.measure_error.measure_error`, one for each size.
    through : {"surrogate", "solver"}
        The model through which the data sets were observed.
    """
    joined, metrics = error_metrics(errors)
    return joined, {**metrics, "error_observed_through": through}
