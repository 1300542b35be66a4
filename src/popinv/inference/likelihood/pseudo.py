r"""The Gaussian pseudo-likelihood: observations compared with the model by mean and covariance.

With ``m = E g`` and ``S = Cov g`` of the noise-free model, the observation of system n has mean m
and covariance ``C_n = S + s_n^2 Gamma``, and

.. math:: \ell(p) = \sum_n \log N(y_n;\, m, C_n)

is maximal near the truth for any distribution of y, since only its first two moments count
(a quasi-likelihood; Gourieroux, Monfort and Trognon, Econometrica 52, 1984). m, S and their
derivatives come from draws that are the same at all p and are matched to have covariance I exactly.
The simulator need not have derivatives; if it has, they save half of the work. The scores and the
information are

.. math::
    s_{n,i} = \partial_i m^T C_n^{-1} d_n + \tfrac12 \operatorname{tr}\bigl[
    C_n^{-1} \partial_i C_n\, C_n^{-1} (d_n d_n^T - C_n)\bigr], \quad d_n = y_n - m,

    I_{ij} = \sum_n \partial_i m^T C_n^{-1} \partial_j m
    + \tfrac12 \operatorname{tr} C_n^{-1} \partial_i C_n\, C_n^{-1} \partial_j C_n .

Systems with noise scales share one eigenbasis (:mod:`popinv.inference.likelihood.eigenbasis`), and
so do those that show the same entries. The observations are read in blocks of systems. An ascent
needs only the sums over systems, which :mod:`popinv.inference.likelihood.pseudo_sums` has without
reading them again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from popinv.inference.conditions import Conditions
from popinv.inference.likelihood.eigenbasis import Derivatives, Eigenbasis
from popinv.inference.likelihood.model_moments import (
    ModelMoments,
    MomentsByKnown,
    equal_moments,
    groups_of_draws,
    model_moments,
    moments_of_known,
    repeated,
)
from popinv.inference.likelihood.penalty import Penalty, noise_penalty
from popinv.inference.likelihood.varying_pseudo import (
    VaryingMoments,
    evaluate_varying,
    scores_of_draws,
    weighted_signals,
)
from popinv.inference.likelihood.whitening import covariance_derivatives
from popinv.inference.problem import Problem

# The largest number of pairs of draws whose scores are taken.
_MOST_PAIRS = 8000
# Number of entries in the largest array of a group of systems.
_BLOCK_VALUES = 2**23


@dataclass(frozen=True)
class PseudoEvaluation:
    """The pseudo-likelihood at one p.

    Attributes
    ----------
    log_likelihood : ndarray of shape (N,)
    scores : ndarray of shape (N, n_p)
        Zero for parameters that are held.
    information : ndarray of shape (n_p, n_p)
        Expected information of all systems together, plus that of the penalty.
    penalty : Penalty
        The penalty of the noise family on the log likelihood.
    """

    log_likelihood: np.ndarray
    scores: np.ndarray
    information: np.ndarray
    penalty: Penalty


def evaluate(
    problem: Problem,
    gamma: torch.Tensor,
    moments: ModelMoments | MomentsByKnown | VaryingMoments,
    with_scores: bool = True,
) -> PseudoEvaluation:
    """Return pseudo-likelihood, scores and information of all systems.

    Parameters
    ----------
    problem : Problem
    gamma : Tensor of shape (n_gamma,)
    moments : ModelMoments, MomentsByKnown or VaryingMoments
        The moments at the corresponding alpha, of all systems or by their known quantities.
    with_scores : bool
        Whether to compute scores and information, which are zero otherwise.
    """
    if isinstance(moments, VaryingMoments):
        value, scores, information = evaluate_varying(problem, moments, with_scores)
        penalty = noise_penalty(problem, gamma)
        return PseudoEvaluation(value, scores, information + penalty.curvature, penalty)
    n, n_p = len(problem.data), len(problem.free)
    value, scores = np.zeros(n), np.zeros((n, n_p) if with_scores else (0, n_p))
    information = np.zeros((n_p, n_p))
    with torch.no_grad():
        covariance = problem.noise.covariance(gamma)
        of_noise: list[torch.Tensor] = []
        if with_scores and problem.free_noise:
            of_noise = covariance_derivatives(problem, gamma)
        for seen, blocks, of_group in _groups(problem, moments):
            basis = Eigenbasis(of_group, covariance, seen)
            at = basis.derivatives(of_noise, problem.free) if with_scores else None
            pairs, totals = torch.zeros(()), torch.zeros(())
            for systems in blocks:
                block = _Block(problem, systems, seen, basis)
                value[systems] = block.log_likelihood().numpy()
                if at is not None:
                    scores[systems] = block.scores(at).numpy()
                    of_pairs, of_totals = block.weights()
                    pairs, totals = pairs + of_pairs, totals + of_totals
            if at is not None:
                information += at.information(pairs, totals).numpy()
    penalty = noise_penalty(problem, gamma)
    return PseudoEvaluation(value, scores, information + penalty.curvature, penalty)


def draw_scores(
    problem: Problem, alpha: torch.Tensor, gamma: torch.Tensor, omega: torch.Tensor
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield the contributions of pairs of draws to the mean score of systems with equal moments.

    The error of the model's moments moves the scores like as many further observations without
    noise. The draws come in pairs (omega, -omega), and the means of the pairs count. As the draws'
    covariance is matched, the true error is smaller still. At most 8000 pairs are used.

    Yields
    ------
    systems, pairs : int
        The number of systems, and of pairs of draws for their moments.
    contributions : ndarray of shape (used pairs, n_p)
    """
    for systems, known, own in groups_of_draws(problem, omega):
        half, kept = len(own) // 2, min(len(own) // 2, _MOST_PAIRS)
        used = torch.cat([own[:kept], own[half : half + kept]])
        if problem.noise.varies:
            here = problem.conditions
            scale = 1.0 if here is None else float(np.sqrt(here.of(systems).mean_square_scale))
            scores = scores_of_draws(problem, alpha, gamma, used, known, scale)
            pairs = (scores[:kept] + scores[kept:]) / 2
            yield len(systems), half, pairs - pairs.mean(axis=0)
            continue
        conditions = None
        if problem.conditions is not None and problem.conditions.scale is not None:
            scale = np.sqrt(problem.conditions.of(systems).mean_square_scale)
            conditions = Conditions(scale=np.full(len(used), scale))
        if known is None:
            moments = model_moments(problem, alpha, used)
        else:
            (moments,) = moments_of_known(problem, alpha, used, known)
        scores = np.zeros((len(used), len(problem.free)))
        with torch.no_grad():
            signals = list(weighted_signals(problem, alpha, used, repeated(known, used)))
        for weight, draws in signals:
            as_observed = replace(problem, data=draws.numpy(), conditions=conditions)
            scores += weight * evaluate(as_observed, gamma, moments).scores
        pairs = (scores[:kept] + scores[kept:]) / 2
        yield len(systems), half, pairs - pairs.mean(axis=0)


