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

A censored observation holds its limit (:mod:`popinv.population.limits`). The observations of
simulated systems are censored in the same way.

The filled value is not an imputation of the missing value, which would need the unknown law. Both
sides of the comparison contain it, and any other value would leave the truth unchanged. The
construction is this package's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import xarray as xr

from popinv.errors import DataError
from popinv.late import torch
from popinv.population.known import Known, known_of
from popinv.population.limits import Limits, limits_in
from popinv.population.places import at_places, known_with_places
from popinv.store.rows import Rows, column_deviations, row_blocks, rows_of

# Spread of an entry, relative to the largest, that is due to rounding.
_NO_SPREAD = 1e-12


@dataclass(frozen=True)
class Conditions:
    """The conditions under which N systems were observed.

    Every array exists. A value that all systems share takes no memory: it is broadcast.

    Attributes
    ----------
    scale : ndarray of shape (N,)
        Factor on the standard deviation of each system's noise.
    present : ndarray of bool, shape (N, d_y)
        Whether each entry was observed.
    fill : ndarray of shape (d_y,)
        The fixed value of missing entries.
    known : Known
        Design and covariates.
    limits : Limits
        Limits beyond which observations are censored.
    scaled, gaps, limited : bool
        Whether scales, missing entries or limits were stated.
    """

    scale: np.ndarray
    present: np.ndarray
    fill: np.ndarray
    known: Known
    limits: Limits
    scaled: bool
    gaps: bool
    limited: bool

    @classmethod
    def stated(
        cls,
        shape: tuple[int, int],
        scale: np.ndarray | None = None,
        present: np.ndarray | None = None,
        fill: np.ndarray | None = None,
        known: Known | None = None,
        limits: Limits | None = None,
    ) -> Conditions:
        """Return the conditions of observations of shape (N, d_y) from the stated ones.

        By default the scales are 1, every entry was seen, nothing else is known, and there are no
        limits.
        """
        if (present is None) != (fill is None):
            raise ValueError("a mask and the values that fill it go together")
        count, width = shape
        return cls(
            scale=np.broadcast_to(1.0, count) if scale is None else scale,
            present=np.broadcast_to(True, shape) if present is None else present,
            fill=np.zeros(width) if fill is None else fill,
            known=Known.nothing(count) if known is None else known,
            limits=Limits.none(shape) if limits is None else limits,
            scaled=scale is not None,
            gaps=present is not None,
            limited=limits is not None,
        )

    def __len__(self) -> int:
        return len(self.scale)

    @property
    def plain(self) -> bool:
        """Whether no system differs from the others."""
        return not (self.scaled or self.gaps or self.limited or self.known.width)

    def of(self, systems: np.ndarray) -> Conditions:
        """Return the conditions of some systems, which may occur several times."""
        shape = len(np.arange(len(self))[systems]), self.present.shape[1]
        return Conditions.stated(
            shape,
            self.scale[systems] if self.scaled else None,
            self.present[systems] if self.gaps else None,
            self.fill if self.gaps else None,
            self.known.of(systems),
            self.limits.of(systems) if self.limited else None,
        )

    def columns(self) -> np.ndarray:
        """Return all conditions side by side, one row for each system."""
        parts = [self.known.columns]
        if self.scaled:
            parts.append(self.scale[:, None])
        if self.gaps:
            parts.append(self.present.astype(float))
        if self.limited:
            parts.extend(self.limits.arrays)
        return np.concatenate(parts, axis=1)

    @cached_property
    def groups(self) -> tuple[tuple[bytes, ...], np.ndarray, np.ndarray]:
        """The groups of systems whose observations have the same moments but for gaps and scales.

        Systems of a group have equal known quantities, and with limits the same limits and scales.
        Returns a key of each group, its first system, and the group of each system.
        """
        columns = [self.known.columns]
        if self.limited:
            columns += [self.scale[:, None], *self.limits.arrays]
        # Adding zero gives zeros of either sign the same bytes.
        rows = np.concatenate(columns, axis=1) + 0.0
        if not len(rows) or (rows == rows[:1]).all():
            return (rows[:1].tobytes(),), np.zeros(1, dtype=int), np.zeros(len(rows), dtype=int)
        kinds, first, index = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        return tuple(row.tobytes() for row in kinds), first, index.reshape(-1)

    def known_alone(self) -> Conditions:
        """Return the known quantities of the same systems, as if the rest were not stated."""
        return Conditions.stated(self.present.shape, known=self.known)

    def without_gaps(self) -> Conditions:
        """Return the conditions of the same systems without missing entries."""
        plain = Conditions.stated(self.present.shape)
        return replace(self, present=plain.present, fill=plain.fill, gaps=False)

    def lacking(self, entries: np.ndarray, fill: np.ndarray) -> Conditions:
        """Return the conditions of the same systems without some entries.

        Parameters
        ----------
        entries : ndarray of bool, shape (N, d_y)
            The entries that are missing too.
        fill : ndarray of shape (d_y,)
            The fixed value of missing entries, if none was missing before.
        """
        own = self.fill if self.gaps else fill
        return replace(self, present=self.present & ~entries, fill=own, gaps=True)

    @property
    def mean_square_scale(self) -> float:
        """Mean of s^2 over the systems: the population's noise covariance is this times Gamma."""
        return float(np.mean(self.scale**2))

    def observe(
        self, signal: torch.Tensor, noise: torch.Tensor, systems: np.ndarray
    ) -> torch.Tensor:
        """Return signal + s noise, held at the limits, with missing entries filled.

        Parameters
        ----------
        signal, noise : Tensor of shape (M, d_y)
            G(z), and noise of scale 1.
        systems : ndarray of int, shape (M,)
            The system whose conditions each row takes.
        """
        if self.scaled:
            noise = torch.from_numpy(self.scale[systems])[:, None] * noise
        y = signal + noise
        if self.limited:
            y = self.limits.of(systems).held(y)
        if not self.gaps:
            return y
        return torch.where(torch.from_numpy(self.present[systems]), y, torch.from_numpy(self.fill))


