"""Moments, quantiles and correlations of a law with intervals, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from popinv.inference.answer.law_summary import law_summary, summary_names
from popinv.population.constraints import POSITIVE, REAL
from popinv.population.laws.free_form import FreeFormLaw

LAW = FreeFormLaw(["clearance", "volume"], [POSITIVE, REAL], 5, 1.0, True)
COUNT = len(LAW.names)
SYSTEMS = 400


def alpha_of(b: float = 0.0) -> np.ndarray:
    alpha = np.zeros(COUNT)
    alpha[:4] = [0.5, -1.0, np.log(0.8), np.log(2.0)]
    alpha[LAW.names.index("volume_on_clearance_linear")] = b / 2
    return alpha


def test_names_are_those_of_the_parameters():
    names = summary_names(LAW)
    assert names[:3] == ("clearance_skewness", "clearance_quantile_05", "clearance_quantile_25")
    assert names[-1] == "clearance_volume_correlation"


def test_a_normal_law_has_the_quantiles_and_correlation_of_the_normal_law():
    summary = law_summary(LAW, alpha_of(0.75))
    values = dict(zip(summary.names, summary.values, strict=True))
    for name, level in (("quantile_05", 0.05), ("median", 0.5), ("quantile_95", 0.95)):
        z = stats.norm.ppf(level)
        assert np.log(values[f"clearance_{name}"]) == pytest.approx(0.5 + 0.8 * z, abs=0.02)
        assert values[f"volume_{name}"] == pytest.approx(-1.0 + 2.0 * z, abs=0.05)
    # b / sqrt(1 + b^2); matched draws have the covariance I exactly.
    assert values["clearance_volume_correlation"] == pytest.approx(0.6, abs=1e-9)
    assert values["clearance_skewness"] == pytest.approx(0.0, abs=1e-9)
    assert np.isnan(summary.lower).all()


def test_the_quantiles_of_a_symmetric_law_are_symmetric():
    # The draws come in pairs of opposite signs, so that this holds to rounding.
    summary = law_summary(LAW, alpha_of())
    values = dict(zip(summary.names, summary.values, strict=True))
    for low, high in (("05", "95"), ("25", "75")):
        both = values[f"volume_quantile_{low}"] + values[f"volume_quantile_{high}"]
        assert both == pytest.approx(-2.0, abs=1e-9)


def test_intervals_are_those_of_the_delta_method():
    rng = np.random.default_rng(1)
    root = 0.05 * rng.standard_normal((COUNT, COUNT))
    # Only moments and the linear coefficient are uncertain, whose derivatives are known.
    linear = LAW.names.index("volume_on_clearance_linear")
    known = [0, 1, 2, 3, linear]
    covariance = np.zeros((COUNT, COUNT))
    covariance[np.ix_(known, known)] = (root @ root.T)[np.ix_(known, known)]
    summary = law_summary(LAW, alpha_of(0.75), covariance, SYSTEMS)
    place = {name: i for i, name in enumerate(summary.names)}
    student = stats.t.ppf(0.975, SYSTEMS - 1)

    slope = np.zeros(COUNT)
    slope[[0, 2]] = 1.0, 0.8 * stats.norm.ppf(0.95)
    i = place["clearance_quantile_95"]
    half = np.log(summary.upper[i] / summary.lower[i]) / 2
    assert half == pytest.approx(student * np.sqrt(slope @ covariance @ slope), rel=0.03)

    # atanh r = asinh b, and alpha holds b / 2.
    i = place["clearance_volume_correlation"]
    half = (np.arctanh(summary.upper[i]) - np.arctanh(summary.lower[i])) / 2
    error = 2 / np.sqrt(1 + 0.75**2) * np.sqrt(covariance[linear, linear])
    assert half == pytest.approx(student * error, rel=0.01)


def test_skewness_of_an_exponential_map_is_that_of_the_shifted_lognormal_law():
    law = FreeFormLaw(["a"], [REAL], 25, 1.0, True)
    # A logarithmic slope 0.3 omega is the map exp(0.3 omega) / 0.3, up to its ends.
    places = np.linspace(-3, 3, 25)
    whole = np.concatenate([[-3] * 2, places, [3] * 2])
    greville = np.array([whole[j + 1 : j + 3].mean() for j in range(26)])
    basis = law._map.basis.numpy()
    alpha = np.zeros(len(law.names))
    alpha[2:] = np.linalg.lstsq(
        basis - basis.mean(axis=0), 0.3 * (greville - greville.mean()), rcond=None
    )[0]
    s2 = 0.3**2
    wanted = (np.exp(s2) + 2) * np.sqrt(np.exp(s2) - 1)
    summary = law_summary(law, alpha)
    assert summary.values[0] == pytest.approx(wanted, abs=0.06)
