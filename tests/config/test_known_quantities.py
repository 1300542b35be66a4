"""What the configuration demands of design and covariates."""

from __future__ import annotations

from typing import Any

import pytest
from study_sections import function

from popinv.config.loading import load
from popinv.errors import ConfigError

START = {name: {"mean": 0.0, "standard_deviation": 0.3} for name in ("rate", "level")}
KNOWN = {"dose": {"uniform": [1.0, 2.0]}, "age": {"normal": [40.0, 10.0]}}


def study(known: dict[str, Any] = KNOWN, **sections: Any) -> Any:
    times = {"times": [0.0, 1.0, 2.0]}
    true_law = {**START, "rate_age_coefficient": 0.1}
    truth = {"law": true_law, "noise": {"standard_deviation": 0.1}}
    given = {
        "forward": function(
            "simulator:solve", "rate", "level", design=["dose"], observations=times
        ),
        "law": {"kind": "normal", "start": START, "covariates": {"rate": ["age"]}},
        "noise": {"kind": "isotropic"},
        "observations": {"known": known, "truth": truth},
        **sections,
    }
    return load({"studies": {"mine": given}}).studies["mine"]


def test_a_study_with_known_quantities():
    complete = study()
    assert [each.name for each in complete.forward.inputs()] == ["rate", "level", "dose"]
    assert complete.law.covariate_names() == ("age",)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({}, "missing: dose, age"),
        ({**KNOWN, "mass": {"uniform": [0, 1]}}, "mass"),
        ({**KNOWN, "dose": {}}, "must be one of 'uniform', 'normal' or 'values'"),
    ],
)
def test_known_quantities_that_do_not_fit(known, message):
    with pytest.raises(ConfigError, match=message):
        study(known)
