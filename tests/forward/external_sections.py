"""Checked ``forward`` sections of simulators of one's own, for the tests."""

from __future__ import annotations

from typing import Any

from popinv.config.loading import load
from popinv.forward.section import ForwardSection

ONE = {"mean": 0.0, "standard_deviation": 1.0}


def section(**forward: Any) -> ForwardSection:
    """Return the section."""
    given = {"parameters": ["a", "b"], "observations": {"count": 3}, **forward}
    names = [p if isinstance(p, str) else p["name"] for p in given["parameters"]]
    study = {
        "forward": given,
        "law": {"kind": "normal", "start": dict.fromkeys(names, ONE)},
        "observations": {"file": "y.csv"},
    }
    return load({"studies": {"own": study}}, "test").studies["own"].forward


def problem(**forward: Any) -> str:
    """Return the message that a section is refused with."""
    from popinv.errors import ConfigError

    try:
        section(**forward)
    except ConfigError as error:
        return str(error)
    raise AssertionError("nothing was refused")
