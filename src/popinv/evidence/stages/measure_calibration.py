"""Compute the coverage of the intervals, and the ratio of the errors to the bound."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from popinv.evidence.calibration import calibration, calibration_metrics


def measure_calibration(blocks: Sequence[xr.Dataset]) -> tuple[xr.Dataset, dict[str, float | int]]:
    """Return the replications, joined and counted, and the calibration of each parameter.

    Parameters
    ----------
    blocks : sequence of Dataset
        From :func:`popinv.evidence.stages.replicate_study.replicate_study`.
    """
    measured = calibration(blocks)
    return measured, calibration_metrics(measured)
