r"""What is known of each observed system: the scale of its noise, and which entries were seen.

A system's observation is

.. math:: y^{(n)} = G(z^{(n)}) + s_n\, \xi^{(n)}, \qquad \xi^{(n)} \sim N(0, \Gamma),

with s_n > 0 known: Gamma is the covariance at scale 1. Of y^(n) only some entries may have been
seen. In the data, an entry that was not seen holds a fixed value, the mean of what was seen of it
in other systems. So that observations and model have the same law where the parameters are right,
each simulated system takes the traits (s, and which entries are seen) of an observed system drawn
at random, and its unseen entries hold the same fixed values.

This supposes that the traits depend neither on the system's parameters nor on its noise: entries
are missing completely at random. Where, say, a sensor fails at high values, the answer is biased.

The filled value is no guess of what was not seen, which would need the law that is sought: both
sides of the comparison carry it, and any other value would leave the truth where it is. The
construction is this package's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
import xarray as xr

from popinv.errors import DataError

__all__ = ["Traits", "fitted_observations", "heldout_observations", "observed_covariance"]


@dataclass(frozen=True)
class Traits:
    """The traits of N systems.

    Parameters
    ----------
    scale : ndarray of shape (N,), optional
        Factor on the standard deviation of each system's noise; None where it is 1 for all.
    present : ndarray of bool, shape (N, d_y), optional
        Which entries were seen; None where all were.
    fill : ndarray of shape (d_y,), optional
        What stands for an entry that was not seen; goes with ``present``.
    """

    scale: np.ndarray | None = None
    present: np.ndarray | None = None
    fill: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.scale is None and self.present is None:
            raise ValueError("traits need a scale or a mask; without either, there are none")
        if (self.present is None) != (self.fill is None):
            raise ValueError("a mask and the values that fill it go together")

    def __len__(self) -> int:
        either = self.present if self.scale is None else self.scale
        return 0 if either is None else len(either)

    def of(self, systems: np.ndarray) -> Traits:
        """Return the traits of some of the systems, which may come up several times."""
        return replace(
            self,
            scale=None if self.scale is None else self.scale[systems],
            present=None if self.present is None else self.present[systems],
        )

    def without_gaps(self) -> Traits | None:
        """Return the traits of the same systems had all their entries been seen."""
        return None if self.scale is None else Traits(scale=self.scale)

    @property
    def mean_square_scale(self) -> float:
        """Mean of s^2 over the systems: the population's noise covariance is this times Gamma."""
        return 1.0 if self.scale is None else float(np.mean(self.scale**2))

    def observe(
        self, signal: torch.Tensor, noise: torch.Tensor, systems: np.ndarray
    ) -> torch.Tensor:
        """Return signal + s noise, its unseen entries filled.

        Parameters
        ----------
        signal, noise : Tensor of shape (M, d_y)
            G(z), and noise of scale 1.
        systems : ndarray of int, shape (M,)
            The system whose traits each row takes.
        """
        if self.scale is not None:
            noise = torch.from_numpy(self.scale[systems])[:, None] * noise
        y = signal + noise
        if self.present is None or self.fill is None:
            return y
        return torch.where(torch.from_numpy(self.present[systems]), y, torch.from_numpy(self.fill))


def fitted_observations(observations: xr.Dataset) -> tuple[np.ndarray, Traits | None]:
    """Return the observations to learn from, filled, and their traits.

    Parameters
    ----------
    observations : Dataset
        ``y`` (system, observation), NaN where nothing was seen, and ``noise_scale`` (system,)
        where systems have one.

    Returns
    -------
    data : ndarray of shape (N, d_y)
        Without NaN.
    traits : Traits or None
        None if every entry was seen and no system has a noise scale.

    Raises
    ------
    DataError
        If an observation was seen in no system.
    """
    y = observations["y"].values
    present = ~np.isnan(y)
    unseen = np.flatnonzero(~present.any(axis=0))
    if len(unseen):
        raise DataError(f"observation {unseen[0] + 1} was seen in none of the {len(y)} systems")
    # The mean of what was seen keeps the filled data within the range of the rest.
    fill = None if present.all() else np.nanmean(y, axis=0)
    return _filled(y, fill), _traits(y, observations.get("noise_scale"), fill)


def heldout_observations(
    observations: xr.Dataset, fitted: Traits | None
) -> tuple[np.ndarray, Traits | None]:
    """Return the held-out observations, filled as the fitted ones were, and their own traits.

    Parameters
    ----------
    observations : Dataset
        ``y_heldout`` (heldout_system, observation) and perhaps ``noise_scale_heldout``.
    fitted : Traits or None
        The traits of the systems that were learned from.
    """
    y = observations["y_heldout"].values
    fill = None
    if np.isnan(y).any():
        known = None if fitted is None else fitted.fill
        fill = np.nanmean(observations["y"].values, axis=0) if known is None else known
    return _filled(y, fill), _traits(y, observations.get("noise_scale_heldout"), fill)


def observed_covariance(data: np.ndarray, traits: Traits | None) -> np.ndarray:
    """Return the empirical covariance of data (N, d_y), each entry over the systems seen in both.

    NaN stands where two observations were never both seen in one system.
    """
    if traits is None or traits.present is None:
        return np.atleast_2d(np.cov(data, rowvar=False))
    return pd.DataFrame(np.where(traits.present, data, np.nan)).cov().to_numpy()


def _filled(y: np.ndarray, fill: np.ndarray | None) -> np.ndarray:
    return y if fill is None else np.where(np.isnan(y), fill, y)


def _traits(y: np.ndarray, scale: xr.DataArray | None, fill: np.ndarray | None) -> Traits | None:
    if scale is None and fill is None:
        return None
    return Traits(
        scale=None if scale is None else np.asarray(scale.values, dtype=float),
        present=None if fill is None else ~np.isnan(y),
        fill=fill,
    )
