"""The maximum marginal likelihood estimate of few systems.

Their draws are adapted to their posteriors (:mod:`popinv.inference.likelihood.fixed_draws`), which
may have several modes or long ridges. The error of the draws of few systems does not average out,
so that each system has many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.estimate import Estimate, restricted_inverse
from popinv.inference.likelihood.fixed_draws import adapted_draws
from popinv.inference.likelihood.marginal import Evaluation, MarginalSettings
from popinv.inference.likelihood.marginal_estimate import FEW_SYSTEMS, estimate_at, point_of
from popinv.inference.likelihood.newton import (
    informed,
    observed_information,
    point_at,
    profile_ends,
)
from popinv.inference.likelihood.scoring import Evaluate, Point, ScoringState, ascend, begin
from popinv.inference.problem import Problem

__all__ = ["adapts", "fit_few_systems"]

# Largest number of parameters that vary, and smallest number of draws, with which draws adapt.
_MOST_DIMENSIONS, _FEWEST_DRAWS = 8, 500
# How often the draws are adapted; and the steps, in standard errors, after which all draws are
# used, and after which they need not be adapted again.
_MOST_ADAPTATIONS, _NEARLY_SETTLED, _SETTLED = 20, 0.5, 0.1
# Share of the effective draws where they are adapted that are effective wherever they are used.
_TRUSTED = 0.5
# Scoring steps with the same draws, and draws of each system until the steps are short.
_STEPS, _COARSE_DRAWS = 12, 1000


def adapts(problem: Problem, settings: MarginalSettings) -> bool:
    """Return whether draws adapt to the posteriors of a problem's systems.

    The systems are few, their law has a density, few parameters vary, and each has enough draws.
    """
    law = problem.law
    few = len(problem.data) < FEW_SYSTEMS and settings.draws >= _FEWEST_DRAWS
    return few and law.has_density and 1 <= law.d_omega <= _MOST_DIMENSIONS


def fit_few_systems(
    problem: Problem,
    start: np.ndarray,
    settings: MarginalSettings,
    progress: Callable[[ScoringState], None] | None,
    rough: bool,
) -> Estimate:
    """Return the estimate of few systems, whose draws are adapted to their posteriors.

    Each ascent has the same draws, which are adapted again at its end. The first ascents have
    fewer.
    """
    p, mixtures, information, steps, path = start, None, None, 0, start[None]
    now = replace(settings, draws=min(settings.draws, _COARSE_DRAWS))
    for _ in range(_MOST_ADAPTATIONS):
        likelihood, mixtures = adapted_draws(problem, p, now, mixtures)
        plain = point_at(problem, likelihood)
        first = plain(p, {})
        point = _within_reach(plain, Evaluation(**first.memory))
        if information is not None:
            first, point = replace(first, information=information), informed(point, information)
        state = ascend(begin(first), point, problem, _STEPS, progress)
        steps, path = steps + state.iteration, np.concatenate([path, state.path[1:]])
        moved, p = np.abs(state.point.p - p), state.point.p
        errors = np.sqrt(np.diag(restricted_inverse(state.point.information, problem.free)))
        distance = np.max((moved / np.maximum(errors, 1e-12))[problem.free], initial=0.0)
        # The evaluation at p is there already, but with another information.
        here = point_of(problem, p, Evaluation(**state.point.memory))
        if now is settings and state.arrived and distance < _SETTLED:
            break
        if distance < _NEARLY_SETTLED:
            information, now = observed_information(problem, likelihood, here), settings
    state = replace(state, point=here, arrived=distance < _SETTLED, iteration=steps, path=path)
    estimate = estimate_at(problem, settings, state, None if rough else likelihood, 0.0)
    if rough or not estimate.passes:
        return estimate
    return replace(estimate, ends=profile_ends(problem, likelihood, estimate, state.point.memory))


def _within_reach(point: Evaluate, adapted: Evaluation) -> Evaluate:
    """Return a likelihood that refuses points at which far fewer draws are effective.

    Far from where the draws are adapted, it may have maxima of its own.
    """
    least = _TRUSTED * float(adapted.effective_share.mean())

    def near(p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
        there = point(p, memory)
        if float(there.memory["effective_share"].mean()) < least:
            raise DivergenceError(f"the draws are not those of the posteriors at {p}")
        return there

    return near
