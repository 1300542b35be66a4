r"""Hausman's test of whether two estimates differ by more than chance.

If the model is right, two consistent estimators differ by the mean of the difference of their
influences, ``d_n = psi_n - chi_n``. Let delta be the difference of the estimates and V its
covariance, the sum of ``d_n d_n^T`` and the estimators' own Monte-Carlo errors. The statistic is

.. math:: T = \delta^T V^{+} \delta

(Hausman, Econometrica 46, 1978; with influences, no estimator needs to be efficient). A large T
says that the model is wrong in a way that affects the two estimates differently. The null
distribution of T comes from systems drawn with replacement (at most 20,000), with the mean of d_n
subtracted. Influences can have heavier tails than a chi-squared law assumes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from popinv.judgement.verdict import LEVEL

_RESAMPLES = 2000
# Most systems of a resample. Sums of more systems are closer to normal than quantiles can show.
_SYSTEMS = 20_000
# Directions in which the estimates differ by less than this share of the largest are ignored.
_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class Hausman:
    """The test, and the difference in each parameter.

    Attributes
    ----------
    difference : ndarray of shape (n_p,)
        In units of its own standard errors.
    """

    statistic: float
    p_value: float
    difference: np.ndarray


def hausman(
    delta: np.ndarray,
    influences: np.ndarray,
    extra: np.ndarray,
    rng: np.random.Generator,
) -> Hausman:
    """Test a difference of two estimates.

    Parameters
    ----------
    delta : ndarray of shape (n_p,)
    influences : ndarray of shape (N, n_p)
        d_n; zero for parameters that are held.
    extra : ndarray of shape (n_p, n_p)
        Covariance due to the estimators' own draws and corrections.
    rng : Generator
        Generator of the null distribution.
    """
    count = len(influences)
    covariance = influences.T @ influences + extra
    errors = np.sqrt(np.diag(covariance))
    moves = errors > 0
    if not moves.any():
        return Hausman(0.0, 1.0, np.zeros(len(delta)))
    size = errors[moves]
    values, vectors = np.linalg.eigh(covariance[np.ix_(moves, moves)] / np.outer(size, size))
    kept = values > _LEAST_VARIANCE * values[-1]
    root = (vectors[:, kept] / np.sqrt(values[kept])) / size[:, None]
    statistic = float(((delta[moves] @ root) ** 2).sum())
    some = min(count, _SYSTEMS)
    # A sum over some systems has the units of a sum over all.
    centred = np.sqrt(count / some) * (influences - influences.mean(axis=0))[:, moves] @ root
    noise = np.linalg.cholesky(
        root.T @ extra[np.ix_(moves, moves)] @ root + 1e-12 * np.eye(int(kept.sum()))
    )
    null = np.empty(_RESAMPLES)
    for b in range(_RESAMPLES):
        drawn = centred[rng.integers(count, size=some)]
        total = drawn.sum(axis=0) + noise @ rng.standard_normal(len(noise))
        # Each resample has its own covariance, as the data have.
        own = drawn.T @ drawn + noise @ noise.T
        null[b] = total @ np.linalg.solve(own + 1e-9 * np.eye(len(own)), total)
    p_value = (1 + np.sum(null >= statistic)) / (1 + _RESAMPLES)
    difference = np.zeros(len(delta))
    difference[moves] = delta[moves] / size
    return Hausman(statistic, float(p_value), difference)


def describe(test: Hausman, names: Sequence[str], first: str, second: str) -> str:
    """Return the meaning of a difference in words."""
    if test.p_value >= LEVEL:
        return f"{first} and {second} agree"
    worst = int(np.argmax(np.abs(test.difference)))
    more = "more" if test.difference[worst] > 0 else "less"
    return (
        f"the model may be wrong in a way that affects {first} and {second} differently: the "
        f"{first} finds {abs(test.difference[worst]):.1f} standard errors {more} of "
        f"{names[worst].replace('_', ' ')}. Look at the shape of the law (correlated parameters, "
        "several groups), at the tails of the noise, and at whether it grows with the signal"
    )
