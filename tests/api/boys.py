"""The heights of 26 boys from Oxford on nine occasions, and straight lines for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fitted import fitted
from study_sections import moments

import popinv
from popinv.api import fit as fits
from popinv.inference.estimators import fit_marginal, fit_pseudo
from popinv.inference.integrate import model_moments
from popinv.inference.stages import update_population
from popinv.inference.uncertainty import distance_influence

FILE = Path(__file__).parents[2] / "config/examples/real_data/Oxboys.csv"
LAW: dict[str, Any] = {
    "kind": "normal",
    "correlations": True,
    "start": moments(intercept=(150.0, 10.0), slope=(5.0, 3.0)),
}
NOISE = {"kind": "isotropic", "start": {"standard_deviation": 1.0}}
COLUMNS = {"system_column": "Subject", "time_column": "age", "value_column": "height"}
# The keywords of the fits of the pages.
KEYS: dict[str, Any] = {
    "law": LAW,
    "noise": NOISE,
    "parameters": ["intercept [cm]", "slope [cm]"],
    "observations": {"units": "cm"},
    **COLUMNS,
}
# Numbers of draws and starts as users have them, which some tests lower.
_NUMBERS = [
    (module, name, getattr(module, name))
    for module, name in (
        (model_moments, "FEWEST_DRAWS"),
        (fit_marginal, "_FEW_DRAWS"),
        (fit_pseudo, "_CANDIDATES"),
        (update_population, "_FURTHER_STARTS"),
        (distance_influence, "_DRAWS"),
        (distance_influence, "_DIRECTIONS"),
    )
]
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
    return fits.fit(heights, line, **KEYS, progress=False, **options)


def answer(tests: bool) -> popinv.Result:
    """Return the fit of a page, which all tests share."""

    def made() -> popinv.Result:
        with pytest.MonkeyPatch.context() as patch:
            for number in _NUMBERS:
                patch.setattr(*number)
            return fit(table(), tests=tests)

    result = fitted("boys" if tests else "boys_without_tests", made, line)
    # A fit has no name.
    result.name = ""
    return result


def fit_of_page(heights: pd.DataFrame, function: Any, tests: bool = True, **keys: Any) -> Any:
    """Return the shared fit in place of ``popinv.fit``, for the same arguments alone."""
    pd.testing.assert_frame_equal(heights, table())
    z = torch.tensor([[150.0, 5.0], [140.0, 6.0]])
    torch.testing.assert_close(function(z, np.arange(9.0)), line(z, np.arange(9.0)))
    assert keys == KEYS
    return answer(tests)
