"""The parts of a benchmark: rows, the two sides of a row, and the measurements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Contest", "Disagreement", "Measurement", "Row", "largest_difference"]


class Disagreement(Exception):
    """The two sides of a row gave different answers: their times do not compare."""


def largest_difference(ours: Any, peer: Any) -> float:
    """Return the largest difference of two answers, relative to the peer's largest value.

    Where ours has more rows than the peer's, which is slower and does fewer systems, the first
    rows are compared.
    """
    ours, peer = np.atleast_1d(ours), np.atleast_1d(peer)
    ours = ours[: len(peer)]
    if ours.shape != peer.shape:
        raise Disagreement(f"answers of shapes {ours.shape} and {peer.shape} do not compare")
    # NaN must not pass: it is not at most the tolerance.
    return float(np.max(np.abs(ours - peer)) / np.max(np.abs(peer)))


@dataclass(frozen=True)
class Contest:
    """The two sides of a row, made ready: whatever is built once is built.

    Parameters
    ----------
    ours, peer : callable
        Do the work once and return the answer.
    tolerance : float
        Largest difference of the answers.
    ours_units, peer_units : int
        Units of work (systems, steps) in one call. A slow peer may do fewer of them.
    repeats : int
        Times each side is timed, in turn.
    difference : callable
        From both answers to their difference.
    """

    ours: Callable[[], Any]
    peer: Callable[[], Any]
    tolerance: float
    ours_units: int = 1
    peer_units: int = 1
    repeats: int = 5
    difference: Callable[[Any, Any], float] = largest_difference


@dataclass(frozen=True)
class Row:
    """One line of the table, known without doing any of its work.

    Parameters
    ----------
    name : str
        ``group/peer``, where the group is the piece of work.
    work : str
        Description of one unit of work.
    peer : str
        Description of the peer.
    packages : tuple of str
        Distributions that the peer needs. Their versions are reported.
    target : float
        The ratio aimed at; 1 is to be as fast.
    prepare : callable
        Builds the contest. Called only if the packages are there.
    """

    name: str
    work: str
    peer: str
    packages: tuple[str, ...]
    target: float
    prepare: Callable[[], Contest]


@dataclass(frozen=True)
class Measurement:
    """Processor seconds of one unit of work, a repeat each, and how far the answers differ."""

    ours: np.ndarray
    peer: np.ndarray
    difference: float
    tolerance: float

    @property
    def ours_seconds(self) -> float:
        """Median of ours."""
        return float(np.median(self.ours))

    @property
    def peer_seconds(self) -> float:
        """Median of the peer's."""
        return float(np.median(self.peer))

    @property
    def ratio(self) -> float:
        """Times that popinv is faster than the peer."""
        return self.peer_seconds / self.ours_seconds

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest ratio of two times that were taken one after the other."""
        pairs = self.peer / self.ours
        return float(pairs.min()), float(pairs.max())
