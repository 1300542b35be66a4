"""Wrong formulas of papers and methods: each fails the ordinary test that the table names."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml
from changed_source import fails, mutated, ordinary_test

TABLE: dict[str, dict[str, list[tuple[str, str]]]] = yaml.safe_load(
    Path(__file__).with_name("wrong_formulas.yaml").read_text(encoding="utf-8")
)
KILLERS = list(dict.fromkeys(killer for changes in TABLE.values() for killer in changes))


@pytest.mark.parametrize("module", TABLE)
def test_what_is_replaced_occurs_once(module: str) -> None:
    source = Path(str(importlib.import_module(module).__file__)).read_text(encoding="utf-8")
    counts = {old: source.count(old) for changes in TABLE[module].values() for old, _ in changes}
    assert {old: count for old, count in counts.items() if count != 1} == {}


@pytest.mark.parametrize("killer", KILLERS)
def test_every_named_test_is_there(killer: str) -> None:
    assert callable(ordinary_test(killer))


@pytest.mark.full
@pytest.mark.parametrize(
    ("module", "killer", "old", "new"),
    [
        pytest.param(module, killer, old, new, id=f"{module.partition('.')[2]}-{new.strip()}")
        for module, of_module in TABLE.items()
        for killer, changes in of_module.items()
        for old, new in changes
    ],
)
def test_a_wrong_formula_is_found(module: str, killer: str, old: str, new: str) -> None:
    test = ordinary_test(killer)
    with mutated(importlib.import_module(module), old, new):
        assert fails(test)


@pytest.mark.full
@pytest.mark.parametrize("killer", KILLERS)
def test_the_test_passes_on_the_right_formulas(killer: str) -> None:
    assert not fails(ordinary_test(killer))
