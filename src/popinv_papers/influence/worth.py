r"""The choice of solves by their worth for a study's answer.

An answer p solves ``sum_n s(p; y_n) = 0``, with scores s that are computed through the surrogate S.
If S becomes S + e, the observations keep their places, and the model moves under them. With
z drawn from the law, W(z) the derivative of the scores in the observation, mean over the noise,
N systems and B the inverse of their information,

.. math:: \Delta p = -N B \, \mathrm{E}_z[W(z)\, e(z)], \qquad
    W(z) = \mathrm{E}_\xi \, \partial_y s(p;\, S(z) + \xi) .

This is the bias of :mod:`popinv.inference.uncertainty.surrogate_bias`, linear in the error. It is
exact to first order if mean and covariance of the observations agree with the model at p.

Scores of the pseudo-likelihood are quadratic in y. Their derivative is linear: its mean over the
noise is its value at xi = 0, and central differences of any step are exact.

The surrogate's error e is unknown between the solves. It is taken for a Gaussian field with
covariance ``k(z, z') Sigma``, which solves with a nugget nu condition. With D(z) the derivative of
the answer in the error, in standard errors of the answer, and M draws z_m of the law, the answer's
error has the variance ``|delta|^2``, ``delta = sum_m D(z_m) e(z_m)``, and a solve at c lowers it by

.. math::
    \frac{|U(c)|^2}{k(c, c) + \nu}, \qquad U(c) = \sum_m D(z_m) \Sigma^{1/2} k(z_m, c),

with the covariances that are left by all solves before. The best candidate is taken, the
covariances are conditioned on a solve there, which needs no value of that solve, and so on: two
candidates close to each other are not both worth solving. Where D is the identity this is the
choice of Cohn, Ghahramani and Jordan (Active learning with statistical models, J. Artif. Intell.
Res. 4, 1996, 129-145).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.linalg import cho_factor, solve_triangular

from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import Estimate, restricted_inverse
from popinv.inference.uncertainty.scores import pseudo_scores
from popinv.population.known import inputs
from popinv.seeds import generator
from popinv.surrogate.trained_network import Surrogate
from popinv_papers.influence.influence import Flat
from popinv_papers.influence.pool_scores import output_embeddings, squared_distances


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
    known = problem.known_in_turns(count, systems)
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

    The problem has the surrogate. Its answer p has the inverse information B, ``bread``, and the
    covariance, and z are M draws of the law at p. ``systems`` are those whose conditions they take.
    """
    problem = problem.of_moments
    scores = pseudo_scores(problem, p)
    conditions = problem.conditions
    if not conditions.plain:
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


_DRAWS, _MOST_FOR_MEDIAN = 1000, 1000


def by_worth(
    kernel: np.ndarray,
    solved: np.ndarray,
    draws: np.ndarray,
    candidates: np.ndarray,
    slopes: np.ndarray,
    count: int,
    nugget: float = 1e-2,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of the chosen candidates in their order, and what each was worth.

    Parameters
    ----------
    kernel : ndarray of shape (n, n)
        k between all points; its diagonal is about 1.
    solved, draws, candidates : ndarray of int
        The numbers of the points that are solved, of the M draws of the law, and of the candidates.
    slopes : ndarray of shape (M, q)
        The columns of D(z_m) Sigma^(1/2).
    count : int
        At most the number of candidates.
    nugget : float
        nu.

    Returns
    -------
    order : ndarray of int, shape (count,)
    worth : ndarray of shape (count,)
        By how much each lowers the variance of the answer's error.
    """
    known = kernel[np.ix_(solved, solved)].copy()
    known[np.diag_indices(len(known))] += nugget
    factor, _ = cho_factor(known, lower=True)
    left_c, left_m = (
        solve_triangular(factor, kernel[np.ix_(solved, rows)], lower=True)
        for rows in (candidates, draws)
    )
    reach = slopes.T @ (kernel[np.ix_(draws, candidates)] - left_m.T @ left_c)
    own = kernel[candidates, candidates] - (left_c**2).sum(axis=0)
    prior = kernel[np.ix_(candidates, candidates)]
    columns = np.zeros((count, len(candidates)))
    order, worth = np.zeros(count, dtype=int), np.zeros(count)
    free = np.ones(len(candidates), dtype=bool)
    for step in range(count):
        gain = np.where(free, (reach**2).sum(axis=0) / (np.maximum(own, 0.0) + nugget), -np.inf)
        best = int(np.argmax(gain))
        order[step], worth[step], free[best] = best, gain[best], False
        column = prior[best] - left_c[:, best] @ left_c - columns[:step, best] @ columns[:step]
        root = np.sqrt(column[best] + nugget)
        columns[step] = column / root
        reach = reach - np.outer(reach[:, best] / root, columns[step])
        own = own - columns[step] ** 2
    return order, worth


def answer_order(
    problem: Problem,
    estimate: Estimate,
    surrogate: Surrogate,
    solved: tuple[np.ndarray, np.ndarray],
    candidates: np.ndarray,
    count: int,
    stage: str,
    blind: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of candidates in the order of their worth for an answer, and this worth.

    The kernel belongs to the derivatives of the network's outputs along random directions of its
    weights, and Sigma is the mean square of the residuals of the solves.

    Parameters
    ----------
    problem : Problem
        With the surrogate; the estimate is the pseudo-likelihood's answer through it.
    solved : tuple of ndarray, shape (n, d_z) and (n, d_y)
        Inputs and outputs of the solves so far.
    count : int
        At most the number of candidates.
    blind : bool
        True leaves the answer out: all errors count alike, wherever the law has its draws.
    """
    z, y = solved
    at, systems = draws_of_law(problem, estimate.p, _DRAWS, f"{stage}/draws")
    rows = np.concatenate([z, at, candidates])
    flat = Flat.of(surrogate.network)
    inner = torch.as_tensor(surrogate.standardisation.standard_inputs(rows), dtype=flat.theta.dtype)
    embedded = output_embeddings(flat, flat.theta, inner, problem.seed, stage)
    kernel = kernel_of(embedded.double().numpy(), np.arange(len(z)))
    places = np.split(np.arange(len(rows)), [len(z), len(z) + len(at)])
    if blind:
        slopes = np.eye(len(at))
    else:
        slope = answer_slope(problem, estimate.p, estimate.bread, estimate.covariance, at, systems)
        slopes = scaled_slopes(slope, surrogate.predict(z) - y)
    return by_worth(kernel, places[0], places[1], places[2], slopes, count)


def scaled_slopes(slope: AnswerSlope, residuals: np.ndarray) -> np.ndarray:
    """Return the columns of D(z_m) Sigma^(1/2), shape (M, n_p d_y), from residuals (n, d_y).

    Sigma is the residuals' mean square, as a matrix.
    """
    values, vectors = np.linalg.eigh(residuals.T @ residuals / len(residuals))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return (slope.in_errors @ root).reshape(len(slope.each), -1)


def kernel_of(embeddings: np.ndarray, solved: np.ndarray) -> np.ndarray:
    """Return exp(-|e_i - e_j|^2 / 2 sigma^2), sigma^2 the median square of the solved distances."""
    distances = squared_distances(embeddings, embeddings)
    few = solved[:_MOST_FOR_MEDIAN]
    pairs = distances[np.ix_(few, few)][np.triu_indices(len(few), 1)]
    return np.exp(-distances / (2 * max(float(np.median(pairs)), 1e-300)))
