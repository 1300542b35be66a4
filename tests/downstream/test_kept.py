"""Parts of a test problem that are kept through a failure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from popinv.downstream.kept import keeping, kept


def problem(computed: list[str], fails_at: str = "") -> list[np.ndarray]:
    def part(name: str) -> dict[str, object]:
        if name == fails_at:
            raise RuntimeError(name)
        computed.append(name)
        return {"values": [len(computed), np.nan], "name": name, "number": 0.1}

    return [kept(name, lambda name=name: part(name)) for name in ("a/1", "a/2", "b/0.01")]


def interrupted(folder: Path, config: dict[str, object]) -> None:
    with pytest.raises(RuntimeError), keeping(folder, config, seconds=0):
        problem([], fails_at="b/0.01")


def test_parts_are_computed_where_nothing_is_kept(tmp_path: Path) -> None:
    computed: list[str] = []
    found = problem(computed)
    assert computed == ["a/1", "a/2", "b/0.01"]
    np.testing.assert_array_equal(found[2]["values"], [3, np.nan])
    assert (str(found[2]["name"]), float(found[2]["number"])) == ("b/0.01", 0.1)
    assert not list(tmp_path.iterdir())


def test_a_failed_problem_goes_on_with_the_part_that_failed(tmp_path: Path) -> None:
    folder, config = tmp_path / "parts", {"seed": 1}
    interrupted(folder, config)
    computed: list[str] = []
    with keeping(folder, config, seconds=0) as reused:
        found = problem(computed)
    assert (reused, computed) == (["a/1", "a/2"], ["b/0.01"])
    whole = problem([])
    for name in ("values", "number", "name"):
        np.testing.assert_array_equal(found[0][name], whole[0][name])
        np.testing.assert_array_equal(found[1][name], whole[1][name])
    assert not folder.exists()


def test_parts_of_other_settings_are_not_used(tmp_path: Path) -> None:
    interrupted(tmp_path, {"seed": 1})
    computed: list[str] = []
    with keeping(tmp_path, {"seed": 2}, seconds=0) as reused:
        problem(computed)
    assert (reused, computed) == ([], ["a/1", "a/2", "b/0.01"])


def test_a_part_that_is_quick_is_not_stored(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), keeping(tmp_path, {}, seconds=60):
        problem([], fails_at="b/0.01")
    assert not list(tmp_path.iterdir())


def test_names_that_differ_in_signs_alone_are_different_parts(tmp_path: Path) -> None:
    with keeping(tmp_path, {}, seconds=0) as reused:
        kept("a/1", lambda: {"x": 1})
        assert len(list(tmp_path.iterdir())) == 1
        assert kept("a 1", lambda: {"x": 2})["x"] == 2
    assert not reused


def test_the_context_ends_with_its_block(tmp_path: Path) -> None:
    interrupted(tmp_path, {})
    with keeping(tmp_path, {}, seconds=0):
        pass
    assert kept("a/1", lambda: {"x": 5})["x"] == 5
