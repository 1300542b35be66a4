"""Further populations of a synthetic study, drawn and observed as the study's own."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.forward.base import Observations
from popinv.population.observe import observe_through_noise
from popinv.seeds import standard_normal_rows

__all__ = ["observe_again"]


def observe_again(
    clean: np.ndarray,
    covariance: np.ndarray,
    observed: Observations,
    seed: int,
    stage: str,
    noise_scale: tuple[float, float] | None = None,
) -> xr.Dataset:
    """Add the true noise to noise-free observations, y = G(z) + s xi with xi ~ N(0, Gamma).

    The noise is drawn from its covariance, so the family of the noise does not matter. Systems
    whose solve failed (NaN rows) are left out, as in the study.

    Parameters
    ----------
    clean : ndarray of shape (n, d_y)
        Noise-free observations of n systems, from the solver or a surrogate.
    covariance : ndarray of shape (d_y, d_y)
        The true Gamma.
    what : Observations
        Meaning of the columns.
    seed, stage : int, str
        Address of the draws; row i depends on (seed, stage, i) alone.
    noise_scale : (float, float), optional
        Range of the known noise scales s; without it s is 1.

    Returns
    -------
    Dataset
        As ``observations.zarr.zip``, with no system held out.
    """
    e = standard_normal_rows(seed, f"{stage}/noise", 0, *clean.shape)
    noise = e @ np.linalg.cholesky(covariance).T
    return observe_through_noise(clean, noise, observed, seed, stage, noise_scale=noise_scale)
