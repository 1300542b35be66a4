"""The solves of a trial: what they will take about, and what they took."""

from __future__ import annotations

import os
import site
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from popinv.cli.solve_costs import duration
from popinv.forward.base import ForwardModel, Solutions
from popinv.forward.checks import check_solutions
from popinv.forward.external.journal import FOLDER
from popinv.forward.external.model import ExternalModel
from popinv.forward.external.section import ExternalSection
from popinv.forward.python.worker import OPENED_FILES
from popinv.forward.section import ForwardSection
from popinv.forward.solve_times import SolveTimer, solve_times_file, solve_times_of
from popinv.sections.sources import is_installed

# In seconds. If the solves take less, they are repeated for the timing, up to a number of times.
_LONG_ENOUGH, _MORE, _MOST = 0.5, 8, 50_000
_SHORTEST = 1e-6
# Seconds of a first solve from which on none is done for the timing alone. What is shorter may be a
# start alone.
_SLOW = 5.0
# Seconds from which on it is said how long the solves will take, by the first with its start.
_WORTH_SAYING = 5.0
# Files beneath these folders are not the data of a simulator, unless it runs there.
_NOT_DATA = ("/dev", "/etc", "/proc", "/run", "/sys", "/usr", sys.base_prefix)


@dataclass
class _Tally:
    """Solves and seconds of the calls so far."""

    bar: tqdm | None = None
    solves: int = 0
    seconds: float = 0.0

    def add(self, solves: int, seconds: float) -> None:
        self.solves += solves
        self.seconds += seconds
        if self.bar is not None:
            self.bar.update(solves)


def solve_few(
    model: ForwardModel,
    section: ForwardSection,
    z: np.ndarray,
    results: str | Path,
    journal_seconds: float,
    say: Callable[[str], None],
) -> tuple[Solutions, float]:
    """Solve the first systems of round 0, in a session that is open.

    Slow solves of the user's own simulator are kept in the journal, from which round 0 takes them,
    and their time is kept for the requests of jobs. No slow solve is made only for the timing.

    Parameters
    ----------
    model, section
        The forward model and its section.
    z : ndarray of shape (n, inputs)
        The first rows of round 0.
    results : path
        Folder of the results.
    journal_seconds : float
        Seconds of the shortest solve that is kept.
    say : callable
        Told in words what will happen.

    Returns
    -------
    solutions : Solutions
    seconds : float
        Mean time of a solve, without compilation and the start of a simulator if it is short.
    """
    if not isinstance(model, ExternalModel) or not isinstance(section, ExternalSection):
        return _of_package(model, z, say)
    file = solve_times_file(results, section)
    say(
        f"{len(z)} systems are to be solved, at most {section.most_rows()} in a call, "
        f"{section.parallel} call(s) at a time; a solve that takes "
        f"{duration(section.time_limit)} is ended (forward.time_limit)"
    )
    journal, warm = Path(results, FOLDER), _Tally()
    # The start of the simulator alone is no reason to keep a solve.
    with model.journal(journal, max(journal_seconds, _SLOW)), model.timed(warm.add):
        first, spent = _timed(model, z[:1])
    # It is solved twice, as its answers are compared.
    spent -= warm.seconds * (1 - 1 / max(warm.solves, 1))
    slow = spent >= _SLOW or warm.solves == 0
    rest = z[1:] if slow else z
    if len(z) > 1:
        _say_rest(section, len(rest), spent, warm.solves == 0, say)
    with _bar(len(rest)) as bar:
        tally = _Tally(bar)
        with model.journal(journal, journal_seconds), model.timed(tally.add), model.renewed():
            solutions, _ = _timed(model, rest, len(z) - len(rest))
    if slow:
        tally.add(warm.solves, warm.seconds)
        solutions = _joined(first, solutions)
    check_solutions(solutions, len(z), len(model.observations))
    each = _each_slow(model, z, tally, file) if slow else _each_quick(model, z, tally)
    if tally.solves:
        with SolveTimer(file) as timer:
            timer.add(tally.solves, each * tally.solves)
    return solutions, each


