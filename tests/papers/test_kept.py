"""Parts of a test problem that are kept through a failure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from popinv_papers.kit.kept import continued, keeping, kept, kept_numbers


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


def long_part(taken: list[int], fails_at: int = -1) -> dict[str, np.ndarray]:
    def step(k: int, state: dict[str, np.ndarray]) -> dict[str, object]:
        if k == fails_at:
            raise RuntimeError(k)
        taken.append(k)
        return {"x": 2 * state["x"], "seen": np.append(state["seen"], k)}

    return continued("long", lambda: {"x": 1.5, "seen": np.empty(0, dtype=int)}, step, 5)


def test_a_long_part_goes_on_from_its_last_state(tmp_path: Path) -> None:
    whole = long_part([])
    assert whole["x"] == 1.5 * 2**5
    with pytest.raises(RuntimeError), keeping(tmp_path, {}, seconds=0):
        long_part([], fails_at=3)
    taken: list[int] = []
    with keeping(tmp_path, {}, seconds=0) as reused:
        end = long_part(taken)
        again = long_part(taken)
    assert (reused, taken) == (["long", "long"], [3, 4])
    for found in (end, again):
        assert found.keys() == whole.keys()
        np.testing.assert_array_equal(found["seen"], whole["seen"])
        assert (found["x"], found["seen"].dtype) == (whole["x"], whole["seen"].dtype)


def test_states_are_stored_seldom_and_those_of_a_quick_part_not_at_all(tmp_path: Path) -> None:
    def quick_and_failing() -> None:
        long_part([])
        assert not list(tmp_path.iterdir())
        long_part([], fails_at=4)

    with pytest.raises(RuntimeError), keeping(tmp_path, {}, seconds=60):
        quick_and_failing()
    assert not list(tmp_path.iterdir())


def test_numbers_keep_their_names_and_values(tmp_path: Path) -> None:
    numbers = {"a/b": 1 / 3, "é": np.float32(0.1), "nan": np.nan}
    with keeping(tmp_path, {}, seconds=0) as reused:
        first = kept_numbers("numbers", lambda: numbers)
        again = kept_numbers("numbers", lambda: {})
    assert reused == ["numbers"]
    for found in (first, again):
        assert list(found) == list(numbers)
        np.testing.assert_array_equal(list(found.values()), [1 / 3, float(np.float32(0.1)), np.nan])
