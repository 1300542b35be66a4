"""From the configuration to sensors and forward models."""

from __future__ import annotations

import numpy as np
import pytest

from popinv.config.loading import as_mapping, load
from popinv.config.study import Study
from popinv.population.laws.section import law_spread, law_values
from popinv.population.synthetic import parameters

NOISE = {"amplitude": 0.1, "length": 0.1}
MATERN = {"mean": 0.5, "standard_deviation": 0.4, "length": 0.3}
LEVEL_SET = {"inverse_length": 5.0, "permeability_1": 0.5, "permeability_2": 3.0}


LOGNORMAL = {"mean": 0.0, "standard_deviation": 0.2}
BAR = {"stiffness": LOGNORMAL, "damping": LOGNORMAL}
BAR_FIELD = {**MATERN, "beside": {"damping": LOGNORMAL}}
SCALES = dict.fromkeys(("forcing", "coupling", "time_scale", "space_scale"), LOGNORMAL)


def study(forward: dict, truth: dict, noise: dict = NOISE, **sections) -> dict:
    forward = {"kind": "porous_flow", "elements": 24, **forward}
    if forward["kind"] == "lorenz96":
        del forward["elements"]
    observations = {"truth": {"law": truth, "noise": noise}}
    given = {"forward": forward, "observations": observations, **sections}
    return as_mapping(load({"studies": {"a": given}}, "test"))["studies"]["a"]


def elastodynamics(forward: dict, truth: dict) -> dict:
    return study({"kind": "elastodynamics", **forward}, truth, {"standard_deviation": 0.1})


def lorenz96(forward: dict, truth: dict) -> dict:
    forward = {"kind": "lorenz96", "spin_up": 1.0, "window": 1.0, **forward}
    return study(forward, truth, {"standard_deviation": 0.1})


STUDIES = {
    "1d": study({"modes": 3}, MATERN),
    "2d": study({"dimension": 2, "modes": 3}, MATERN),
    "level_set": study({"modes": 3, "field": "level_set"}, LEVEL_SET),
    "level_set_2d": study({"dimension": 2, "modes": 3, "field": "level_set"}, LEVEL_SET),
    "quadratic": study({"modes": 3, "nonlinearity": "quadratic"}, MATERN),
    "power": study({"modes": 3, "nonlinearity": "power", "exponent": 2.0}, MATERN),
    "bar": elastodynamics({}, BAR),
    "bar_load": elastodynamics({"excitation": "load", "stiffness_damping": 0.001}, BAR),
    "bar_field": elastodynamics({"field": "cosine", "modes": 3}, BAR_FIELD),
    "beam": elastodynamics({"dimension": 2, "elements": 5}, BAR),
    "beam_field": elastodynamics(
        {"dimension": 2, "elements": 5, "field": "cosine", "modes": 2}, BAR_FIELD
    ),
    "beam_field_load": elastodynamics(
        {"dimension": 2, "elements": 8, "field": "cosine", "modes": 2, "excitation": "load"},
        BAR_FIELD,
    ),
    "one_scale": lorenz96({"windows": 2}, {"forcing": {"mean": 8.0, "standard_deviation": 1.0}}),
    "two_scales": lorenz96({"scales": 2, "variables": 6, "subvariables": 4}, SCALES),
}


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.firedrake
def test_every_variant_solves_what_its_law_draws(name):
    s = Study.model_validate(STUDIES[name])
    model, observations = s.forward.model(seed=1), s.forward.observed(seed=1)
    assert model.parameters == s.forward.parameters()
    np.testing.assert_array_equal(model.observations.coordinates, observations.coordinates)
    for key in ("coordinate_names", "name", "units", "long_name"):
        assert getattr(model.observations, key) == getattr(observations, key)
    drawn = s.law.law(s.forward)
    assert drawn.d_z == len(model.parameters)
    for values in (s.law.start, s.observations.truth.law):
        alpha = law_values(s.law, values, s.forward)
        assert law_spread(s.law, s.forward).shape == alpha.shape
        solutions = model.solve(parameters(drawn, alpha, 1, "test", 3))
        assert not solutions.failed.any(), solutions.reason
        assert solutions.observations.shape == (3, len(observations))
        assert s.forward.kind != "porous_flow" or np.all(solutions.observations > 0)
    assert s.noise.noise(observations).d_y == len(observations)
