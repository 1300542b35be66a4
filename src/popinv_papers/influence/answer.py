r"""The change of a study's answer due to the error of its surrogate, to first order.

An answer p solves ``sum_n s(p; y_n) = 0``, with scores s that are computed through the surrogate S.
If S becomes S + e, the observations keep their places, and the model moves under them. With
z drawn from the law, W(z) the derivative of the scores in the observation, mean over the noise,
N systems and B the inverse of their information,

.. math:: \Delta p = -N B \, \mathrm{E}_z[W(z)\, e(z)], \qquad
    W(z) = \mathrm{E}_\xi \, \partial_y s(p;\, S(z) + \xi) .

This is the push of :mod:`popinv.inference.surrogate_bias`, linear in the error. It is exact to
first order if mean and covariance of the observations are those of the model at p.

Scores of the pseudo-likelihood are quadratic in y. Their derivative is linear: its mean over the
noise is its value at xi = 0, and central differences of any step are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from popinv.inference.estimate import restricted_inverse
from popinv.inference.likelihood.scores import pseudo_scores
from popinv.inference.problem import Problem
from popinv.population.known import inputs
from popinv.seeds import generator


@dataclass(frozen=True)
class AnswerSlope:
    """The derivative of an answer of n_p parameters in the surrogate's error at M draws of the law.

    Attributes
    ----------
    each : ndarray of shape (M, n_p, d_y)
        Change of the answer, unconstrained, per unit of error at each draw. Zero for parameters
        that are held.
    precision : ndarray of shape (n_p, n_p)
        Inverse covariance of the answer, zero for parameters that are held.
    """

    each: np.ndarray
    precision: np.ndarray

    def shift(self, errors: np.ndarray) -> np.ndarray:
        """Return the change (n_p,) of the answer by errors (M, d_y) of the surrogate."""
        return np.einsum("mpy,my->p", self.each, errors)

    def size(self, shift: np.ndarray) -> float:
        """Return the length of a change (n_p,) in standard errors of the answer."""
        return float(np.sqrt(max(shift @ self.precision @ shift, 0.0)))

    @property
    def in_errors(self) -> np.ndarray:
        """The derivative (M, n_p, d_y) of a vector whose length is the size of the change."""
        values, vectors = np.linalg.eigh(self.precision)
        root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
        return np.einsum("qp,mpy->mqy", root, self.each)


def draws_of_law(
    problem: Problem, p: np.ndarray, count: int, stage: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw inputs (count, d_z) of the forward model at an answer p.

    The numbers (count,) of the systems whose known quantities they take come second, None if the
    systems differ in nothing.
    """
    alpha, _ = problem.split(p)
    omega = generator(problem.seed, stage).standard_normal((count, problem.law.d_omega))
    systems = problem.random_systems(f"{stage}/systems", 0, count)
    known = None if problem.known is None or systems is None else problem.known.of(systems)
    with torch.no_grad():
        z = inputs(problem.law, torch.from_numpy(alpha.copy()), torch.from_numpy(omega), known)
    return z.numpy(), systems


def answer_slope(
    problem: Problem,
    p: np.ndarray,
    bread: np.ndarray,
    covariance: np.ndarray,
    z: np.ndarray,
    systems: np.ndarray | None = None,
) -> AnswerSlope:
    """Return the derivative of the pseudo-likelihood's answer in the surrogate's error.

    Parameters
    ----------
    problem : Problem
        With the surrogate.
    p : ndarray of shape (n_p,)
        The answer.
    bread, covariance : ndarray of shape (n_p, n_p)
        Its inverse information B, and its covariance.
    z : ndarray of shape (M, d_z)
        Draws of the law at p.
    systems : ndarray of int, shape (M,), optional
        The systems whose conditions the draws take.
    """
    problem = problem.of_moments
    scores = pseudo_scores(problem, p)
    conditions = problem.conditions
    if conditions is not None:
        if systems is None:
            raise ValueError("systems with conditions need the systems that the draws stand for")
        conditions = conditions.of(systems)
    with torch.no_grad():
        clean = problem.simulate(torch.from_numpy(z)).numpy()
    steps = np.asarray(problem.data).std(axis=0)
    width = problem.data.shape[1] // problem.replicates
    slopes = np.empty((len(z), len(p), width))
    for entry in range(width):
        # The replicates of an observation share the surrogate's error.
        move = np.zeros(problem.data.shape[1])
        move[entry::width] = steps[entry]
        up, down = (
            scores(replace(problem, data=clean + sign * move, conditions=conditions))
            for sign in (1, -1)
        )
        slopes[:, :, entry] = (up - down) / (2 * steps[entry])
    each = -len(problem.data) / len(z) * np.einsum("pq,mqy->mpy", bread, slopes)
    moves = (np.diag(covariance) > 0) & (np.diag(bread) > 0)
    return AnswerSlope(np.where(moves[:, None], each, 0.0), restricted_inverse(covariance, moves))
