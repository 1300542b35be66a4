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

Systems with noise scales share one eigenbasis: with ``Gamma = L L^T`` and
``L^{-1} S L^{-T} = V diag(lambda) V^T``, C_n is ``(L V) diag(lambda + s_n^2) (L V)^T``. If entries
are missing, systems with the same observed entries share an eigenbasis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from popinv.errors import DivergenceError
from popinv.inference.likelihood.penalty import Penalty, noise_penalty
from popinv.inference.likelihood.whitening import covariance_derivatives
from popinv.inference.moments import matched_normals
from popinv.inference.problem import Problem
from popinv.inference.scales_and_gaps import ScalesAndGaps
from popinv.seeds import generator

__all__ = [
    "ModelMoments",
    "PseudoEvaluation",
    "draw_scores",
    "draws_for",
    "evaluate",
    "matched_draws",
    "model_moments",
]

_FEWEST_DRAWS, _DRAWS_PER_SYSTEM, _MOST_DRAWS = 16_000, 16, 400_000
# Steps of differences of the simulator, which may be in single precision, and of the law.
_STEP, _LAW_STEP = 1e-3, 1e-5
# Rows that are simulated at a time, and rows that give a first approximation of the mean.
_ROWS, _FEW_ROWS = 20_000, 200
# Number of entries in the largest array of a group of systems.
_BLOCK_VALUES = 2**23


@dataclass(frozen=True)
class ModelMoments:
    """Mean and covariance of the noise-free model, with derivatives in alpha.

    Attributes
    ----------
    mean : Tensor of shape (d_y,)
    covariance : Tensor of shape (d_y, d_y)
    mean_derivatives : Tensor of shape (d_alpha, d_y)
    covariance_derivatives : Tensor of shape (d_alpha, d_y, d_y)
    """

    mean: torch.Tensor
    covariance: torch.Tensor
    mean_derivatives: torch.Tensor
    covariance_derivatives: torch.Tensor


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


def draws_for(systems: int) -> int:
    """Return the default number of draws for the moments."""
    return min(max(_FEWEST_DRAWS, _DRAWS_PER_SYSTEM * systems), _MOST_DRAWS)


