r"""The answer without some systems, by short fits that start at the answer with all of them.

With scores s_n and the gradient of the penalties, g_S is the gradient of the likelihood without the
set S of the N systems. Quasi-Newton steps, which begin with the inverse information B of all
systems,

.. math:: p_{k+1} = p_k + B_k g_S(p_k), \qquad B_0 = \frac{N}{N - |S|} B,

end at the maximum without S. The integrals use the answer's draws, and the fit starts where the
same steps with all systems end: the shift is due to the missing systems alone. The first step is
the first-order answer of :mod:`popinv.inference.checks.folds`. The minimum of the distance has no
scores of single systems. It is found by the short descents of
:mod:`popinv.inference.estimators.short_descents`.

What the influence predicts is compared with fits without single systems.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.stats import spearmanr

from popinv.inference.answer.result import correction_of, estimate_of
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.estimators.short_descents import ShortDescents
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.inference.integrate.penalty import penalty_at
from popinv.inference.uncertainty.intervals import boundaries
from popinv.inference.uncertainty.scores import pseudo_scores
from popinv.methods.invariants import Invariant, held
from popinv.methods.withdrawal.influence import SystemInfluence
from popinv.threads import fixed_threads
from popinv.workers import parallel

# A fit has converged when its steps are shorter than this, in standard errors.
_ARRIVED = 1e-3
_MOST_STEPS = 40
# Fewest draws and directions of the distance: with fewer, the noise exceeds a system's effect.
_DISTANCE_DRAWS, _DIRECTIONS = 4000, 128
# A step with the information of all systems can be too long if few systems are left.
_LONGEST_STEP = 5.0

Scores = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Refit:
    """The fit without some systems.

    ``shift`` (n_p,) is the shift of the answer, unconstrained, and ``left`` (k,) the size of its
    remaining part before each step and after the last, in standard errors; empty for the distance.
    """

    shift: np.ndarray
    left: np.ndarray
    arrived: bool

    def steps(self, tolerance: float) -> int:
        """Return the number of steps after which at most ``tolerance`` is left for good."""
        above = np.flatnonzero(self.left > tolerance)
        return int(above[-1]) + 1 if len(above) else 0


class Refitter:
    """Fits without some systems, all from the same start.

    The problem has the surrogate, and the stage and draws of the answer. The answer is a
    :func:`popinv.inference.answer.dataset.population_dataset`, and the influence is its own.
    ``descent`` holds the settings of the distance, and ``draws`` is the number of draws for each
    system's integral in the likelihood.
    """

    def __init__(
        self,
        problem: Problem,
        answer: xr.Dataset,
        influence: SystemInfluence,
        descent: DescentSettings,
        draws: int,
    ) -> None:
        self.problem = problem.held(boundaries(answer))
        self.estimator, self.influence = str(answer.attrs["estimator"]), influence
        p = estimate_of(answer) - correction_of(answer)
        if self.estimator == "distance":
            accurate = descent.replace(
                model_samples=max(descent.model_samples, _DISTANCE_DRAWS),
                directions=max(descent.directions, _DIRECTIONS),
            )
            self.descents = ShortDescents(self.problem, accurate, p)
            self.start = p
            return
        moves = influence.standard_error > 0
        self.bread = np.where(np.outer(moves, moves), answer["bread"].values, 0.0)
        with fixed_threads():
            self.scores = self._scores(p, draws)
            self.start = self._steps(p, np.array([], dtype=int))[-1]

    def _scores(self, p: np.ndarray, draws: int) -> Scores:
        """Return the scores (N, n_p) of all systems as a function of the parameters."""
        if self.estimator == "likelihood":
            settings = MarginalSettings(draws=draws)
            likelihood = likelihood_near(self.problem, p, settings)
            # Evaluations start from the evaluation at the answer, and do not depend on their order.
            memory = likelihood.here.memory
            return lambda at: likelihood(at, memory, None).scores
        problem = self.problem = self.problem.of_moments
        return lambda at: pseudo_scores(problem, at)(problem)

    def without(self, systems: np.ndarray) -> Refit:
        """Return the fit without these systems."""
        rest = np.setdiff1d(np.arange(len(self.problem.data)), systems)
        if self.estimator == "distance":
            found = self.descents(self.problem.of_systems(rest), 0)
            return Refit(found - self.start, np.array([]), True)
        with fixed_threads():
            path = self._steps(self.start, systems)
        left = self.influence.size(path - path[-1])
        last = float(self.influence.size(path[-1] - path[-2]))
        return Refit(path[-1] - self.start, left, last <= _ARRIVED)

    def nothing_removed(self) -> Invariant:
        """Check that the fit without no system ends where it starts."""
        shift = self.without(np.array([], dtype=int)).shift
        return held(
            "nothing_removed",
            "no system removed: shift of the answer by a short fit, in standard errors",
            float(self.influence.size(shift)),
            _ARRIVED,
        )

    def _steps(self, p: np.ndarray, systems: np.ndarray) -> np.ndarray:
        count, path = len(self.problem.data), [p]
        rest = self.problem.of_systems(np.setdiff1d(np.arange(count), systems))
        inverse = count / (count - len(systems)) * self.bread
        gradient = self._gradient(rest, systems, p)
        for _ in range(_MOST_STEPS):
            step = inverse @ gradient
            length = float(self.influence.size(step))
            step = step * min(1.0, _LONGEST_STEP / max(length, 1e-300))
            p = p + step
            path.append(p)
            if length <= _ARRIVED:
                break
            new = self._gradient(rest, systems, p)
            inverse = _updated(inverse, step, gradient - new)
            gradient = new
        return np.array(path)

    def _gradient(self, rest: Problem, systems: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the gradient of the likelihood without some systems, of the problem ``rest``."""
        scores = self.scores(p)
        left = scores.sum(axis=0) - scores[systems].sum(axis=0)
        return np.asarray(left - penalty_at(rest, p).gradient)


