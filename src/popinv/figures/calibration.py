r"""Calibration: probability integral transforms of systems that the fitted model has not seen.

With F the model's distribution function of an observation under the system's own conditions, the
transforms F(y) are uniform if the model is right. They are taken of single observations, and of
whole systems by the log density of the normal law with the model's mean and covariance. F is the
share of many draws of the model below y: the prediction discrepancies of mixed-effects models
(Mentré and Escolano, J. Pharmacokinet. Pharmacodyn. 33, 2006).

Their empirical distribution function less the uniform one is drawn with a simultaneous band
(Säilynoja, Bürkner and Vehtari, Stat. Comput. 32, 2022, who take independent transforms). Here the
observations of a system depend on each other, and all on the error of the estimate. The band
(:mod:`popinv.figures.envelopes`) is that of data sets of the fitted model, each at a draw about the
estimate, whose transforms are taken as those of the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from popinv.figures.envelopes import Envelope, envelope
from popinv.inference.conditions import Conditions
from popinv.inference.fitted_samples import FittedModel
from popinv.inference.misfit import SecondMoments
from popinv.inference.problem import Problem
from popinv.inference.tested import tested_systems
from popinv.seeds import generator

__all__ = ["GRID", "Calibration", "Uniformity", "calibration", "calibration_of"]

GRID = np.arange(1, 50) / 50
"""Points at which the distribution functions are compared."""

# Data sets for a band: fewer if all of them have more entries. The draws for the distribution
# functions: at most so many, and so many entries over all groups of systems.
_FEWEST_SETS, _SETS, _ENTRIES = 199, 799, 3e7
_DRAWS, _FEWEST_DRAWS, _DRAWN = 4000, 400, 1e8


@dataclass(frozen=True)
class Uniformity:
    """The distribution of transforms, less the uniform one, at :data:`GRID`.

    Attributes
    ----------
    difference : ndarray of shape (49,)
    band : Envelope
        Where all of it stays with a probability of 95 % if the model is right.
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
    def of(cls, transforms: np.ndarray) -> Uniformity:
        """Return the uniformity of the first row of transforms (1 + B, m), NaN where there is none.

        The other rows are those of data sets of the model.
        """
        seen = ~np.isnan(transforms[0])
        bins = np.ceil(transforms[:, seen] * (len(GRID) + 1)).astype(int).clip(1) - 1
        counts = np.array([np.bincount(row, minlength=len(GRID) + 1) for row in bins])
        below = np.cumsum(counts, axis=1)[:, :-1] / max(1, seen.sum())
        curves = below - GRID
        return cls(curves[0], envelope(curves[1:]), int(seen.sum()))


@dataclass(frozen=True)
class Calibration:
    """The uniformity of the transforms of single observations and of whole systems."""

    observations: Uniformity
    systems: Uniformity


def calibration_of(problem: Problem, loaded: Mapping[str, xr.Dataset]) -> Calibration:
    """Return the calibration of a study; see :func:`popinv.inference.tested.tested_systems`."""
    return calibration(*tested_systems(problem, loaded))


def calibration(
    model: FittedModel, tested: np.ndarray, conditions: Conditions | None
) -> Calibration:
    """Return the calibration of a fitted model.

    Parameters
    ----------
    model : FittedModel
    tested : ndarray of shape (n, d_y)
        Observations of systems that it has not seen, missing entries filled.
    conditions : Conditions, optional
        The conditions of these systems.
    """
    n, width = tested.shape
    sets = _SETS if _SETS * tested.size <= _ENTRIES else _FEWEST_SETS
    every = np.empty((1 + sets, n, width), dtype=np.float32)
    every[0] = tested
    for b in range(sets):
        every[1 + b] = model.null_sample(n, "calibration/sets", b, conditions)
    observations = np.full(every.shape, np.nan, dtype=np.float32)
    systems = np.empty(every.shape[:2])
    groups = list(_groups(model, n, conditions))
    draws = int(np.clip(_DRAWN / len(groups) / width, _FEWEST_DRAWS, _DRAWS))
    rng = generator(model.problem.seed, "calibration/ranks")
    for number, (members, p) in enumerate(groups):
        own = None if conditions is None else conditions.of(members[:1])
        seen = np.arange(width)
        if own is not None and own.present is not None:
            seen = np.flatnonzero(own.present[0])
        drawn = model.at(p, draws, "calibration/draws", number, own)[:, seen].astype(np.float32)
        values = every[:, members][:, :, seen]
        observations[:, members[:, None], seen] = np.stack(
            [_ranks(rng, drawn[:, j], values[:, :, j]) for j in range(len(seen))], axis=-1
        )
        systems[:, members] = _of_systems(rng, drawn, values)
    return Calibration(Uniformity.of(observations.reshape(1 + sets, -1)), Uniformity.of(systems))


def _of_systems(rng: np.random.Generator, drawn: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the ranks of the log densities of systems (B, n, d) among those of draws (m, d)."""
    # Draws of which the moments are taken are closer to them than others.
    half = len(drawn) // 2
    moments = SecondMoments.of(drawn[:half])
    rows = values.reshape(-1, values.shape[-1])
    scores = moments.log_scores(rows).reshape(values.shape[:2])
    return _ranks(rng, moments.log_scores(drawn[half:]), scores)


def _ranks(rng: np.random.Generator, drawn: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the ranks of values among draws (m,), over m + 1; random where they are equal.

    They are uniform if a value has the distribution of the draws, also if that is discrete, as
    below a limit of quantification.
    """
    ordered = np.sort(drawn)
    below, up_to = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    within = rng.uniform(size=values.shape) * (up_to - below + 1)
    return np.asarray((below + within) / (len(drawn) + 1))


def _groups(
    model: FittedModel, count: int, conditions: Conditions | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield systems with the same conditions and fold, and the answer without their fold."""
    keys = np.zeros((count, 1)) if conditions is None else conditions.columns()
    for rows, p in model.folds(count):
        _, group = np.unique(keys[rows], axis=0, return_inverse=True)
        for number in range(group.max() + 1):
            yield rows[group.reshape(-1) == number], p
