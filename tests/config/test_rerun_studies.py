"""Withdrawals in the configuration: their checks, and the studies that are run again."""

from __future__ import annotations

from copy import deepcopy

import pytest
from tiny_study import TINY

from popinv.config.data_files import check_data_files
from popinv.config.loading import as_mapping, load
from popinv.errors import ConfigError, DataError


def asking(**withdrawal):
    config = deepcopy(TINY)
    config["studies"]["tiny"]["downstream"] = {"withdrawal": withdrawal}
    return config


def test_a_rerun_is_a_study_of_its_own():
    config = load(asking(systems=[3, "17"], rerun=True))
    assert list(config.studies) == ["tiny", "tiny_without"]
    own, again = config.studies.values()
    assert again.observations.without == [3, "17"]
    assert own.observations.without == []
    assert not again.downstream.asked()
    same = {"observations", "downstream"}
    assert {name: value for name, value in own if name not in same} == {
        name: value for name, value in again if name not in same
    }
    # A job reads the configuration that it is given, which holds the rerun already.
    assert load(as_mapping(config)) == config


def test_without_a_rerun_there_is_none():
    assert list(load(asking(systems=[3])).studies) == ["tiny"]


def test_a_rerun_takes_no_other_studys_name():
    config = asking(systems=[3], rerun=True)
    config["studies"]["tiny_without"] = deepcopy(TINY["studies"]["tiny"])
    with pytest.raises(ConfigError, match="tiny_without is the name of the rerun of 'tiny'"):
        load(config)


@pytest.mark.parametrize(
    ("withdrawal", "said"),
    [
        ({"rerun": True}, "`systems` names none"),
        ({"systems": [200]}, "got '200'.*numbers from 0 to 199"),
        ({"systems": [1, 1]}, "named once"),
        ({"systems": list(range(199))}, "at least 2 must be left"),
        ({"systems": ["bore_3"]}, "got 'bore_3'"),
        ({"systems": [-1]}, "systems"),
        ({"rerun": 1, "systems": [0]}, "must be true or false"),
    ],
)
def test_what_cannot_withdraw_is_refused(withdrawal, said):
    with pytest.raises(ConfigError, match=said):
        load(asking(**withdrawal))


def test_systems_that_have_withdrawn_must_have_been_there():
    config = deepcopy(TINY)
    config["studies"]["tiny"]["observations"]["without"] = [5, 250]
    with pytest.raises(ConfigError, match=r"observations.without\s.*got '250'"):
        load(config)


def test_those_who_have_withdrawn_cannot_do_so_again():
    config = asking(systems=[199])
    config["studies"]["tiny"]["observations"]["without"] = [0]
    with pytest.raises(ConfigError, match="numbers from 0 to 198"):
        load(config)


def test_numbers_that_have_changed_since_are_not_run_again():
    config = asking(systems=[5], rerun=True)
    config["studies"]["tiny"]["observations"]["without"] = [0]
    with pytest.raises(ConfigError, match="the numbers of the others have changed since"):
        load(config)


def test_names_withdraw_one_after_the_other(tmp_path):
    asked = {"withdrawal": {"systems": ["bore_3"], "rerun": True}}
    config = named_file(tmp_path, downstream=asked)
    config["studies"]["bores"]["observations"]["without"] = ["bore_7"]
    complete = load(config)
    check_data_files(complete)
    assert complete.studies["bores_without"].observations.without == ["bore_7", "bore_3"]
    assert load(as_mapping(complete)) == complete


def named_file(tmp_path, **others):
    rows = [f"bore_{n},{n % 7}.5,{n % 5}.25" for n in range(12)]
    (tmp_path / "data.csv").write_text("\n".join(["name,a,b", *rows]))
    one = {"mean": 0.0, "standard_deviation": 1.0}
    return {"studies": {"bores": {
        "forward": {"kind": "python", "function": "math:sin", "parameters": ["a", "b"],
                    "observations": {"count": 2}},
        "law": {"kind": "normal", "start": {"a": one, "b": one}},
        "noise": {"kind": "isotropic"},
        "observations": {"file": str(tmp_path / "data.csv"), "system_column": "name"},
        **others,
    }}}  # fmt: skip


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"downstream": {"withdrawal": {"systems": ["bore_33"]}}},
         r"downstream\.withdrawal\.systems: got 'bore_33'.*Did you mean 'bore_3'"),
        ({}, r"observations\.without: got 'bore_33'"),
    ],
)  # fmt: skip
def test_names_of_a_file_are_checked_before_the_run(tmp_path, place, said):
    config = named_file(tmp_path, **place)
    if not place:
        config["studies"]["bores"]["observations"]["without"] = ["bore_33"]
    with pytest.raises(DataError, match=said):
        check_data_files(load(config))


def test_names_of_a_file_may_withdraw(tmp_path):
    asked = {"withdrawal": {"systems": ["bore_3", "bore_11"]}}
    check_data_files(load(named_file(tmp_path, downstream=asked)))
