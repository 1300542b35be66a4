r"""The Gaussian pseudo-likelihood for noise that varies with the signal or with covariates.

Given the noise-free observation g, an observation has mean g and covariance
``s^2 D(g) R D(g)`` (:mod:`popinv.population.noise.varying`). Over the law its moments are

.. math:: m = E\, g, \qquad C = \operatorname{Cov} g + s^2\, R \circ E[d\, d^T],

where the last term, the mean of the noise's covariance, depends on law and noise: for a combined
error its diagonal is ``sigma_j^2 + b^2 E g_j^2``. All moments come from the same draws at all p,
and their derivatives are central differences. Degrees of freedom do not enter, as the noise's
standard deviation is a parameter of its own; they are held at their start.

Censored observations hold their limit, and the moments given g are those of
:mod:`popinv.population.noise.clipped`. They depend on the system's scale, so that systems with
other scales or limits have moments of their own.

The scores and the information are those of :mod:`popinv.inference.likelihood.pseudo`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from popinv.errors import DivergenceError
from popinv.inference.likelihood.components import Split
from popinv.inference.moments import matched_normals
from popinv.inference.problem import Problem
from popinv.population.known import Known
from popinv.population.limits import Limits
from popinv.population.noise.clipped import clipped_moments
from popinv.seeds import generator

_STEP, _NOISE_STEP = 1e-3, 1e-4
# Rows that are simulated at a time, and rows whose moments are taken at a time.
_ROWS, _MOST_ROWS = 20_000, 40_000
# Groups that share their draws if they have limits. More of them have pairs of draws of their own.
_MOST_GROUPS, _OWN_PAIRS = 16, 200


@dataclass(frozen=True)
class _Moments:
    """The moments of systems with the same known quantities, with derivatives in p.

    Attributes
    ----------
    mean : Tensor of shape (d_y,)
    signal, noise : Tensor of shape (d_y, d_y)
        Cov g, and the mean covariance of noise of scale 1.
    of_mean : Tensor of shape (n_p, d_y)
    of_signal, of_noise : Tensor of shape (n_p, d_y, d_y)
        Derivatives.
    """

    mean: torch.Tensor
    signal: torch.Tensor
    noise: torch.Tensor
    of_mean: torch.Tensor
    of_signal: torch.Tensor
    of_noise: torch.Tensor


@dataclass(frozen=True)
class VaryingMoments:
    """The moments of a problem's systems, by their known quantities.

    Attributes
    ----------
    groups : tuple of _Moments
    keys : tuple of bytes, optional
        The key of the systems of each group; None if there is one group of all systems.
    """

    groups: tuple[_Moments, ...]
    keys: tuple[bytes, ...] | None

    def with_derivatives_of(self, other: VaryingMoments) -> VaryingMoments:
        """Return these moments with the derivatives of others."""
        pairs = zip(self.groups, other.groups, strict=True)
        names = ("of_mean", "of_signal", "of_noise")
        return replace(
            self,
            groups=tuple(
                replace(a, **{name: getattr(b, name) for name in names}) for a, b in pairs
            ),
        )

    def of_systems(self, problem: Problem) -> Iterator[tuple[np.ndarray, _Moments]]:
        """Yield the systems of a problem that have the same moments, and these moments."""
        if self.keys is None:
            yield np.arange(len(problem.data)), self.groups[0]
            return
        place = {key: number for number, key in enumerate(self.keys)}
        rows, index = np.unique(_columns(problem), axis=0, return_inverse=True)
        for number, row in enumerate(rows):
            yield np.flatnonzero(index.reshape(-1) == number), self.groups[place[row.tobytes()]]


def _columns(problem: Problem) -> np.ndarray:
    """Return what moments depend on, a row for each system: systems with equal rows share them."""
    columns, limited = [np.empty((len(problem.data), 0))], _Limited.of(problem, slice(None))
    if problem.known is not None:
        columns += [problem.known.design.numpy(), problem.known.covariates.numpy()]
    if limited is not None:
        columns += [limited.scale.numpy()[:, None], *limited.limits.arrays]
    # Adding zero gives zeros of either sign the same bytes.
    return np.concatenate(columns, axis=1) + 0.0


@dataclass(frozen=True)
class _Limited:
    """Scales (n,) and limits of n rows of systems."""

    scale: torch.Tensor
    limits: Limits

    @classmethod
    def of(cls, problem: Problem, systems: np.ndarray | slice) -> _Limited | None:
        """Return those of some systems; None if the problem has no limits."""
        conditions = problem.conditions
        if conditions is None or conditions.limits is None:
            return None
        limits = conditions.limits.of(systems)
        scale = np.ones(len(limits)) if conditions.scale is None else conditions.scale[systems]
        return cls(torch.from_numpy(scale), limits)

    def repeated(self, times: int) -> _Limited:
        """Return each row so many times in a row."""
        limits = self.limits.mapped(lambda x: np.repeat(x, times, axis=0))
        return _Limited(self.scale.repeat_interleave(times), limits)


def _mixed(split: Split, each: Sequence[_Moments]) -> _Moments:
    """Return the moments of a mixture from those of its components."""
    of_signal = [(m.mean, m.signal, m.of_mean, m.of_signal) for m in each]
    mean, signal, of_mean, of_signal_mixed = split.moments(of_signal)
    noise, of_noise = split.averaged([(m.noise, m.of_noise) for m in each])
    return _Moments(mean, signal, noise, of_mean, of_signal_mixed, of_noise)


def varying_moments(
    problem: Problem,
    alpha: torch.Tensor,
    gamma: torch.Tensor,
    omega: torch.Tensor,
    derivatives: bool = True,
) -> VaryingMoments:
    """Return the moments of a problem's systems; the arguments are as for ``moments_of_systems``.

    Raises
    ------
    DivergenceError
        If an observation of the model is not finite.
    """
    columns = _columns(problem)
    if (columns == columns[:1]).all():
        systems, keys = np.zeros(1, dtype=int), None
    else:
        rows, systems = np.unique(columns, axis=0, return_index=True)
        keys = tuple(row.tobytes() for row in rows)
    # Systems with the same known quantities share their draws.
    sets, of_known = [omega], np.zeros(len(problem.data), dtype=int)
    if problem.known is not None:
        first, of_known = problem.known.groups()
        sets = list(omega.split(len(omega) // len(first)))
    with_limits = problem.conditions is not None and problem.conditions.limits is not None
    if with_limits and keys is not None and len(keys) > _MOST_GROUPS:
        sets, of_known = _draws_of_each(problem, columns, keys), np.arange(len(problem.data))
    size = max(1, _MOST_ROWS // len(sets[0]))
    groups: list[_Moments] = []
    for start in range(0, len(systems), size):
        some = systems[start : start + size]
        own = torch.cat([sets[of_known[system]] for system in some])
        known = None if problem.known is None else problem.known.of(some)
        limited = _Limited.of(problem, some)
        groups += _moments(problem, alpha, gamma, own, known, limited, derivatives)
    return VaryingMoments(tuple(groups), keys)


def _draws_of_each(
    problem: Problem, columns: np.ndarray, keys: Sequence[bytes]
) -> list[torch.Tensor]:
    """Return draws for each system: fewer ones, which systems with equal columns share."""
    width = problem.law.d_omega
    pairs = max(_OWN_PAIRS, 2 * width)
    own = {}
    for key in keys:
        address = f"{problem.stage}/moments/{hashlib.sha256(key).hexdigest()}"
        own[key] = matched_normals(generator(problem.seed, address), pairs, width)
    return [own[row.tobytes()] for row in columns]


def _moments(
    problem: Problem,
    alpha: torch.Tensor,
    gamma: torch.Tensor,
    omega: torch.Tensor,
    known: Known | None,
    limited: _Limited | None,
    derivatives: bool,
) -> list[_Moments]:
    """Return the moments for each row of known quantities, scales and limits.

    Without any of them there is one row. The draws (M, d_omega) are as many for each row.
    """
    if problem.law.component is not None:
        split = Split.of(problem, alpha.numpy())
        parts = zip(split.problems, map(torch.from_numpy, split.alphas), strict=True)
        each = [_moments(part, a, gamma, omega, known, limited, derivatives) for part, a in parts]
        return [_mixed(split, group) for group in zip(*each, strict=True)]
    count = len(known) if known is not None else 1 if limited is None else len(limited.scale)
    draws = len(omega) // count
    repeated = None if known is None else known.repeated(draws)
    of_draws = None if limited is None else limited.repeated(draws)

    def at(g: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return _three(problem, g, c, repeated, of_draws, count)

    with torch.no_grad():
        here = _signals(problem, alpha, omega, repeated)
        values = at(here, gamma)
        changes = [torch.zeros(count, len(problem.free), *x.shape[1:]).to(x) for x in values]
        for i in np.flatnonzero(problem.free) if derivatives else ():
            if i < problem.d_alpha:
                shift = torch.zeros_like(alpha)
                shift[i] = _STEP
                up = at(_signals(problem, alpha + shift, omega, repeated), gamma)
                down = at(_signals(problem, alpha - shift, omega, repeated), gamma)
                width = 2 * _STEP
            else:
                shift = torch.zeros_like(gamma)
                shift[i - problem.d_alpha] = _NOISE_STEP
                up, down = at(here, gamma + shift), at(here, gamma - shift)
                width = 2 * _NOISE_STEP
            for into, above, below in zip(changes, up, down, strict=True):
                into[:, i] = (above - below) / width
    if not all(torch.isfinite(each).all() for each in (*values, *changes)):
        raise DivergenceError("an observation of the model is not finite")
    return [_Moments(*(each[row] for each in (*values, *changes))) for row in range(count)]


def _signals(
    problem: Problem, alpha: torch.Tensor, omega: torch.Tensor, known: Known | None
) -> torch.Tensor:
    """Return the signals of draws (M, d_omega), each with a row of known quantities."""
    parts = []
    for rows in torch.arange(len(omega)).split(_ROWS):
        own = None if known is None else known.of(rows)
        parts.append(problem.signal(alpha, omega[rows], own))
    return torch.cat(parts)


def _three(
    problem: Problem,
    g: torch.Tensor,
    gamma: torch.Tensor,
    known: Known | None,
    limited: _Limited | None,
    count: int,
) -> tuple[torch.Tensor, ...]:
    """Return mean and covariance of signals (M, d_y), and the noise's mean covariance.

    Each has ``count`` rows, one for each group of as many draws that follow each other.
    """
    centre, loadings, matrices = _given(problem, g, gamma, known, limited)
    centre = centre.reshape(count, -1, g.shape[1])
    mean, draws = centre.mean(dim=1), centre.shape[1]
    centred = centre - mean[:, None]
    noise = torch.zeros_like(centred.mT @ centred)
    for each, matrix in zip(loadings, matrices, strict=True):
        of_rows = each.reshape(centre.shape)
        noise += matrix * (of_rows.mT @ of_rows / draws)
    return mean, centred.mT @ centred / draws, noise


def _given(
    problem: Problem,
    g: torch.Tensor,
    gamma: torch.Tensor,
    known: Known | None,
    limited: _Limited | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return mean, loadings and matrices of observations given g (M, d_y), as `clipped_moments`.

    The noise has scale 1, or that of the rows with limits.
    """
    covariates = None if known is None else known.covariates
    d = problem.noise.deviations(gamma, g, covariates)  # type: ignore[attr-defined]
    correlation = problem.noise.correlation(gamma)  # type: ignore[attr-defined]
    if limited is None:
        return g, d[None], correlation[None]
    tails = problem.noise.tails(gamma)  # type: ignore[attr-defined]
    own = None if problem.noise.independent else correlation  # type: ignore[attr-defined]
    return clipped_moments(g, limited.scale[:, None] * d, limited.limits.tensors(), own, tails)