def matched_draws(problem: Problem, count: int | None = None) -> torch.Tensor:
    """Return the draws of omega for the moments, the same at all p.

    Parameters
    ----------
    problem : Problem
    count : int, optional
        Number of draws; by default 16 for each system, at least 16,000 and at most 400,000. The
        model's moments then add at most a sixteenth to the variance of the answer.
    """
    width = problem.law.d_omega
    if count is None:
        count = draws_for(len(problem.data))
    rng = generator(problem.seed, f"{problem.stage}/moments")
    return matched_normals(rng, max(count // 2, 2 * width), width)


def model_moments(
    problem: Problem, alpha: torch.Tensor, omega: torch.Tensor, derivatives: bool = True
) -> ModelMoments:
    """Return mean and covariance of G(T(alpha, omega)) over the draws omega (M, d_omega).

    Raises
    ------
    DivergenceError
        If an observation of the model is not finite.
    """
    d_alpha = len(alpha) if derivatives and problem.free_law else 0
    linearise = getattr(problem.simulate, "linearise", None)
    if d_alpha and linearise and getattr(problem.simulate, "differentiable", True):
        return _by_tangents(problem, alpha, omega, linearise)
    mean, covariance = _two_moments(problem, alpha, omega)
    means, covariances = [], []
    for i in range(d_alpha):
        plus, minus = (_two_moments(problem, a, omega) for a in _moved(alpha, i, _STEP))
        means.append((plus[0] - minus[0]) / (2 * _STEP))
        covariances.append((plus[1] - minus[1]) / (2 * _STEP))
    if not d_alpha:
        means = [torch.zeros_like(mean)] * len(alpha)
        covariances = [torch.zeros_like(covariance)] * len(alpha)
    return ModelMoments(mean, covariance, torch.stack(means), torch.stack(covariances))


def _moved(alpha: torch.Tensor, i: int, step: float) -> tuple[torch.Tensor, torch.Tensor]:
    shift = torch.zeros_like(alpha)
    shift[i] = step
    return alpha + shift, alpha - shift


def _by_tangents(
    problem: Problem,
    alpha: torch.Tensor,
    omega: torch.Tensor,
    linearise: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
) -> ModelMoments:
    """Return moments and derivatives, from the simulator's derivatives along dT/dalpha."""
    law, d_alpha, d_y = problem.law, len(alpha), problem.data.shape[1]
    total, square = alpha.new_zeros(d_y), alpha.new_zeros((d_y, d_y))
    of_total, of_square = alpha.new_zeros((d_alpha, d_y)), alpha.new_zeros((d_alpha, d_y, d_y))
    parts = omega.split(max(1, _ROWS // (1 + d_alpha)))
    with torch.no_grad():
        centre = problem.simulate(law.sample(alpha, parts[0][:_FEW_ROWS])).mean(dim=0)
        for rows in parts:
            ends = (_moved(alpha, i, _LAW_STEP) for i in range(d_alpha))
            tangents = torch.stack([law.sample(a, rows) - law.sample(b, rows) for a, b in ends])
            y, change = linearise(law.sample(alpha, rows), tangents / (2 * _LAW_STEP))
            y = y - centre
            total, square = total + y.sum(dim=0), square + y.T @ y
            of_total, of_square = of_total + change.sum(dim=1), of_square + change.mT @ y
    shift, of_mean = total / len(omega), of_total / len(omega)
    covariance = square / len(omega) - torch.outer(shift, shift)
    half = of_square / len(omega) - of_mean[..., None] * shift
    moments = ModelMoments(centre + shift, covariance, of_mean, half + half.mT)
    if not all(torch.isfinite(moment).all() for moment in vars(moments).values()):
        raise DivergenceError("an observation of the model is not finite")
    return moments


def _two_moments(
    problem: Problem, alpha: torch.Tensor, omega: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    parts = omega.split(_ROWS)
    d_y = problem.data.shape[1]
    total = torch.zeros(d_y, dtype=alpha.dtype)
    square = torch.zeros((d_y, d_y), dtype=alpha.dtype)
    with torch.no_grad():
        # Sums about a point near the mean avoid cancellation.
        centre = problem.simulate(problem.law.sample(alpha, parts[0][:_FEW_ROWS])).mean(dim=0)
        for rows in parts:
            y = problem.simulate(problem.law.sample(alpha, rows)) - centre
            total, square = total + y.sum(dim=0), square + y.T @ y
    shift = total / len(omega)
    mean, covariance = centre + shift, square / len(omega) - torch.outer(shift, shift)
    if not (torch.isfinite(mean).all() and torch.isfinite(covariance).all()):
        raise DivergenceError("an observation of the model is not finite")
    return mean, covariance


def evaluate(
    problem: Problem, gamma: torch.Tensor, moments: ModelMoments, with_scores: bool = True
) -> PseudoEvaluation:
    """Return pseudo-likelihood, scores and information of all systems.

    Parameters
    ----------
    problem : Problem
    gamma : Tensor of shape (n_gamma,)
    moments : ModelMoments
        The moments at the corresponding alpha.
    with_scores : bool
        Whether to compute scores and information, which are zero otherwise.
    """
    n, n_p = len(problem.data), len(problem.free)
    value, scores = np.zeros(n), np.zeros((n, n_p) if with_scores else (0, n_p))
    information = np.zeros((n_p, n_p))
    with torch.no_grad():
        covariance = problem.noise.covariance(gamma)
        of_noise: list[torch.Tensor] = []
        if with_scores and problem.free_noise:
            of_noise = covariance_derivatives(problem, gamma)
        for systems, seen in _groups(problem):
            group = _Group(problem, systems, seen, moments, covariance)
            value[systems] = group.log_likelihood().numpy()
            if with_scores:
                own, part = group.scores(moments, of_noise, problem.free)
                scores[systems], information = own.numpy(), information + part.numpy()
    penalty = noise_penalty(problem, gamma)
    return PseudoEvaluation(value, scores, information + penalty.curvature, penalty)


def draw_scores(
    problem: Problem, alpha: torch.Tensor, gamma: torch.Tensor, omega: torch.Tensor
) -> np.ndarray:
    """Return the contribution of each pair of draws to a system's mean score, (pairs, n_p).

    The error of the model's moments moves the scores like as many further observations without
    noise. The draws come in pairs (omega, -omega), and the means of the pairs count. As the draws'
    covariance is matched, the true error is smaller still. At most 8000 pairs are used.
    """
    half, kept = len(omega) // 2, min(len(omega) // 2, _FEWEST_DRAWS // 2)
    used = torch.cat([omega[:kept], omega[half : half + kept]])
    with torch.no_grad():
        draws = torch.cat(
            [problem.simulate(problem.law.sample(alpha, rows)) for rows in used.split(_ROWS)]
        )
    scales_and_gaps = None
    if problem.scales_and_gaps is not None and problem.scales_and_gaps.scale is not None:
        scale = np.sqrt(problem.scales_and_gaps.mean_square_scale)
        scales_and_gaps = ScalesAndGaps(scale=np.full(len(draws), scale))
    as_observed = replace(problem, data=draws.numpy(), scales_and_gaps=scales_and_gaps)
    scores = evaluate(as_observed, gamma, model_moments(problem, alpha, used)).scores
    pairs = (scores[:kept] + scores[kept:]) / 2
    return pairs - pairs.mean(axis=0)


def _groups(problem: Problem) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield groups of systems with the same observed entries, and these entries."""
    n, d_y = problem.data.shape
    scales_and_gaps = problem.scales_and_gaps
    if scales_and_gaps is None or scales_and_gaps.present is None:
        patterns, index = np.ones((1, d_y), dtype=bool), np.zeros(n, dtype=int)
    else:
        patterns, index = np.unique(scales_and_gaps.present, axis=0, return_inverse=True)
    order = np.argsort(index.reshape(-1), kind="stable")
    ends = np.cumsum(np.bincount(index.reshape(-1), minlength=len(patterns)))
    size = max(1, _BLOCK_VALUES // (4 * d_y))
    for pattern, first, last in zip(patterns, [0, *ends[:-1]], ends, strict=True):
        for start in range(first, last, size):
            yield order[start : min(start + size, last)], np.flatnonzero(pattern)


class _Group:
    """Systems with the same observed entries, in the eigenbasis of signal and noise."""

    def __init__(
        self,
        problem: Problem,
        systems: np.ndarray,
        seen: np.ndarray,
        moments: ModelMoments,
        covariance: torch.Tensor,
    ) -> None:
        self._seen = np.ix_(seen, seen)
        self._entries = torch.from_numpy(seen)
        factor, failed = torch.linalg.cholesky_ex(covariance[self._seen])
        if failed:
            raise DivergenceError("the noise covariance is not positive definite")
        half = torch.linalg.solve_triangular(factor, moments.covariance[self._seen], upper=False)
        whole = torch.linalg.solve_triangular(factor, half.T, upper=False)
        values, vectors = torch.linalg.eigh((whole + whole.T) / 2)
        eye = torch.eye(len(seen), dtype=covariance.dtype)
        # B = V^T L^{-1}
        self._basis = vectors.T @ torch.linalg.solve_triangular(factor, eye, upper=False)
        self._logdet = torch.log(torch.diagonal(factor)).sum()
        scale = np.ones(len(systems))
        if problem.scales_and_gaps is not None and problem.scales_and_gaps.scale is not None:
            scale = problem.scales_and_gaps.scale[systems]
        self._squares = torch.from_numpy(scale**2)
        # Rounding may leave eigenvalues of the signal just below zero.
        self._variance = torch.clamp(values, min=0.0) + self._squares[:, None]
        data = torch.from_numpy(problem.data[systems][:, seen])
        self._residual = (data - moments.mean[self._entries]) @ self._basis.T

    def log_likelihood(self) -> torch.Tensor:
        """Return log N of each system."""
        square = (self._residual**2 / self._variance).sum(dim=1)
        logs = torch.log(self._variance).sum(dim=1)
        constant = 2 * self._logdet + len(self._basis) * math.log(2 * math.pi)
        return -0.5 * (square + logs + constant)

    def scores(
        self, moments: ModelMoments, of_noise: list[torch.Tensor], free: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the scores (n, n_p) and the information (n_p, n_p)."""
        d_alpha, d = len(moments.mean_derivatives), len(self._basis)
        weighted, inverse = self._residual / self._variance, 1 / self._variance
        scores = torch.zeros((len(weighted), len(free)), dtype=weighted.dtype)
        means = torch.zeros((len(free), d), dtype=weighted.dtype)
        changes = torch.zeros((len(free), d, d), dtype=weighted.dtype)
        for i in np.flatnonzero(free):
            if i < d_alpha:
                means[i] = self._basis @ moments.mean_derivatives[i][self._entries]
                change = moments.covariance_derivatives[i]
            else:
                change = of_noise[i - d_alpha]
            changes[i] = self._basis @ change[self._seen] @ self._basis.T
            quadratic = ((weighted @ changes[i]) * weighted).sum(dim=1)
            trace = inverse @ torch.diagonal(changes[i])
            factor = 1.0 if i < d_alpha else self._squares
            scores[:, i] = weighted @ means[i] + 0.5 * factor * (quadratic - trace)
        information = (means * inverse.sum(dim=0)) @ means.T
        of_law = torch.arange(len(free)) < d_alpha
        for power, here in (
            (0, of_law[:, None] & of_law),
            (1, of_law[:, None] ^ of_law),
            (2, ~of_law[:, None] & ~of_law),
        ):
            pairs = inverse.T @ (inverse * self._squares[:, None] ** power)
            both = (changes * pairs).flatten(1) @ changes.flatten(1).T
            information = information + torch.where(here, 0.5 * both, 0.0)
        return scores, information
