"""A small valid study, to be spoilt, and what is said of it then."""

from __future__ import annotations

from typing import Any

import pytest

from popinv.config.loading import load
from popinv.errors import ConfigError

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


def message(mapping: Any) -> str:
    """Return the message that a configuration is refused with."""
    with pytest.raises(ConfigError) as caught:
        load(mapping, "config/mine.yaml")
    return str(caught.value)