def _updated(inverse: np.ndarray, step: np.ndarray, fall: np.ndarray) -> np.ndarray:
    """Return the inverse of the information after a step with this fall of the gradient.

    The update of Broyden, Fletcher, Goldfarb and Shanno (Nocedal and Wright, Numerical
    Optimization, 2006, equation 6.17). Without a fall the likelihood is not concave there, and the
    matrix stays.
    """
    curved = float(step @ fall)
    if curved <= 1e-12 * np.linalg.norm(step) * np.linalg.norm(fall):
        return inverse
    left = np.eye(len(step)) - np.outer(step, fall) / curved
    return np.asarray(left @ inverse @ left.T + np.outer(step, step) / curved)


@dataclass(frozen=True)
class Checked:
    """Systems (n,) that were left out one at a time, and the number of fits that have converged.

    The fits found the shifts (n, n_p). The steps to forget each system (n,), as predicted and as
    found, are both zero for the distance. The rank correlation (n_p,) compares the predicted and
    the found shift of each parameter; NaN for held parameters.
    """

    systems: np.ndarray
    arrived: int
    shift: np.ndarray
    predicted_steps: np.ndarray
    steps: np.ndarray
    correlation: np.ndarray


def evenly_ranked(size: np.ndarray, count: int) -> np.ndarray:
    """Return the numbers of ``count`` systems from the smallest to the largest size.

    Examples
    --------
    >>> evenly_ranked(np.array([0.3, 0.1, 0.2]), 2)
    array([1, 0])
    """
    ranks = np.unique(np.linspace(0, len(size) - 1, min(count, len(size))).round().astype(int))
    return np.argsort(size, kind="stable")[ranks]


def check_systems(
    refitter: Refitter, influence: SystemInfluence, count: int, tolerance: float
) -> Checked:
    """Leave out ``count`` systems of all sizes, one at a time, and compare with the prediction.

    The tolerance is in standard errors.
    """
    shifts = influence.shifts
    systems = evenly_ranked(influence.sizes, count)
    refits = list(
        parallel(
            lambda system: refitter.without(np.array([system])),
            systems,
            "systems left out",
            unit="system",
            delay=0,
        )
    )
    found = np.array([one.shift for one in refits]).reshape(-1, shifts.shape[1])
    correlation = np.full(shifts.shape[1], np.nan)
    for i in np.flatnonzero(influence.standard_error):
        if len(systems) > 2:
            correlation[i] = spearmanr(shifts[systems, i], found[:, i]).statistic
    predicted = influence.steps_of_each(tolerance)[systems]
    if not all(len(one.left) for one in refits):
        predicted = 0 * predicted
    steps = np.array([one.steps(tolerance) for one in refits], dtype=int)
    arrived = sum(one.arrived for one in refits)
    return Checked(systems, arrived, found, predicted, steps, correlation)
