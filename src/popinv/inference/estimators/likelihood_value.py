"""The value of the log likelihood at its maximum, from draws that the ascent has not used.

At the maximum, the draws of the ascent give too large a value, unless they miss a part of the
posteriors that the new draws find, which are wider.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from popinv.inference.density.division import total
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import Estimate
from popinv.inference.estimators.marginal_estimate import value_error
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.inference.integrate.nested import calls_of_a_draw, integrals_of
from popinv.inference.uncertainty.standard_errors import has_robust_errors

# Error of the log likelihood's value with up to this many systems, or members of groups, small
# enough for a comparison with other programs; with more, the error of each. The last number is the
# smallest error of groups, whose draws cost more.
_VALUE_ERROR, _OF_SYSTEMS, _OF_EACH, _OF_GROUPS = 0.005, 100, 0.0003, 0.01
# With N systems, a gap between the values by the draws of the ascent and by wider draws moves the
# estimate by about gap / sqrt(N) standard errors, of which this many are allowed.
_MOST_GAP = 0.2
# Calls of the simulator that the value may take in any case, if the ascent took fewer.
_LEAST_OF_VALUE = 2_000_000
# Values whose spread is the error if there are few systems.
_VALUES = 8
# Largest number of draws of a system, and of calls of the simulator for the draws of all systems.
MOST_DRAWS, MOST_TOGETHER = 16_384, 20_000_000


def with_value(
    problem: Problem,
    estimate: Estimate,
    settings: MarginalSettings,
    memory: Mapping[str, np.ndarray],
    hard: np.ndarray,
    spent: float,
    granted: float,
    curved: Problem | None = None,
) -> Estimate:
    """Return an estimate with the value of the log likelihood from new draws.

    A small error determines the number of draws. Corrections of draws are calls with derivatives,
    which all count. The error of a few systems is the spread of repeated values: two halves of the
    draws of a single system may agree by chance.

    Parameters
    ----------
    settings : MarginalSettings
        With the number of draws at the end of the ascent.
    memory : mapping
        Of the evaluation at the estimate.
    hard : ndarray of int
        Systems whose draws are adapted to their posteriors.
    spent, granted : float
        Calls of the simulator that the ascent took, and that it and the value may take together.
    curved : Problem, optional
        The problem with a cheaper simulator, by which draws are adapted.
    """
    count, corrected = integrals_of(problem), _corrected(problem, memory)
    left = min(granted - spent, max(spent * corrected, _LEAST_OF_VALUE))
    stages = [f"{problem.stage}/value"]
    if not has_robust_errors(problem):
        stages = [f"{stages[0]}/{i}" for i in range(_VALUES)]
    every = [replace(problem, stage=stage) for stage in stages]
    settings = replace(settings, scores=False)
    wanted = _VALUE_ERROR if count <= _OF_SYSTEMS else _OF_EACH * count
    if problem.law.nested:
        wanted = max(wanted, _OF_GROUPS)
    calls = problem.count * calls_of_a_draw(problem, scores=False) * corrected
    while True:
        found = [
            likelihood_near(own, estimate.p, settings, None, memory, curved, hard).here
            for own in every
        ]
        values = np.array([each.log_likelihood for each in found])
        error = value_error(problem, found[0])
        if len(found) > 1:
            error = float(values.sum(axis=1).std(ddof=1) / len(found) ** 0.5)
        draws = settings.draws
        left -= draws * calls
        most = min(MOST_DRAWS, MOST_TOGETHER / calls, left / calls)
        if error > wanted:
            draws *= 2 ** math.ceil(math.log2(error / wanted))
        while draws > max(most, settings.draws):
            draws //= 2
        if draws == settings.draws:
            break
        settings = replace(settings, draws=draws)
    values = values[0] if len(found) == 1 else values.mean(axis=0)
    value = float(total(problem, np.sum, values))
    told = {"value": value, "value_error": error}
    # The draws' error in R is small beside that in the log likelihood.
    told["value"] -= estimate.diagnostics.get("restriction", 0.0)
    gap, reasons = told["value"] - estimate.diagnostics["value"], [estimate.reason]
    if gap > 3 * error + _MOST_GAP * max(problem.count, _OF_SYSTEMS) ** 0.5:
        reasons.append(
            f"wider draws find a log likelihood that is larger by {gap:.3g}, so that its draws "
            "miss a part of the posteriors"
        )
    reason = "; ".join(filter(None, reasons))
    return replace(
        estimate,
        passes=not reason,
        reason=reason,
        diagnostics={**estimate.diagnostics, **told},
        arrays={**estimate.arrays, "log_likelihood": values},
    )


def _corrected(problem: Problem, memory: Mapping[str, np.ndarray]) -> float:
    """Return the calls of a draw with its corrections, divided by those of a draw without."""
    corrections = float(total(problem, np.sum, memory["corrections"])) / problem.count
    return calls_of_a_draw(problem, corrections=corrections) / calls_of_a_draw(problem)
