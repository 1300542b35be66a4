r"""A test of whether the family of noise explains second moments of held-out observations.

With m and C the fitted model's mean and covariance and S the second moment of the n held-out
observations about m, the statistic is that of Nagao (Ann. Statist. 1, 1973),

.. math:: T = \tfrac{1}{d_y} \operatorname{tr}\bigl(C^{-1} S - I\bigr)^2 .

Its null distribution is that of samples of size n of the fitted model, each drawn at the estimate
from one of the resampled populations where there are any: the estimate's own error then counts as
it does in T. Without them it does not, and T is somewhat too often large unless the held-out
observations are few beside the fitted ones; of unrestricted noise, which fits the error of every
entry, nothing could be said, and nothing is.

A large T does not say that the family of the noise is at fault: a wrong law, or a wrong surrogate,
moves second moments too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from popinv.artefacts import time_series
from popinv.inference.assessment import HeldOutTest
from popinv.inference.fitted_samples import sample_model
from popinv.inference.problem import Problem
from popinv.inference.traits import Traits
from popinv.threads import fixed_threads

__all__ = ["Misfit", "describe_excess", "noise_misfit", "noise_misfit_metrics"]

_REFERENCE_SAMPLES = 20_000
_LEVEL = 0.05
_CAVEAT = "a law or surrogate that is wrong can do this too"


@dataclass(frozen=True)
class Misfit:
    """The test, and where the second moments differ.

    Attributes
    ----------
    test : HeldOutTest
        Statistic and null sample.
    excess : ndarray of shape (d_y, d_y)
        ``C^{-1/2} S C^{-1/2} - I`` with the symmetric root, which keeps each entry nearest to the
        observations it stands for.
    significance : ndarray of shape (d_y, d_y)
        The same, less its mean under the null, in standard deviations under the null.
    """

    test: HeldOutTest
    excess: np.ndarray
    significance: np.ndarray


def noise_misfit(
    problem: Problem,
    estimate: tuple[np.ndarray, np.ndarray],
    heldout: np.ndarray,
    resamples: int,
    traits: Traits | None = None,
    estimates: np.ndarray | None = None,
) -> Misfit:
    """Compare the second moments of held-out observations with the fitted model's.

    Parameters
    ----------
    problem : Problem
    estimate : (alpha, gamma)
        The fitted model.
    heldout : ndarray of shape (n, d_y)
        Observations that the fit has not seen, their unseen entries filled.
    resamples : int
        Size of the null sample.
    traits : Traits, optional
        Those of the n held-out systems.
    estimates : ndarray of shape (b, n_p), optional
        Estimates from resampled populations.
    """
    count, d_y = heldout.shape
    with fixed_threads():
        reference = sample_model(
            problem, *estimate, _REFERENCE_SAMPLES, "misfit/reference", traits=traits
        )
        mean = reference.mean(axis=0)
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(reference, rowvar=False)))
        # Without noise in some direction nothing is left to divide by.
        root = (vectors * np.maximum(values, 1e-14 * values[-1]) ** -0.5) @ vectors.T

        def excess(sample: np.ndarray) -> np.ndarray:
            whitened = (sample - mean) @ root
            return whitened.T @ whitened / count - np.eye(d_y)

        null, total, square = np.empty(resamples), np.zeros((d_y, d_y)), np.zeros((d_y, d_y))
        for index in range(resamples):
            alpha, gamma = estimate
            if estimates is not None:
                chosen = estimates[index % len(estimates)]
                alpha, gamma = chosen[: problem.d_alpha], chosen[problem.d_alpha :]
            found = excess(sample_model(problem, alpha, gamma, count, "misfit/null", index, traits))
            null[index] = np.sum(found**2) / d_y
            total += found
            square += found**2
        observed = excess(heldout)
    centre = total / resamples
    deviation = np.sqrt(np.maximum(square / resamples - centre**2, np.finfo(float).tiny))
    return Misfit(
        HeldOutTest(float(np.sum(observed**2) / d_y), null),
        observed,
        (observed - centre) / deviation,
    )


def describe_excess(misfit: Misfit, names: Sequence[str], series: np.ndarray | None = None) -> str:
    """Name where the second moments differ most, in words.

    Correlations are those of the whitened observations, which have none if the model is right.

    Parameters
    ----------
    misfit : Misfit
    names : sequence of str, length d_y
        What the observations are called.
    series : ndarray of shape (places, times), optional
        Indices of the observations of time series at regular times; correlations are then told
        by their lag.
    """
    deviations = np.sqrt(1 + np.diag(misfit.excess))
    correlation = misfit.excess / np.outer(deviations, deviations)
    size = np.abs(np.tril(misfit.significance))
    row, column = divmod(int(np.argmax(size)), len(size))
    if row == column:
        return f"variance {misfit.excess[row, row]:+.0%} at {names[row]}"
    if series is not None and series.shape[1] > 1:
        by_lag = [
            correlation[series[:, lag:], series[:, : series.shape[1] - lag]].mean()
            for lag in range(1, series.shape[1])
        ]
        # The longer the lag, the fewer the pairs and the larger the mean of mere noise.
        pairs = series.shape[0] * np.arange(series.shape[1] - 1, 0, -1)
        lag = int(np.argmax(np.abs(by_lag) * np.sqrt(pairs)))
        of_lag = abs(by_lag[lag]) * np.sqrt(pairs[lag])
        if of_lag > abs(correlation[row, column]):
            return f"excess correlation {by_lag[lag]:+.2f} in time at lag {lag + 1}"
    return (
        f"excess correlation {correlation[row, column]:+.2f} between {names[column]} and "
        f"{names[row]}"
    )


def noise_misfit_metrics(
    problem: Problem,
    estimate: tuple[np.ndarray, np.ndarray],
    heldout: np.ndarray,
    resamples: int,
    observations: xr.Dataset,
    traits: Traits | None = None,
    estimates: np.ndarray | None = None,
) -> dict[str, float | int | str]:
    """Return the numbers of the test, and ``noise_misfit`` in words: "none seen", or where.

    Parameters
    ----------
    problem, estimate, heldout, resamples, traits, estimates
        As in :func:`noise_misfit`.
    observations : Dataset
        With the coordinates of the observations.
    """
    if problem.noise.unrestricted and estimates is None:
        return {
            "noise_misfit": "not judged: unrestricted noise fits the error of every entry, and "
            "without resampled systems (assessment.bootstrap) its size is unknown"
        }
    misfit = noise_misfit(problem, estimate, heldout, resamples, traits, estimates)
    text = "none seen"
    if misfit.test.p_value < _LEVEL:
        where = describe_excess(misfit, _names(observations), time_series(observations))
        text = f"second moments differ, most by {where}; {_CAVEAT}"
    return {
        "noise_misfit_statistic": misfit.test.statistic,
        "noise_misfit_null_95": misfit.test.null_95,
        "noise_misfit_p_value": misfit.test.p_value,
        "noise_misfit": text,
    }


def _names(observations: xr.Dataset) -> list[str]:
    names = [f"observation {i + 1}" for i in range(observations.sizes["observation"])]
    if "label" in observations.coords:
        labels = observations["label"].values
        return [f"{name} ({label})" for name, label in zip(names, labels, strict=True)]
    return names
