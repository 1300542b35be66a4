"""Fits by restricted maximum likelihood, against nlme."""

from __future__ import annotations

import boys
import numpy as np
import pytest
from study_sections import moments
from tiers import parameters

import popinv
from popinv.errors import ConfigError

# Orthodont of R's package nlme: distances (mm) of 16 boys and 11 girls at the ages 8, 10, 12, 14.
AGES = np.array([8.0, 10.0, 12.0, 14.0])
ORTHODONT = np.array(
    [
        [26, 25, 29, 31],
        [21.5, 22.5, 23, 26.5],
        [23, 22.5, 24, 27.5],
        [25.5, 27.5, 26.5, 27],
        [20, 23.5, 22.5, 26],
        [24.5, 25.5, 27, 28.5],
        [22, 22, 24.5, 26.5],
        [24, 21.5, 24.5, 25.5],
        [23, 20.5, 31, 26],
        [27.5, 28, 31, 31.5],
        [23, 23, 23.5, 25],
        [21.5, 23.5, 24, 28],
        [17, 24.5, 26, 29.5],
        [22.5, 25.5, 25.5, 26],
        [23, 24.5, 26, 30],
        [22, 21.5, 23.5, 25],
        [21, 20, 21.5, 23],
        [21, 21.5, 24, 25.5],
        [20.5, 24, 24.5, 26],
        [23.5, 24.5, 25, 26.5],
        [21.5, 23, 22.5, 23.5],
        [20, 21, 21, 22.5],
        [21.5, 22.5, 23, 25],
        [23, 23, 23.5, 24],
        [20, 21, 22, 21.5],
        [16.5, 19, 19, 19.5],
        [24.5, 25, 28, 28],
    ]
)
GIRL = np.repeat([0.0, 1.0], [16, 11])


def test_boys_are_those_of_nlme():
    """lme(height ~ age, Oxboys, ~ age | Subject): logLik -362.0454753."""
    result = boys.fit(boys.table(), tests=False, estimator="reml")
    assert result.metrics["log_likelihood"] == pytest.approx(-362.0454753, abs=1e-3)
    assert result.metrics["aic"] == pytest.approx(736.09095, abs=2e-3)
    assert result.metrics["restricted"] == 1
    summary = result.summary()
    by_nlme = [149.3717529, 6.5254687, 8.08107723, 1.68071652, 0.64127571, 0.65988896]
    off = (summary["estimate"] - by_nlme) / summary["standard_error"]
    assert np.max(np.abs(off)) < 0.02
    errors = summary["standard_error"].values
    np.testing.assert_allclose(errors[:2], [1.5854173, 0.3363003], rtol=2e-3)
    assert "Restricted log likelihood (REML) -362.05" in repr(result)
    assert "only models with equal means" in result.check().loc["Log likelihood", "meaning"]


@pytest.mark.full
@parameters("by_sex", [False], full=[True])
def test_orthodont_is_that_of_nlme(by_sex, monkeypatch):
    """lme(distance ~ age or age * Sex, Orthodont, ~ age | Subject)."""
    law = {
        "kind": "normal",
        "correlations": True,
        "start": moments(intercept=(17.0, 2.0), slope=(0.7, 0.3)),
    }
    # The profiles of these likelihoods take long, and no interval is compared.
    monkeypatch.setattr("popinv.inference.uncertainty.profile.ILL_DETERMINED", np.inf)
    if by_sex:
        law["covariates"] = {"intercept": ["girl"], "slope": ["girl"]}
    result = popinv.fit(
        ORTHODONT,
        boys.line,
        law=law,
        noise={"kind": "isotropic", "start": {"standard_deviation": 1.5}},
        times=AGES,
        known={"girl": GIRL} if by_sex else None,
        estimator="reml",
        tests=False,
        progress=False,
    )
    if by_sex:
        value, deviations = -216.2908312, [2.40591427, 0.18043029, 1.31000463]
        slopes, correlation = [1.03210227, -0.30482955], -0.66781836
    else:
        value, deviations = -221.3183429, [2.32703385, 0.22642779, 1.31003970]
        slopes, correlation = [], -0.60933282
    assert result.metrics["log_likelihood"] == pytest.approx(value, abs=1e-3)
    table = result.summary()
    names = [n for n in table.index if n.endswith("standard_deviation")]
    off = np.log(table.loc[names, "estimate"] / deviations)
    errors = table.loc[names, "standard_error"] / table.loc[names, "estimate"]
    assert np.max(np.abs(off / errors)) < 0.02
    assert table.loc["intercept_slope_correlation", "estimate"] == pytest.approx(
        correlation, abs=0.01
    )
    found = table[table.index.str.contains("girl")]
    assert len(found) == len(slopes)
    assert np.all(np.abs(found["estimate"] - slopes) < 0.02 * found["standard_error"])


def test_what_cannot_be_restricted_is_refused():
    with pytest.raises(ConfigError, match=r"allowed: auto, .*, reml. Did you mean 'reml'"):
        popinv.fit([[1.0]], print, estimator="remle")
    with pytest.raises(ConfigError, match="the estimator 'distance': it computes no likelihood"):
        boys.fit(boys.table(), estimator="distance", polish={"restricted": True})
    transforms = {"intercept": "none", "slope": "none"}
    free = {"kind": "free_form", "transforms": transforms, "start": boys.LAW["start"]}
    with pytest.raises(ConfigError, match="a law of kind 'free_form': it has no mean"):
        popinv.fit(boys.wide(), boys.line, law=free, noise="isotropic", estimator="reml")
