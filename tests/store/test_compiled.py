"""Compiled functions are found by what went into them, wherever their files are."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from popinv.store.compiled import njit

CALLED = """
from popinv.store.compiled import njit

SHIFT = {shift}

@njit
def called(x):
    return {term}
"""
CALLING = """
from popinv.store.compiled import njit
from {called} import SHIFT, called

@njit
def calling(x):
    return called(x) + SHIFT
"""


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Return a function that imports both files from a new folder, and returns the caller."""
    monkeypatch.setenv("POPINV_CACHE", str(tmp_path / "cache"))

    def imported(name: str, term: str = "2 * x", shift: int = 1):
        folder = tmp_path / name / "package"
        folder.mkdir(parents=True)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(importlib.sys.modules, "calling_file", raising=False)
        monkeypatch.delitem(importlib.sys.modules, "called_file", raising=False)
        (folder / "called_file.py").write_text(CALLED.format(term=term, shift=shift))
        (folder / "calling_file.py").write_text(CALLING.format(called="called_file"))
        return importlib.import_module("calling_file").calling

    return imported


def test_a_second_checkout_compiles_nothing(checkout):
    first = checkout("first")
    assert (first(3.0), first.stats.cache_misses.total()) == (7.0, 1)
    second = checkout("second")
    assert (second(3.0), second.stats.cache_hits.total()) == (7.0, 1)


@pytest.mark.parametrize(("change", "value"), [({"term": "3 * x"}, 10.0), ({"shift": 2}, 8.0)])
def test_what_is_compiled_into_a_function_counts(checkout, change, value):
    assert checkout("first")(3.0) == 7.0
    changed = checkout("changed", **change)
    assert (changed(3.0), changed.stats.cache_hits.total()) == (value, 0)


def test_old_versions_go(checkout, tmp_path):
    for number in range(12):
        checkout(str(number), shift=number)
    assert len(list((tmp_path / "cache/compiled").glob("package.called_file-*"))) <= 9


def test_without_a_place_to_write_functions_compile_all_the_same(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("POPINV_CACHE", str(tmp_path / "file"))

    @njit(fastmath={"reassoc"})
    def total(x):
        return x.sum()

    assert total(np.ones(3)) == 3.0
    assert Path(total.stats.cache_path).name == "__pycache__"
