"""Errors of an answer against the truth and against an oracle."""

from __future__ import annotations

import numpy as np

# A true value below this counts as zero, and its error is not divided by it.
NEAR_ZERO = 0.1


def law_errors(natural: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return each parameter's error relative to the truth, or its absolute error if near zero."""
    scale = np.where(np.abs(truth) > NEAR_ZERO, np.abs(truth), 1.0)
    return np.abs(natural - truth) / scale


def root_mean_square(errors: np.ndarray) -> float:
    """Return the root of the mean of the squares."""
    return float(np.sqrt(np.mean(errors**2)))


def relative_frobenius_error(covariance: np.ndarray, truth: np.ndarray) -> float:
    """Return ``|Gamma - Gamma_true|_F / |Gamma_true|_F``."""
    return float(np.linalg.norm(covariance - truth) / np.linalg.norm(truth))


def ratio(error: float, oracle_error: float) -> float:
    """Return error / oracle_error; infinite only if the oracle is exact and the error is not."""
    if oracle_error > 0:
        return error / oracle_error
    return 1.0 if error == 0 else float("inf")
