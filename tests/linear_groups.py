"""Sites of samples that answer linearly, and the exact maximum of their likelihood.

Sample m of site s has the observations ``y = a + b dose t + noise`` at four times, with

    a = mean + coefficient w + effect of the site + effect of the sample,    b = mean + effect.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

import popinv

TIMES = np.array([0.0, 0.5, 1.0, 1.5])
LAW: dict[str, Any] = {
    "kind": "normal",
    "covariates": {"a": ["w"]},
    "start": {
        "a": {"mean": 0.5, "standard_deviation": 1.0},
        "b": {"mean": 1.5, "standard_deviation": 0.5},
    },
    "levels": [{"site": ["a"]}, {"sample": ["a", "b"]}],
}
NAMES = (
    "a_mean",
    "b_mean",
    "a_w_coefficient",
    "a_site_standard_deviation",
    "a_sample_standard_deviation",
    "b_sample_standard_deviation",
    "noise_standard_deviation",
)
TRUTH = np.array([1.0, 2.0, 0.3, 0.8, 0.5, 0.3, 0.2])
# Arguments of popinv.fit.
COLUMNS = {"time_column": "t", "value_column": "y", "design": ["dose"]}


def solve(z: np.ndarray, design: np.ndarray, times: Any) -> np.ndarray:
    """Return the observations of each sample."""
    return z[:, :1] + z[:, 1:2] * design * np.asarray(times)


def differentiable(z: torch.Tensor, design: torch.Tensor, times: Any) -> torch.Tensor:
    """Return the same by torch."""
    return z[:, :1] + z[:, 1:2] * design * torch.as_tensor(times)


def fit(data: pd.DataFrame) -> popinv.Result:
    """Return the fit of a long table, without tests."""
    keys = {"noise": "isotropic", "tests": False, "progress": False, **COLUMNS}
    return popinv.fit(data, differentiable, law=LAW, **keys)


def table(sites: int, seed: int) -> pd.DataFrame:
    """Return a long table of sites with two to five samples each."""
    rng, rows = np.random.default_rng(seed), []
    a, b, coefficient, site, sample, slope, noise = TRUTH
    for s in range(sites):
        effect = site * rng.standard_normal()
        for m in range(rng.integers(2, 6)):
            dose, w = rng.uniform(0.5, 1.5), rng.standard_normal()
            own_a = a + coefficient * w + effect + sample * rng.standard_normal()
            own_b = b + slope * rng.standard_normal()
            y = own_a + own_b * dose * TIMES + noise * rng.standard_normal(4)
            rows += [(f"s{s}", f"m{m}", t, dose, w, v) for t, v in zip(TIMES, y, strict=True)]
    return pd.DataFrame(rows, columns=["site", "sample", "t", "dose", "w", "y"])


def log_likelihood(values: np.ndarray, data: pd.DataFrame) -> float:
    """Return log p(y) at values in the order of ``NAMES``; w counts from its mean."""
    a, b, coefficient, site, sample, slope, noise = values
    samples = data.drop_duplicates(["site", "sample"])
    w, total = data["w"] - samples["w"].mean(), 0.0
    for _, rows in data.assign(w=w).groupby("site"):
        x = (rows["dose"] * rows["t"]).to_numpy()
        same = np.equal.outer(rows["sample"].to_numpy(), rows["sample"].to_numpy())
        covariance = site**2 + same * (sample**2 + slope**2 * np.outer(x, x))
        covariance = covariance + noise**2 * np.eye(len(rows))
        mean = a + coefficient * rows["w"].to_numpy() + b * x
        total += multivariate_normal.logpdf(rows["y"].to_numpy(), mean, covariance)
    return float(total)


def maximum(data: pd.DataFrame) -> tuple[np.ndarray, float]:
    """Return the values at the maximum of the likelihood, and its logarithm there."""

    def values(p: np.ndarray) -> np.ndarray:
        return np.concatenate([p[:3], np.exp(p[3:])])

    start = np.concatenate([TRUTH[:3], np.log(TRUTH[3:])])
    found = minimize(lambda p: -log_likelihood(values(p), data), start, options={"gtol": 1e-4})
    return values(found.x), -float(found.fun)
