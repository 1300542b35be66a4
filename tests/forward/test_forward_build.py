"""From the configuration to sensors and forward models."""

from __future__ import annotations

import numpy as np
import pytest

from popinv.config.loading import as_mapping, load
from popinv.forward.build import forward_model, observed
from popinv.forward.build import parameters as forward_parameters
from popinv.forward.section import forward_section
from popinv.population.laws.build import law, law_spread, law_values
from popinv.population.noise.build import noise

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
    "bar_field": elastodynamics({"field": "cosine", "modes": 3}, BAR_FIELD),
    "beam": elastodynamics({"dimension": 2, "elements": 5}, BAR),
    "beam_field": elastodynamics(
        {"dimension": 2, "elements": 5, "field": "cosine", "modes": 2}, BAR_FIELD
    ),
    "one_scale": lorenz96({"windows": 2}, {"forcing": {"mean": 8.0, "standard_deviation": 1.0}}),
    "two_scales": lorenz96({"scales": 2, "variables": 6, "subvariables": 4}, SCALES),
}


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.firedrake
def test_every_variant_solves_what_its_law_draws(name):
    s = STUDIES[name]
    model, observations = forward_model(s["forward"], seed=1), observed(s["forward"], seed=1)
    drawn = law(s["law"], s["forward"])
    assert drawn.d_z == len(model.parameters) == len(forward_parameters(s["forward"]))
    alpha = law_values(s["law"], s["law"]["start"], s["forward"])
    assert law_spread(s["law"], s["forward"]).shape == alpha.shape
    from popinv.population.synthetic import parameters

    solutions = model.solve(parameters(drawn, alpha, 1, "test", 3))
    assert not solutions.failed.any()
    assert solutions.observations.shape == (3, len(observations))
    if s["forward"]["kind"] == "porous_flow":
        assert np.all(solutions.observations > 0)
    assert noise(s["noise"], observations).d_y == len(observations)
    section = forward_section(s["forward"])
    assert section.parameter_names() == tuple(p.name for p in model.parameters)
    assert section.observation_count() == len(observations)
    assert section.time_count() in (None, len(set(observations.coordinates[:, -1])))
    np.testing.assert_array_equal(model.observations.coordinates, observations.coordinates)
    assert (model.observations.units, model.observations.long_name) == (
        observations.units,
        observations.long_name,
    )


def sensors(forward, seed):
    """Return the places of the sensors of a section."""
    section = forward_section(forward)
    return section.sensors.places(section.dimension, seed)


def test_random_sensors_depend_on_the_seed_and_lie_inside():
    forward = STUDIES["2d"]["forward"]
    places = sensors(forward, 1)
    assert places.shape == (50, 2)
    assert np.all((places > 0) & (places < 1))
    np.testing.assert_array_equal(places, sensors(forward, 1))
    assert not np.array_equal(places, sensors(forward, 2))


def test_regular_and_given_sensors():
    regular = study({"sensors": {"count": 4, "placement": "regular"}}, MATERN)["forward"]
    np.testing.assert_allclose(sensors(regular, 1)[:, 0], [0.125, 0.375, 0.625, 0.875])
    given = study({"sensors": {"positions": [0.7, 0.2]}}, MATERN)["forward"]
    np.testing.assert_array_equal(sensors(given, 1), [[0.7], [0.2]])
    square = {"dimension": 2, "sensors": {"count": 4, "placement": "regular"}}
    places = sensors(study(square, MATERN)["forward"], 1)
    np.testing.assert_allclose(places, [[0.25, 0.25], [0.25, 0.75], [0.75, 0.25], [0.75, 0.75]])


def test_a_spread_for_each_parameter():
    s = study(
        {},
        MATERN,
        law={
            "kind": "matern_field",
            "spread": {"mean": 1.0, "length": 0.2, "standard_deviation": 0.0},
        },
    )
    np.testing.assert_array_equal(law_spread(s["law"], s["forward"]), [1.0, 0.0, 0.2])