def evaluate_varying(
    problem: Problem, moments: VaryingMoments, with_scores: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log likelihood (N,), scores (N, n_p) and information (n_p, n_p) of all systems.

    Raises
    ------
    DivergenceError
        If a covariance of the observations is not positive definite.
    """
    n, n_p = len(problem.data), len(problem.free)
    value, scores = np.zeros(n), np.zeros((n, n_p) if with_scores else (0, n_p))
    information = np.zeros((n_p, n_p))
    with torch.no_grad():
        for systems, seen, scale, own in _groups(problem, moments):
            group = _Group(own, torch.from_numpy(seen), scale)
            data = torch.from_numpy(problem.data[systems][:, seen])
            value[systems] = group.log_likelihood(data).numpy()
            if with_scores:
                residual = data - group.mean
                weighted = residual @ group.precision
                outer = torch.einsum("nj,ijk,nk->ni", weighted, group.of_covariance, weighted)
                part = weighted @ group.of_mean.T + 0.5 * (outer - group.traces)
                scores[systems] = part.numpy()
                information += len(systems) * group.information().numpy()
    return value, scores, information


def scores_of_draws(
    problem: Problem,
    alpha: torch.Tensor,
    gamma: torch.Tensor,
    omega: torch.Tensor,
    known: Known | None,
    scale: float,
) -> np.ndarray:
    """Return the contribution of each draw of omega to the mean score of systems, (M, n_p).

    A draw contributes its g to the mean, and the square of its deviation plus the covariance of its
    noise to the covariance.
    """
    limited = _Limited.of(problem, np.zeros(1, dtype=int))
    if limited is not None:
        # The scale is in the moments of what is observed.
        limited, scale = replace(limited, scale=torch.full((1,), scale).to(alpha)), 1.0
    (moments,) = _moments(problem, alpha, gamma, omega, known, limited, derivatives=True)
    of_draws = None if limited is None else limited.repeated(len(omega))
    known = None if known is None else known.repeated(len(omega))
    total = np.zeros((len(omega), len(problem.free)))
    with torch.no_grad():
        every = torch.ones(len(moments.mean), dtype=torch.bool)
        group = _Group(moments, every, scale)
        for weight, g in weighted_signals(problem, alpha, omega, known):
            centre, loadings, matrices = _given(problem, g, gamma, known, of_draws)
            weighted = (centre - moments.mean) @ group.precision
            scores = weighted @ group.of_mean.T
            for i, change in enumerate(group.of_covariance):
                inner = scale**2 * matrices * (group.precision @ change @ group.precision)
                squares = ((weighted @ change) * weighted).sum(dim=1)
                squares += ((loadings @ inner) * loadings).sum(dim=(0, 2))
                scores[:, i] += 0.5 * (squares - group.traces[i])
            total += weight * scores.numpy()
    return total


def weighted_signals(
    problem: Problem, alpha: torch.Tensor, omega: torch.Tensor, known: Known | None
) -> Iterator[tuple[float, torch.Tensor]]:
    """Yield the signals of draws (M, d_omega), for a mixture those of each component, with weights.

    ``known`` has a row for each draw.
    """
    if problem.law.component is None:
        yield 1.0, _signals(problem, alpha, omega, known)
        return
    split = Split.of(problem, alpha.numpy())
    for weight, part, own in zip(split.weights, split.problems, split.alphas, strict=True):
        yield float(weight), _signals(part, torch.from_numpy(own), omega, known)


def _groups(
    problem: Problem, moments: VaryingMoments
) -> Iterator[tuple[np.ndarray, np.ndarray, float, _Moments]]:
    """Yield systems with equal moments, observed entries and scale; these entries and scale."""
    n, d_y = problem.data.shape
    conditions = problem.conditions
    present, scale = np.ones((n, d_y), dtype=bool), np.ones(n)
    if conditions is not None and conditions.present is not None:
        present = conditions.present
    # With limits the scales are in the moments.
    if conditions is not None and conditions.scale is not None and conditions.limits is None:
        scale = conditions.scale
    for systems, own in moments.of_systems(problem):
        both = np.column_stack([present[systems], scale[systems]])
        kinds, index = np.unique(both, axis=0, return_inverse=True)
        for k, kind in enumerate(kinds):
            rows = systems[index.reshape(-1) == k]
            yield rows, kind[:-1].astype(bool), float(kind[-1]), own


class _Group:
    """The Gaussian law of the observed entries of systems with equal moments and scale."""

    def __init__(self, moments: _Moments, seen: torch.Tensor, scale: float) -> None:
        rows = torch.nonzero(seen)[:, 0]
        block = rows[:, None], rows
        self.mean = moments.mean[rows]
        covariance = (moments.signal + scale**2 * moments.noise)[block]
        self._factor, failed = torch.linalg.cholesky_ex(covariance)
        if failed or not torch.isfinite(self._factor).all():
            raise DivergenceError("the covariance of the observations is not positive definite")
        self.precision = torch.cholesky_inverse(self._factor)
        self.of_mean = moments.of_mean[:, rows]
        of_covariance = moments.of_signal + scale**2 * moments.of_noise
        self.of_covariance = of_covariance[:, rows[:, None], rows]
        self._changed = self.precision @ self.of_covariance
        self.traces = self._changed.diagonal(dim1=1, dim2=2).sum(dim=1)

    def log_likelihood(self, data: torch.Tensor) -> torch.Tensor:
        """Return log N of each row of data (n, entries)."""
        r = torch.linalg.solve_triangular(self._factor, (data - self.mean).T, upper=False)
        logdet = torch.log(torch.diagonal(self._factor)).sum()
        constant = 0.5 * len(self.mean) * math.log(2 * math.pi)
        return -0.5 * (r**2).sum(dim=0) - logdet - constant

    def information(self) -> torch.Tensor:
        """Return the information of one system, shape (n_p, n_p)."""
        changed = self._changed
        of_covariance = changed.flatten(1) @ changed.mT.flatten(1).T
        return self.of_mean @ self.precision @ self.of_mean.T + 0.5 * of_covariance
