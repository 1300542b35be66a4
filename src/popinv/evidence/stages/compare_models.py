"""Compare several models of the same observations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from popinv.inference.checks.model_comparison import check_same_observations, compare


def compare_models(
    scores: Mapping[str, xr.Dataset], observations: Mapping[str, xr.Dataset]
) -> dict[str, Any]:
    """Return the table of the comparison of several studies.

    Parameters
    ----------
    scores : mapping of str to Dataset
        The scores of the tested systems, by study.
    observations : mapping of str to Dataset
        The observations of the same studies.

    Raises
    ------
    DataError
        If the studies have different observations.
    """
    check_same_observations(observations)
    return compare(scores)
