"""`popinv.fit` of systems that are observed at times of their own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import optimize
from scipy.stats import multivariate_normal
from study_sections import moments
from tiers import parameters

import popinv

LAW = {
    "kind": "normal",
    "start": moments(level=(1.0, 0.5), slope=(0.0, 0.5)),
}


def line(z, times):
    """Return level + slope t, for times (k,) or (n, k)."""
    return z[:, :1] + z[:, 1:] * torch.as_tensor(times)


def line_of_one_table(z, times):
    """Return the same for times (k,) alone."""
    t = torch.as_tensor(times)
    return torch.stack([z[:, 0] + z[:, 1] * each for each in t], dim=1)


def table(count: int) -> pd.DataFrame:
    """Return systems with two to four observations each, all at different times."""
    rng = np.random.default_rng(7)
    rows = []
    for system in range(count):
        count = 2 + system % 3
        times = np.sort(rng.choice(np.arange(400), count, replace=False)) / 100 + system / 1e4
        level, slope = rng.normal([1.5, -0.4], [0.4, 0.3])
        y = level + slope * times + 0.2 * rng.normal(size=count)
        rows += [{"system": system, "time": t, "y": v} for t, v in zip(times, y, strict=True)]
    return pd.DataFrame(rows)


def minus_log_likelihood(p: np.ndarray, data: pd.DataFrame, correlated: bool = False) -> float:
    """Return that of means, logarithms of two deviations and of the noise, and of its length."""
    total, (system, time, y) = 0.0, data.to_numpy().T
    for own in range(int(system[-1]) + 1):
        t = time[system == own]
        A = np.column_stack([np.ones(len(t)), t])
        noise = np.exp(2 * p[4]) * np.eye(len(t))
        if correlated:
            noise = np.exp(2 * p[4]) * np.exp(-np.abs(t[:, None] - t) / np.exp(p[5]))
        covariance = A @ np.diag(np.exp(2 * p[2:4])) @ A.T + noise
        total -= multivariate_normal(A @ p[:2], covariance).logpdf(y[system == own])
    return total


# The function of one table is called for all times of all systems.
@parameters("function, count", [(line_of_one_table, 8)], full=[(line, 12)])
def test_the_fit_is_the_maximum_of_the_closed_form(function, count):
    data = table(count)
    assert data["time"].nunique() == len(data)
    result = popinv.fit(
        data, function, law=LAW, noise="isotropic", system_column="system", time_column="time",
        value_column="y", tests=False, progress=False,
    )  # fmt: skip
    best = optimize.minimize(
        minus_log_likelihood, [1.5, -0.4, -1.0, -1.0, -1.5], args=(data,), method="BFGS"
    )
    likelihood = result.artefacts["likelihood"]
    p = np.concatenate([likelihood["alpha"].values, likelihood["gamma"].values])
    errors = np.sqrt(np.diag(likelihood["covariance"].values))
    assert np.all(np.abs(p - best.x) < 0.05 * errors)
    assert result.metrics["log_likelihood"] == pytest.approx(-best.fun, abs=0.05)
    # Figures and tables have all times.
    assert result.population["noise_covariance"].shape == (data["time"].nunique(),) * 2
    assert str(result).startswith(f"{count} systems with 2 to 4 observations each.")
    # Two times at which no system was observed together have no empirical covariance.
    assert "noise_covariance" in result.plot("noise_covariance")


@pytest.mark.full
def test_correlated_noise_at_own_times_is_the_maximum_of_the_closed_form():
    data = table(12)
    start = {"amplitude": 0.2, "length": 0.5}
    result = popinv.fit(
        data, line, law=LAW, noise={"kind": "kernel", "kernel": "exponential", "start": start},
        system_column="system", time_column="time", value_column="y", tests=False, progress=False,
    )  # fmt: skip
    best = optimize.minimize(
        minus_log_likelihood, [1.5, -0.4, -1.0, -1.0, -1.5, -1.0], args=(data, True), method="BFGS"
    )
    likelihood = result.artefacts["likelihood"]
    p = np.concatenate([likelihood["alpha"].values, likelihood["gamma"].values])
    # The length is hardly determined, and the likelihood is flat along it.
    assert minus_log_likelihood(p, data, True) == pytest.approx(best.fun, abs=0.02)
    assert result.metrics["log_likelihood"] == pytest.approx(-best.fun, abs=0.05)
