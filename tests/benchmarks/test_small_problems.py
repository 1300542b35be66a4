"""The quadrature beside which likelihoods of small problems are put, against closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from benchmarks.small_problems import quadrature


def test_the_quadrature_of_lines_is_the_normal_density():
    rng, times = np.random.default_rng(1), np.array([8.0, 10.0, 12.0, 14.0])
    numbers = {
        "intercept_mean": 17.0,
        "slope_mean": 0.6,
        "intercept_standard_deviation": 2.0,
        "slope_standard_deviation": 0.3,
        "intercept_slope_correlation": -0.6,
        "noise_standard_deviation": 1.2,
    }
    y = 17.0 + 0.6 * times + rng.normal(size=(5, 4))
    table = pd.DataFrame(
        {"Subject": np.repeat(np.arange(5), 4), "age": np.tile(times, 5), "distance": y.ravel()}
    )
    cross = -0.6 * 2.0 * 0.3
    design = np.column_stack([np.ones(4), times])
    covariance = design @ np.array([[4.0, cross], [cross, 0.09]]) @ design.T + 1.44 * np.eye(4)
    expected = multivariate_normal.logpdf(y, design @ [17.0, 0.6], covariance).sum()
    assert quadrature("Orthodont", table, numbers) == pytest.approx(expected, abs=1e-5)
