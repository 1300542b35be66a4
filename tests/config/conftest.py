from __future__ import annotations

import copy
from typing import Any

import pytest
from flow_study import STUDY


@pytest.fixture
def mapping() -> dict[str, Any]:
    """Return a valid configuration with one study, "flow", to be spoilt."""
    return {"seed": 3, "studies": {"flow": copy.deepcopy(STUDY)}}


@pytest.fixture
def study(mapping: dict[str, Any]) -> dict[str, Any]:
    """Return the study in ``mapping``."""
    return mapping["studies"]["flow"]
