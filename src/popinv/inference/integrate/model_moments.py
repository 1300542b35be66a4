r"""Mean and covariance of the observations over the law, from matched draws.

Let g be the noise-free observation of a system. Given g, its observation has the mean e(g) and,
for noise of scale 1, a covariance ``sum_l R_l * (d_l d_l^T)`` with loadings d_l(g), where * is the
entrywise product. The moments over the law are

.. math:: m = E\, e, \qquad S = \operatorname{Cov} e, \qquad
    N = \sum_l R_l \circ E[d_l\, d_l^T], \qquad C_n = S + s_n^2 N,

with s_n the scale of the noise of system n. Noise that is the same for all signals has e = g and N
= Gamma. Noise that varies with the signal has one term, of its correlation R and its deviations d:
for a combined error, the diagonal of N is ``sigma_j^2 + b^2 E g_j^2``
(:mod:`popinv.population.noise.terms`). Censored observations hold their limit, and
:mod:`popinv.population.noise.clipped` gives e and d_l; they depend on the scale, which is then a
part of N. The answer of a random simulator has a covariance of its own given its parameters, which
is a part of S: with the columns d_l of its root, ``S = Cov e + sum_l E[d_l d_l^T]`` and N = Gamma
(:mod:`popinv.population.noise.intrinsic`).

Systems with the same known quantities (:mod:`popinv.population.known`), and with limits the same
scale and limits, have the same moments. They form a group. All moments come from the same draws at
all p. Degrees of freedom do not enter, as the noise's standard deviation is a parameter of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from popinv.errors import DivergenceError
from popinv.forward.tangents import each_tangent
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.integrate.components import Split
from popinv.inference.integrate.moments import matched_normals
from popinv.late import torch
from popinv.population.known import inputs
from popinv.population.noise.clipped import clipped_moments, loading_matrices
from popinv.seeds import generator
from popinv.workers import parallel

FEWEST_DRAWS = 16_000
"""The smallest default number of draws, except of few systems."""

_FEW_DRAWS, _DRAWS_PER_FEW = 1000, 32
_DRAWS_PER_SYSTEM, _MOST_DRAWS = 16, 400_000
# The smallest number of pairs of draws of a group, without limits and with them.
_FEWEST_PAIRS = (100, 200)
# Fewer draws than this only compare starts, and need no accurate moments of a group.
_SCOUTS = 1000
# Steps of differences of the simulator (possibly in single precision), of the law, and of the
# noise.
_STEP, _LAW_STEP, _NOISE_STEP = 1e-3, 1e-5, 1e-4
# Rows that are simulated at a time, and rows that give a first approximation of the mean.
_ROWS, _FEW_ROWS = 20_000, 200
# Number of entries in the derivatives of the groups whose moments are computed together.
_NUMBERS = 2**20


@dataclass(frozen=True)
class Moments:
    """The moments of K groups of systems, with derivatives in p.

    Attributes
    ----------
    keys : tuple of bytes
        The key of the systems of each group; see :meth:`index`.
    mean : Tensor of shape (K, d_y)
    signal, noise : Tensor of shape (K, d_y, d_y)
        S and N.
    of_mean, of_signal : Tensor of shape (K, a, d_y), (K, a, d_y, d_y)
        Derivatives in the first ``a`` entries of p; they do not depend on the others.
    of_noise : Tensor of shape (K, n_p, d_y, d_y)
        Derivatives, zero for parameters that are held.
    """

    keys: tuple[bytes, ...]
    mean: torch.Tensor
    signal: torch.Tensor
    noise: torch.Tensor
    of_mean: torch.Tensor
    of_signal: torch.Tensor
    of_noise: torch.Tensor

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def changes(self) -> tuple[np.ndarray, np.ndarray]:
        """The entries of p that change S, and those that change N."""
        of_signal, of_noise = (
            np.flatnonzero(torch.any(each, dim=(0, 2, 3)).numpy())
            for each in (self.of_signal, self.of_noise)
        )
        return of_signal, of_noise

    def with_derivatives_of(self, other: Moments) -> Moments:
        """Return these moments with the derivatives of others."""
        names = ("of_mean", "of_signal", "of_noise")
        return replace(self, **{name: getattr(other, name) for name in names})

    def index(self, problem: Problem) -> np.ndarray:
        """Return the group of each system of a problem, (N,).

        Raises
        ------
        ValueError
            If a system is in none of the groups.
        """
        keys, _, of_system = problem.conditions.groups
        place = {key: number for number, key in enumerate(self.keys)}
        if not set(keys) <= set(place):
            raise ValueError("there are no moments for what is known of some of the systems")
        return np.array([place[key] for key in keys])[of_system]


def draws_for(systems: int) -> int:
    """Return the default number of draws for the moments."""
    fewest = min(FEWEST_DRAWS, max(_FEW_DRAWS, _DRAWS_PER_FEW * systems))
    return min(max(fewest, _DRAWS_PER_SYSTEM * systems), _MOST_DRAWS)


def matched_draws(
    problem: Problem, count: int | None = None, groups: int | None = None
) -> torch.Tensor:
    """Return the draws of omega for the moments, the same at all p.

    Each group of systems has draws of its own, one set after the other. They depend on what is
    known of its systems alone.

    Parameters
    ----------
    count : int, optional
        Number of draws; by default 16 for each system, at least 16,000 and at most 400,000; with
        fewer than 500 systems 32 for each, at least 1000. The model's moments then add at most a
        sixteenth to the variance of the answer.
    groups : int, optional
        Number of groups that share them, by default the groups of the systems.
    """
    problem, width = problem.whole, problem.law.d_omega
    if count is None:
        count = draws_for(len(problem.data))
    address = f"{problem.stage}/moments"
    if not (problem.known.width or problem.conditions.limited):
        rng = generator(problem.seed, address)
        return matched_normals(rng, max(count // 2, 2 * width), width)
    keys = problem.conditions.groups[0]
    fewest = _FEWEST_PAIRS[problem.conditions.limited] if count >= _SCOUTS else 0
    pairs = max(count // (2 * (groups or len(keys))), 2 * width, fewest)
    own = (f"{address}/{hashlib.sha256(key).hexdigest()}" for key in keys)
    return torch.cat([matched_normals(generator(problem.seed, at), pairs, width) for at in own])


def moments_of_systems(
    problem: Problem,
    alpha: torch.Tensor,
    gamma: torch.Tensor,
    omega: torch.Tensor,
    derivatives: bool = True,
) -> Moments:
    """Return the moments of a problem's systems; every rank returns the moments of all groups.

    Parameters
    ----------
    alpha : Tensor of shape (d_alpha,)
    gamma : Tensor of shape (n_gamma,)
    omega : Tensor of shape (M, d_omega)
        From :func:`matched_draws`.
    derivatives : bool
        Whether to compute derivatives.

    Raises
    ------
    DivergenceError
        If an observation of the model is not finite.
    """
    problem = problem.whole
    keys, first, _ = problem.conditions.groups
    sets = omega.reshape(len(keys), -1, omega.shape[1])
    moves = problem.free & derivatives
    constant = not problem.noise_varies or problem.noise.intrinsic
    if constant:
        # The noise does not enter through the signal.
        moves[problem.d_alpha :] = False
    size = max(
        1, min(_ROWS // sets.shape[1], _NUMBERS // (len(moves) * problem.data.shape[1] ** 2))
    )
    parts = []
    with torch.no_grad():
        for start in range(0, len(keys), size):
            systems = first[start : start + size]
            rows, draws = problem.conditions.of(systems), sets[start : start + size]
            parts.append(_of_rows(problem, alpha, gamma, draws, rows, moves))
        whole = [torch.cat(each) for each in zip(*parts, strict=True)]
        if constant:
            whole[2], whole[5] = _constant(problem, gamma, derivatives, len(keys))
            if problem.noise.shared is not None:
                given = problem.conditions.of(first).known.covariates
                _add_shift(whole, problem, gamma, given, derivatives)
    if not all(torch.isfinite(each).all() for each in whole):
        raise DivergenceError("an observation of the model is not finite")
    return Moments(keys, *whole)


def _constant(
    problem: Problem, gamma: torch.Tensor, derivatives: bool, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the covariance of noise that does not depend on the signal, and its derivatives."""
    covariance = problem.noise.covariance(gamma)
    change = covariance.new_zeros((len(problem.free), *covariance.shape))
    if derivatives and problem.free_noise:
        change[problem.d_alpha :] = torch.stack(list(each_tangent(problem.noise.covariance, gamma)))
        change[torch.from_numpy(~problem.free)] = 0.0
    return covariance.expand(count, -1, -1), change.expand(count, -1, -1, -1)


