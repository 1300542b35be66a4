"""The key ``noise.discrepancy``: what it adds to the noise, and which values it takes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from flow_study import message

from popinv.config.loading import load

STUDY: dict[str, Any] = {
    "forward": {
        "kind": "executable",
        "command": ["./simulate", "{input}", "{output}"],
        "parameters": ["a"],
        "observations": {"times": [0.1, 0.2, 0.4, 0.8]},
    },
    "law": {"kind": "normal", "start": {"a": {"mean": 0.0, "standard_deviation": 1.0}}},
    "noise": {"kind": "isotropic", "discrepancy": {"shared": "free"}},
    "observations": {
        "truth": {
            "law": {"a": {"mean": 0.0, "standard_deviation": 1.0}},
            "noise": {"standard_deviation": 0.1, "discrepancy": [0.0, 0.1, 0.0, -0.1]},
        },
    },
}


def changed(*changes: tuple[str, Any]) -> dict[str, Any]:
    """Return a configuration with the study, some of its keys set; None removes one."""
    study = copy.deepcopy(STUDY)
    for path, value in changes:
        *sections, key = path.split(".")
        place = study
        for section in sections:
            place = place.setdefault(section, {})
        if value is None:
            del place[key]
        else:
            place[key] = value
    return {"studies": {"decay": study}}


def test_the_section_gives_the_noise_with_its_mean():
    study = load(changed()).studies["decay"]
    noise = study.noise.model(study.forward.observed(0))
    assert noise.shared is not None
    assert noise.shared.kernel is None
    assert noise.names[:2] == ("standard_deviation", "discrepancy_amplitude")
    gamma = noise.from_natural(study.noise.start_values())
    assert noise.to_natural(gamma)[2:].tolist() == [0.0] * 4
    assert study.noise.units("discrepancy_amplitude", study.forward.observed(0)) == "1"
    true = noise.from_natural(study.observations.truth.noise)
    assert noise.to_natural(true)[2:] == pytest.approx([0.0, 0.1, 0.0, -0.1])


def test_a_process_has_a_length_and_an_own_part_two_more_unknowns():
    both = {"shared": {"kernel": "matern32"}, "own": {"start": {"amplitude": 0.2}}}
    mapping = changed(
        ("noise.discrepancy", both),
        ("observations.truth.noise.discrepancy_own_amplitude", 0.2),
        ("observations.truth.noise.discrepancy_own_length", 0.5),
    )
    study = load(mapping).studies["decay"]
    noise = study.noise.model(study.forward.observed(0))
    assert noise.own is not None
    assert noise.names[:5] == (
        "standard_deviation",
        "discrepancy_own_amplitude",
        "discrepancy_own_length",
        "discrepancy_amplitude",
        "discrepancy_length",
    )
    start = noise.to_natural(noise.from_natural(study.noise.start_values()))
    assert start[1] == pytest.approx(0.2)


REFUSED = {
    "empty": ([("noise.discrepancy", {})], "neither 'shared' nor 'own'"),
    "two times": ([("forward.observations.times", [0.1, 0.2])], "needs 3 to 200"),
    "wrong count": (
        [("observations.truth.noise.discrepancy", [0.1, 0.2])],
        "got 2 numbers, but there are 4",
    ),
    "no list": ([("observations.truth.noise.discrepancy", 0.1)], "must be a list"),
    "unknown": ([("noise.discrepancy.shared", "smooth")], "free"),
    "stated prior": (
        [("noise.prior", {"discrepancy_1": {"normal": {"mean": 0, "standard_deviation": 1}}})],
        "prior of its own",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_values_that_do_not_fit_are_refused_with_the_reason(case):
    changes, said = REFUSED[case]
    assert said in " ".join(message(changed(*changes)).split())
