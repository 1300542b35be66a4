r"""The restricted likelihood, in which the coefficients of a normal law's mean are integrated.

The entries of p are the coefficients beta of the mean (:attr:`popinv.population.laws.base.Law.
mean_entries`) and the others, theta. With a flat prior of beta and Laplace's method,

.. math::
    \ell_R(\theta) = \max_\beta \ell(\beta, \theta) - R(\theta), \qquad
    R(\theta) = \tfrac12 \log\det J(\theta) - \tfrac{q}{2} \log 2\pi, \qquad
    J = -\frac{\partial^2 \ell}{\partial\beta^2}\Big|_{\hat\beta(\theta)},

with q coefficients. The integral is exact if the observations are linear in the parameters: this
is the residual likelihood of linear mixed models (Patterson and Thompson, Biometrika 58, 1971;
Harville, JASA 69, 1974). Its maximum has no bias in theta from the estimate of the mean. R depends
on theta alone, so :math:`\ell(\beta, \theta) - R(\theta)` has its maximum at the REML estimate of
theta and at :math:`\hat\beta` there. R is a penalty of the log likelihood, and its curvature, which
is negative, belongs to the information.

J comes from differences of the scores, and its derivatives from second differences of the same
scores along the columns v_i of a root of J^{-1}:

.. math:: \tfrac12 \operatorname{tr} J^{-1} \partial_k J
    = -\tfrac12 \sum_i \partial_{v_i}^2\, \partial_k \ell .

Both are exact for linear models, whose scores are quadratic in beta.

The variance of a coefficient, :math:`C_i = (J^{-1})_{ii}`, is estimated too. If A is the covariance
of theta and :math:`g = \nabla_\theta \log C_i`, then :math:`2 C_i^2 / \operatorname{Var} C_i`
degrees of freedom belong to it (Satterthwaite, Biometrics Bulletin 2, 1946; Fai and Cornelius,
Journal of Statistical Computation and Simulation 54, 1996),

.. math:: \nu_i = (1 - b_i) \frac{2}{g^T A g}, \qquad b_i = -g^T A\, \nabla R .

The share b_i of the variance is lost by the maximum likelihood estimate of theta to first order,
since its step to the restricted maximum is :math:`-A \nabla R`. The estimated variance is
:math:`C_i / (1 - b_i)`. Restricted maximum likelihood has lost nothing, and b_i is 0. In balanced
designs, this is the analysis of variance: :math:`\nu = N - q`, and :math:`b = q / N`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import Estimate, restricted_inverse
from popinv.inference.estimators.marginal_estimate import Likelihood
from popinv.inference.estimators.newton import informed, observed_information, point_at
from popinv.inference.estimators.scoring import Evaluate, Point, ScoringState, ascend, begin
from popinv.inference.integrate.penalty import Penalty
from popinv.inference.uncertainty.intervals import containment

# Steps of differences in standard errors, and the longest step of an entry without unit.
_STEP, _LONGEST = 0.1, 0.1
# The maximum over beta is reached if a step promises less than this gain in the log likelihood;
# most steps to it.
_CLOSE, _MOST_INNER = 1e-6, 24
# Steps with one curvature.
_KEPT_CURVATURE = 4
# Predicted gain at the end of the ascent, which starts near its end; most steps of it.
_TOLERANCE, _MOST_STEPS = 1e-6, 40
# A logarithm with a larger standard error may belong to a number near zero. The restricted
# likelihood may have its maximum at a positive number though the likelihood has it at zero.
_VAGUE = 1.0
# Largest share of a coefficient's variance that is lost, and smallest variance of its logarithm.
_MOST_LOST, _LEAST_SPREAD = 0.9, 1e-6
# Smallest share of its natural size by which an entry without information is moved.
_NATURAL = 0.05


@dataclass(frozen=True)
class Restriction:
    """R near one p.

    Attributes
    ----------
    problem : Problem
    likelihood : Likelihood
        The likelihood of all systems near p.
    information : ndarray of shape (n_p, n_p)
        Approximate information, which gives the steps of differences.
    expected : callable, optional
        Evaluates points with the expected information, if this is J among the entries of beta: one
        evaluation then takes the place of 2 q.
    """

    problem: Problem
    likelihood: Likelihood
    information: np.ndarray
    expected: Evaluate | None = None

    @property
    def means(self) -> np.ndarray:
        """The entries of beta that move."""
        entries = np.array(self.problem.law.mean_entries, dtype=int)
        return entries[self.problem.free[entries]]

    @property
    def others(self) -> np.ndarray:
        """The entries of theta that move."""
        return np.setdiff1d(np.flatnonzero(self.problem.free), self.means)

    def _changes(
        self, p: np.ndarray, memory: Mapping[str, np.ndarray], directions: np.ndarray
    ) -> np.ndarray:
        """Return the scores (q, 2, n_p) at beta plus and minus each direction, a column (q, q)."""
        point, found = point_at(self.problem, self.likelihood), []
        for direction in directions.T:
            shift = np.zeros(len(p))
            shift[self.means] = direction
            found.append([point(p + s, memory).gradient for s in (shift, -shift)])
        return np.array(found).reshape(len(self.means), 2, len(p))

    def profiled(
        self, p: np.ndarray, memory: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return p (n_p,) with beta at its maximum given theta, and J (q, q) there.

        Raises
        ------
        DivergenceError
            If the likelihood has no maximum in beta near p.
        """
        point, means, p = point_at(self.problem, self.likelihood), self.means, p.copy()
        if not len(means):
            return p, np.zeros((0, 0))
        # The information is near J, so that its steps arrive soon, at one evaluation each.
        curvature = self.information[np.ix_(means, means)]
        for inner in range(1, _MOST_INNER + 1):
            score = point(p, memory).gradient[means]
            step = np.linalg.solve(curvature, score)
            p[means] += step
            if score @ step / 2 < _CLOSE:
                return p, self._curvature_of_means(p, memory)
            if inner % _KEPT_CURVATURE == 0:
                curvature = self._curvature_of_means(p, memory)
        raise DivergenceError(f"the law's means have no maximum near {p}")

    def _curvature_of_means(self, p: np.ndarray, memory: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return J (q, q) at p.

        Raises
        ------
        DivergenceError
            If the likelihood is not concave in beta there.
        """
        means = self.means
        if self.expected is not None:
            return self.expected(p, memory).information[np.ix_(means, means)]
        errors = np.sqrt(np.diag(restricted_inverse(self.information, self.problem.free)))[means]
        steps = _STEP * np.where(errors > 0, errors, self.problem.scale[means])
        up, down = self._changes(p, memory, np.diag(steps)).swapaxes(0, 1)
        curvature = (down - up)[:, means] / (2 * steps[:, None])
        curvature = (curvature + curvature.T) / 2
        if not (np.isfinite(curvature).all() and np.linalg.eigvalsh(curvature)[0] > 0):
            raise DivergenceError(
                f"the likelihood is not concave in the law's means at {p}, so that they cannot "
                "be integrated"
            )
        return curvature

    def _value(self, curvature: np.ndarray) -> float:
        log_det = float(np.linalg.slogdet(curvature)[1])
        return 0.5 * log_det - 0.5 * len(curvature) * float(np.log(2 * np.pi))

    def value(self, p: np.ndarray, memory: Mapping[str, np.ndarray]) -> float:
        """Return R at the theta of p (n_p,)."""
        return self._value(self.profiled(p, memory)[1])

    def with_gradient(
        self, p: np.ndarray, memory: Mapping[str, np.ndarray]
    ) -> tuple[float, np.ndarray]:
        """Return R at the theta of p, and its derivatives (n_p,), zero for beta."""
        p, curvature = self.profiled(p, memory)
        means, others, gradient = self.means, self.others, np.zeros(len(p))
        if not len(means):
            return self._value(curvature), gradient
        # The columns v of a root of J^-1: tr J^-1 dJ is minus the sum of the scores' second
        # derivatives along them.
        root = np.linalg.inv(np.linalg.cholesky(curvature)).T
        changes = self._changes(p, memory, _STEP * root)
        middle = point_at(self.problem, self.likelihood)(p, memory).gradient
        half_trace = -0.5 * (changes.sum(axis=1) - 2 * middle).sum(axis=0) / _STEP**2
        slopes = (changes[:, 0] - changes[:, 1])[:, others] / (2 * _STEP)
        # How the maximum over beta follows theta, (q, others).
        following = root @ slopes
        gradient[others] = half_trace[others] + half_trace[means] @ following
        return self._value(curvature), gradient

    def _shifts(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the entries of theta, each with the step (n_p,) of its differences."""
        problem = self.problem
        errors = np.sqrt(np.diag(restricted_inverse(self.information, problem.free)))
        longest = np.where(problem.logarithmic, _LONGEST, problem.scale)
        for i in self.others.tolist():
            shift = np.zeros(len(errors))
            shift[i] = min(_STEP * errors[i], longest[i]) or _NATURAL * problem.scale[i]
            yield i, shift

    def curvature(self, p: np.ndarray, memory: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the second derivatives of R (n_p, n_p), zero for beta."""
        found = np.zeros((len(p), len(p)))
        for i, shift in self._shifts():
            up, down = (self.with_gradient(p + s, memory)[1] for s in (shift, -shift))
            found[i] = (up - down) / (2 * shift[i])
        return (found + found.T) / 2

    def degrees(
        self, point: Point, covariance: np.ndarray, of_restricted: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Return Satterthwaite's degrees of freedom and the share b of each coefficient, (q,).

        J of a linear model does not depend on beta.

        Parameters
        ----------
        point : Point
            A maximum of the likelihood, or of the restricted likelihood.
        covariance : ndarray of shape (n_p, n_p)
            A, with zeros for other entries.
        of_restricted : bool
            Whether the point is the restricted likelihood's.

        Raises
        ------
        DivergenceError
            If the likelihood is not concave in beta near the point.
        """

        def at(p: np.ndarray) -> tuple[np.ndarray, float]:
            curvature = self._curvature_of_means(p, point.memory)
            return np.log(np.diag(np.linalg.inv(curvature))), self._value(curvature)

        slopes, gradient = np.zeros((len(point.p), len(self.means))), np.zeros(len(point.p))
        for i, shift in self._shifts():
            (up, more), (down, less) = (at(point.p + s) for s in (shift, -shift))
            slopes[i], gradient[i] = (up - down) / (2 * shift[i]), (more - less) / (2 * shift[i])
        spread = np.einsum("iq,ij,jq->q", slopes, covariance, slopes)
        lost = np.zeros(len(self.means))
        if not of_restricted:
            lost = np.clip(-(gradient @ covariance @ slopes), 0.0, _MOST_LOST)
        return (1 - lost) * 2 / np.maximum(spread, _LEAST_SPREAD), lost

    def at(self, point: Point) -> Penalty:
        """Return R with its derivatives at the theta of a point."""
        p, memory = point.p, point.memory
        curvature = self.curvature(p, memory)
        return Penalty(*self.with_gradient(p, memory), curvature, curvature)

    def of(self, point: Evaluate) -> Evaluate:
        """Return the restricted likelihood from the likelihood ``point``."""

        def restricted(p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
            there = point(p, memory)
            value, gradient = self.with_gradient(p, there.memory)
            return replace(there, value=there.value - value, gradient=there.gradient - gradient)

        return restricted


def with_degrees(estimate: Estimate, restriction: Restriction, point: Point) -> Estimate:
    """Return the estimate of a linear model with degrees of freedom of the coefficients.

    A deviation of the law at zero has no variance, so that Satterthwaite's formula would count all
    observations as independent. Containment then limits the degrees of freedom.

    Parameters
    ----------
    estimate : Estimate
        By the likelihood, or by the restricted likelihood.
    restriction : Restriction
        Near the estimate.
    point : Point
        The maximum.
    """
    problem, means = restriction.problem, restriction.means
    if not len(means):
        return estimate
    of_restricted = "restriction" in estimate.diagnostics
    covariance = np.zeros_like(estimate.bread)
    inner = np.ix_(restriction.others, restriction.others)
    covariance[inner] = estimate.bread[inner]
    try:
        degrees, lost = restriction.degrees(point, covariance, of_restricted)
    except DivergenceError:
        return estimate
    widening = 1 / np.sqrt(1 - lost)
    errors = np.sqrt(np.diag(covariance))[restriction.others]
    vague = problem.logarithmic[restriction.others] & ((errors > _VAGUE) | (errors == 0))
    if vague.any():
        counts = problem.law.mean_counts[means]
        limits = containment(problem.units, counts, of_restricted)
        degrees = np.minimum(degrees, limits[0])
        widening = np.maximum(widening, limits[1])
    small = np.full((2, len(point.p)), np.nan)
    small[:, means] = np.maximum(degrees, 1.0), widening
    return replace(estimate, small_sample=small)


def check_restricted(problem: Problem) -> None:
    """Refuse a problem whose law has no mean that could be integrated.

    Raises
    ------
    DivergenceError
        If the law is not normal after a transform of its parameters.
    """
    if not problem.law.mean_entries:
        raise DivergenceError(
            "restricted maximum likelihood needs a law that is normal after a transform of each "
            f"parameter (normal, lognormal, transformed_normal); {type(problem.law).__name__} is "
            "not. Leave polish.restricted out."
        )


def restricted_state(
    problem: Problem,
    likelihood: Likelihood,
    state: ScoringState,
    inside: np.ndarray,
    progress: Callable[[ScoringState], None] | None = None,
) -> tuple[ScoringState, Restriction]:
    """Continue from the maximum of a likelihood to the maximum of the restricted one.

    Parameters
    ----------
    likelihood : Likelihood
        Serves near the maximum.
    state : ScoringState
        The end of the likelihood's ascent.
    inside : ndarray of shape (n_p,)
        Values from which entries near their boundary start a second time.
    progress : callable, optional
        A function that receives the state after every step.

    Returns
    -------
    state : ScoringState
        Its point has the likelihood itself, without R.
    restriction : Restriction
        Near the restricted maximum.
    """
    plain = point_at(problem, likelihood)

    def ascended(point: Point, context: ScoringState) -> tuple[ScoringState, Restriction]:
        information, _ = observed_information(problem, likelihood, point)
        restriction = Restriction(problem, likelihood, information)
        evaluate = informed(restriction.of(plain), information)
        first = replace(begin(evaluate(point.p, point.memory)), path=context.path)
        first = replace(first, iteration=context.iteration, context=context.context)
        most = context.iteration + _MOST_STEPS
        return ascend(first, evaluate, problem, most, progress, _TOLERANCE), restriction

    ends = [ascended(plain(state.point.p, state.point.memory), state)]
    errors = np.sqrt(np.diag(restricted_inverse(state.point.information, problem.free)))
    vague = problem.free & problem.logarithmic & (errors > _VAGUE)
    if vague.any():
        start = np.where(vague, inside, state.point.p)
        ends.append(ascended(plain(start, state.point.memory), state))
    best, restriction = max(ends, key=lambda end: end[0].point.value)
    # The outer products of the scores are those of the likelihood.
    point = plain(best.point.p, best.point.memory)
    return replace(best, point=point), restriction
