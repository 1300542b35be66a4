r"""Test of whether the noise family explains the second moments of held-out observations.

With m and C the fitted model's mean and covariance and S the second moment of the n held-out
observations about m, the statistic is that of Nagao (Ann. Statist. 1, 1973),

.. math:: T = \tfrac{1}{d_y} \operatorname{tr}\bigl(C^{-1} S - I\bigr)^2 .

Its null distribution is that of samples of size n of the fitted model, each at a draw about the
estimate, so the estimate's own error counts as it does in T.

A large T does not prove that the noise family is wrong: a wrong law or a wrong surrogate moves
second moments too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from popinv.forward.datasets import observation_names, time_series
from popinv.inference.conditions import Conditions
from popinv.inference.heldout_test import HeldOutTest

__all__ = ["Misfit", "SecondMoments", "describe_excess", "noise_misfit_metrics"]

_LEVEL = 0.05
_CAVEAT = "a law or surrogate that is wrong can do this too"


@dataclass(frozen=True)
class SecondMoments:
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
    def of(cls, reference: np.ndarray) -> SecondMoments:
        """Return the moments of a large sample of the model (M, d_y)."""
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(reference, rowvar=False)))
        # Without noise in some direction there is nothing to divide by.
        values = np.maximum(values, 1e-14 * values[-1])
        root = (vectors * values**-0.5) @ vectors.T
        return cls(reference.mean(axis=0), root, float(np.log(values).sum()))

    def excess(self, sample: np.ndarray) -> np.ndarray:
        """Return ``C^{-1/2} S C^{-1/2} - I`` of a sample (n, d_y)."""
        whitened = (sample - self.mean) @ self.root
        return whitened.T @ whitened / len(sample) - np.eye(len(self.mean))

    def log_scores(self, sample: np.ndarray, conditions: Conditions | None = None) -> np.ndarray:
        """Return log N(y; m, C) of each row of a sample (n, d_y) with filled entries."""
        whitened = (sample - self.mean) @ self.root
        constant = self.logdet + len(self.mean) * math.log(2 * math.pi)
        return -0.5 * ((whitened**2).sum(axis=1) + constant)


@dataclass(frozen=True)
class Misfit:
    """The test, and the entries in which the second moments differ.

    Attributes
    ----------
    test : HeldOutTest
        Statistic and null sample.
    excess : ndarray of shape (d_y, d_y)
        See :meth:`SecondMoments.excess`.
    significance : ndarray of shape (d_y, d_y)
        The excess less its mean under the null, in standard deviations under the null.
    """

    test: HeldOutTest
    excess: np.ndarray
    significance: np.ndarray

    @classmethod
    def of(cls, observed: np.ndarray, null: Iterable[np.ndarray]) -> Misfit:
        """Return the test of an excess (d_y, d_y) against those of samples of the model.

        Only one of these is held at a time.
        """
        d_y, statistics = len(observed), []
        mean, squares = np.zeros_like(observed), np.zeros_like(observed)
        for number, excess in enumerate(null, start=1):
            statistics.append(np.sum(excess**2) / d_y)
            # The recursion of Welford (Technometrics 4, 1962).
            change = excess - mean
            mean += change / number
            squares += change * (excess - mean)
        deviation = np.sqrt(squares / max(1, len(statistics)))
        deviation = np.maximum(deviation, np.sqrt(np.finfo(float).tiny))
        return cls(
            HeldOutTest(float(np.sum(observed**2) / d_y), np.array(statistics)),
            observed,
            (observed - mean) / deviation,
        )


def describe_excess(misfit: Misfit, names: Sequence[str], series: np.ndarray | None = None) -> str:
    """Describe in words the largest difference of the second moments.

    The whitened observations have no correlations if the model is right.

    Parameters
    ----------
    misfit : Misfit
    names : sequence of str, length d_y
        Names of the observations.
    series : ndarray of shape (places, times), optional
        Indices of the observations of time series at regular times. The text then gives
        correlations by their lag.
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
        # The longer the lag, the fewer the pairs and the larger the mean of pure noise.
        pairs = series.shape[0] * np.arange(series.shape[1] - 1, 0, -1)
        lag = int(np.argmax(np.abs(by_lag) * np.sqrt(pairs)))
        of_lag = abs(by_lag[lag]) * np.sqrt(pairs[lag])
        if of_lag > abs(correlation[row, column]):
            return f"excess correlation {by_lag[lag]:+.2f} in time at lag {lag + 1}"
    return (
        f"excess correlation {correlation[row, column]:+.2f} between {names[column]} and "
        f"{names[row]}"
    )


def noise_misfit_metrics(misfit: Misfit, observations: xr.Dataset) -> dict[str, float | int | str]:
    """Return the numbers of the test, and ``noise_misfit`` in words.

    Parameters
    ----------
    misfit : Misfit
    observations : Dataset
        With the coordinates of the observations.
    """
    text = "none seen"
    if misfit.test.p_value < _LEVEL:
        where = describe_excess(misfit, observation_names(observations), time_series(observations))
        text = f"second moments differ, most by {where}; {_CAVEAT}"
    return {
        "noise_misfit_statistic": misfit.test.statistic,
        "noise_misfit_null_95": misfit.test.null_95,
        "noise_misfit_p_value": misfit.test.p_value,
        "noise_misfit": text,
    }
