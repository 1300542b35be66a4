"""The settings of federated inference: what goes together, and which files fit."""

from __future__ import annotations

import numpy as np
import pytest

from popinv.config.data_files import check_data_files
from popinv.config.loading import load
from popinv.errors import ConfigError, DataError


def test_the_defaults_divide_the_studys_systems(mapping, study):
    study["downstream"] = {"federated": {}}
    (complete,) = load(mapping).studies.values()
    asked = complete.downstream.federated
    assert (asked.sites, asked.law, asked.secure, asked.noise) == (3, "shared", True, None)
    assert asked.files() == {}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"sites": 1}, "got 1 sites, but there are from 2 to 50"),
        ({"sites": {"north": "a.csv"}}, "got 1 sites"),
        ({"sites": True}, "sites"),
        ({"sites": 26}, "the 100 systems suffice for 25 sites of 4 systems"),
        ({"sites": {"north": "a.csv", "south": "b.xlsx"}}, "got 'b.xlsx', but the name"),
        ({"law": "each"}, "shared"),
        ({"law": "own", "noise": {"epsilon": 1}}, "clipping bounds nothing"),
        ({"noise": {}}, "epsilon"),
        ({"noise": {"epsilon": 0}}, "epsilon"),
        ({"noise": {"epsilon": 1, "rounds": 0}}, "rounds"),
        ({"sites": {"north": "a.csv", "south": "b.csv"}, "shift": 1}, "sites have files"),
        ({"secure": "yes"}, "secure"),
    ],
)
def test_what_cannot_be_is_refused(mapping, study, asked, message):
    study["downstream"] = {"federated": asked}
    with pytest.raises(ConfigError, match=message):
        load(mapping)


def test_files_of_sites_are_checked_before_any_work(mapping, study, in_folder):
    study["downstream"] = {"federated": {"sites": {"north": "north.csv", "south": "south.csv"}}}
    config = load(mapping)
    (complete,) = config.studies.values()
    width = len(complete.forward.observed(0))
    rows = np.random.default_rng(0).standard_normal((5, width))
    np.savetxt("north.csv", rows, delimiter=",")
    with pytest.raises(DataError, match=r"downstream.federated: 'south': south.csv"):
        check_data_files(config)
    np.savetxt("south.csv", rows[:, 1:], delimiter=",")
    with pytest.raises(DataError, match=rf"'south': south.csv: has {width - 1} columns"):
        check_data_files(config)
    np.savetxt("south.csv", rows, delimiter=",")
    check_data_files(config)
