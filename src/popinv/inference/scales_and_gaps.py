r"""Known noise scales and missing entries of the observed systems.

A system's observation is

.. math:: y^{(n)} = G(z^{(n)}) + s_n\, \xi^{(n)}, \qquad \xi^{(n)} \sim N(0, \Gamma),

with s_n > 0 known, so Gamma is the covariance at scale 1. Some entries of y^(n) may be missing. In
the data, a missing entry holds a fixed value, the mean of the observed values of other systems.
Each simulated system takes the scale s and the pattern of missing entries of a random observed
system, and its missing entries hold the same fixed values. Observations and model then have the
same law if the parameters are right.

This assumes that scales and gaps depend neither on the system's parameters nor on its noise:
entries are missing completely at random. If, for example, a sensor fails at high values, the answer
is biased.

The filled value is not an imputation of the missing value, which would need the unknown law. Both
sides of the comparison contain it, and any other value would leave the truth unchanged. The
construction is this package's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
import xarray as xr

from popinv.errors import DataError

__all__ = ["ScalesAndGaps", "fitted_observations", "heldout_observations", "observed_covariance"]


@dataclass(frozen=True)
class ScalesAndGaps:
    """The scales and gaps of N systems.

    Parameters
    ----------
    scale : ndarray of shape (N,), optional
        Factor on the standard deviation of each system's noise; None if it is 1 for all.
    present : ndarray of bool, shape (N, d_y), optional
        Whether each entry was observed; None if all were.
    fill : ndarray of shape (d_y,), optional
        The fixed value of missing entries; goes with ``present``.
    """

    scale: np.ndarray | None = None
    present: np.ndarray | None = None
    fill: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.scale is None and self.present is None:
            raise ValueError(
                "scales and gaps need a scale or a mask; without either, there are none"
            )
        if (self.present is None) != (self.fill is None):
            raise ValueError("a mask and the values that fill it go together")

    def __len__(self) -> int:
        either = self.present if self.scale is None else self.scale
        return 0 if either is None else len(either)

    def of(self, systems: np.ndarray) -> ScalesAndGaps:
        """Return the scales and gaps of some systems, which may occur several times."""
        return replace(
            self,
            scale=None if self.scale is None else self.scale[systems],
            present=None if self.present is None else self.present[systems],
        )

    def without_gaps(self) -> ScalesAndGaps | None:
        """Return the scales and gaps of the same systems without missing entries."""
        return None if self.scale is None else ScalesAndGaps(scale=self.scale)

    @property
    def mean_square_scale(self) -> float:
        """Mean of s^2 over the systems: the population's noise covariance is this times Gamma."""
        return 1.0 if self.scale is None else float(np.mean(self.scale**2))

    def observe(
        self, signal: torch.Tensor, noise: torch.Tensor, systems: np.ndarray
    ) -> torch.Tensor:
        """Return signal + s noise, with missing entries filled.

        Parameters
        ----------
        signal, noise : Tensor of shape (M, d_y)
            G(z), and noise of scale 1.
        systems : ndarray of int, shape (M,)
            The system whose scales and gaps each row takes.
        """
        if self.scale is not None:
            noise = torch.from_numpy(self.scale[systems])[:, None] * noise
        y = signal + noise
        if self.present is None or self.fill is None:
            return y
        return torch.where(torch.from_numpy(self.present[systems]), y, torch.from_numpy(self.fill))


def fitted_observations(observations: xr.Dataset) -> tuple[np.ndarray, ScalesAndGaps | None]:
    """Return the observations to learn from, filled, and their scales and gaps.

    Parameters
    ----------
    observations : Dataset
        ``y`` (system, observation), NaN if missing, and ``noise_scale`` (system,) if systems have
        one.

    Returns
    -------
    data : ndarray of shape (N, d_y)
        Without NaN.
    None if no entry is missing and no system has a noise scale.
        None if every entry was seen and no system has a noise scale.

    Raises
    ------
    DataError
        If an observation is missing in every system.
    """
    y = observations["y"].values
    present = ~np.isnan(y)
    unseen = np.flatnonzero(~present.any(axis=0))
    if len(unseen):
        raise DataError(f"observation {unseen[0] + 1} was seen in none of the {len(y)} systems")
    # The mean of the observed values keeps the filled data within the range of the rest.
    fill = None if present.all() else np.nanmean(y, axis=0)
    return _filled(y, fill), _scales_and_gaps(y, observations.get("noise_scale"), fill)


def heldout_observations(
    observations: xr.Dataset, fitted: ScalesAndGaps | None
) -> tuple[np.ndarray, ScalesAndGaps | None]:
    """Return the held-out observations, filled as the fitted ones were, and their scales and gaps.

    Parameters
    ----------
    observations : Dataset
        ``y_heldout`` (heldout_system, observation) and perhaps ``noise_scale_heldout``.
    fitted : ScalesAndGaps or None
        The scales and gaps of the systems that were learned from.
    """
    y = observations["y_heldout"].values
    fill = None
    if np.isnan(y).any():
        known = None if fitted is None else fitted.fill
        fill = np.nanmean(observations["y"].values, axis=0) if known is None else known
    return _filled(y, fill), _scales_and_gaps(y, observations.get("noise_scale_heldout"), fill)


def observed_covariance(data: np.ndarray, scales_and_gaps: ScalesAndGaps | None) -> np.ndarray:
    """Return the covariance of data (N, d_y), each entry over systems with both observed.

    An entry is NaN if no system has both observations.
    """
    if scales_and_gaps is None or scales_and_gaps.present is None:
        return np.atleast_2d(np.cov(data, rowvar=False))
    return pd.DataFrame(np.where(scales_and_gaps.present, data, np.nan)).cov().to_numpy()


def _filled(y: np.ndarray, fill: np.ndarray | None) -> np.ndarray:
    return y if fill is None else np.where(np.isnan(y), fill, y)


def _scales_and_gaps(
    y: np.ndarray, scale: xr.DataArray | None, fill: np.ndarray | None
) -> ScalesAndGaps | None:
    if scale is None and fill is None:
        return None
    return ScalesAndGaps(
        scale=None if scale is None else np.asarray(scale.values, dtype=float),
        present=None if fill is None else ~np.isnan(y),
        fill=fill,
    )
