r"""Tests of the fitted model on held-out observations.

Held-out observations Y are compared with the fitted model in four ways.

*Energy distance* of Y to a large sample of the model. Observations are divided by the standard
deviations of the fitted data, and the distance is estimated over random projections.

*Second moments*: see :mod:`popinv.inference.misfit`.

*Calibration*: with F_j the model's distribution function of observation j, the probability integral
transforms F_j(y_j) are uniform if the model is right. The statistic is that of Cramer and von
Mises, averaged over the observations.

*Log score*: the mean of log p(y) over Y, compared with that of systems drawn from the model. p is
the likelihood, or the normal law with the model's mean and covariance (Dawid and Sebastiani,
Ann. Statist. 27, 1999).

The null distributions are those of the same statistics for samples of the model in place of Y.
Each sample is drawn at a draw about the estimate, so the estimate's own error counts as it does in
Y. If the solver's observations differ from the surrogate's, so do those of the samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from popinv.inference.conditions import Conditions, deviations
from popinv.inference.fitted_samples import FittedModel
from popinv.inference.heldout_test import HeldOutTest
from popinv.inference.misfit import Misfit, SecondMoments
from popinv.seeds import generator
from popinv.threads import fixed_threads
from popinv.transport.energy import EnergyReference, slicing_constant
from popinv.transport.sliced import directions

__all__ = ["HeldOutTests", "LogScore", "heldout_tests", "transforms"]

_REFERENCE_SAMPLES = 20_000
# The energy distance needs fewer resamples, and each costs more.
_ENERGY_SAMPLES = 4000
_DIRECTIONS = 200
# Number of draws about the estimate, and least number of systems at each.
_LOG_SCORE_DRAWS, _LOG_SCORE_SYSTEMS = 40, 50


@dataclass(frozen=True)
class LogScore:
    """Mean log score of held-out systems and of systems of the model, and the p-value."""

    observed: float
    expected: float
    p_value: float


@dataclass(frozen=True)
class HeldOutTests:
    """All tests of one set of held-out observations.

    Attributes
    ----------
    energy, calibration : HeldOutTest
    misfit : Misfit
    log_score : LogScore
    transforms : ndarray of shape (n, d_y)
        Probability integral transforms; NaN where an entry is missing.
    """

    energy: HeldOutTest
    calibration: HeldOutTest
    misfit: Misfit
    log_score: LogScore
    transforms: np.ndarray


def heldout_tests(
    model: FittedModel,
    heldout: np.ndarray,
    resamples: int,
    conditions: Conditions | None = None,
    log_scores: Callable[[np.ndarray, Conditions | None], np.ndarray] | None = None,
) -> HeldOutTests:
    """Compare held-out observations with the fitted model.

    Parameters
    ----------
    model : FittedModel
    heldout : ndarray of shape (n, d_y)
        Missing entries filled.
    resamples : int
        Size of the null samples.
    conditions : Conditions, optional
        The scales and gaps of the n held-out systems. Every null sample has exactly these.
    log_scores : callable, optional
        Maps observations, with their scales and gaps, to the log p of each; by default that of the
        normal law.
    """
    problem, count = model.problem, len(heldout)
    d_y = heldout.shape[1]
    frame = directions(generator(problem.seed, "heldout/directions"), _DIRECTIONS, d_y)
    frame = frame / deviations(problem.data)[:, None]
    with fixed_threads():
        reference = model.sample(_REFERENCE_SAMPLES, "heldout/reference", conditions=conditions)
        against = EnergyReference.of(reference[:_ENERGY_SAMPLES], frame)
        moments = SecondMoments.of(reference)
        # Columns are searched one by one, so they are stored contiguously.
        ordered = np.asfortranarray(np.sort(reference, axis=0))
        seen = np.ones((count, d_y), dtype=bool)
        if conditions is not None and conditions.present is not None:
            seen = conditions.present

        def statistics(sample: np.ndarray) -> tuple[float, float, np.ndarray]:
            energy = against.distance(sample) / slicing_constant(d_y)
            return energy, _cramer_von_mises(ordered, sample, seen), moments.excess(sample)

        energies, calibrations = [], []

        def excesses() -> Iterator[np.ndarray]:
            for b in range(resamples):
                null = statistics(model.null_sample(count, "heldout/null", b, conditions))
                energies.append(null[0])
                calibrations.append(null[1])
                yield null[2]

        observed = statistics(heldout)
        misfit = Misfit.of(observed[2], excesses())
        log_score = _log_score(model, heldout, conditions, log_scores or moments.log_scores)
    return HeldOutTests(
        HeldOutTest(observed[0], np.array(energies)),
        HeldOutTest(observed[1], np.array(calibrations)),
        misfit,
        log_score,
        transforms(ordered, heldout, seen),
    )


def transforms(ordered: np.ndarray, sample: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the share of a sorted reference (M, d_y) below each entry of a sample (n, d_y)."""
    found = np.empty(sample.shape)
    for j in range(sample.shape[1]):
        found[:, j] = _transform(ordered[:, j], sample[:, j])
    return np.where(seen, found, np.nan)


def _transform(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    return (np.searchsorted(ordered, values) + 0.5) / (len(ordered) + 1)


def _cramer_von_mises(ordered: np.ndarray, sample: np.ndarray, seen: np.ndarray) -> float:
    """Return the mean over observations of Cramer's and von Mises' statistic.

    Observations that no system of the sample shows do not count.
    """
    total = 0.0
    shown = np.flatnonzero(seen.any(axis=0))
    for j in shown:
        # Sorted entries have sorted transforms, and are found several times faster.
        u = _transform(ordered[:, j], np.sort(sample[seen[:, j], j]))
        n = len(u)
        total += 1 / (12 * n) + float(((u - (np.arange(n) + 0.5) / n) ** 2).sum())
    return total / max(1, len(shown))


def _log_score(
    model: FittedModel,
    heldout: np.ndarray,
    conditions: Conditions | None,
    log_scores: Callable[[np.ndarray, Conditions | None], np.ndarray],
) -> LogScore:
    n, rng = len(heldout), generator(model.problem.seed, "heldout/log_score/systems")
    ours = float(log_scores(heldout, conditions).mean())
    # Whole rounds of the folds: each system of all draws together is then in its own fold.
    folds = 1 if model.without_fold is None else len(model.without_fold)
    systems = folds * math.ceil(_LOG_SCORE_SYSTEMS / folds)
    like = rng.integers(n, size=(_LOG_SCORE_DRAWS, systems))
    samples = [
        model.null_sample(
            systems, "heldout/log_score", b, None if conditions is None else conditions.of(rows)
        )
        for b, rows in enumerate(like)
    ]
    own = None if conditions is None else conditions.of(like.ravel())
    every = log_scores(np.concatenate(samples), own).reshape(like.shape)
    # The estimate's error moves the mean of a whole data set. The means of samples at several
    # draws about the estimate vary by this, in addition to their own systems.
    within = float(every.var(axis=1, ddof=1).mean())
    between = max(0.0, float(every.mean(axis=1).var(ddof=1)) - within / systems)
    variance = within * (1 / n + 1 / every.size) + between * (1 + 1 / _LOG_SCORE_DRAWS)
    p_value = 2 * ndtr(-abs(ours - every.mean()) / np.sqrt(variance))
    return LogScore(ours, float(every.mean()), float(p_value))
