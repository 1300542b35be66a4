"""A small valid study, to be spoilt."""

from __future__ import annotations

from typing import Any

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
