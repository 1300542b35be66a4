"""Measured times of the solves of a simulator of which nothing is known before.

Jobs that solve add what they measured to one small file for each simulator. Requests of later jobs
follow it. No result does.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType

from popinv.errors import DataError
from popinv.forward.external.journal import simulator_key
from popinv.forward.section import ForwardSection
from popinv.regular_files import read_bytes
from popinv.store.whole_files import write_text

FOLDER = ".solve_times"
"""The folder of the files, within the folder of the results."""

# Seconds between two writings of a job that is not done, so that a killed one has measured.
_WRITE_EVERY = 5.0


@dataclass(frozen=True)
class SolveTimes:
    """The sum of the measurements of a simulator.

    Parameters
    ----------
    solves : int
        Solves that have ended, failed ones too.
    seconds : float
        Their time together, with the time of calls that were stopped. Calls at the same time count
        each.
    """

    solves: int
    seconds: float

    @property
    def each(self) -> float:
        """Mean seconds of a solve."""
        return self.seconds / self.solves


def solve_times_file(folder: str | os.PathLike[str], section: ForwardSection) -> Path:
    """Return the file of a simulator; it changes with its code, as its journal does.

    Parameters
    ----------
    folder : path
        The folder of the results.
    section : ForwardSection
        The simulator.
    """
    return Path(folder, FOLDER, f"{simulator_key(section)}.json")


def solve_times_of(file: Path) -> SolveTimes | None:
    """Return what a file holds, None if nothing was measured.

    The file may be deleted at any time. One that cannot be read counts as none.
    """
    try:
        return _read(file, file.stat().st_mtime_ns)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def measured_times(folder: str | os.PathLike[str], section: ForwardSection) -> SolveTimes | None:
    """Return the measured times of a simulator's solves, None if there are none.

    They count where nothing else is known of the solver.

    Parameters
    ----------
    folder : path
        The folder of the results.
    """
    if not section.cost().guess:
        return None
    return solve_times_of(solve_times_file(folder, section))


@lru_cache(maxsize=64)
def _read(file: Path, changed: int) -> SolveTimes | None:
    found = json.loads(read_bytes(file))
    times = SolveTimes(int(found["solves"]), float(found["seconds"]))
    return times if times.solves > 0 and times.seconds >= 0 else None


class SolveTimer:
    """Adds the times of a job's solves to the file of their simulator.

    Where several jobs write at once one of them may be lost: the mean of the others is as good.

    Parameters
    ----------
    file : Path
        From :func:`solve_times_file`.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._solves, self._seconds = 0, 0.0
        self._written = time.monotonic()

    def __enter__(self) -> SolveTimer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._write()

    def add(self, solves: int, seconds: float) -> None:
        """Add a call.

        Parameters
        ----------
        solves : int
            Solves that it has ended, 0 if it was stopped.
        """
        self._solves += solves
        self._seconds += seconds
        if time.monotonic() - self._written >= _WRITE_EVERY:
            self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        # Time without a solve is kept until there is one.
        if not self._solves:
            return
        before = solve_times_of(self._file) or SolveTimes(0, 0.0)
        sums = {
            "solves": before.solves + self._solves,
            "seconds": round(before.seconds + self._seconds, 6),
        }
        # No solve is lost because its time could not be written.
        with suppress(OSError, DataError):
            write_text(self._file, json.dumps(sums))
            self._solves, self._seconds = 0, 0.0
