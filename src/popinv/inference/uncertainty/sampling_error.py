"""The sampling error of stochastic forward models, such as averages of chaotic dynamics.

Solved twice at the same parameters, from other initial states, this model returns

    G(z) + e,    e of mean zero and covariance S(z).

In addition to the law of G(z), a population shows the measurement noise and this error together,
close to Gamma + S with S the mean of S(z) over the population. If an estimate was corrected for the
surrogate's error, the correction subtracted S too, since fresh solves have the sampling error as
well. Other estimates contain S. Repeated solves measure S as the mean of the unbiased covariances
within systems.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.errors import SolverError
from popinv.inference.answer.result import relative_frobenius_error
from popinv.judgement.measures import SamplingErrorShare
from popinv.store.variables import variable


def within_system_covariance(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over systems of the covariance between repeats, and its standard error.

    Parameters
    ----------
    y : ndarray of shape (repeats, systems, d_y)
        Solves of the same systems. A failed solve is NaN, and its system is left out.

    Returns
    -------
    (ndarray of shape (d_y, d_y), ndarray of shape (d_y, d_y))
        S = mean_s S_s with S_s = sum_r (y_rs - mean_r y_rs)(y_rs - mean_r y_rs)^T / (repeats - 1),
        unbiased, and the standard error of each entry from the spread of S_s.

    Raises
    ------
    SolverError
        If fewer than two systems were solved in all repeats.
    """
    whole = np.isfinite(y).all(axis=(0, 2))
    if whole.sum() < 2:
        raise SolverError(
            f"Only {whole.sum()} of {len(whole)} systems were solved in all {len(y)} repeats; the "
            "sampling error needs at least 2. See why the solves fail, or set "
            "'assessment.repeats: 0' to go without it."
        )
    deviations = y[:, whole] - y[:, whole].mean(axis=0)
    each = np.einsum("rsi,rsj->sij", deviations, deviations) / (len(y) - 1)
    return each.mean(axis=0), each.std(axis=0, ddof=1) / np.sqrt(len(each))


def sampling_error_dataset(y: np.ndarray, z: np.ndarray | None = None) -> xr.Dataset:
    """Return the covariance of the sampling error from repeats (repeats, systems, d_y).

    With the inputs z (systems, inputs) of a random simulator, the covariance of each system that
    was solved in all repeats is kept too, beside its inputs.
    """
    covariance, standard_error = within_system_covariance(y)
    dims = ("observation", "observation_other")
    found = xr.Dataset(
        {
            "sampling_error_covariance": variable(
                dims, covariance, "covariance of the sampling error, mean over systems"
            ),
            "sampling_error_covariance_standard_error": variable(
                dims, standard_error, "standard error of the covariance of the sampling error"
            ),
        },
        attrs={
            "repeats": y.shape[0],
            "systems": int(np.isfinite(y).all(axis=(0, 2)).sum()),
        },
    )
    if z is not None:
        whole = np.isfinite(y).all(axis=(0, 2))
        found["repeated_inputs"] = variable(
            ("repeated_system", "solver_input"), z[whole], "inputs of repeated solves"
        )
        found["repeated_covariance"] = variable(
            ("repeated_system", *dims),
            np.array(
                [
                    np.cov(rows, rowvar=False).reshape(covariance.shape)
                    for rows in y[:, whole].swapaxes(0, 1)
                ]
            ),
            "covariance of repeated solves of a system",
        )
    return found


def sampling_error_share(
    noise: np.ndarray,
    sampling_error: np.ndarray,
    true_noise: np.ndarray | None = None,
    mean_square_scale: float = 1.0,
    taken_off: bool = False,
) -> SamplingErrorShare:
    """Compare the recovered noise with the sampling error.

    Parameters
    ----------
    noise, sampling_error : ndarray of shape (d_y, d_y)
        Recovered Gamma, and S.
    true_noise : ndarray of shape (d_y, d_y), optional
        Gamma of the measurements alone, if it is known.
    mean_square_scale : float, default 1
        Mean of the squared known noise scales of the systems. The sampling error has no scale.
    taken_off : bool, default False
        Whether the recovered noise is the noise of the measurements alone.

    Returns
    -------
    SamplingErrorShare
        The share is trace(V^-1 S) / d_y with V the variance of noise and sampling error together,
        which is the sampling error's mean share of V in the units of the noise. If the truth is
        known and S was not subtracted, the error of the recovered noise against the sum of the
        true noise and the sampling error is known too.
    """
    share = sampling_error / mean_square_scale
    total = noise + share if taken_off else noise
    error = None
    if true_noise is not None and not taken_off:
        error = relative_frobenius_error(noise, true_noise + share)
    mean_share = float(np.trace(np.linalg.solve(total, share)) / len(noise))
    return SamplingErrorShare(mean_share, taken_off, error)
