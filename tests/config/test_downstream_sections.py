"""Downstream methods in the configuration: defaults, and what goes with what."""

from __future__ import annotations

import pytest

from popinv.config.loading import as_mapping, load
from popinv.errors import ConfigError


def test_no_method_is_asked_for_by_default(mapping):
    complete = as_mapping(load(mapping))
    assert complete["downstream"] == {"size": "workstation"}
    asked = complete["studies"]["flow"]["downstream"]
    assert set(asked) == {"posterior", "bigram", "birch", "mwgrad", "sgd_dynamics"}
    assert set(asked.values()) == {None}


def test_an_empty_mapping_asks_with_the_defaults(mapping, study):
    study["downstream"] = {"posterior": {}, "mwgrad": {"systems": [3, 7]}}
    (complete,) = as_mapping(load(mapping))["studies"].values()
    assert complete["downstream"]["posterior"]["chains"] == 2
    assert complete["downstream"]["mwgrad"]["systems"] == [3, 7]
    assert complete["downstream"]["mwgrad"]["particles"] == 60


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"bigram": {}}, "reads time series"),
        ({"posteriors": {}}, "posterior"),
        ({"mwgrad": {"systems": [1]}}, "systems"),
        ({"sgd_dynamics": {"rate": 1.5}}, "rate"),
    ],
)
def test_what_cannot_be_is_refused(mapping, study, asked, message):
    study["downstream"] = asked
    with pytest.raises(ConfigError, match=message):
        load(mapping)


def test_unrestricted_noise_has_no_plain_gradient(mapping, study):
    study["noise"] = {"kind": "full"}
    study["observations"]["truth"]["noise"] = {"standard_deviation": 0.1, "correlation": 0.0}
    study["downstream"] = {"sgd_dynamics": {}}
    with pytest.raises(ConfigError, match="no plain gradient"):
        load(mapping)
