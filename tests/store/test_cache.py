"""Entries that are kept on disk, and the folder for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from popinv.store import cache
from popinv.store.cache import Entries, cache_folder


def test_entries_are_there_in_the_next_process(tmp_path):
    file = tmp_path / "new" / "entries.json"
    first = Entries(file)
    assert first.get("a") is None
    first.put("a", [1, "x"])
    assert first.get("a") == [1, "x"]
    first.write()
    assert Entries(file).get("a") == [1, "x"]


def test_nothing_is_written_without_anything_new(tmp_path):
    file = tmp_path / "entries.json"
    Entries(file).write()
    assert not file.exists()


@pytest.mark.parametrize("content", ["", "{", "[1]", "\udcff"])
def test_a_file_that_cannot_be_read_is_written_anew(tmp_path, content):
    file = tmp_path / "entries.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    entries = Entries(file)
    assert entries.get("a") is None
    entries.put("a", 1)
    entries.write()
    assert json.loads(file.read_text()) == {"a": 1}


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").touch()
    entries = Entries(tmp_path / "file" / "entries.json")
    entries.put("a", 1)
    entries.write()
    assert entries.get("a") == 1


def test_of_too_many_entries_the_used_ones_stay(tmp_path, monkeypatch):
    file = tmp_path / "entries.json"
    file.write_text(json.dumps({"old": 1, "used": 2}))
    monkeypatch.setattr(cache, "_MOST_ENTRIES", 2)
    entries = Entries(file)
    entries.get("used")
    entries.put("new", 3)
    entries.write()
    assert json.loads(file.read_text()) == {"used": 2, "new": 3}


def test_the_folder_is_that_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("POPINV_CACHE", raising=False)
    assert cache_folder("x") == tmp_path / "popinv" / "x"
    monkeypatch.setenv("POPINV_CACHE", str(tmp_path / "mine"))
    assert cache_folder("x") == Path(tmp_path, "mine", "x")


def test_nothing_is_kept_for_a_user_without_a_home(monkeypatch):
    for name in ("XDG_CACHE_HOME", "POPINV_CACHE"):
        monkeypatch.delenv(name, raising=False)

    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    entries = Entries(cache_folder("x") / "entries.json")
    entries.put("a", 1)
    entries.write()
    assert entries.get("a") == 1
    assert not cache_folder("x").exists()
