r"""Calibration: probability integral transforms of observed systems under the fitted model.

With F the model's distribution function of an observation under the system's own conditions, the
transforms F(y) are uniform if the model is right. They are computed for single observations, and
for whole systems from the log density of the normal law with the model's mean and covariance. F is
the share of many draws of the model below y: the prediction discrepancies of mixed-effects models
(Mentré and Escolano, J. Pharmacokinet. Pharmacodyn. 33, 2006).

Their empirical distribution function less the uniform one is drawn with a simultaneous band
(Säilynoja, Bürkner and Vehtari, Stat. Comput. 32, 2022, who take independent transforms). Here the
observations of a system depend on each other, and all depend on the error of the estimate. The band
(:mod:`popinv.figures.envelopes`) comes from data sets of the fitted model, each at a draw about the
estimate. Their transforms are computed like the data's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from popinv.figures.envelopes import Envelope, envelope
from popinv.inference.checks.fitted_samples import FittedModel
from popinv.inference.checks.heldout_test import tested_systems
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.seeds import generator

GRID = np.arange(1, 50) / 50
"""Points at which the distribution functions are compared."""

# Numbers of data sets for a band, and the most entries of all of them. For the distribution
# functions, the most draws, and the most entries over all groups of systems.
_SETS, _ENTRIES = (799, 199, 99), 3e7
_DRAWS, _FEWEST_DRAWS, _DRAWN = 4000, 400, 1e8
_BLOCK = 2e6


@dataclass(frozen=True)
class Uniformity:
    """The distribution of transforms, less the uniform one, at :data:`GRID`.

    Attributes
    ----------
    difference : ndarray of shape (49,)
    band : Envelope
        The band that holds the whole difference with a probability of 95 % if the model is right.
    count : int
        Number of transforms.
    """

    difference: np.ndarray
    band: Envelope
    count: int

    @property
    def inside(self) -> bool:
        """Whether all of the difference lies in the band."""
        return self.band.holds(self.difference)

    @classmethod
    def of(cls, counts: np.ndarray) -> Uniformity:
        """Return the uniformity of the first row of counts (1 + B, 50) of transforms.

        A column counts the transforms between two neighbouring points of the grid. The other rows
        count transforms of data sets of the model.
        """
        total = int(counts[0].sum())
        curves = np.cumsum(counts, axis=1)[:, :-1] / max(1, total) - GRID
        return cls(curves[0], envelope(curves[1:]), total)


def counted(transforms: np.ndarray) -> np.ndarray:
    """Return the counts (B, 50) of rows of transforms (B, m) between the points of the grid."""
    width = len(GRID) + 1
    bins = np.ceil(transforms * width).astype(int).clip(1, width) - 1
    rows = np.arange(len(bins))[:, None] * width
    return np.bincount((bins + rows).ravel(), minlength=len(bins) * width).reshape(-1, width)


@dataclass(frozen=True)
class Calibration:
    """The uniformity of the transforms of single observations and of whole systems."""

    observations: Uniformity
    systems: Uniformity


def calibration_of(problem: Problem, loaded: Mapping[str, xr.Dataset]) -> Calibration | None:
    """Return the calibration of a study over the systems on which it is tested, if there are any.

    A study of crossed levels may have a single system.
    """
    model, tested, conditions = tested_systems(problem, loaded)
    return calibration(model, tested, conditions) if len(tested) else None


def calibration(model: FittedModel, tested: np.ndarray, conditions: Conditions) -> Calibration:
    """Return the calibration of a fitted model.

    Parameters
    ----------
    tested : ndarray of shape (n, d_y)
        Observations of the systems, missing entries filled.
    conditions : Conditions
        The conditions of these systems.
    """
    n, width = tested.shape
    sets = next((count for count in _SETS if count * tested.size <= _ENTRIES), _SETS[-1])
    every = np.empty((1 + sets, n, width), dtype=np.float32)
    every[0] = tested
    for b in range(sets):
        every[1 + b] = model.null_sample(n, "calibration/sets", b, conditions)
    observations, systems = np.zeros((2, 1 + sets, len(GRID) + 1), dtype=int)
    groups = _groups(conditions)
    draws = int(np.clip(_DRAWN / len(groups) / width, _FEWEST_DRAWS, _DRAWS))
    rng = generator(model.problem.seed, "calibration/ranks")
    for number, members in enumerate(groups):
        own = conditions.of(members[:1])
        seen = np.flatnonzero(own.present[0])
        drawn = model.sample(draws, "calibration/draws", number, own)[:, seen].astype(np.float32)
        for column, j in zip(drawn.T, seen, strict=True):
            observations += counted(_ranks(rng, column, every[:, members, j]))
        # Draws that determine the moments are closer to them than other draws.
        half = draws // 2
        moments = _Moments.of(drawn[:half])
        scores = _log_scores(moments, every, members, seen)
        systems += counted(_ranks(rng, moments.log_scores(drawn[half:]), scores))
    return Calibration(Uniformity.of(observations), Uniformity.of(systems))


@dataclass(frozen=True)
class _Moments:
    """Mean and covariance of the fitted model.

    Attributes
    ----------
    mean : ndarray of shape (d_y,)
    root : ndarray of shape (d_y, d_y)
        ``C^{-1/2}``, symmetric, so that each entry stays closest to its observation.
    logdet : float
        ``log det C``.
    """

    mean: np.ndarray
    root: np.ndarray
    logdet: float

    @classmethod
    def of(cls, reference: np.ndarray) -> _Moments:
        """Return the moments of a large sample of the model (M, d_y)."""
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(reference, rowvar=False)))
        # A direction without noise has a variance of zero.
        values = np.maximum(values, 1e-14 * values[-1])
        root = (vectors * values**-0.5) @ vectors.T
        return cls(reference.mean(axis=0), root, float(np.log(values).sum()))

    def log_scores(self, sample: np.ndarray) -> np.ndarray:
        """Return log N(y; m, C) of each row of a sample (n, d_y) with filled entries."""
        whitened = (sample - self.mean) @ self.root
        constant = self.logdet + len(self.mean) * math.log(2 * math.pi)
        return -0.5 * ((whitened**2).sum(axis=1) + constant)


def _log_scores(
    moments: _Moments, every: np.ndarray, members: np.ndarray, seen: np.ndarray
) -> np.ndarray:
    """Return the log densities (B, members) of some systems of data sets (B, n, d_y)."""
    # A few data sets at a time, as the whitened ones are in double precision.
    step = max(1, int(_BLOCK / (len(members) * len(seen))))
    found = []
    for start in range(0, len(every), step):
        values = every[start : start + step, members[:, None], seen]
        scores = moments.log_scores(values.reshape(-1, len(seen)))
        found.append(scores.reshape(values.shape[:2]))
    return np.concatenate(found)


def _ranks(rng: np.random.Generator, drawn: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the ranks of values among draws (m,), over m + 1; random where they are equal.

    They are uniform if a value has the distribution of the draws, even a discrete one, as below a
    limit of quantification.
    """
    ordered = np.sort(drawn)
    below, up_to = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    within = rng.uniform(size=values.shape) * (up_to - below + 1)
    return np.asarray((below + within) / (len(drawn) + 1))


def _groups(conditions: Conditions) -> list[np.ndarray]:
    """Return the systems with the same conditions."""
    if conditions.plain:
        return [np.arange(len(conditions))]
    _, group = np.unique(conditions.columns(), axis=0, return_inverse=True)
    return [np.flatnonzero(group.reshape(-1) == number) for number in range(group.max() + 1)]
