"""The frame of the benchmarks, on rows that take no time: a clock that is told what to say."""

from __future__ import annotations

import csv
import json
import re
from importlib import import_module

import numpy as np
import pytest

from benchmarks import machine, report, runner
from benchmarks.measure import measure
from benchmarks.rows import Contest, Disagreement, Row, largest_difference


@pytest.fixture(autouse=True)
def no_collection(monkeypatch):
    """Leave the garbage of all other tests alone, whose collection takes longer than a test."""
    monkeypatch.setattr("benchmarks.measure.gc.collect", lambda: 0)


class Clock:
    """Seconds that pass only when work says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, seconds: list[float], answer: object = 1.0):
        """Return work that takes these seconds, call after call; the first is not timed."""
        times = iter([1000.0, *seconds])

        def run() -> object:
            self.now += next(times)
            self.calls.append(name)
            return answer

        return run


def toy(clock: Clock, **changes) -> Contest:
    sides = {
        "ours": clock.work("ours", [1.0, 2.0, 9.0]),
        "peer": clock.work("peer", [6.0, 2.0, 9.0]),
    }
    return Contest(**{**sides, "tolerance": 1e-6, "repeats": 3, **changes})


def row(name: str, contest: Contest, packages: tuple[str, ...] = ("numpy",), target: float = 2.0):
    return Row(name, "a toy", "another toy", packages, target, lambda: contest)


def test_ratio_is_of_medians_and_range_of_neighbours() -> None:
    measurement = measure(toy(clock := Clock()), clock)
    assert (measurement.ours_seconds, measurement.peer_seconds) == (2.0, 6.0)
    assert measurement.ratio == 3.0
    assert measurement.range == (1.0, 6.0)
    assert measurement.difference == 0.0


def test_sides_take_turns_after_one_call_each_that_is_not_timed() -> None:
    measure(toy(clock := Clock()), clock)
    assert clock.calls == ["ours", "peer"] * 4


def test_times_are_of_one_unit_of_work() -> None:
    clock = Clock()
    measurement = measure(toy(clock, ours_units=4, peer_units=2), clock)
    assert (measurement.ours_seconds, measurement.peer_seconds) == (0.5, 3.0)
    assert measurement.ratio == 6.0


@pytest.mark.parametrize("answer", [1.001, np.nan])
def test_different_answers_are_not_timed(answer: float) -> None:
    clock = Clock()
    contest = toy(clock, peer=clock.work("peer", [], answer))
    with pytest.raises(Disagreement, match=r"tolerance is 1e-06"):
        measure(contest, clock)
    assert clock.calls == ["ours", "peer"]


def test_answers_are_compared_relative_to_the_peer_and_on_its_rows() -> None:
    assert largest_difference([[2.0], [3.0], [99.0]], [[2.0], [4.0]]) == 0.25
    with pytest.raises(Disagreement, match="shapes"):
        largest_difference(np.zeros((2, 3)), np.zeros((2, 2)))


def test_rows_in_error_and_missing_peers_do_not_lose_the_others() -> None:
    clock = Clock()
    rows = [
        row("a/good", toy(clock)),
        row("a/missing", toy(clock), packages=("numpy", "no-such-distribution")),
        row("a/wrong", toy(clock, peer=clock.work("peer", [], 2.0))),
    ]
    told: list[str] = []
    results, errors = runner.run(rows, clock, told.append)
    assert list(results) == ["a/good", "a/missing"]
    assert results["a/good"]["ratio"] == 3.0
    assert results["a/missing"]["ratio"] is None
    assert results["a/missing"]["note"] == report.NOT_INSTALLED
    assert "[2/3] a/missing: peer not installed: no-such-distribution" in told
    assert list(errors) == ["a/wrong"]
    assert "Disagreement" in errors["a/wrong"]
    table = report.table(results, errors)
    assert "peer not installed" in table
    assert "ERROR a/wrong" in table


def test_json_holds_what_a_reader_needs(tmp_path) -> None:
    clock = Clock()
    results, _ = runner.run([row("a/good", toy(clock))], clock, lambda message: None)
    path = tmp_path / "results" / "benchmarks.json"
    report.save(results, path)
    kept = json.loads(path.read_text())["a/good"]
    assert kept["ratio"] == kept["peer_seconds"] / kept["ours_seconds"] == 3.0
    assert kept["target"] == 2.0
    assert kept["peer"] == "another toy"
    assert kept["work"] == "a toy"
    assert kept["peer_version"] == f"numpy {np.__version__}"
    assert kept["cpu"] == machine.cpu_model()
    assert kept["load_average"] >= 0
    assert [file.name for file in path.parent.iterdir()] == ["benchmarks.json"]


def test_command_writes_only_what_is_whole_or_asked_for(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)

    def toys() -> list[Row]:
        same, other = (
            Contest(lambda: 1, lambda: 1, 0.0, repeats=1),
            Contest(lambda: 1, lambda: 2, 0.0),
        )
        return [row("a/one", same), row("b/two", other)]

    monkeypatch.setattr(runner, "all_rows", toys)
    assert runner.main(["--only", "a"]) == 0
    assert not (tmp_path / runner.RESULTS).exists()
    assert runner.main(["--only", "a/one", "--output", "mine.json"]) == 0
    assert list(report.read(tmp_path / "mine.json")) == ["a/one"]
    assert runner.main([]) == 1  # the second row is in error
    assert list(report.read(tmp_path / runner.RESULTS)) == ["a/one"]
    assert "ERROR b/two" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no row begins with 'c'; the groups are a, b"):
        runner.main(["--only", "c"])


def test_docs_get_a_table_with_machine_and_commit(tmp_path) -> None:
    clock = Clock()
    rows = [row("a/good", toy(clock)), row("a/missing", toy(clock), ("no-such-distribution",))]
    results, _ = runner.run(rows, clock, lambda message: None)
    file = tmp_path / "benchmarks.csv"
    for _ in range(2):  # writing it again changes nothing
        report.write_docs(results, file)
    with file.open(newline="", encoding="utf-8") as lines:
        good, missing = csv.DictReader(lines)
    assert list(good) == list(report.COLUMNS)
    kept = ("row", "popinv", "peer's time", "times faster", "lowest to highest", "target")
    assert [good[name] for name in kept] == ["a/good", "2 s", "6 s", "3", "1 to 6", "2"]
    assert good["machine"] == machine.cpu_model()
    assert re.match(r"[0-9a-f]{8}", good["commit"])
    assert missing["row"] == "a/missing"
    assert missing["versions"] == report.NOT_INSTALLED
    assert missing["popinv"] == ""


def test_ratios_are_written_without_exponents() -> None:
    written = [report.number(ratio) for ratio in (0.7692, 4.4386, 55.16, 150.0, 4438.59)]
    assert written == ["0.769", "4.44", "55.2", "150", "4439"]


def test_the_table_of_the_documentation_has_every_group() -> None:
    with (machine.ROOT / runner.TABLE).open(newline="", encoding="utf-8") as lines:
        told = list(csv.DictReader(lines))
    assert list(told[0]) == list(report.COLUMNS)
    groups = {each["row"].partition("/")[0] for each in told}
    assert groups == {entry.name.partition("/")[0] for entry in runner.all_rows()}


@pytest.mark.parametrize("module", runner.MODULES)
def test_every_module_lists_its_rows_without_running_them(module: str) -> None:
    rows = import_module(f"benchmarks.{module}").rows()
    assert rows
    for entry in rows:
        group, _, peer = entry.name.partition("/")
        assert group
        assert peer
        assert entry.work
        assert entry.peer
        assert entry.packages
        assert entry.target > 0


def test_names_are_different() -> None:
    names = [entry.name for entry in runner.all_rows()]
    assert len(set(names)) == len(names)


def test_peers_are_declared_and_installed() -> None:
    for entry in runner.all_rows():
        assert machine.missing(entry.packages) == []
