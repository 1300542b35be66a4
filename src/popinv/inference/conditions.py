r"""Conditions of the observed systems: noise scales, missing entries, design and covariates.

A system's observation is

.. math:: y^{(n)} = G(z^{(n)}) + s_n\, \xi^{(n)}, \qquad \xi^{(n)} \sim N(0, \Gamma),

with s_n > 0 known, so Gamma is the covariance at scale 1. Some entries of y^(n) may be missing. In
the data, a missing entry holds a fixed value, the mean of the observed values of other systems, or
of all values where no system shows the entry.
Each simulated system takes the scale s and the pattern of missing entries of a random observed
system, and its missing entries hold the same fixed values. Observations and model then have the
same law if the parameters are right.

This assumes that scales and gaps depend neither on the system's parameters nor on its noise:
entries are missing completely at random. If, for example, a sensor fails at high values, the answer
is biased.

The design of a system enters its G beside the parameters, and covariates shift the law of its
parameters (:mod:`popinv.population.known`); both are known for each system.

An observation below a limit of quantification holds the limit, and so does that of a simulated
system. Both sides are censored alike.

The filled value is not an imputation of the missing value, which would need the unknown law. Both
sides of the comparison contain it, and any other value would leave the truth unchanged. The
construction is this package's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr

from popinv.errors import DataError
from popinv.population.known import Known, known_of
from popinv.population.places import at_places, known_with_places
from popinv.store.rows import Rows, column_deviations, row_blocks, rows_of

# Spread of an entry, relative to the largest, that is due to rounding.
_NO_SPREAD = 1e-12


@dataclass(frozen=True)
class Conditions:
    """The conditions under which N systems were observed.

    Parameters
    ----------
    scale : ndarray of shape (N,), optional
        Factor on the standard deviation of each system's noise; None if it is 1 for all.
    present : ndarray of bool, shape (N, d_y), optional
        Whether each entry was observed; None if all were.
    fill : ndarray of shape (d_y,), optional
        The fixed value of missing entries; goes with ``present``.
    known : Known, optional
        Design and covariates.
    limits : ndarray of shape (N, d_y), optional
        Limits of quantification. A value below its limit is replaced by the limit.
    """

    scale: np.ndarray | None = None
    present: np.ndarray | None = None
    fill: np.ndarray | None = None
    known: Known | None = None
    limits: np.ndarray | None = None

    def __post_init__(self) -> None:
        if all(each is None for each in self._by_system):
            raise ValueError("conditions need a scale, a mask, known quantities or limits")
        if (self.present is None) != (self.fill is None):
            raise ValueError("a mask and the values that fill it go together")

    def __len__(self) -> int:
        return len(next(each for each in self._by_system if each is not None))

    @property
    def _by_system(self) -> tuple[np.ndarray | Known | None, ...]:
        return self.scale, self.present, self.known, self.limits

    def of(self, systems: np.ndarray) -> Conditions:
        """Return the conditions of some systems, which may occur several times."""
        return replace(
            self,
            scale=None if self.scale is None else self.scale[systems],
            present=None if self.present is None else self.present[systems],
            known=None if self.known is None else self.known.of(systems),
            limits=None if self.limits is None else self.limits[systems],
        )

    def columns(self) -> np.ndarray:
        """Return all conditions side by side, a row for each system; equal rows are equal ones."""
        known = () if self.known is None else (self.known.design, self.known.covariates)
        parts = (self.scale, self.present, self.limits, *known)
        each = [np.asarray(part, dtype=float) for part in parts if part is not None]
        return np.concatenate([part.reshape(len(self), -1) for part in each], axis=1)

    def without_gaps(self) -> Conditions | None:
        """Return the conditions of the same systems without missing entries."""
        left = (self.scale, self.known, self.limits)
        if all(each is None for each in left):
            return None
        return replace(self, present=None, fill=None)

    @property
    def mean_square_scale(self) -> float:
        """Mean of s^2 over the systems: the population's noise covariance is this times Gamma."""
        return 1.0 if self.scale is None else float(np.mean(self.scale**2))

    def observe(
        self, signal: torch.Tensor, noise: torch.Tensor, systems: np.ndarray
    ) -> torch.Tensor:
        """Return signal + s noise, at least the limits, with missing entries filled.

        Parameters
        ----------
        signal, noise : Tensor of shape (M, d_y)
            G(z), and noise of scale 1.
        systems : ndarray of int, shape (M,)
            The system whose conditions each row takes.
        """
        if self.scale is not None:
            noise = torch.from_numpy(self.scale[systems])[:, None] * noise
        y = signal + noise
        if self.limits is not None:
            y = torch.maximum(y, torch.from_numpy(self.limits[systems]))
        if self.present is None or self.fill is None:
            return y
        return torch.where(torch.from_numpy(self.present[systems]), y, torch.from_numpy(self.fill))


