"""Which functions of the package each test calls."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

import pytest


class Reach:
    """A plugin for a run of one test file.

    ``tests`` holds, by the name of each test that passed, its seconds and the functions that it
    called, as ``module.py:function``. What runs outside the
    tests' own bodies, as on import and in fixtures, serves all tests of the file.
    """

    def __init__(self, package: Path) -> None:
        self.package = f"{package}/"
        self.tests: dict[str, dict] = {}
        self._shared: set[CodeType] = set()
        self._called = self._shared
        sys.settrace(self._trace)

    def _trace(self, frame: FrameType, event: str, arg: object) -> None:
        self._called.add(frame.f_code)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        self._called = own = set()
        try:
            yield
        finally:
            self._called = self._shared
        self.tests[item.nodeid] = {"seconds": 0.0, "calls": own}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.nodeid in self.tests:
            self.tests[report.nodeid]["seconds"] += report.duration

    def lines(self) -> list[dict]:
        """Return a record for each test that passed."""
        sys.settrace(None)
        return [
            {
                "test": name,
                "seconds": round(test["seconds"], 3),
                "calls": sorted(
                    f"{code.co_filename.removeprefix(self.package)}:{code.co_qualname}"
                    for code in test["calls"] | self._shared
                    if code.co_filename.startswith(self.package)
                ),
            }
            for name, test in self.tests.items()
        ]
