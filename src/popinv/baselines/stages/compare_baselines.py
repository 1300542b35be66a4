"""Put the study's answer, its oracles and its baselines into one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from popinv.baselines.comparison import comparison


def compare_baselines(
    observations: xr.Dataset,
    check: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    seconds: Mapping[str, float],
    **answers: xr.Dataset,
) -> dict[str, dict[str, Any]]:
    """Return errors, cost and estimates of each method.

    Parameters
    ----------
    observations, check : Dataset
        The study's observations, and its record of solves.
    truth : Dataset, optional
        Without it there are no errors.
    seconds : mapping of str to float
        Wall-clock time of each method.
    **answers : Dataset
        The answer of each method.
    """
    return comparison(
        {name: answers[name] for name in seconds},
        seconds,
        systems=observations.sizes["system"],
        solver_calls=int(check["solver_calls"].sum()),
        truth=truth,
    )