def _each_slow(model: ExternalModel, z: np.ndarray, tally: _Tally, file: Path) -> float:
    """Return the mean time of solves, of which some or all may have been in the journal."""
    if tally.solves and tally.seconds / tally.solves >= _SLOW:
        return tally.seconds / tally.solves
    known = solve_times_of(file)
    if not tally.solves and known is not None:
        return known.each
    # The start took most of the time, or nothing is known of it.
    return _repeated(model, z[:1], _timed(model, z[:1])[1], 1)


def _each_quick(model: ExternalModel, z: np.ndarray, tally: _Tally) -> float:
    if tally.seconds >= _LONG_ENOUGH:
        return tally.seconds / tally.solves
    return _repeated(model, z, tally.seconds, max(tally.solves, 1))


def _of_package(
    model: ForwardModel, z: np.ndarray, say: Callable[[str], None]
) -> tuple[Solutions, float]:
    _, spent = _timed(model, z[:1])
    if len(z) * spent >= _WORTH_SAYING:
        say(
            f"one solve took {duration(spent)}, with compilation; {len(z)} systems take at most "
            f"about {duration(len(z) * spent)}"
        )
    solutions, spent = _timed(model, z)
    check_solutions(solutions, len(z), len(model.observations))
    return solutions, _repeated(model, z, spent, len(z))


def _repeated(model: ForwardModel, z: np.ndarray, spent: float, solved: int) -> float:
    """Return the mean time of a solve, of more systems where they take too little to be timed."""
    while spent < _LONG_ENOUGH and solved < _MOST:
        solved *= _MORE
        _, spent = _timed(model, np.resize(z, (solved, z.shape[1])))
    return max(spent / solved, _SHORTEST)


def _say_rest(
    section: ExternalSection, systems: int, spent: float, known: bool, say: Callable[[str], None]
) -> None:
    if known:
        say("the first system is in the journal of solves already")
        return
    left = section.solving_seconds(systems, spent)
    if left >= _WORTH_SAYING:
        say(
            f"one solve took {duration(spent)}, with the start of the simulator; {systems} systems "
            f"take about {duration(left)}, {section.parallel} call(s) at a time"
        )


@contextmanager
def _bar(systems: int) -> Iterator[tqdm]:
    # A terminal alone shows it, and only for long work.
    with tqdm(
        total=systems, unit="solve", delay=2.0, leave=False, file=sys.stderr, disable=None
    ) as b:
        yield b


def _timed(model: ForwardModel, z: np.ndarray, first: int = 0) -> tuple[Solutions, float]:
    started = time.perf_counter()
    solutions = model.solve(z, "solve/0", first)
    return solutions, time.perf_counter() - started


def _joined(one: Solutions, others: Solutions) -> Solutions:
    return Solutions(
        np.concatenate([one.observations, others.observations]),
        np.concatenate([one.reason, others.reason]),
    )


@contextmanager
def unwatched_files(section: ForwardSection, results: str | Path) -> Iterator[list[str]]:
    """Yield a list, which afterwards has the files that simulators read and nothing watches.

    Files count that Python opens in the process of a simulator which starts and ends in between.
    Its own files (:meth:`~popinv.forward.section.ForwardSection.source_files`), those of packages,
    and those that it has written do not count.
    """
    found: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        opened = Path(folder, "opened")
        os.environ[OPENED_FILES] = str(opened)
        try:
            yield found
        finally:
            del os.environ[OPENED_FILES]
        lines = opened.read_text(errors="surrogateescape").splitlines() if opened.exists() else []
    own = {path.resolve() for path in section.source_files()}
    here, kept = Path.cwd(), Path(results).resolve()
    kept_at_home = (Path.home() / ".cache", site.getusersitepackages())
    elsewhere = (*_NOT_DATA, tempfile.gettempdir(), *kept_at_home)
    for path in map(Path, sorted(set(lines))):
        inside = path.is_relative_to(here)
        hidden = (kept,) if inside else elsewhere
        compiled = path.parent.name == "__pycache__"
        if compiled or path in own or is_installed(str(path)):
            continue
        if not any(path.is_relative_to(each) for each in hidden):
            found.append(os.path.relpath(path) if inside else str(path))
