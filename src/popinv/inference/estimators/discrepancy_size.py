r"""The size of a discrepancy of the simulator, by the evidence of the observations.

The discrepancy b of d observations has the prior :math:`N(0, A^2 R(\ell))`
(:mod:`popinv.population.noise.discrepancy`). Estimates hold the hyperparameters
:math:`\theta = (A, \ell)`. Here they are chosen, and their uncertainty is added.

The Gaussian pseudo-likelihood of the other parameters r and of b is close to quadratic. With its
information H and gradient at a point, the integral over r leaves a quadratic function of b of
curvature S and slope h,

.. math:: S = H_{bb} - H_{br} H_{rr}^{-1} H_{rb}, \qquad
    \log p(y \mid \theta) = -\tfrac12 \log \det M + \tfrac12 h^T L M^{-1} L^T h + \mathrm{const},
    \qquad M = I + L^T S L ,

with :math:`A^2 R = L L^T` (Laplace's approximation; MacKay, Neural Computation 4, 1992). A has a
uniform prior, cut off by a half-normal density of the standard deviation of the observations
(Gelman, Bayesian Analysis 1, 2006), and :math:`\log \ell` has a uniform prior between the smallest
distance of two places and half of the largest. The choice is the mode of
:math:`p(\log A, \log \ell \mid y)`, which is never at A = 0 (Chung et al., Psychometrika 78, 2013).

Given theta, b is normal with mean :math:`L M^{-1} L^T h` and covariance :math:`L M^{-1} L^T`. The
mean of these laws over :math:`p(\theta \mid y)` has a larger covariance, by

.. math:: E = E_\theta\bigl[C_\theta + (m_\theta - \hat m)(m_\theta - \hat m)^T\bigr] - \hat C ,

and r follows b as :math:`-H_{rr}^{-1} H_{rb}\, b`. The covariance of an estimate is enlarged by
the part of this matrix with positive eigenvalues.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.linalg
import scipy.optimize

from popinv.errors import DivergenceError
from popinv.inference.answer.stated_values import read_names
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import Estimate, restricted_inverse
from popinv.inference.estimators.fit_pseudo import evaluator
from popinv.inference.integrate.model_moments import matched_draws
from popinv.population.noise.discrepancy import SharedDiscrepancy
from popinv.population.priors.prior import nonnegative

# Places of the grid of amplitudes and of lengths.
_AMPLITUDES, _LENGTHS = 48, 13
# The smallest amplitude, as a share of the smallest standard deviation of b that the data allow,
# and the largest, as a multiple of the standard deviation of the observations.
_SMALLEST, _LARGEST = 0.02, 5.0
# The lengths lie between the smallest distance and this share of the largest. An error that hardly
# varies over the places looks like a change of the parameters.
_LONGEST = 0.5
# A length this close to a limit, as a share of the allowed logarithms, is at the limit.
_AT_LIMIT = 0.02
# Fits with new sizes, and the change of their logarithms at which they are settled.
_MOST_FITS, _SETTLED = 8, 0.02
WIDENS = "discrepancy_widens_"
"""The diagnostics with these names are the ``widening`` of confounded parameters."""
CONFOUNDED = 2.0
"""A parameter of the law is confounded with the discrepancy from this widening on."""
# Beyond this, an information is zero to rounding.
_MOST_WIDENED = 100.0
# Lower and upper ends of intervals of the sizes.
_ENDS = (0.025, 0.975)


@dataclass(frozen=True)
class SizeEvidence:
    """The evidence of (log A, [log ell]) at one estimate.

    Attributes
    ----------
    shared : SharedDiscrepancy
    follow : ndarray of shape (r, d)
        ``-H_rr^{-1} H_rb``.
    curvature, slope : ndarray of shape (d, d), (d,)
        S and h.
    spread : float
        Standard deviation of the observations, a root mean square over the entries.
    widening : ndarray of shape (r,)
        The standard errors of r without any prior of b, over those with b known.
    """

    shared: SharedDiscrepancy
    follow: np.ndarray
    curvature: np.ndarray
    slope: np.ndarray
    spread: float
    widening: np.ndarray

    def root(self, sizes: np.ndarray) -> np.ndarray:
        """Return L for logarithms of the sizes (1,) or (2,)."""
        length = float(np.exp(sizes[1])) if len(sizes) > 1 else 1.0
        return float(np.exp(sizes[0])) * self.shared.correlation_root(length).numpy()

    def log_posterior(self, sizes: np.ndarray) -> float:
        """Return log p(log A, log ell | y) up to a constant."""
        prior = sizes[0] - 0.5 * np.exp(2 * sizes[0]) / self.spread**2
        return float(prior + self._given(self.root(sizes))[0])

    def law(self, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return beta (d,) with b = L beta at its mean, and the covariance of b (d, d)."""
        root = self.root(sizes)
        _, beta, half = self._given(root)
        return beta, half.T @ half

    def _given(self, root: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the log evidence, M^{-1} L^T h, and a root of the covariance of b."""
        matrix = np.eye(len(root)) + root.T @ self.curvature @ root
        factor = scipy.linalg.cholesky(matrix, lower=True)
        right = root.T @ self.slope
        half = scipy.linalg.solve_triangular(factor, right, lower=True)
        evidence = 0.5 * half @ half - np.log(np.diag(factor)).sum()
        beta = scipy.linalg.solve_triangular(factor.T, half, lower=False)
        return float(evidence), beta, scipy.linalg.solve_triangular(factor, root.T, lower=True)

    @cached_property
    def amplitudes(self) -> np.ndarray:
        """The grid of log A."""
        # Along no direction do the data tell smaller values of b apart from zero.
        least = 1 / np.sqrt(np.linalg.eigvalsh(self.curvature)[-1])
        low = min(_SMALLEST * least, self.spread)
        return np.linspace(np.log(low), np.log(_LARGEST * self.spread), _AMPLITUDES)

    @cached_property
    def lengths(self) -> np.ndarray:
        """The grid of log ell."""
        distance = self.shared.distance.numpy()
        apart = distance[distance > 0]
        if not len(apart):
            return np.zeros(2)
        shortest = self.shared.shortest_length
        longest = max(_LONGEST * apart.max(), shortest)
        return np.linspace(np.log(shortest), np.log(longest), _LENGTHS)

    @cached_property
    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Sizes (k, 1) or (k, 2), and their posterior weights (k,)."""
        axes = (self.amplitudes, self.lengths)[: self.shared.sizes]
        places = np.stack([each.ravel() for each in np.meshgrid(*axes, indexing="ij")], axis=1)
        logs = np.array([self.log_posterior(place) for place in places])
        weights = np.exp(logs - logs.max())
        return places, weights / weights.sum()

    @cached_property
    def mode(self) -> np.ndarray:
        """The sizes of largest posterior density."""
        places, weights = self.grid
        low, high = places.min(axis=0), places.max(axis=0)
        found = scipy.optimize.minimize(
            lambda x: -self.log_posterior(np.clip(x, low, high)),
            places[weights.argmax()],
            method="Nelder-Mead",
        )
        return np.asarray(np.clip(found.x, low, high))

    @property
    def length_limit(self) -> int:
        """1 if the length of the mode is the largest that is allowed, -1 if the smallest, or 0."""
        if len(self.mode) < 2:
            return 0
        low, high = self.lengths[[0, -1]]
        near = _AT_LIMIT * (high - low)
        return int(self.mode[1] > high - near) - int(self.mode[1] < low + near)

    @property
    def gain(self) -> float:
        """The log evidence of the mode above that of no discrepancy."""
        return self._given(self.root(self.mode))[0]

    def ends(self) -> np.ndarray:
        """Return the ends (2, 1) or (2, 2) of the 95 % intervals of the sizes' logarithms."""
        places, weights = self.grid
        found = []
        for column in places.T:
            order = np.argsort(column, kind="stable")
            share = np.cumsum(weights[order]) - 0.5 * weights[order]
            found.append(np.interp(_ENDS, share, column[order]))
        return np.array(found).T

    def added(self, sizes: np.ndarray) -> np.ndarray:
        """Return what the uncertainty of the sizes adds to the covariance of b, (d, d)."""
        beta, covariance = self.law(sizes)
        centre, total = self.root(sizes) @ beta, -covariance
        for place, weight in zip(*self.grid, strict=True):
            if weight < 1e-8:
                continue
            own, spread = self.law(place)
            moved = self.root(place) @ own - centre
            total = total + weight * (spread + np.outer(moved, moved))
        return nonnegative((total + total.T) / 2)


def size_evidence(problem: Problem, p: np.ndarray) -> SizeEvidence:
    """Return the evidence of the sizes at p (n_p,), by the pseudo-likelihood near there."""
    noise = problem.noise
    assert noise.shared is not None
    problem, shared = problem.of_moments, noise.shared
    # In the coordinates b themselves, the information needs no inverse of a smooth kernel.
    plain = noise.with_terms(
        shared=SharedDiscrepancy(shared.coordinates, None, sensors=shared.sensors)
    )
    first = problem.d_alpha + len(noise.centred.names)
    b = noise.to_natural(p[problem.d_alpha :])[-len(shared.coordinates) :]
    at = np.concatenate([p[:first], [0.0], b])
    places = [i for i in problem.fixed if i < first] + [first]
    own = replace(
        problem,
        noise=plain,
        fixed=tuple(places),
        scale=np.concatenate([problem.scale[:first], plain.scale[len(noise.centred.names) :]]),
        union=None,
    )
    point = evaluator(own, matched_draws(own))(at, {})
    of_b = np.arange(first + 1, len(at))
    # The prior of the coordinates b is not that of the problem.
    information, gradient = point.information.copy(), point.gradient.copy()
    information[of_b, of_b] -= 1.0
    gradient[of_b] += b
    rest = np.flatnonzero(own.free[:first])
    inner = information[np.ix_(rest, rest)]
    inverse = restricted_inverse(inner, np.ones(len(rest), dtype=bool)) if len(rest) else inner
    across = information[np.ix_(rest, of_b)]
    follow = np.zeros((first, len(of_b)))
    follow[rest] = -inverse @ across
    curvature = information[np.ix_(of_b, of_b)] + across.T @ follow[rest]
    slope = gradient[of_b] + follow[rest].T @ gradient[rest] + curvature @ b
    data, present = np.asarray(problem.whole.data), problem.whole.conditions.present
    there = present.any(axis=0)
    seen = np.where(present, data, np.nan)[:, there]
    spread = float(np.sqrt(np.nanvar(seen, axis=0).mean()))
    if not np.isfinite(curvature).all() or not spread > 0:
        raise DivergenceError("the observations do not vary, so that no discrepancy can be told")
    curvature = nonnegative((curvature + curvature.T) / 2)
    widening = np.ones(first)
    if len(rest):
        every, of_rest = restricted_inverse(information, own.free), np.diag(inverse)
        widening[rest] = np.sqrt(np.diag(every)[rest] / of_rest)
    return SizeEvidence(shared, follow, curvature, slope, spread, widening)


def settled(
    problem: Problem, estimate: Estimate, fit: Callable[[np.ndarray], Estimate]
) -> Estimate:
    """Return the estimate with the sizes that the evidence chooses.

    Parameters
    ----------
    estimate : Estimate
        With the sizes of its start.
    fit : callable
        Returns the estimate from a start (n_p,), with the sizes of the start.
    """
    noise = problem.noise
    if noise.shared is None:
        return estimate
    places = problem.d_alpha + np.array(noise.sizes_of_discrepancy)
    first = int(places[-1]) + 1
    for _ in range(_MOST_FITS):
        evidence = size_evidence(problem, estimate.p)
        sizes = evidence.mode
        if np.abs(sizes - estimate.p[places]).max() < _SETTLED:
            break
        p = estimate.p.copy()
        p[places], p[first:] = sizes, evidence.law(sizes)[0]
        estimate = fit(p)
    return estimate


def with_uncertain_size(problem: Problem, estimate: Estimate) -> Estimate:
    """Return an estimate whose covariances contain the uncertainty of the sizes."""
    noise = problem.noise
    if noise.shared is None:
        return estimate
    evidence = size_evidence(problem, estimate.p)
    places = problem.d_alpha + np.array(noise.sizes_of_discrepancy)
    sizes, first = estimate.p[places], int(places[-1]) + 1
    follow = np.zeros((len(estimate.p), len(evidence.slope)))
    follow[: len(evidence.follow)] = evidence.follow
    follow[first:] = np.linalg.inv(evidence.root(sizes))
    follow[~problem.free] = 0.0
    added = follow @ evidence.added(sizes) @ follow.T

    def wider(covariance: np.ndarray | None) -> np.ndarray | None:
        return None if covariance is None else covariance + added

    names = [noise.names[i] for i in noise.sizes_of_discrepancy]
    told = {
        f"{name}_{end}": float(np.exp(value))
        for end, row in zip(("lower", "upper"), evidence.ends(), strict=True)
        for name, value in zip(names, row, strict=True)
    }
    told["discrepancy_gain"] = evidence.gain
    told["discrepancy_length_limit"] = float(evidence.length_limit)
    widened = evidence.widening[: problem.d_alpha]
    for i in np.flatnonzero((widened > CONFOUNDED) & problem.free[: problem.d_alpha]):
        told[f"{WIDENS}{read_names(problem.law)[i]}"] = float(min(widened[i], _MOST_WIDENED))
    return replace(
        estimate,
        covariance=estimate.covariance + added,
        model_covariance=wider(estimate.model_covariance),
        robust_covariance=wider(estimate.robust_covariance),
        diagnostics={**estimate.diagnostics, **told},
    )
