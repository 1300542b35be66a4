r"""The Gaussian pseudo-likelihood: observations compared with the model by mean and covariance.

The observation of system n has mean m and covariance ``C_n = S + s_n^2 N``
(:mod:`popinv.inference.integrate.model_moments`), and

.. math:: \ell(p) = \sum_n \log N(y_n;\, m, C_n)

is maximal near the truth for any distribution of y, since only its first two moments count
(a quasi-likelihood; Gourieroux, Monfort and Trognon, Econometrica 52, 1984). The simulator need not
have derivatives; if it has, they save half of the work. The scores and the information are

.. math::
    s_{n,i} = \partial_i m^T C_n^{-1} d_n + \tfrac12 \operatorname{tr}\bigl[
    C_n^{-1} \partial_i C_n\, C_n^{-1} (d_n d_n^T - C_n)\bigr], \quad d_n = y_n - m,

    I_{ij} = \sum_n \partial_i m^T C_n^{-1} \partial_j m
    + \tfrac12 \operatorname{tr} C_n^{-1} \partial_i C_n\, C_n^{-1} \partial_j C_n .

Systems with the same moments that show the same entries share one eigenbasis
(:mod:`popinv.inference.integrate.eigenbasis`). The observations are read in blocks of systems.

The sums over systems without conditions are functions of the mean and the covariance of the
observations alone. An ascent therefore reads few observations with this mean and covariance
(:func:`sufficient`) instead of all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from popinv.inference.density.division import added, blocks_of_rows, together
from popinv.inference.density.problem import Problem
from popinv.inference.integrate.components import Split
from popinv.inference.integrate.eigenbasis import FACTORED_FROM, Eigenbases
from popinv.inference.integrate.model_moments import (
    Moments,
    given_signal,
    moments_of_systems,
    noise_matrices,
)
from popinv.late import torch
from popinv.store.rows import row_blocks

# The largest number of pairs of draws of a group whose scores are taken.
_MOST_PAIRS = 8000
# Number of entries in the largest array of a block of systems.
_BLOCK_VALUES = 2**23


@dataclass(frozen=True)
class PseudoEvaluation:
    """The pseudo-likelihood at one p.

    Attributes
    ----------
    log_likelihood : ndarray of shape (N,)
        Log likelihoods; if the problem is divided, only of the rank's own systems.
    scores : ndarray of shape (N, n_p)
        Scores of the same systems. Zero for parameters that are held.
    information : ndarray of shape (n_p, n_p)
        Expected information of all systems together.
    """

    log_likelihood: np.ndarray
    scores: np.ndarray
    information: np.ndarray


def evaluate(problem: Problem, moments: Moments, with_scores: bool = True) -> PseudoEvaluation:
    """Return pseudo-likelihood, scores and information of all systems.

    Parameters
    ----------
    moments : Moments
        At p, from :func:`popinv.inference.integrate.model_moments.moments_of_systems`.
    with_scores : bool
        Whether to compute scores and information, which are zero otherwise.

    Raises
    ------
    DivergenceError
        If a mean covariance of the noise is not positive definite.
    """
    n, n_p = len(problem.data), len(problem.free)
    value, scores = np.zeros(n), np.zeros((n, n_p) if with_scores else (0, n_p))
    information = []
    with together(problem), torch.no_grad():
        for block in blocks_of_rows(np.arange(n)):
            rows = np.arange(block.start, block.stop)
            some = problem if len(rows) == n else problem.of_systems(rows)
            own = scores[block] if with_scores else None
            information.append(_of_block(some, moments, value[block], own))
    return PseudoEvaluation(value, scores, added(problem, np.array(information)))


def _of_block(
    problem: Problem, moments: Moments, value: np.ndarray, scores: np.ndarray | None
) -> np.ndarray:
    """Write the values and scores of a block of systems, and return their information."""
    n_p, conditions = len(problem.free), problem.conditions
    information = np.zeros((n_p, n_p))
    for groups, seen, systems in _cells(problem, moments):
        bases = Eigenbases(moments, groups, seen)
        at = None if scores is None else bases.derivatives()
        size = max(1, _BLOCK_VALUES // (4 * seen.size))
        for start in range(0, systems.shape[1], size):
            block = systems[:, start : start + size]
            # Systems without scales, or with scales in their moments, have the same variances.
            squares = torch.ones(1, 1, 1, dtype=torch.float64)
            if conditions.scaled and not conditions.limited:
                squares = torch.from_numpy(conditions.scale[block] ** 2)[..., None]
            variance = bases.values[:, None] + squares
            residual = _observed(problem, block, seen) - bases.mean[:, None]
            residual = residual @ bases.matrix.mT
            logs = (residual**2 / variance + torch.log(variance)).sum(dim=2)
            constant = 2 * bases.logdet + seen.shape[1] * math.log(2 * math.pi)
            value[block] = (-0.5 * (logs + constant[:, None])).numpy()
            if at is not None and scores is not None:
                scores[block] = at.scores(residual, squares, variance).numpy()
                times = block.shape[1] / variance.shape[1]
                information += at.information(squares, variance, times).numpy()
    return information


def _observed(problem: Problem, systems: np.ndarray, seen: np.ndarray) -> torch.Tensor:
    """Return the entries (C, d) that cells show of their systems (C, m), shape (C, m, d)."""
    data = np.asarray(problem.data[systems.reshape(-1)]).reshape(*systems.shape, -1)
    return torch.from_numpy(np.take_along_axis(data, seen[:, None], axis=2))


def _cells(
    problem: Problem, moments: Moments
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield cells: their groups (C,), the entries (C, d) they show, and their systems (C, m)."""
    n, d_y = problem.data.shape
    conditions, group = problem.conditions, moments.index(problem)
    patterns, index = np.ones((1, d_y), dtype=bool), np.zeros(n, dtype=int)
    if conditions.gaps:
        patterns, index = np.unique(conditions.present, axis=0, return_inverse=True)
    cell = group * len(patterns) + index.reshape(-1)
    order = np.argsort(cell, kind="stable")
    kinds, counts = np.unique(cell, return_counts=True)
    ends = np.cumsum(counts)
    entries = patterns.sum(axis=1)[kinds % len(patterns)]
    alike, kind = np.unique(np.column_stack([entries, counts]), axis=0, return_inverse=True)
    for number, (width, count) in enumerate(alike):
        if not width:
            continue
        own = np.flatnonzero(kind.reshape(-1) == number)
        # Forms of many entries are factored one by one.
        size = max(1, _BLOCK_VALUES // (4 * len(problem.free) * width**2))
        for some in np.split(own, range(size, len(own), 1 if width >= FACTORED_FROM else size)):
            seen = np.nonzero(patterns[kinds[some] % len(patterns)])[1].reshape(-1, width)
            at = (ends[some] - count)[:, None] + np.arange(count)
            yield kinds[some] // len(patterns), seen, order[at]


def sufficient(problem: Problem) -> tuple[Problem, float]:
    """Return few systems with the mean and the covariance of all, and how many each stands for.

    The sum of the pseudo-likelihood over all systems is the sum over the few, times that number.
    The few systems are the sample mean, moved along the columns of a root of the sample covariance.
    If systems have conditions of their own, the problem itself is returned.
    """
    n, d_y = problem.count, problem.data.shape[1]
    if not problem.conditions.plain or n <= 2 * d_y:
        return problem, 1.0
    # Sums about a point near the mean avoid cancellation.
    centre = next(row_blocks(problem.whole.data))[1].mean(axis=0)
    totals, squares = [], []
    for block in blocks_of_rows(np.arange(len(problem.data))):
        y = problem.data[block] - centre
        totals.append(y.sum(axis=0))
        squares.append(y.T @ y)
    shift, square = (added(problem, np.array(sums)) / n for sums in (totals, squares))
    values, vectors = np.linalg.eigh(square - np.outer(shift, shift))
    moved = np.sqrt(d_y * np.maximum(values, 0.0))[:, None] * vectors.T
    few = centre + shift + np.concatenate([moved, -moved])
    return replace(problem, data=few, part=None), n / len(few)


def draw_scores(
    problem: Problem, alpha: torch.Tensor, gamma: torch.Tensor, omega: torch.Tensor
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield the contributions of pairs of draws to the mean score of each group of systems.

    The error of the model's moments moves the scores. A draw contributes its mean given the signal
    to m, the square of its deviation to S, and the covariance of its noise to N. The draws come in
    pairs (omega, -omega), and the means of the pairs count. As the draws' covariance is matched,
    the true error is smaller still. At most 8000 pairs of a group are used.

    Yields
    ------
    systems, pairs : int
        The number of systems, and of pairs of draws for their moments.
    contributions : ndarray of shape (used pairs, n_p)
    """
    problem = problem.whole
    _, start, index = problem.conditions.groups
    sets = omega.reshape(len(start), -1, omega.shape[1])
    counts, conditions, pairs = np.bincount(index), problem.conditions, sets.shape[1] // 2
    kept = min(pairs, _MOST_PAIRS)
    used = torch.cat([sets[:, :kept], sets[:, pairs : pairs + kept]], dim=1)
    moments = moments_of_systems(problem, alpha, gamma, used.flatten(0, 1))
    squares = np.ones(len(start))
    if not conditions.limited:
        squares = np.bincount(index, conditions.scale**2) / counts
    size = max(1, _BLOCK_VALUES // (8 * kept * problem.data.shape[1]))
    for groups in np.split(np.arange(len(start)), range(size, len(start), size)):
        members = _without_data(problem, start[groups])
        each = _of_draws(members, moments, groups, squares[groups], alpha, gamma, used[groups])
        for count, scores in zip(counts[groups], each, strict=True):
            mean = (scores[:kept] + scores[kept:]) / 2
            yield int(count), pairs, mean - mean.mean(axis=0)


def _without_data(problem: Problem, systems: np.ndarray) -> Problem:
    """Return the problem of some systems; their observations are not read."""
    conditions = problem.conditions.of(systems)
    data = np.broadcast_to(0.0, (len(systems), problem.data.shape[1]))
    return replace(problem, data=data, conditions=conditions)


def _of_draws(
    problem: Problem,
    moments: Moments,
    groups: np.ndarray,
    squares: np.ndarray,
    alpha: torch.Tensor,
    gamma: torch.Tensor,
    omega: torch.Tensor,
) -> np.ndarray:
    """Return the contributions (C, M, n_p) of draws (C, M, d_omega) to mean scores of groups (C,).

    The problem has one system of each group, whose noise has the mean square scales (C,).
    """
    d_y, count = problem.data.shape[1], omega.shape[1]
    bases = Eigenbases(moments, groups, np.tile(np.arange(d_y), (len(groups), 1)))
    square = torch.from_numpy(squares)[:, None, None]
    variance, at = bases.values[:, None] + square, bases.derivatives()
    each = np.repeat(np.arange(len(groups)), count)
    rows = problem.conditions.of(each)
    total = np.zeros((len(groups), count, len(problem.free)))
    for weight, part, own in _components(problem, alpha):
        with torch.no_grad():
            g = part.signal(own, omega.flatten(0, 1), rows.known)
            given = given_signal(part, gamma, g, rows)
            e, d = (x.unflatten(-2, (len(groups), count)) for x in given)
            residual = (e - bases.mean[:, None]) @ bases.matrix.mT
            scores = at.scores(residual, square, variance)
            if problem.noise_varies:
                # The covariance of the noise, given the signal, in the trace of the scores.
                weights = bases.matrix / variance.mT
                matrices = noise_matrices(problem, gamma, problem.conditions)
                # The covariance of a random simulator's answer has no scale.
                scaled = int(not problem.noise.intrinsic)
                for k, (entries, changes) in enumerate(
                    zip(at.entries, at.covariances, strict=True)
                ):
                    for j, i in enumerate(entries):
                        inner = weights.mT @ changes[:, j] @ weights * matrices
                        of_noise = ((d @ inner) * d).sum(dim=(0, 3))
                        scores[..., i] += 0.5 * square[..., 0] ** (k + scaled) * of_noise
        total += weight * scores.numpy()
    return total


def _components(
    problem: Problem, alpha: torch.Tensor
) -> Iterator[tuple[float, Problem, torch.Tensor]]:
    """Yield the weight, the problem and alpha of each component of a mixture, or of the law."""
    if problem.law.component is None:
        yield 1.0, problem, alpha
        return
    split = Split.of(problem, alpha.numpy())
    for weight, part, own in zip(split.weights, split.problems, split.alphas, strict=True):
        yield float(weight), part, torch.from_numpy(own)
