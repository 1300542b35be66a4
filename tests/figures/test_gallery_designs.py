"""Pictures of porous samples with loads, sensors and covariates of their own."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from tiers import parameters

from popinv.charts.matplotlib_writer import drawn
from popinv.config.loading import load
from popinv.figures.stages.draw_systems import draw_systems
from popinv.forward.stages.solve_chunk import solve_chunk
from popinv.population.laws.section import law_values
from popinv.population.model import Model
from popinv.population.stages.draw_population import draw_population
from popinv.population.stages.observe_population import observe_population

pytestmark = pytest.mark.firedrake

PLACE = {"uniform": [0.1, 0.9]}
LAW = {"mean": 0.5, "standard_deviation": 0.4, "length": 0.3, "mean_porosity_coefficient": 8.0}


def observed(dimension):
    """Return the study, its solves and its observations."""
    places = {f"{axis}_{j}": PLACE for axis in ("x", "y")[:dimension] for j in (1, 2, 3)}
    forward = {
        "kind": "porous_flow",
        "dimension": dimension,
        "elements": 40 if dimension == 1 else 8,
        "modes": 4,
        "sensors": {"count": 3},
        "design": ["source", "sensors"],
    }
    study = {
        "forward": forward,
        "law": {"kind": "matern_field", "covariates": {"mean": ["porosity"]}},
        "observations": {
            "count": 30,
            "heldout": 10,
            "known": {"source": {"uniform": [5, 15]}, "porosity": {"normal": [0.2, 0.05]}} | places,
            "truth": {"law": LAW, "noise": {"standard_deviation": 0.01}},
        },
    }
    (made,) = load({"studies": {"s": study}}).studies.values()
    truth = made.law.replace(start=made.observations.truth.law)
    drawn = draw_population(made.forward, truth, made.observations, seed=1, samples=40)
    solves = solve_chunk(made.forward, drawn, seed=1, round_name="truth")
    model = Model(made.forward, made.law, made.noise)
    seen, _ = observe_population(model, made.observations, solves, seed=1)
    return made, model, solves, seen


@parameters("dimension", [2], full=[1])
def test_each_system_shows_its_own_sensors_under_its_own_load(dimension):
    made, model, solves, seen = observed(dimension)
    alpha = law_values(made.law, {**LAW}, made.forward)
    answer = xr.Dataset({"alpha": ("p", alpha), "gamma": ("g", np.log([0.01]))})
    pictures = [
        drawn(draw_systems(model, seen, solves, seed=1)),
        drawn(draw_systems(model, seen, None, answer, seed=1)),
    ]
    design = seen["design"].values[:, 1:]
    for figure in pictures:
        if dimension == 2:
            assert len(figure.axes) > 4
            continue
        lines = [ax.lines for ax in figure.axes if len(ax.lines) == 2]
        # The readings are near the curve of the pressure, at places of the design.
        assert len(lines) == 5
        for curve, dots in lines:
            x, y = (np.asarray(values) for values in dots.get_data())
            assert np.abs(design - x).max(axis=1).min() < 1e-12
            assert np.abs(np.interp(x, *curve.get_data()) - y).max() < 0.06
