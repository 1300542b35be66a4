"""Wrong formulas of papers and methods: each fails the ordinary test that its table names."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from changed_source import Table, fails, mutated

TABLES: dict[str, Table] = {
    path.stem.removesuffix("_mutants"): importlib.import_module(path.stem).MUTANTS
    for path in sorted(Path(__file__).parent.glob("*_mutants.py"))
}


@pytest.mark.parametrize("name", TABLES)
def test_what_a_mutant_replaces_occurs_once(name: str) -> None:
    counts = {
        (module.__name__, old): Path(str(module.__file__)).read_text(encoding="utf-8").count(old)
        for (module, _), changes in TABLES[name].items()
        for old, _ in changes
    }
    assert {place: count for place, count in counts.items() if count != 1} == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "killer", "old", "new"),
    [
        pytest.param(module, killer, old, new, id=f"{name}-{new.strip()}")
        for name, table in TABLES.items()
        for (module, killer), changes in table.items()
        for old, new in changes
    ],
)
def test_a_wrong_formula_is_found(
    module: ModuleType, killer: Callable[..., Any], old: str, new: str
) -> None:
    with mutated(module, old, new):
        assert fails(killer)


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_the_tests_pass_on_the_right_formulas(name: str) -> None:
    killers = dict.fromkeys(killer for _, killer in TABLES[name])
    assert [killer.__name__ for killer in killers if fails(killer)] == []
