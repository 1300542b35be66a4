"""The Gaussian process of a round, from the record of solves.

All successful solves have equal weights in each round: a Gaussian process that interpolates them is
most certain where solves are dense. The fit starts afresh in each round.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.surrogate.artefact import surrogate_dataset
from popinv.surrogate.gaussian_process.emulator import train_emulator
from popinv.surrogate.section import SurrogateSettings


def train_process(
    surrogate: SurrogateSettings,
    solves: xr.Dataset,
    estimate: xr.Dataset | None,
    seed: int,
    round_number: int,
    logarithmic: tuple[bool, ...],
) -> xr.Dataset:
    """Return the Gaussian process fitted to all solves so far.

    Parameters
    ----------
    solves : Dataset
        ``z``, ``y`` and ``reason``.
    estimate : Dataset, optional
        The last round's, whose noise is the unit of the errors.
    seed, round_number : int
        Address of the random starts.
    logarithmic : tuple of bool
        Inputs that are read by their logarithms.
    """
    kept = np.flatnonzero(solves["reason"].values == 0)
    whitening = None
    if estimate is not None:
        whitening = np.linalg.inv(np.linalg.cholesky(estimate["noise_covariance"].values))
    fitted = train_emulator(
        solves["z"].values[kept],
        solves["y"].values[kept],
        covariance=surrogate.covariance,
        restarts=surrogate.restarts,
        seed=seed,
        stage=f"train/{round_number}",
        whitening=whitening,
        logarithmic=logarithmic,
    )
    print(
        f"{len(kept)} solves, {fitted.components} components, covariance "
        f"'{fitted.processes.covariance}'"
    )
    return surrogate_dataset(fitted, {}, {"converged": 0})
