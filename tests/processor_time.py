"""The processor time of each test: summed by function, kept to order the files, told where long.

The time of a test is that of this process since the test before, of the processes that it has
waited for, and of those that still run, such as a browser. The processes are looked for once in
each test, as this takes a millisecond. What a fixture of several tests takes counts for the
fixture.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import preloaded
import pytest
import reach

LIMIT = 4.0
"""Processor seconds of a function, with all its parameters in the default tier."""
OVER = "the time is over"
"""Why a test has not begun."""
_SHOWN = 20
# Seconds of a short file.
_SHORT = 5.0
_TICKS = os.sysconf("SC_CLK_TCK")
# Of each process that runs: the ticks of its own when it was last looked below, and what was found.
_LAST: dict[str, tuple[int, float]] = {}
_OWN, _SHARED = "processor_seconds", "processor_seconds_of_fixtures"


def seconds() -> float:
    """Return the processor seconds of this process, of all below it, and of those forked for it."""
    # Other threads than Python's start no processes.
    below = _children("self", [str(thread.native_id) for thread in threading.enumerate()])
    return sum(os.times()[:4]) + preloaded.seconds() + sum(map(_seconds_of, below))


def _seconds_of(pid: str) -> float:
    """Return the seconds of a process that runs, and of all below it.

    What is below a process that has done nothing since the last time, such as a browser without a
    page, is not looked for again.
    """
    try:
        # The name of the program, in parentheses, may hold anything.
        fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        # It has ended meanwhile.
        return 0.0
    if int(pid) == preloaded.pid():
        # What it has forked tells its seconds itself, as it serves all processes of the tests.
        return sum(map(int, fields[11:13])) / _TICKS
    ticks = sum(map(int, fields[11:15]))
    if pid not in _LAST or _LAST[pid][0] != ticks:
        _LAST[pid] = ticks, sum(map(_seconds_of, _children(pid, threads)))
    return ticks / _TICKS + _LAST[pid][1]


def _children(pid: str, threads: list[str]) -> list[str]:
    found = list[str]()
    for thread in threads:
        # A thread may end meanwhile.
        with suppress(OSError):
            found += _read(f"/proc/{pid}/task/{thread}/children").split()
    return found


def _read(file: str) -> str:
    with open(file) as opened:
        return opened.read()


class ProcessorTime:
    """A plugin, which measures in the processes that test, and sums where the results arrive."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        # Seconds of shared fixtures, as a sum and of those since the last report.
        self._in_fixtures, self._fixtures = 0.0, Counter[str]()
        self._began = 0.0, 0.0
        self.functions, self.shared = Counter[str](), Counter[str]()
        # Files with a test that failed, or did not begin.
        self._failed = set[str]()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        """Measure what several tests share, without the shared fixtures that it asks for."""
        if fixturedef.scope == "function":
            return (yield)
        began = seconds(), self._in_fixtures
        try:
            return (yield)
        finally:
            own = seconds() - began[0] - (self._in_fixtures - began[1])
            self._in_fixtures += own
            self._fixtures[f"{fixturedef.baseid}::{fixturedef.argname}"] += own

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """Begin to measure the first test with its own fixtures."""
        self._began = seconds(), self._in_fixtures

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[pytest.TestReport]:
        """Add the seconds to the last report of a test, which travels between processes."""
        report = yield
        if report.when == "teardown":
            before, self._began = self._began, (seconds(), self._in_fixtures)
            own = self._began[0] - before[0] - (self._began[1] - before[1])
            report.user_properties += [(_OWN, own), (_SHARED, dict(self._fixtures))]
            self._fixtures.clear()
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up the seconds of functions and of shared fixtures."""
        if report.failed or (report.skipped and OVER in str(report.longrepr)):
            self._failed.add(_file_of(report.nodeid))
        if report.when == "teardown":
            told = dict(report.user_properties)
            self.functions[report.nodeid.partition("[")[0]] += told.get(_OWN, 0.0)
            self.shared.update(told.get(_SHARED, {}))

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put the longest files first, so that the processes end at about the same time."""
        names = {item.path: _file_of(item.nodeid) for item in items}
        record = reach.read()
        order = {
            path: record[name]["seconds"] if name in record else _SHORT
            for path, name in names.items()
        }
        # Of the files that share a whole run, one makes it first, and the others come later.
        shared = [i.path for i in items if "untouched" in getattr(i, "fixturenames", ())]
        for path in shared:
            order[path] = min(order[path], _SHORT)
        order |= {path: float("inf") for path in shared[:1]}
        items.sort(key=lambda item: -order[item.path])

    def files(self) -> dict[str, float]:
        """Return the seconds of each file that passed."""
        files = Counter[str]()
        for name, own in [*self.functions.items(), *self.shared.items()]:
            files[_file_of(name)] += own
        return {
            name: own
            for name, own in files.items()
            if name.endswith(".py") and name not in self._failed
        }

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell the sum, and what is over the limit."""
        alone, shared = sum(self.functions.values()), sum(self.shared.values())
        told = f"processor time: {alone:.0f} s of tests, {shared:.0f} s of what they share"
        terminalreporter.section(told)
        over = [each for each in self.functions.most_common() if each[1] > LIMIT]
        terminalreporter.write_line(f"{len(over)} functions take more than {LIMIT:.0f} s")
        for name, own in [*over[:_SHOWN], *self.shared.most_common(5)]:
            terminalreporter.write_line(f"{own:6.1f} s  {name}")
        if file := self._config.getoption("--seconds"):
            lines = [
                f"{own:.2f},{kind},{name}\n"
                for kind, of in (("function", self.functions), ("shared", self.shared))
                for name, own in of.most_common()
            ]
            file.write_text("seconds,kind,name\n" + "".join(lines))


def _file_of(name: str) -> str:
    return name.partition("::")[0]