def fitted_observations(
    observations: xr.Dataset, fill: np.ndarray | None = None
) -> tuple[Rows, Conditions]:
    """Return the observations to learn from, filled, and their conditions.

    Parameters
    ----------
    observations : Dataset
        ``y`` (system, observation), NaN if missing; ``noise_scale`` (system,), ``design`` (system,
        input), ``covariate`` (system, known) and the limits (system, observation) if there are any.
    fill : ndarray of shape (d_y,), optional
        The fixed values of missing entries, for systems to predict, which may have no observation;
        by default the means.

    Returns
    -------
    data : ndarray or StoredRows of shape (N, d_y)
        Without NaN. Rows that stay in their store, if ``y`` does.
    conditions : Conditions

    Raises
    ------
    DataError
        If every observation is missing.
    """
    rows = rows_of(observations["y"].variable)
    seen = sum(int((~np.isnan(part)).sum()) for _, part in row_blocks(rows))
    if not seen and fill is None:
        raise DataError(f"none of the {len(rows)} systems has an observation")
    if seen == rows.size:
        fill = None
    elif fill is None:
        # The mean of the observed values keeps the filled data within the range of the rest.
        fill = _column_means(rows)
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
    """
    present = at_places(conditions.present, places, replicates)
    limits = conditions.limits.mapped(lambda rows: at_places(rows, places, replicates))
    # The observations at all places may be too many for the memory.
    blocks = [at_places(part, places[rows], replicates) for rows, part in row_blocks(data)]
    y = np.concatenate(blocks)
    fill = _column_means(np.where(present, y, np.nan))
    known = known_with_places(conditions.known, places)
    own = replace(conditions, present=present, fill=fill, known=known, limits=limits)
    return np.where(present, y, fill), own


def heldout_observations(
    observations: xr.Dataset, fitted: Conditions
) -> tuple[np.ndarray, Conditions]:
    """Return the held-out observations, filled as the fitted ones were, and their conditions.

    Parameters
    ----------
    observations : Dataset
        ``y_heldout`` (heldout_system, observation), and perhaps ``noise_scale_heldout``,
        ``design_heldout``, ``covariate_heldout`` and the limits.
    fitted : Conditions
        The conditions of the systems that were learned from.
    """
    y = observations["y_heldout"].values
    fill = None
    if np.isnan(y).any():
        fill = fitted.fill
        if not fitted.gaps:
            fill = _column_means(rows_of(observations["y"].variable))
    filled = np.asarray(rows_of(observations["y_heldout"].variable, fill))
    return filled, _conditions(y, observations, "_heldout", fill)


def deviations(data: Rows) -> np.ndarray:
    """Return the standard deviation of each entry (d_y,) of data (N, d_y).

    An entry that at most one system shows has no deviation except by rounding, and gets the
    largest.
    """
    found = column_deviations(data)
    largest = float(found.max())
    return np.where(found > _NO_SPREAD * largest, found, largest if largest > 0 else 1.0)


def _column_means(rows: Rows) -> np.ndarray:
    """Return the mean of each entry (d_y,) over rows (n, d_y), or the overall mean if unseen."""
    sums, counts = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    for _, y in row_blocks(rows):
        seen = ~np.isnan(y)
        sums, counts = sums + np.where(seen, y, 0.0).sum(axis=0), counts + seen.sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), sums.sum() / max(counts.sum(), 1))


def _present(rows: Rows) -> np.ndarray:
    """Return which entries of rows (n, d_y) were seen."""
    return np.concatenate([~np.isnan(y) for _, y in row_blocks(rows)])


def _conditions(
    y: Rows, observations: xr.Dataset, ending: str, fill: np.ndarray | None
) -> Conditions:
    scale = observations.get(f"noise_scale{ending}")
    return Conditions.stated(
        y.shape,
        scale=None if scale is None else np.asarray(scale.values, dtype=float),
        present=None if fill is None else _present(y),
        fill=fill,
        known=known_of(observations, ending),
        limits=limits_in(observations, ending),
    )
