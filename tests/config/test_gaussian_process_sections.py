"""A Gaussian process in the configuration: its numbers of solves and of inputs."""

from __future__ import annotations

import pytest

from popinv.config.loading import as_mapping, load
from popinv.errors import ConfigError


@pytest.fixture
def few(study):
    study["surrogate"] = {"kind": "gaussian_process"}
    study["forward"] |= {"dimension": 1}
    study["law"] = {"kind": "normal", "start": {"a": {"mean": 0.0, "standard_deviation": 1.0}}}
    study["forward"] = {
        "kind": "umbridge",
        "url": "http://localhost:4242",
        "parameters": ["a"],
        "observations": {"count": 3},
    }
    study["noise"] = {"kind": "isotropic", "start": {"standard_deviation": 0.3}}
    truth = study["observations"]["truth"]
    truth["law"] = {"a": {"mean": 0.0, "standard_deviation": 1.0}}
    truth["noise"] = {"standard_deviation": 0.1}
    return study


def test_its_numbers_of_solves_are_small_where_none_are_stated(mapping, few):
    few["active_learning"] = {"rounds": 3, "solves_per_round": 25}
    config = load(mapping)
    (study,) = config.studies.values()
    learning = study.active_learning
    assert (learning.first_design, learning.solves_per_round, learning.chunk_size) == (60, 25, 10)
    assert study.assessment.surrogate_check == 40
    assert load(as_mapping(config)) == config


def test_a_network_keeps_its_own_numbers(mapping):
    (study,) = load(mapping).studies.values()
    assert study.surrogate.kind == "network"
    assert study.active_learning.first_design == 2000
    assert study.assessment.surrogate_check == 500


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"active_learning": {"first_design": 2000}}, r"at most 1000; the rounds .* make 2160"),
        ({"forward": {"parameters": [f"p{i}" for i in range(40)]}}, r"at most 30; .* has 40"),
        ({"surrogate": {"covariance": "matérn"}}, "matern"),
        ({"surrogate": {"kind": "gausian_process"}}, r"Did you mean 'gaussian_process'\?"),
    ],
)
def test_what_is_too_much_for_it_is_refused(mapping, few, changes, message):
    for section, values in changes.items():
        few[section] = {**few.get(section, {}), **values}
    with pytest.raises(ConfigError, match=message):
        load(mapping)


def test_without_its_package_the_message_says_what_to_install(mapping, few, monkeypatch):
    monkeypatch.setattr("popinv.config.checks.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'popinv\[gaussian-process\]'"):
        load(mapping)
