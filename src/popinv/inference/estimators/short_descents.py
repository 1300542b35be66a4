r"""Short descents on other systems, which start at the answer.

One further descent uses the systems as they are. Its change is the descent's own noise, and is
subtracted from the others.

Descents have few but long steps: after six Gauss-Newton steps of length one half, two per cent of
the distance remain.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from popinv.inference.density.problem import Problem, begin
from popinv.inference.estimators.covariance_step import moves_full_covariance
from popinv.inference.estimators.descent import run
from popinv.inference.estimators.settings import CurvatureSettings, DescentSettings

_OF_FEW_PARAMETERS: dict[str, Any] = {
    "optimiser": "gauss_newton",
    "learning_rate": 0.5,
    "final_learning_rate": 0.5,
    "iterations": 12,
    "batch_size": None,
}
# The matrix serves many steps, so it has more draws; too few draws make its curvature too large.
_CURVATURE_ROWS = 2000
# A step moves few entries of an unrestricted covariance, so that many steps are needed. The noise
# of these steps is part of the answer's noise, so each descent has its own draws.
_OF_FULL_COVARIANCE: dict[str, Any] = {"iterations": 80}


class ShortDescents:
    """Descents on other systems than a problem's, which start at its answer.

    Parameters
    ----------
    problem : Problem
    settings : DescentSettings
        Optimiser, rates and number of steps are the short descents' own.
    p : ndarray of shape (n_p,)
        The answer.
    """

    def __init__(self, problem: Problem, settings: DescentSettings, p: np.ndarray) -> None:
        self.full = moves_full_covariance(problem, settings)
        own = _OF_FULL_COVARIANCE if self.full else _OF_FEW_PARAMETERS
        self.settings = settings.replace(averaging=0.5, **own)
        self.curvature = CurvatureSettings()
        self.start = begin(*problem.split(p), self.settings)
        self.moved = np.zeros(len(p))
        if not self.full:
            first = CurvatureSettings(rows=_CURVATURE_ROWS)
            as_it_is = run(
                self.start, problem, self.settings, progress=False, curvature_settings=first
            )
            self.moved = np.concatenate([as_it_is.alpha, as_it_is.gamma]) - p
            self.curvature = CurvatureSettings(every=0, rows=_CURVATURE_ROWS)
            self.start = begin(*problem.split(p), self.settings, as_it_is.state.curvature)

    def __call__(self, others: Problem, index: int) -> np.ndarray:
        """Return the answer (n_p,) of other systems, given the number of their descent."""
        if self.full:
            others = replace(others, stage=f"{others.stage}/{index}")
        result = run(
            self.start,
            others,
            self.settings,
            progress=False,
            curvature_settings=self.curvature,
        )
        return np.concatenate([result.alpha, result.gamma]) - self.moved