def _groups(
    problem: Problem, moments: ModelMoments | MomentsByKnown
) -> Iterator[tuple[np.ndarray, list[np.ndarray], ModelMoments]]:
    """Yield entries, the blocks of systems that show them alone, and the moments of these systems.

    The systems of a block have the same moments.
    """
    n, d_y = problem.data.shape
    conditions = problem.conditions
    if conditions is None or conditions.present is None:
        patterns, index = np.ones((1, d_y), dtype=bool), np.zeros(n, dtype=int)
    else:
        patterns, index = np.unique(conditions.present, axis=0, return_inverse=True)
    size = max(1, _BLOCK_VALUES // (4 * d_y))
    for systems, own in equal_moments(problem, moments):
        among = index.reshape(-1)[systems]
        order = systems[np.argsort(among, kind="stable")]
        ends = np.cumsum(np.bincount(among, minlength=len(patterns)))
        for pattern, first, last in zip(patterns, [0, *ends[:-1]], ends, strict=True):
            starts = range(first, last, size)
            blocks = [order[start : min(start + size, last)] for start in starts]
            if blocks:
                yield np.flatnonzero(pattern), blocks, own


class _Block:
    """Systems with the same observed entries, in the eigenbasis of signal and noise."""

    def __init__(
        self, problem: Problem, systems: np.ndarray, seen: np.ndarray, basis: Eigenbasis
    ) -> None:
        self._basis, self._count = basis, len(systems)
        # Systems without scales have the same variances, in one row.
        scale = np.ones(1)
        if problem.conditions is not None and problem.conditions.scale is not None:
            scale = problem.conditions.scale[systems]
        self._squares = torch.from_numpy(scale**2)
        self._variance = basis.values + self._squares[:, None]
        data = torch.from_numpy(problem.data[systems][:, seen])
        self._residual = (data - basis.mean) @ basis.matrix.T

    def log_likelihood(self) -> torch.Tensor:
        """Return log N of each system."""
        square = (self._residual**2 / self._variance).sum(dim=1)
        logs = torch.log(self._variance).sum(dim=1)
        constant = 2 * self._basis.logdet + len(self._basis.values) * math.log(2 * math.pi)
        return -0.5 * (square + logs + constant)

    def scores(self, at: Derivatives) -> torch.Tensor:
        """Return the scores (n, n_p)."""
        weighted, inverse = self._residual / self._variance, 1 / self._variance
        scores = torch.zeros((len(weighted), len(at.free)), dtype=weighted.dtype)
        for i in np.flatnonzero(at.free):
            trace = inverse @ torch.diagonal(at.covariances[i])
            factor = 1.0 if at.of_law[i] else self._squares
            square = at.squares[int(i)](weighted)
            scores[:, i] = weighted @ at.means[i] + 0.5 * factor * (square - trace)
        return scores

    def weights(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the sums (3, d, d) and (d,) of :meth:`Derivatives.information`."""
        inverse = 1 / self._variance
        times = self._count / len(inverse)
        pairs = [inverse.T @ (inverse * self._squares[:, None] ** k) for k in range(3)]
        return times * torch.stack(pairs), times * inverse.sum(dim=0)