def fitted_observations(observations: xr.Dataset) -> tuple[Rows, Conditions | None]:
    """Return the observations to learn from, filled, and their conditions.

    Parameters
    ----------
    observations : Dataset
        ``y`` (system, observation), NaN if missing; ``noise_scale`` (system,), ``design`` (system,
        input), ``covariate`` (system, known) and ``censored_below`` (observation,) if there are
        any.

    Returns
    -------
    data : ndarray or StoredRows of shape (N, d_y)
        Without NaN. Rows that stay in their store, if ``y`` does.
    conditions : Conditions or None
        None if every entry was seen and nothing else is known of the systems.

    Raises
    ------
    DataError
        If every observation is missing.
    """
    rows = rows_of(observations["y"].variable)
    seen = sum(int((~np.isnan(part)).sum()) for _, part in row_blocks(rows))
    if not seen:
        raise DataError(f"none of the {len(rows)} systems has an observation")
    # The mean of the observed values keeps the filled data within the range of the rest.
    fill = None if seen == rows.size else _column_means(rows)
    filled = rows_of(observations["y"].variable, fill)
    return filled, _conditions(rows, observations, "", fill)


def observations_at_places(
    data: Rows, conditions: Conditions, places: np.ndarray, replicates: int
) -> tuple[np.ndarray, Conditions]:
    """Return observations at places (N, m) of their own, filled, and their conditions.

    Parameters
    ----------
    data, conditions : Rows, Conditions
        From :func:`fitted_observations`, with gaps.
    places : ndarray of int, shape (N, m)
    replicates : int
    """
    present, limits = (
        None if rows is None else at_places(rows, places, replicates)
        for rows in (conditions.present, conditions.limits)
    )
    assert present is not None
    # The observations at all places may be too many for the memory.
    blocks = [at_places(part, places[rows], replicates) for rows, part in row_blocks(data)]
    y = np.concatenate(blocks)
    fill = _column_means(np.where(present, y, np.nan))
    known = known_with_places(conditions.known, places)
    own = replace(conditions, present=present, fill=fill, known=known, limits=limits)
    return np.where(present, y, fill), own


def heldout_observations(
    observations: xr.Dataset, fitted: Conditions | None
) -> tuple[np.ndarray, Conditions | None]:
    """Return the held-out observations, filled as the fitted ones were, and their conditions.

    Parameters
    ----------
    observations : Dataset
        ``y_heldout`` (heldout_system, observation), and perhaps ``noise_scale_heldout``,
        ``design_heldout`` and ``covariate_heldout``.
    fitted : Conditions or None
        The conditions of the systems that were learned from.
    """
    y = observations["y_heldout"].values
    fill = None
    if np.isnan(y).any():
        known = None if fitted is None else fitted.fill
        fill = _column_means(rows_of(observations["y"].variable)) if known is None else known
    filled = np.asarray(rows_of(observations["y_heldout"].variable, fill))
    return filled, _conditions(y, observations, "_heldout", fill)


def deviations(data: Rows) -> np.ndarray:
    """Return the standard deviation of each entry (d_y,) of data (N, d_y).

    An entry that at most one system shows has none, but for rounding, and is given the largest.
    """
    found = column_deviations(data)
    largest = float(found.max())
    return np.where(found > _NO_SPREAD * largest, found, largest if largest > 0 else 1.0)


def _column_means(rows: Rows) -> np.ndarray:
    """Return the mean of each entry (d_y,) over rows (n, d_y); of all where none was seen."""
    sums, counts = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    for _, y in row_blocks(rows):
        seen = ~np.isnan(y)
        sums, counts = sums + np.where(seen, y, 0.0).sum(axis=0), counts + seen.sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), sums.sum() / counts.sum())


def _present(rows: Rows) -> np.ndarray:
    """Return which entries of rows (n, d_y) were seen."""
    return np.concatenate([~np.isnan(y) for _, y in row_blocks(rows)])


def _conditions(
    y: Rows, observations: xr.Dataset, ending: str, fill: np.ndarray | None
) -> Conditions | None:
    scale = observations.get(f"noise_scale{ending}")
    known = known_of(observations, ending)
    limits = observations.get("censored_below")
    if scale is None and fill is None and known is None and limits is None:
        return None
    return Conditions(
        scale=None if scale is None else np.asarray(scale.values, dtype=float),
        present=None if fill is None else _present(y),
        fill=fill,
        known=known,
        limits=None if limits is None else np.broadcast_to(limits.values, y.shape).copy(),
    )