def _add_shift(
    whole: list[torch.Tensor],
    problem: Problem,
    gamma: torch.Tensor,
    covariates: torch.Tensor,
    derivatives: bool,
) -> None:
    """Add the derivatives of the mean of noise that does not depend on the signal."""
    noise: Any = problem.noise
    count, d_alpha, n_p = len(whole[0]), problem.d_alpha, len(problem.free)
    for k in (3, 4):
        wide = whole[k].new_zeros((count, n_p, *whole[k].shape[2:]))
        wide[:, :d_alpha] = whole[k]
        whole[k] = wide
    if derivatives and problem.free_noise:
        first = d_alpha + len(noise.centred.names)
        moves = torch.from_numpy(problem.free[first:].astype(float))
        whole[3][:, first:] = noise.shift_derivatives(gamma, covariates) * moves[:, None]


def _of_rows(
    problem: Problem,
    alpha: torch.Tensor,
    gamma: torch.Tensor,
    omega: torch.Tensor,
    rows: Conditions,
    moves: np.ndarray,
) -> tuple[torch.Tensor, ...]:
    """Return m, S, N and their derivatives (K, n_p, ...) for the conditions of K systems.

    Each system has its own row of the draws (K, M, d_omega). N and its derivatives are empty for
    noise that is the same for all signals.
    """
    if problem.law.component is not None:
        split, d_alpha = Split.of(problem, alpha.numpy()), problem.d_alpha
        each = []
        for part, own in zip(split.problems, map(torch.from_numpy, split.alphas), strict=True):
            of_part = np.append(np.full(part.d_alpha, moves[:d_alpha].any()), moves[d_alpha:])
            each.append(_of_rows(part, own, gamma, omega, rows, of_part))
        return split.moments(each)
    size = max(1, _ROWS // (len(omega) * (1 + int(moves[: problem.d_alpha].sum()))))
    noise = problem.noise
    moved = rows.limited or (noise.varies and noise.shared is not None)
    width = len(moves) if moved else problem.d_alpha

    def of_draws(draws: torch.Tensor, about: torch.Tensor | None) -> _Sums:
        """Return the sums of some draws, about a point near the mean of earlier draws."""
        flat, count = draws.flatten(0, 1), draws.shape[1]
        given = rows.of(np.repeat(np.arange(len(omega)), count))

        def at(g: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            e, d = given_signal(problem, c, g, given)
            return e.unflatten(0, (-1, count)), d.unflatten(1, (-1, count))

        here, moved = _signals(problem, alpha, flat, given, moves)
        sums = _Sums.of(*at(here, gamma), len(moves), width, about)
        for i, up, down in moved:
            sums.add_change(i, at(up, gamma), at(down, gamma), 2 * _STEP)
        for k in np.flatnonzero(moves[problem.d_alpha :]):
            shift = torch.zeros_like(gamma)
            shift[k] = _NOISE_STEP
            ends = at(here, gamma + shift), at(here, gamma - shift)
            sums.add_change(problem.d_alpha + int(k), *ends, 2 * _NOISE_STEP)
        return sums

    first, *others = omega.split(size, dim=1)
    sums = of_draws(first, None)
    for more in parallel(lambda draws: of_draws(draws, sums.about).arrays, others, "moments"):
        sums.add(more)
    return _moments_of(sums, problem, rows, moves, gamma)


def _signals(
    problem: Problem,
    alpha: torch.Tensor,
    omega: torch.Tensor,
    given: Conditions,
    moves: np.ndarray,
) -> tuple[torch.Tensor, Iterator[tuple[int, torch.Tensor, torch.Tensor]]]:
    """Return signals (M, d_y), also one step up and down along the moving entries of alpha."""
    known = given.known
    entries = [int(i) for i in np.flatnonzero(moves[: problem.d_alpha])]

    def ends(i: int, step: float) -> tuple[torch.Tensor, torch.Tensor]:
        shift = torch.zeros_like(alpha)
        shift[i] = step
        return alpha + shift, alpha - shift

    linearise = getattr(problem.simulate, "linearise", None)
    if not (entries and linearise and getattr(problem.simulate, "differentiable", True)):
        moved = ((i, ends(i, _STEP)) for i in entries)
        signals = (
            (i, problem.signal(a, omega, known), problem.signal(b, omega, known))
            for i, (a, b) in moved
        )
        return problem.signal(alpha, omega, known), signals
    tangents = []
    for i in entries:
        up, down = (inputs(problem.law, each, omega, known) for each in ends(i, _LAW_STEP))
        tangents.append((up - down) / (2 * _LAW_STEP))
    here, changes = linearise(inputs(problem.law, alpha, omega, known), torch.stack(tangents))
    pairs = zip(entries, changes, strict=True)
    # The signal is moved along its tangent.
    return here, ((i, here + _STEP * change, here - _STEP * change) for i, change in pairs)


def given_signal(
    problem: Problem, gamma: torch.Tensor, g: torch.Tensor, given: Conditions
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean (M, d_y) and loadings (L, M, d_y) of observations given their signals g (M, d_y).

    The noise has scale 1, or the rows' own with limits. The loadings are empty for noise that is
    the same for all signals. Those of a random simulator are the columns of its covariance's root.
    """
    noise = problem.noise
    if noise.intrinsic:
        return noise.mean(g), noise.loadings(g)
    g = noise.shifted(gamma, g, given.known.covariates)
    if not problem.noise_varies:
        return g, g[None, :, :0]
    d = noise.deviations(gamma, g, given.known.covariates)
    if not given.limited:
        return g, d[None]
    d = torch.tensor(given.scale)[:, None] * d
    tails, limits = noise.tails(gamma), given.limits.tensors()
    return clipped_moments(g, d, limits, noise.independent, tails)


def noise_matrices(problem: Problem, gamma: torch.Tensor, rows: Conditions) -> torch.Tensor:
    """Return the R_l of noise that varies for each of some systems, (L, K, d_y, d_y)."""
    noise = problem.noise
    if noise.intrinsic:
        return torch.ones(1, len(rows), 1, 1, dtype=gamma.dtype)
    correlation = noise.correlation(gamma, rows.known.covariates).expand(len(rows), -1, -1)
    series = rows.limited and not noise.independent
    return loading_matrices(correlation) if series else correlation[None]


@dataclass
class _Sums:
    """Sums over draws from which the moments of K rows follow.

    Attributes
    ----------
    count : int
        Number of draws of each row.
    about : Tensor of shape (K, 1, d_y)
        A point near the mean; sums about it avoid cancellation.
    total, square : Tensor of shape (K, d_y), (K, d_y, d_y)
        Sums of the mean given the signal, and of its square.
    product : Tensor of shape (L, K, d, d)
        Sums of products of the loadings given the signal.
    of_total, middle, of_square, of_product : Tensor of shape (K, a, d_y), ..., (L, K, n_p, d, d)
        Sums of their changes along entries of p.
    """

    count: int
    about: torch.Tensor
    total: torch.Tensor
    square: torch.Tensor
    product: torch.Tensor
    of_total: torch.Tensor
    middle: torch.Tensor
    of_square: torch.Tensor
    of_product: torch.Tensor

    @classmethod
    def of(
        cls, e: torch.Tensor, d: torch.Tensor, n_p: int, width: int, about: torch.Tensor | None
    ) -> _Sums:
        """Return the sums of draws of the mean (K, M, d_y) and the loadings (L, K, M, d)."""
        if about is None:
            about = e[:, :_FEW_ROWS].mean(dim=1, keepdim=True)
        count, d_y, own = len(e), e.shape[2], d.shape[3]
        e = e - about
        return cls(
            e.shape[1],
            about,
            e.sum(dim=1),
            e.mT @ e,
            d.mT @ d,
            e.new_zeros(count, width, d_y),
            e.new_zeros(count, width, d_y),
            e.new_zeros(count, width, d_y, d_y),
            e.new_zeros(len(d), count, n_p, own, own),
        )

    @property
    def arrays(self) -> tuple[int, list[np.ndarray]]:
        """The number of draws, and the sums."""
        return self.count, [getattr(self, each.name).numpy() for each in fields(self)[2:]]

    def add(self, more: tuple[int, list[np.ndarray]]) -> None:
        """Add the sums of other draws about the same point."""
        count, arrays = more
        self.count += count
        for own, array in zip(fields(self)[2:], arrays, strict=True):
            getattr(self, own.name).add_(torch.from_numpy(array))

    def add_change(
        self,
        i: int,
        up: tuple[torch.Tensor, torch.Tensor],
        down: tuple[torch.Tensor, torch.Tensor],
        width: float,
    ) -> None:
        """Add draws at the ends of a difference along entry i of p."""
        # u u^T - v v^T is the symmetric part of (u - v) (u + v)^T.
        (e, middle), (d, between) = (
            ((u - v) / width, (u + v) / 2) for u, v in zip(up, down, strict=True)
        )
        self.of_product[:, :, i] += d.mT @ between
        if i < self.of_total.shape[1]:
            middle = middle - self.about
            self.of_total[:, i] += e.sum(dim=1)
            self.middle[:, i] += middle.sum(dim=1)
            self.of_square[:, i] += e.mT @ middle


def _moments_of(
    sums: _Sums, problem: Problem, rows: Conditions, moves: np.ndarray, gamma: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Return m, S, N, and their derivatives, from sums over draws."""
    count, d_alpha = sums.count, problem.d_alpha
    shift, of_mean, middle = (each / count for each in (sums.total, sums.of_total, sums.middle))
    signal = sums.square / count - shift[:, :, None] * shift[:, None]
    half = sums.of_square / count - of_mean[..., None] * middle[..., None, :]
    product, of_product = sums.product / count, sums.of_product / count
    of_product = of_product + of_product.mT
    noise, of_noise = product[0], of_product[0]
    if problem.noise.intrinsic:
        # The intrinsic variation is a part of S, and the noise is the same for all signals.
        signal = signal + product.sum(dim=0)
        half = half + of_product.sum(dim=0)[:, :d_alpha] / 2
    elif problem.noise_varies:
        here = noise_matrices(problem, gamma, rows)
        noise = (here * product).sum(dim=0)
        of_noise = (here[:, :, None] * of_product).sum(dim=0)
        for i in np.flatnonzero(moves[d_alpha:]):
            step = torch.zeros_like(gamma)
            step[i] = _NOISE_STEP
            up, down = (noise_matrices(problem, gamma + s, rows) for s in (step, -step))
            change = (up - down) / (2 * _NOISE_STEP)
            of_noise[:, d_alpha + i] += (change * product).sum(dim=0)
    return sums.about[:, 0] + shift, signal, noise, of_mean, half + half.mT, of_noise
