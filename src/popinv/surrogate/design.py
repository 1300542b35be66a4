"""Adaptive empirical measures: the origin and the weights of the training rows.

Round j draws m parameters from the current population law, mu(alpha_j), and solves the
forward model there. The surrogate of round k is fitted under the measure of all rows so far,

    rho_k = sum_{j <= k} w_j (1/m) sum_{i <= m} delta_{z_i^(j)},    w_j proportional to decay^(k-j),

so that it is most accurate where the current law has its mass, and every solve is used.

The idea of adaptive empirical measures comes from Vadeboncoeur, Girolami and Stuart, "Efficient
deconvolution in populational inverse problems" (arXiv 2505.19841). The schedule here (rounds, with
weights that fall geometrically with age) is a reconstruction and may differ from the paper's.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular


def recency_weights(round_of_row: np.ndarray, current_round: int, decay: float) -> np.ndarray:
    """Return the weight of every training row in the empirical measure rho_k.

    A row of round j, which has m_j rows, has the weight

        decay^(k-j) / m_j / sum_i decay^(k-i),    i over the rounds that have rows,

    so a round's total does not depend on how many of its solves succeeded. With equal m_j
    the weight falls by the factor ``decay`` from each round to the one before.

    Parameters
    ----------
    round_of_row : ndarray of int, shape (n,)
        The round in which each row was drawn.
    current_round : int
        k, not earlier than the round of any row.
    decay : float in [0, 1]
        1 weighs all rounds equally; 0 uses only the newest round that has rows.

    Returns
    -------
    ndarray of shape (n,)
        Not negative, sum 1.

    Raises
    ------
    ValueError
        If there are no rows, a row is newer than ``current_round``, or ``decay`` is outside
        [0, 1].
    """
    rounds = np.asarray(round_of_row)
    if rounds.ndim != 1 or rounds.size == 0:
        raise ValueError(f"round_of_row must be a non-empty vector, not of shape {rounds.shape}")
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"decay is {decay}, must lie in [0, 1]")
    if rounds.max() > current_round:
        raise ValueError(f"a row is of round {rounds.max()}, after the current {current_round}")
    values, inverse, counts = np.unique(rounds, return_inverse=True, return_counts=True)
    # Ages are counted from the newest round with rows. The common factor cancels on normalising,
    # and decay = 0 keeps a meaning if the current round has no rows.
    of_round = float(decay) ** (values.max() - values)
    return (of_round / of_round.sum() / counts)[inverse]


def whitened_rmse(prediction: np.ndarray, truth: np.ndarray, cholesky: np.ndarray) -> float:
    """Return the surrogate's error in standard deviations of the noise.

        sqrt( mean_i |L^{-1} (F_hat(z_i) - F(z_i))|^2 / d_y ),    Gamma = L L^T

    An error that is not small against 1 biases the estimate: it is treated as noise.

    Parameters
    ----------
    prediction, truth : ndarray of shape (n, d_y)
        Surrogate and forward model at the same parameters, in the units of the observations.
    cholesky : ndarray of shape (d_y, d_y)
        Lower triangular factor L of the noise covariance.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes do not agree or there are no rows.
    """
    prediction, truth = np.asarray(prediction, dtype=float), np.asarray(truth, dtype=float)
    if prediction.shape != truth.shape or prediction.ndim != 2 or prediction.size == 0:
        raise ValueError(
            f"prediction {prediction.shape} and truth {truth.shape} must be equal, not empty "
            "and of two dimensions"
        )
    if cholesky.shape != (truth.shape[1], truth.shape[1]):
        raise ValueError(f"cholesky is {cholesky.shape} for {truth.shape[1]} observations")
    whitened = solve_triangular(cholesky, (prediction - truth).T, lower=True)
    return float(np.sqrt(np.mean(np.square(whitened))))
