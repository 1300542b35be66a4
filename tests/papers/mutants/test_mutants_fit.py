"""The sources that the wrong formulas change: the formulas themselves are run by the slow tests."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

FILES = sorted(path.stem for path in Path(__file__).parent.glob("test_*_mutants.py"))


@pytest.mark.parametrize("name", FILES)
def test_what_a_mutant_replaces_occurs_once(name: str) -> None:
    counts = {
        (module.__name__, old): Path(str(module.__file__)).read_text(encoding="utf-8").count(old)
        for module, old, *_ in importlib.import_module(name).MUTANTS
    }
    assert {place: count for place, count in counts.items() if count != 1} == {}
