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

J comes from differences of the scores, which are exact if the scores are linear in beta. The
derivatives of R come from differences of its value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.estimate import restricted_inverse
from popinv.inference.likelihood.marginal_estimate import Likelihood
from popinv.inference.likelihood.newton import informed, observed_information, point_at
from popinv.inference.likelihood.penalty import Penalty
from popinv.inference.likelihood.scoring import Evaluate, Point, ScoringState, ascend, begin
from popinv.inference.problem import Problem

# Steps of differences in standard errors, and the longest step of an entry without unit. Second
# differences take the longer step.
_STEP, _LONGEST, _SECOND = 0.1, 0.05, 2.0
# The maximum over beta is reached if Newton's step promises less than this gain in the log
# likelihood; most steps to it.
_CLOSE, _MOST_INNER = 1e-6, 8
# Predicted gain at the end of the ascent, which starts near its end; most steps of it.
_TOLERANCE, _MOST_STEPS = 1e-6, 40
# A logarithm with a larger standard error may belong to a number near zero. The restricted
# likelihood may have its maximum at a positive number though the likelihood has it at zero.
_VAGUE = 1.0
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
    """

    problem: Problem
    likelihood: Likelihood
    information: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """The entries of beta that move."""
        entries = np.array(self.problem.law.mean_entries, dtype=int)
        return entries[self.problem.free[entries]]

    @property
    def others(self) -> np.ndarray:
        """The entries of theta that move."""
        return np.setdiff1d(np.flatnonzero(self.problem.free), self.means)

    @property
    def steps(self) -> np.ndarray:
        """The steps of differences of all entries, (n_p,)."""
        problem = self.problem
        errors = np.sqrt(np.diag(restricted_inverse(self.information, problem.free)))
        longest = np.where(problem.logarithmic, _LONGEST, problem.scale)
        steps = np.minimum(_STEP * errors, longest)
        return np.where(steps > 0, steps, _NATURAL * problem.scale)

    def curvature_of_means(self, p: np.ndarray, memory: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return J (q, q) at p (n_p,), by differences of the scores."""
        point, steps, means = point_at(self.problem, self.likelihood), self.steps, self.means
        rows = []
        for i in means:
            shift = np.zeros(len(p))
            shift[i] = steps[i]
            down, up = (point(p + s, memory).gradient[means] for s in (-shift, shift))
            rows.append((down - up) / (2 * steps[i]))
        found = np.array(rows).reshape(len(means), len(means))
        return (found + found.T) / 2

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
        for _ in range(_MOST_INNER):
            curvature = self.curvature_of_means(p, memory)
            if not len(means):
                break
            if not (np.isfinite(curvature).all() and np.linalg.eigvalsh(curvature)[0] > 0):
                raise DivergenceError(
                    f"the likelihood is not concave in the law's means at {p}, so that they cannot "
                    "be integrated"
                )
            score = point(p, memory).gradient[means]
            step = np.linalg.solve(curvature, score)
            p[means] += step
            if score @ step / 2 < _CLOSE:
                break
        else:
            raise DivergenceError(f"the law's means have no maximum near {p}")
        return p, curvature

    def value(self, p: np.ndarray, memory: Mapping[str, np.ndarray]) -> float:
        """Return R at the theta of p (n_p,)."""
        _, curvature = self.profiled(p, memory)
        log_det = float(np.linalg.slogdet(curvature)[1])
        return 0.5 * log_det - 0.5 * len(self.means) * float(np.log(2 * np.pi))

    def gradient(self, p: np.ndarray, memory: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the derivatives of R (n_p,), zero for beta."""
        gradient, steps = np.zeros(len(p)), self.steps
        for i in self.others:
            shift = np.zeros(len(p))
            shift[i] = steps[i]
            up, down = (self.value(p + s, memory) for s in (shift, -shift))
            gradient[i] = (up - down) / (2 * steps[i])
        return gradient

    def curvature(self, p: np.ndarray, memory: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the second derivatives of R (n_p, n_p), zero for beta."""
        others, steps, n_p = self.others, _SECOND * self.steps, len(p)
        shifts = np.diag(steps)

        def both(shift: np.ndarray) -> float:
            return self.value(p + shift, memory) + self.value(p - shift, memory)

        middle, curvature = 2 * self.value(p, memory), np.zeros((n_p, n_p))
        alone = {i: both(shifts[i]) - middle for i in others}
        for k, i in enumerate(others):
            curvature[i, i] = alone[i] / steps[i] ** 2
            for j in others[:k]:
                together = both(shifts[i] + shifts[j]) - middle
                mixed = (together - alone[i] - alone[j]) / (2 * steps[i] * steps[j])
                curvature[i, j] = curvature[j, i] = mixed
        return curvature

    def at(self, point: Point) -> Penalty:
        """Return R with its derivatives at the theta of a point."""
        p, memory = point.p, point.memory
        return Penalty(self.value(p, memory), self.gradient(p, memory), self.curvature(p, memory))

    def of(self, point: Evaluate) -> Evaluate:
        """Return the restricted likelihood from the likelihood ``point``."""

        def restricted(p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
            there = point(p, memory)
            value, gradient = self.value(p, there.memory), self.gradient(p, there.memory)
            return replace(there, value=there.value - value, gradient=there.gradient - gradient)

        return restricted


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
