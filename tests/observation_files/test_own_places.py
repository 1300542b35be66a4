"""Long tables whose systems have sensors at places of their own."""

from __future__ import annotations

import re

import numpy as np
import pytest

from popinv.config.loading import load
from popinv.errors import ConfigError, DataError
from popinv.observation_files.fit import read_fitting

TABLE = """sample,x,u,source,porosity
a,0.2,1.5,5,0.2
a,0.7,2.5,5,0.2
b,0.9,3.5,6,0.3
c,0.4,,7,0.1
c,0.1,4.5,7,0.1
d,0.5,5.5,8,0.4
d,0.3,6.5,8,0.4
"""


def study(keys=None, **observations):
    forward = {"kind": "porous_flow", "design": ["source", "sensors"], "sensors": {"count": 2}}
    read = {"file": "long.csv", "layout": "long", "system_column": "sample", "value_column": "u"}
    return {
        "studies": {
            "s": {
                "forward": {**forward, **(keys or {})},
                "law": {"kind": "matern_field", "covariates": {"mean": ["porosity"]}},
                "noise": {"kind": "isotropic"},
                "observations": {**read, "place_columns": ["x"], **observations},
            }
        }
    }


@pytest.fixture
def table(in_folder):
    (in_folder / "long.csv").write_text(TABLE)
    return in_folder / "long.csv"


def read(mapping):
    (made,) = load(mapping).studies.values()
    forward, law = made.forward, made.law
    names = forward.design_names(), law.covariate_names()
    return read_fitting(made.observations, forward.observed(0), *names)


def test_the_rows_of_a_system_are_its_sensors(table):
    held = read(study())
    np.testing.assert_array_equal(
        held.values, [[1.5, 2.5], [3.5, np.nan], [np.nan, 4.5], [5.5, 6.5]]
    )
    mean = np.mean([0.2, 0.7, 0.9, 0.4, 0.1, 0.5, 0.3])
    design = [[5, 0.2, 0.7], [6, 0.9, mean], [7, 0.4, 0.1], [8, 0.5, 0.3]]
    np.testing.assert_allclose(held.known.design, design, rtol=1e-15)
    np.testing.assert_allclose(held.known.covariates[:, 0], [-0.05, 0.05, -0.15, 0.15])


REPLICATED = """sample,x,y,u,source,porosity,day
a,0.2,0.1,1.5,5,0.2,one
a,0.7,0.1,2.5,5,0.2,one
a,0.7,0.1,2.6,5,0.2,two
a,0.2,0.1,1.6,5,0.2,two
b,0.9,0.3,3.5,6,0.3,one
c,0.1,0.5,4.5,7,0.1,one
c,0.1,0.4,4.6,7,0.1,one
c,0.1,0.4,4.7,7,0.1,two
d,0.5,0.2,5.5,8,0.4,one
"""


@pytest.mark.parametrize("keys", [{"replicate_column": "day"}, {"replicates": "rows"}])
def test_replicates_have_the_same_sensors_in_any_order(table, keys):
    table.write_text(REPLICATED)
    held = read(study({"dimension": 2}, place_columns=["x", "y"], missing="mask", **keys))
    # Two sensors of the first replicate, then two of the second.
    lost = np.nan
    np.testing.assert_array_equal(
        held.values,
        [
            [1.5, 2.5, 1.6, 2.6],
            [3.5, lost, lost, lost],
            [4.5, 4.6, lost, 4.7],
            [5.5, lost, lost, lost],
        ],
    )
    assert held.replicate_count == 2
    np.testing.assert_allclose(held.known.design[0], [5, 0.2, 0.1, 0.7, 0.1])
    np.testing.assert_allclose(held.known.design[2], [7, 0.1, 0.5, 0.1, 0.4])


def test_replicates_at_other_places_are_explained(table):
    table.write_text(REPLICATED.replace("a,0.2,0.1,1.6", "a,0.3,0.1,1.6"))
    with pytest.raises(DataError, match="'a' has 3 different places, but the study has 2 sensors"):
        read(study({"dimension": 2}, place_columns=["x", "y"], replicate_column="day"))


def test_places_in_two_dimensions_have_two_columns(table):
    lines = TABLE.splitlines()
    rows = [f"{line},{0.1 * i:.1f}" for i, line in enumerate(lines[1:], 1)]
    table.write_text("\n".join([f"{lines[0]},y", *rows]))
    held = read(study({"dimension": 2}, place_columns=["x", "y"]))
    np.testing.assert_allclose(held.known.design[0], [5, 0.2, 0.1, 0.7, 0.2])
    np.testing.assert_allclose(held.known.design[3], [8, 0.5, 0.6, 0.3, 0.7])


@pytest.mark.parametrize(
    ("change", "keys", "text"),
    [
        (("b,0.9", "a,0.9"), {}, "system 'a' has 3 observations, but the study has 2 sensors"),
        (("b,0.9", "b,"), {}, "line 4 has no place in the column 'x'"),
        ((",x,", ",place,"), {}, "no column 'x' (observations.place_columns)"),
    ],
)
def test_faults_of_the_table_are_explained(table, change, keys, text):
    table.write_text(TABLE.replace(*change))
    with pytest.raises(DataError, match=re.escape(text)):
        read(study(keys))


@pytest.mark.parametrize(
    ("keys", "observations", "text"),
    [
        ({}, {"place_columns": []}, "name the columns of x"),
        ({"dimension": 2}, {}, "name the columns of x and y"),
        ({"design": [], "sensors": {"positions": [0.2, 0.5]}}, {}, "the same in all systems"),
        ({}, {"layout": "wide", "value_column": None}, "times, labels and places"),
    ],
)
def test_columns_of_places_go_with_own_sensors(table, keys, observations, text):
    with pytest.raises(ConfigError, match=text):
        load(study(keys, **observations))


def test_correlated_noise_needs_the_same_places(table):
    mapping = study()
    mapping["studies"]["s"]["noise"] = {"kind": "kernel"}
    with pytest.raises(ConfigError, match="the same places in all systems"):
        load(mapping)
