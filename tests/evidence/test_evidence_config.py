"""The section ``evidence`` of a study, and what the workflow makes of it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from popinv.config.loading import load
from popinv.config.study import Study
from popinv.errors import ConfigError
from popinv.workflow.rounds import solve_count

STUDY: dict[str, Any] = {
    "forward": {"kind": "porous_flow", "sensors": {"positions": [0.2, 0.5, 0.8]}},
    "observations": {
        "truth": {
            "law": {"mean": 0.5, "standard_deviation": 0.4, "length": 0.3},
            "noise": {"amplitude": 0.1, "length": 0.1},
        }
    },
}


def complete(**sections: Any) -> Study:
    study = copy.deepcopy(STUDY) | sections
    return load({"studies": {"s": study}}).studies["s"]


def test_there_is_none_by_default():
    study = complete()
    assert study.evidence.figures() == []
    assert study.evidence.calibration_blocks() == 0


def test_rounds_of_the_evidence_have_their_sizes():
    study = complete(
        evidence={"system_counts": [30, 60, 100], "repeats": 3, "design_counts": [50, 90]}
    )
    assert solve_count(study, "fixed") == 90
    assert solve_count(study, "systems_100") == 300
    assert study.evidence.figures() == ["evidence_error_against_systems", "evidence_designs"]


def test_replications_are_shared_out_once_each():
    study = complete(evidence={"calibration": 13, "calibration_block": 5})
    shares = [
        study.evidence.replications(block) for block in range(study.evidence.calibration_blocks())
    ]
    assert shares == [(0, 5), (5, 5), (10, 3)]
    assert study.evidence.figures() == ["evidence_calibration"]


@pytest.mark.parametrize(
    ("evidence", "parts"),
    [
        ({"system_counts": [100, 30, 60]}, ["evidence.system_counts", "[100, 30, 60]", "ascend"]),
        ({"system_counts": [30, 60]}, ["evidence.system_counts", "at least three"]),
        ({"design_counts": [40, 40]}, ["evidence.design_counts", "each given once"]),
        ({"design_counts": [40]}, ["evidence.design_counts", "at least two"]),
        ({"system_counts": [3, 30]}, ["evidence.system_counts[0]", "3", "10"]),
        ({"through": "solve"}, ["evidence.through", "solver"]),
        ({"system_count": [30, 60]}, ["Did you mean 'system_counts'?"]),
    ],
)
def test_faults_are_named(evidence, parts):
    with pytest.raises(ConfigError) as caught:
        complete(evidence=evidence)
    for part in parts:
        assert part in str(caught.value)


def test_a_study_of_a_file_has_no_truth_to_compare_with():
    of_file = {"observations": {"file": "y.csv"}}
    assert complete(**of_file).evidence.figures() == []
    with pytest.raises(ConfigError, match=r"system_counts\n.*observations of a file \('y.csv'\)"):
        complete(evidence={"system_counts": [30, 100]}, **of_file)
    # Calibration takes its truths from the answer.
    calibrated = complete(evidence={"calibration": 4}, **of_file)
    assert calibrated.evidence.figures() == ["evidence_calibration"]
