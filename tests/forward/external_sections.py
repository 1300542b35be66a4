"""Checked ``forward`` sections of simulators of one's own, for the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from popinv.config.loading import load
from popinv.errors import ConfigError
from popinv.forward.section import ForwardSection

ONE = {"mean": 0.0, "standard_deviation": 1.0}


def study(forward: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """Return the configuration of a study of two parameters and three observations, or others."""
    given = {"parameters": ["a", "b"], "observations": {"count": 3}, **forward}
    names = [p if isinstance(p, str) else p["name"] for p in given["parameters"]]
    own = {
        "forward": given,
        "law": {"kind": "normal", "start": dict.fromkeys(names, ONE)},
        "observations": {"file": "y.csv"},
    }
    return {"studies": {"own": own | sections}}


def section(**forward: Any) -> ForwardSection:
    """Return the section."""
    return load(study(forward), "test").studies["own"].forward


def problem(**forward: Any) -> str:
    """Return the message that a section is refused with."""
    with pytest.raises(ConfigError) as caught:
        section(**forward)
    return str(caught.value)


@contextmanager
def refused(error: type[Exception], *parts: str) -> Iterator[None]:
    """Check that the block is refused with a message that has all parts."""
    with pytest.raises(error) as caught:
        yield
    assert [part for part in parts if part not in str(caught.value)] == []
