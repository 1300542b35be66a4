from __future__ import annotations

import copy
from typing import Any

import pytest

STUDY: dict[str, Any] = {
    "forward": {"kind": "porous_flow", "sensors": {"positions": [0.2, 0.4, 0.6]}},
    "law": {
        "kind": "matern_field",
        "start": {"mean": 0.0, "standard_deviation": 1.0, "length": 0.5},
    },
    "noise": {"kind": "kernel", "start": {"amplitude": 0.3, "length": 0.3}},
    "observations": {
        "count": 100,
        "truth": {
            "law": {"mean": 0.5, "standard_deviation": 0.6, "length": 0.3},
            "noise": {"amplitude": 0.1, "length": 0.1},
        },
    },
    "descent": {"iterations": 10},
}


@pytest.fixture
def mapping() -> dict[str, Any]:
    """Return a valid configuration with one study, "flow", to be spoilt."""
    return {"seed": 3, "studies": {"flow": copy.deepcopy(STUDY)}}


@pytest.fixture
def study(mapping: dict[str, Any]) -> dict[str, Any]:
    """Return the study in ``mapping``."""
    return mapping["studies"]["flow"]
