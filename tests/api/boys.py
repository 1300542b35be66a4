"""The heights of 26 boys from Oxford on nine occasions, and straight lines for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import popinv

FILE = Path(__file__).parents[2] / "config/examples/real_data/Oxboys.csv"
LAW: dict[str, Any] = {
    "kind": "normal",
    "correlations": True,
    "start": {
        "intercept": {"mean": 150.0, "standard_deviation": 10.0},
        "slope": {"mean": 5.0, "standard_deviation": 3.0},
    },
    "spread": 0.3,
}
NOISE = {"kind": "isotropic", "start": {"standard_deviation": 1.0}}
# Maximum of the Gaussian likelihood by SciPy, in the unconstrained coordinates: means, logarithms
# of deviations, atanh of the correlation, logarithm of the noise.
CLOSED_FORM = [149.3718, 6.5255, *np.log([7.9240, 1.6467]), np.arctanh(0.6418), np.log(0.6599)]


def table() -> pd.DataFrame:
    """Return the data with a row for each height."""
    return pd.read_csv(FILE)


def wide() -> pd.DataFrame:
    """Return the data with a row for each boy and a column for each age."""
    return table().pivot(index="Subject", columns="age", values="height")


def line(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    """Return the heights of boys at all times, for intercepts and slopes (n, 2)."""
    return z[:, :1] + z[:, 1:] * torch.as_tensor(times)


def fit(heights: pd.DataFrame, **options: Any) -> popinv.Result:
    """Return the fit of straight lines to rows of :func:`table`."""
    return popinv.fit(
        heights,
        line,
        law=LAW,
        noise=NOISE,
        parameters=["intercept [cm]", "slope [cm]"],
        observations={"units": "cm", "long_name": "height"},
        system_column="Subject",
        time_column="age",
        value_column="height",
        progress=False,
        **options,
    )
