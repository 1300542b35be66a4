"""Bins of neighbouring observations, over which quantiles of the systems are taken.

Where systems are observed at times of their own, few of them share a time, and quantiles at each
time would say nothing. Neighbouring times are then pooled, as in visual predictive checks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from popinv.figures.arrangement import Arrangement, ObservedCurve
from popinv.figures.simulated import LEVELS, quantiles

# A bin has at least so many values, or half of what the fullest observation has.
_LEAST = 10


@dataclass(frozen=True)
class Bins:
    """Bins of observations.

    Attributes
    ----------
    layout : Arrangement
        That of the observations, with a point of a panel for each bin.
    groups : tuple of ndarray of int
        The observations of each bin.
    """

    layout: Arrangement
    groups: tuple[np.ndarray, ...]

    @property
    def pooled(self) -> bool:
        """Whether some bin has several observations."""
        return max(map(len, self.groups)) > 1

    def quantiles(self, y: np.ndarray) -> np.ndarray:
        """Return the quantiles (3, bins) of observations (N, d_y), all of a bin taken together."""
        if not self.pooled:
            return quantiles(y[:, np.concatenate(self.groups)], LEVELS)
        each = [quantiles(y[:, group].reshape(-1, 1), LEVELS) for group in self.groups]
        return np.concatenate(each, axis=1)

    def mean(self, y: np.ndarray) -> np.ndarray:
        """Return the mean (bins,) of all values of a bin."""
        return np.array([np.nanmean(y[:, group]) for group in self.groups])

    def spread(self, y: np.ndarray) -> np.ndarray:
        """Return the standard deviation (bins,) of all values of a bin, 1 where there is none."""
        each = np.array([np.nanstd(y[:, group]) for group in self.groups])
        return np.where(each > 0, each, 1.0)


def bins_of(layout: Arrangement, y: np.ndarray) -> Bins:
    """Return the bins of observations (N, d_y), each seen in at least one system.

    Separate quantities, and observations on a map, are each a bin.
    """
    counts = (~np.isnan(y)).sum(axis=0)
    least = min(_LEAST, -(-int(counts.max()) // 2))
    if layout.names or layout.map is not None or counts.min() >= least:
        return Bins(layout, tuple(np.arange(y.shape[1])[:, None]))
    panels: list[ObservedCurve] = []
    groups: list[np.ndarray] = []
    for panel in layout.panels:
        own = counts[panel.rows]
        runs = _neighbours(panel.x, own, least)
        places = np.array([np.average(panel.x[run], weights=own[run]) for run in runs])
        panels.append(ObservedCurve(panel.title, len(groups) + np.arange(len(runs)), places))
        groups += [panel.rows[run] for run in runs]
    return Bins(replace(layout, panels=tuple(panels)), tuple(groups))


def _neighbours(x: np.ndarray, counts: np.ndarray, least: int) -> list[np.ndarray]:
    """Return runs of neighbours, in order, with at least so many values each if there are so many.

    The run with the fewest values joins the nearer of its neighbours, until no run has too few.
    """
    runs = [np.array([i]) for i in range(len(x))]
    while len(runs) > 1:
        filled = [int(counts[run].sum()) for run in runs]
        i = int(np.argmin(filled))
        if filled[i] >= least:
            break
        before = x[runs[i][0]] - x[runs[i - 1][-1]] if i > 0 else np.inf
        after = x[runs[i + 1][0]] - x[runs[i][-1]] if i + 1 < len(runs) else np.inf
        first = i - 1 if before <= after else i
        runs[first : first + 2] = [np.concatenate(runs[first : first + 2])]
    return runs
