"""The configuration of elastodynamics: its defaults, laws and refusals, and what they describe."""

from __future__ import annotations

import numpy as np
import pytest

from popinv.config.loading import as_mapping, load
from popinv.errors import ConfigError
from popinv.forward.section import forward_section

DAMPING = {"mean": -1.0, "standard_deviation": 0.3}
STIFFNESS = {"mean": 0.2, "standard_deviation": 0.4}
UNIFORM = {"stiffness": STIFFNESS, "damping": DAMPING}
RANDOM = {"mean": 0.2, "standard_deviation": 0.4, "length": 0.3, "beside": {"damping": DAMPING}}


def study(forward=None, truth=None, **sections):
    forward = {"kind": "elastodynamics", **(forward or {})}
    if truth is None:
        truth = RANDOM if forward.get("field") == "cosine" else UNIFORM
    observations = {"truth": {"law": truth, "noise": {"standard_deviation": 0.05}}}
    given = {"forward": forward, "observations": observations, **sections}
    return as_mapping(load({"studies": {"a": given}}, "test"))["studies"]["a"]


def test_defaults():
    s = study()
    assert s["law"]["kind"] == "lognormal"
    assert s["noise"]["kind"] == "isotropic"
    assert s["forward"]["sensors"]["positions"] == [[0.3], [0.6], [0.9]]
    assert forward_section(s["forward"]).random_field() is None
    assert (s["forward"]["amplitude"], s["forward"]["duration"]) == (1.0, 8.0)
    beam = study({"dimension": 2, "excitation": "load", "field": "cosine"})
    assert beam["law"]["kind"] == "matern_field"
    assert list(beam["law"]["start"]["beside"]) == ["damping"]
    assert beam["forward"]["sensors"]["positions"] == [[0.3, 0.5], [0.6, 0.5], [0.9, 0.5]]
    assert (beam["forward"]["amplitude"], beam["forward"]["duration"]) == (0.01, 60.0)
    assert forward_section(beam["forward"]).random_field().quantity == "logarithm of the stiffness"


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("kind", ["none", "cosine"])
def test_observations_are_laid_out_place_by_place(dimension, kind):
    section = forward_section(study({"dimension": dimension, "field": kind, "times": 7})["forward"])
    described = section.observed(2)
    assert section.observation_count() == len(described) == 21
    assert section.time_count() == 7
    # Place-major, time fastest, from the first interval to the end.
    times = described.coordinates[:, -1].reshape(3, 7)
    np.testing.assert_allclose(times, np.tile(section.duration * np.arange(1, 8) / 7, (3, 1)))
    assert tuple(described.coordinate_names) == (("x", "t") if dimension == 1 else ("x", "y", "t"))


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        ({"excitation": "pul"}, "excitation"),
        ({"amplitude": 0.0}, "amplitude"),
        ({"height": 0.1}, "only 'dimension: 2' has this key"),
        ({"poisson_ratio": 0.2}, "only 'dimension: 2' has this key"),
        ({"dimension": 2, "poisson_ratio": 0.5}, "poisson_ratio"),
        ({"field": "cosine", "elements": 4, "modes": 5}, "lower 'modes' or raise 'elements'"),
        ({"dimension": 2, "field": "cosine", "modes": 1}, "at least 2 in 2-D"),
        ({"sensors": {"positions": [[0.2, 0.3]]}}, "in 1 dimension"),
        ({"duratoin": 3.0}, "Did you mean 'duration'"),
        ({"steps": 0}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"times": 0}, "times"),
        ({"elements": 2}, "elements"),
        ({"dimension": 3}, "dimension"),
        ({"field": "cosin"}, "Did you mean 'cosine'"),
        ({"dimension": 2, "height": 0.0}, "height"),
        ({"amplitude": np.inf}, "amplitude"),
        ({"stiffness_damping": -1.0}, "stiffness_damping"),
        ({"duration": 0.0}, "duration"),
        ({"sensors": {"positions": [[0.5], [1.0]]}}, r"positions\[1\]"),
    ],
)
def test_what_makes_no_sense_is_refused(forward, words):
    with pytest.raises(ConfigError, match=words):
        study(forward)


def test_a_law_of_a_field_needs_a_field():
    with pytest.raises(ConfigError, match=r"law\.kind"):
        study({}, law={"kind": "matern_field"})
    with pytest.raises(ConfigError, match="damping"):
        study({"field": "cosine"}, law={"kind": "matern_field"})
