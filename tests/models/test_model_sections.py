"""The sections of the models: what they refuse, and what follows from them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from popinv.config.loading import load
from popinv.errors import ConfigError
from popinv.forward.section import forward_section

TRUTH = {
    "law": {"mean": 0.5, "standard_deviation": 0.4, "length": 0.3},
    "noise": {"amplitude": 0.1, "length": 0.1},
}


def refused(**forward: Any) -> str:
    given = {"kind": "porous_flow", **forward}
    with pytest.raises(ConfigError) as error:
        load({"studies": {"a": {"forward": given, "observations": {"truth": TRUTH}}}}, "test")
    return str(error.value)


@pytest.mark.parametrize("outside", [0.0, 1.0, -0.1, 1.5, np.nan])
def test_a_sensor_outside_is_refused_by_place(outside: float) -> None:
    message = refused(sensors={"positions": [[0.5], [outside], [0.7]]})
    assert "forward.sensors.positions[1]" in message
    message = refused(dimension=2, sensors={"positions": [[0.5, 0.5], [0.1, 0.2], [0.5, outside]]})
    assert "forward.sensors.positions[2]" in message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("dimension", 3, "dimension"),
        ("elements", 2, "elements"),
        ("elements", 10.5, "elements"),
        ("field", "cosin", "Did you mean 'cosine'"),
        ("nonlinearity", "powr", "Did you mean 'power'"),
        ("exponent", 0.0, "exponent"),
        ("exponent", 3.0, "only 'nonlinearity: power' has an exponent"),
        ("sharpness", 3.0, "only 'field: level_set' has a sharpness"),
        ("sharpness", -1.0, "sharpness"),
        ("source", np.nan, "source"),
        ("sensors", {"positions": []}, "sensors"),
        ("sensors", {"positions": [[0.5, 0.5]]}, "in 1 dimension"),
    ],
)
def test_keys_that_make_no_sense_are_refused(key: str, value: Any, message: str) -> None:
    assert message in refused(**{key: value})


def test_a_section_that_contradicts_itself_is_told_once_without_its_consequences() -> None:
    message = refused(dimension=2, modes=1, sensors={"positions": [0.5, 0.6]})
    assert "3 problems" in message
    assert "at least 2 in 2-D" in message
    assert "positions[0]" in message
    assert "positions[1]" in message


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize(
    ("kind", "field"),
    [("porous_flow", "cosine"), ("porous_flow", "level_set"), ("elastodynamics", "cosine")],
)
def test_the_parameters_begin_with_those_of_the_field(
    kind: str, field: str, dimension: int
) -> None:
    section = forward_section({"kind": kind, "dimension": dimension, "field": field, "modes": 3})
    random_field = section.random_field()
    assert random_field is not None
    assert random_field.dimension == dimension
    names = section.parameter_names()
    own = tuple(parameter.name for parameter in random_field.parameters)
    assert names == (*own, *section.beside_field())


def test_a_uniform_stiffness_is_no_field() -> None:
    assert forward_section({"kind": "elastodynamics"}).random_field() is None


def test_sections_are_light_and_only_the_kind_asked_for_describes_itself() -> None:
    code = """
import sys
from popinv.forward.section import forward_section
section = forward_section({"kind": "porous_flow", "dimension": 2})
section.parameters(), section.observed(1), section.cost()
heavy = {"torch", "numba", "xarray", "zarr", "scipy", "matplotlib", "firedrake"}
print(sorted(heavy & set(sys.modules)), "popinv_models.porous_flow.model" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"
