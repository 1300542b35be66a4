"""The key ``noise.discrepancy`` where each system has sensors at places of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.interpolate import CubicSpline

from popinv.charts.description import Line
from popinv.config.loading import load
from popinv.errors import ConfigError
from popinv.figures.arrangement import Arrangement
from popinv.figures.discrepancy import discrepancy_panel
from popinv.population.known import known_of
from popinv.population.model import Model
from popinv.population.noise.knots import KNOTS
from popinv.population.synthetic_observed import observed_systems


def study(discrepancy: dict[str, Any], dimension: int = 1, true: Any = None) -> dict[str, Any]:
    """Return a configuration of porous samples, each with three sensors of its own."""
    axes = ("x", "y")[:dimension]
    known = {f"{a}_{j}": {"uniform": [0.1, 0.9]} for j in (1, 2, 3) for a in axes}
    start = {"mean": 0.0, "standard_deviation": 1.0, "length": 0.5}
    return {
        "studies": {
            "samples": {
                "forward": {
                    "kind": "porous_flow",
                    "dimension": dimension,
                    "design": ["sensors"],
                    "sensors": {"count": 3},
                },
                "law": {"kind": "matern_field", "start": start},
                "noise": {"kind": "isotropic", "discrepancy": discrepancy},
                "observations": {
                    "known": known,
                    "truth": {"law": start, "noise": {"standard_deviation": 0.1} | (true or {})},
                },
            }
        }
    }


@pytest.mark.parametrize("kernel", ["matern52", "squared_exponential"])
def test_a_smooth_discrepancy_lives_on_knots(kernel):
    found = load(study({"shared": {"kernel": kernel}})).studies["samples"]
    noise = found.noise.model(found.forward.observed(0), ("porosity",))
    assert noise.shared is not None
    assert noise.d_y == 3
    assert noise.shared.coordinates.shape == (KNOTS, 1)
    # The places follow the covariates.
    assert (noise.shared.sensors.first, noise.shared.sensors.count) == (1, 3)


def test_a_true_discrepancy_has_a_value_at_each_knot():
    load(study({"shared": {"kernel": "matern52"}}, true={"discrepancy": [0.1] * KNOTS}))
    with pytest.raises(ConfigError, match=f"there are {KNOTS} knots"):
        load(study({"shared": {"kernel": "matern52"}}, true={"discrepancy": [0.1] * 3}))


def test_synthetic_systems_have_the_error_at_their_own_sensors():
    knots = np.linspace(0.0, 1.0, KNOTS)
    values, found = np.sin(2 * np.pi * knots), []
    for true in (np.zeros(KNOTS), values):
        config = study({"shared": {"kernel": "matern52"}}, true={"discrepancy": true.tolist()})
        samples = load(config).studies["samples"]
        model = Model(samples.forward, samples.law, samples.noise)
        clean = np.zeros((5, 3))
        found.append(observed_systems(model, samples.synthetic(), clean, seed=1, stage="truth"))
    x = found[0]["design"].values
    error = found[1]["y"].values - found[0]["y"].values
    np.testing.assert_allclose(error, CubicSpline(knots, values)(x), atol=1e-10)
    # The places stand among the covariates, where the noise reads them.
    np.testing.assert_array_equal(known_of(found[0]).covariates.numpy(), x)


def test_the_figure_draws_the_error_over_the_knots():
    knots, ends = np.linspace(0.0, 1.0, KNOTS), ("", "_lower", "_upper", "_joint_lower")
    values = np.sin(knots)
    population = xr.Dataset(
        {f"discrepancy{end}": ("knot", values) for end in (*ends, "_joint_upper")},
        coords={"knot": knots},
    )
    panel = discrepancy_panel(population, Arrangement((), "number"), "1")
    lines = [mark for mark in panel.marks if isinstance(mark, Line)]
    np.testing.assert_array_equal(lines[0].x, knots)
    np.testing.assert_array_equal(lines[0].y, values)
