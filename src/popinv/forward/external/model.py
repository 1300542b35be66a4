"""The forward model around the user's own simulator."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from popinv.forward.base import Solutions
from popinv.forward.checks import checked_rows, finished
from popinv.forward.external.evaluation import CallLimit, RunningSimulator, evaluate
from popinv.forward.external.section import ExternalSection
from popinv.forward.section import MayBeRandom
from popinv.seeds import generators
from popinv.workers import alone

if TYPE_CHECKING:
    from popinv.forward.external.journal import Journal


# Fits the signed 32-bit integers of C and Fortran.
_SEEDS = 2**31


def row_seeds(seed: int, stage: str, first: int, count: int) -> np.ndarray:
    """Return one seed for each of rows first, ..., first + count - 1 of a stage.

    Returns
    -------
    ndarray of int64, shape (count,)
        Between 0 and 2**31 - 1; a row has the same seed whatever batch it is in.
    """
    rows = range(first, first + count)
    drawn = [rng.integers(_SEEDS) for rng in generators(seed, stage, rows)]
    return np.array(drawn, dtype=np.int64)


class ExternalModel:
    """A simulator that is not part of this package, as a forward model.

    Parameters
    ----------
    section : ExternalSection
        The section of the configuration.
    seed : int
        The study's seed, from which the seeds of the rows derive.
    start : callable
        Returns a new `RunningSimulator`; called once for each of the section's ``parallel`` calls.
    rows_per_call : int
        Most systems in one call.
    """

    def __init__(
        self,
        section: ExternalSection,
        seed: int,
        start: Callable[[], RunningSimulator],
        rows_per_call: int,
    ) -> None:
        self._section, self._seed = section, seed
        self._start = as_observed(section, start)
        self._rows_per_call = rows_per_call
        self._running: list[RunningSimulator] | None = None
        self._journal: Journal | None = None
        self._told: Callable[[int, float], None] | None = None
        # Of each kind of question: how long its calls may take, and whether answers for the same
        # system were compared, which a job does once.
        self._limits: dict[str, CallLimit] = {}
        self._compared: set[str] = set()
        self._renewed = False
        self.parameters = section.inputs()
        self.observations = section.observed(seed)

    def solve(self, z: np.ndarray, stage: str = "solve", first: int = 0) -> Solutions:
        """Call the simulator for a batch of systems.

        Parameters
        ----------
        z : array_like of shape (n, d_z)
            One system a row.
        stage, first : str, int
            Row i is given the seed of (study's seed, stage, first + i).

        Returns
        -------
        Solutions
            A system whose call raises, crashes, exceeds the time limit of a solve or returns a
            value that is not finite is a NaN row with its reason.

        Raises
        ------
        DataError
            If z is not a table of numbers with d_z columns.
        SolverError
            If the simulator cannot be used at all, or returns something else than a row of d_y
            numbers for each system.
        """
        seeds = partial(row_seeds, self._seed, stage, first)
        return self._answers(z, seeds, len(self.observations), question="solve")

    @contextmanager
    def journal(self, folder: str | os.PathLike[str], least_seconds: float) -> Iterator[None]:
        """Keep solves that take at least this long in a folder, and take those from there."""
        # This is imported here, as only solves that are stored have a journal.
        from popinv.forward.external.journal import Journal

        self._journal = Journal(folder, self._section, least_seconds)
        try:
            yield
        finally:
            self._journal.close()
            self._journal = None

    @contextmanager
    def timed(self, told: Callable[[int, float], None]) -> Iterator[None]:
        """Call a function after each call of the simulator in ``solve``.

        Parameters
        ----------
        told : callable
            Given the number of systems that the call has decided, 0 if they are tried again in
            other calls, and its seconds.
        """
        self._told = told
        try:
            yield
        finally:
            self._told = None

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Compare the answer of one system with its answer in a new process, in any case."""
        self._renewed = True
        try:
            yield
        finally:
            self._renewed = False

    @contextmanager
    def session(self) -> Iterator[None]:
        """Keep the simulators running between calls; otherwise each call starts them."""
        if self._running is not None:
            yield
            return
        self._running = []
        try:
            # Forks of this process would talk to the same simulators.
            with alone():
                yield
        finally:
            self._close()
            self._running = None

    def _close(self) -> None:
        running, self._running = self._running or [], []
        for simulator in running:
            simulator.close()

    def _answers(
        self,
        z: np.ndarray,
        seeds: Callable[[int], np.ndarray],
        width: int,
        beside: np.ndarray | None = None,
        seen_as: Callable[[Any], RunningSimulator] | None = None,
        question: str = "",
    ) -> Solutions:
        """Return ``width`` numbers for each row of z, given its further arguments of the call.

        Where the rows hold more than parameters, ``seen_as`` turns the simulator into one that
        takes such rows. The answers to the first question of a name are compared with the
        answers of the same systems alone. Answers of ``solve`` are kept in the journal and timed.
        """
        z, reasons = checked_rows(self._section.kind, z, self.parameters)
        if beside is not None:
            unfit = (reasons == "") & ~np.isfinite(beside).all(axis=1)
            reasons[unfit] = "a direction of the derivative is not finite"
            z = np.concatenate([z, beside], axis=1)
        values = np.full((len(z), width), np.nan)
        rows = np.flatnonzero(reasons == "")
        solving = question == "solve"
        if len(rows):
            with self._simulators() as running:
                values[rows], reasons[rows], compared = evaluate(
                    running if seen_as is None else [seen_as(each) for each in running],
                    z[rows],
                    seeds(len(z))[rows],
                    width,
                    self._rows_per_call,
                    self._section.retries,
                    self._limit(question),
                    self._journal if solving else None,
                    self._told if solving else None,
                    compared=bool(question)
                    and question not in self._compared
                    and self._repeats_itself(),
                    random=self._section.is_random(),
                    renewed=self._renewed,
                )
            if compared:
                self._compared.add(question)
        return finished(values, reasons)

    def _repeats_itself(self) -> bool:
        """Whether the answer of a system follows from its parameters and its seed."""
        section = self._section
        if not section.is_random():
            return True
        return isinstance(section, MayBeRandom) and section.is_given_seeds()

    def _limit(self, question: str) -> CallLimit:
        own = CallLimit(self._section.time_limit, self._section.longest_call())
        return self._limits.setdefault(question, own)

    @contextmanager
    def _simulators(self) -> Iterator[list[RunningSimulator]]:
        """Yield a running simulator for each simultaneous call."""
        with self.session():
            running = self._running
            assert running is not None
            while len(running) < self._section.parallel:
                running.append(self._start())
            try:
                yield running
            except BaseException:
                # The next call starts new simulators, as the state of these is unknown.
                self._close()
                raise


def as_observed(
    section: ExternalSection, start: Callable[[], RunningSimulator]
) -> Callable[[], RunningSimulator]:
    """Return a start of the simulator that gives the observations from what it returns."""
    # The modules are imported here, since few studies need them.
    observed, count = section.observations, section.observation_count()
    matrix = observed.interpolation_matrix()
    if matrix is not None:
        from popinv.forward.external.transformed import Interpolated

        start = _then(start, partial(Interpolated, matrix=matrix, entries=observed.count))
    if observed.logarithm:
        from popinv.forward.external.transformed import Logarithms

        start = _then(start, partial(Logarithms, count=count))
    return start


def _then(
    start: Callable[[], RunningSimulator], wrapper: Callable[[RunningSimulator], RunningSimulator]
) -> Callable[[], RunningSimulator]:
    return lambda: wrapper(start())
