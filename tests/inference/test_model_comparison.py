"""The table of models: criteria, paired differences, and real data against closed forms."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from popinv.errors import DataError
from popinv.inference.checks.model_comparison import (
    check_same_observations,
    compare,
    information_criteria,
)
from popinv.judgement.comparison import explained, rows_of

OXBOYS = Path(__file__).parents[2] / "config/examples/real_data/Oxboys.csv"


def boys() -> list[tuple[np.ndarray, np.ndarray]]:
    """Return age and height of each boy."""
    rows = defaultdict(list)
    with OXBOYS.open(newline="") as lines:
        for row in csv.DictReader(lines):
            rows[row["Subject"]].append((float(row["age"]), float(row["height"])))
    return [tuple(np.array(each).T) for each in rows.values()]


def boys_likelihood(model: str) -> tuple[float, int]:
    """Return the maximum of the log likelihood by SciPy, and the number of parameters.

    Heights are normal: mean a + b age, covariance X D X^T + s^2 I.
    """
    free = {"correlated": 6, "independent": 5, "one_slope": 4}[model]

    def negative(q: np.ndarray) -> float:
        deviations, correlation = np.array([np.exp(q[2]), 0.0]), 0.0
        if model != "one_slope":
            deviations[1] = np.exp(q[4])
        if model == "correlated":
            correlation = np.tanh(q[5])
        between = np.outer(deviations, deviations) * np.array([[1, correlation], [correlation, 1]])
        total = 0.0
        for age, height in boys():
            design = np.column_stack([np.ones_like(age), age])
            covariance = design @ between @ design.T + np.exp(2 * q[3]) * np.eye(len(age))
            total -= multivariate_normal.logpdf(height, design @ q[:2], covariance)
        return total

    first = np.array([149.4, 6.5, 2.0, -0.4, 0.5, 0.5])[:free]
    found = minimize(negative, first, method="Nelder-Mead", options={"maxiter": 60})
    found = minimize(negative, found.x, method="BFGS", options={"gtol": 1e-3})
    return -float(found.fun), free


def scores(values, **attrs):
    """Return the scores of a study."""
    values = np.asarray(values, dtype=float)
    about = {
        "reason": "",
        "law": "normal",
        "noise": "isotropic",
        "estimator": "likelihood",
        "parameters": 4,
        "log_likelihood": -100.0,
        "log_likelihood_error": 0.01,
        "systems": len(values),
        "folds": 5,
        "refitted": 5,
    }
    return xr.Dataset(
        {
            "log_score": ("heldout_system", values),
            "normal_score": ("heldout_system", values - 1.0),
        },
        attrs={**about, **attrs},
    )


def test_criteria_count_parameters_and_systems():
    aic, bic = information_criteria(-362.984, 6, 26)
    assert aic == pytest.approx(725.968 + 12)
    assert bic == pytest.approx(725.968 + 6 * np.log(26))


@pytest.mark.full
def test_the_criteria_of_the_heights_of_boys():
    """The table of docs/studies/boys_heights.md, by a program of its own."""
    table = {name: boys_likelihood(name) for name in ("correlated", "independent", "one_slope")}
    assert table["correlated"][0] == pytest.approx(-362.984, abs=0.005)
    assert table["independent"][0] == pytest.approx(INDEPENDENT, abs=0.005)
    assert table["one_slope"][0] == pytest.approx(ONE_SLOPE, abs=0.005)


INDEPENDENT, ONE_SLOPE = -369.510, -470.285


def test_differences_are_paired_over_systems():
    rng = np.random.default_rng(1)
    common, small = 5 * rng.standard_normal(50), 0.1 * rng.standard_normal((2, 50))
    table = compare(
        {
            "close": scores(common - 0.005 + small[0]),
            "good": scores(common),
            "poor": scores(common - 0.2 + small[1], log_likelihood=-110.0, parameters=6),
        }
    )
    assert list(table["models"])[2] == "poor"
    verdicts = {name: row["verdict"] for name, row in table["models"].items()}
    assert sorted(verdicts.values()) == ["best", "close", "worse"]
    poor, best = table["models"]["poor"], next(iter(table["models"]))
    values = {"close": common - 0.005 + small[0], "good": common}[best]
    behind = values - (common - 0.2 + small[1])
    assert poor["score_difference"] == pytest.approx(behind.mean())
    # Not the spread of the systems, which is fifty times as large.
    assert poor["score_difference_error"] == pytest.approx(behind.std(ddof=1) / np.sqrt(50))
    assert poor["aic_difference"] == pytest.approx(20 + 4)
    assert poor["bic_difference"] == pytest.approx(20 + 2 * np.log(50))
    assert table["scored_by"] == "likelihood"
    assert "5 folds" in explained(table)[0]
    assert rows_of(table)[0][0] == "model"


def test_all_models_are_scored_by_the_normal_law_if_one_has_no_other_score():
    without = scores([1.0, 2.0, 3.5], reason="its draws do not count")
    without["log_score"] = without["log_score"] * np.nan
    without.attrs |= {"log_likelihood": np.nan, "log_likelihood_error": np.nan}
    table = compare({"one": scores([1.0, 2.0, 3.0]), "other": without})
    assert table["scored_by"] == "normal law"
    assert "other: its draws do not count" in table["scored_by_reason"]
    assert table["models"]["one"]["score"] == pytest.approx(1.0)
    other = table["models"]["other"]
    assert other["aic"] is None
    assert other["bic_difference"] is None
    assert table["models"]["one"]["aic_difference"] == 0.0
    assert "pseudo-likelihood" in explained(table)[0]


def observations(y, tested, folds=5):
    return xr.Dataset(
        {
            "y": (("system", "observation"), np.asarray(y, dtype=float)),
            "y_heldout": (("heldout_system", "observation"), np.asarray(tested, dtype=float)),
        },
        attrs={"folds": folds},
    )


def test_other_observations_are_refused():
    y = np.arange(6.0).reshape(3, 2)
    y[0, 0] = np.nan
    same = {"a": observations(y, y), "b": observations(y, y)}
    check_same_observations(same)
    changed = y.copy()
    changed[2, 1] = 9.0
    with pytest.raises(DataError, match=r"'a' and 'b'.*to learn from.*system 2.*\(5 and 9\)"):
        check_same_observations({"a": observations(y, y), "b": observations(changed, y)})
    with pytest.raises(DataError, match="to test on"):
        check_same_observations({"a": observations(y, y), "b": observations(y, changed)})
    with pytest.raises(DataError, match="3 systems of 2 and 2 systems of 2"):
        check_same_observations({"a": observations(y, y), "b": observations(y[:2], y)})
    with pytest.raises(DataError, match="folds"):
        check_same_observations({"a": observations(y, y), "b": observations(y, y, 1)})
