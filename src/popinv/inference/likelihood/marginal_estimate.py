"""The estimate at the maximum of the marginal likelihood, with errors and diagnostics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.estimate import Estimate, restricted_inverse
from popinv.inference.likelihood.marginal import Evaluation, MarginalSettings
from popinv.inference.likelihood.observed_information import steadied
from popinv.inference.likelihood.penalty import penalty_at
from popinv.inference.likelihood.scoring import Point, ScoringState
from popinv.inference.problem import Problem
from popinv.seeds import generator

__all__ = [
    "FEWEST_EFFECTIVE",
    "FEW_SYSTEMS",
    "Likelihood",
    "curvature_at",
    "doubts_of_draws",
    "estimate_at",
    "point_of",
    "poor_share",
    "squares_of",
]

# Maps p, the memory of a nearby evaluation, and the numbers of some systems (None for all) to
# their evaluation.
Likelihood = Callable[[np.ndarray, Mapping[str, np.ndarray] | None, np.ndarray | None], Evaluation]

# Number of systems whose scores are taken at two points for the curvature, and the distance of the
# points, in standard errors.
_CURVATURE_SYSTEMS, _CURVATURE_STEP = 400, 1.0
# The standard errors of few systems are long steps, over which the curvature changes.
FEW_SYSTEMS, _STEP_OF_FEW = 200, 0.3
# With fewer effective draws, a system's integral is unreliable.
FEWEST_EFFECTIVE = 8
# Upper limits of the diagnostics, and the lower limit of the effective share; see `_doubt`.
_LEAST_SHARE, _MOST_POOR, _MOST_SHIFT, _MOST_ERROR, _MOST_MODES = 0.25, 0.01, 0.5, 0.4, 0.01


def squares_of(evaluation: Evaluation) -> np.ndarray:
    """Return the sum of outer products of the scores, less the part due to the draws' error."""
    squares = evaluation.scores.T @ evaluation.scores
    exact = squares - evaluation.score_error.T @ evaluation.score_error
    # With few systems the difference may not be positive definite.
    lowest = np.linalg.eigvalsh(exact)[0] if len(evaluation.scores) > len(squares) else -1.0
    return exact if lowest >= 0 else squares


def point_of(problem: Problem, p: np.ndarray, evaluation: Evaluation) -> Point:
    """Return the penalised log likelihood at p (n_p,), with its derivatives.

    Raises
    ------
    DivergenceError
        If the likelihood of a system, or a score, is not finite.
    """
    if not (np.isfinite(evaluation.log_likelihood).all() and np.isfinite(evaluation.scores).all()):
        raise DivergenceError(f"the likelihood of a system is not finite at {p}")
    penalty = penalty_at(problem, p)
    return Point(
        p,
        float(evaluation.log_likelihood.sum()) - penalty.value,
        evaluation.scores.sum(axis=0) - penalty.gradient,
        squares_of(evaluation) + penalty.curvature,
        2 * float(np.sqrt((evaluation.value_error**2).sum())),
        evaluation.memory,
    )


def curvature_at(
    problem: Problem,
    likelihood: Likelihood,
    point: Point,
    evaluation: Evaluation,
    squares: np.ndarray,
) -> np.ndarray:
    """Return the negative Hessian of the log likelihood, by differences of the scores."""
    n, free = len(problem.data), np.flatnonzero(problem.free)
    systems = np.arange(n)
    if n > _CURVATURE_SYSTEMS:
        rng = generator(problem.seed, f"{problem.stage}/curvature")
        systems = np.sort(rng.choice(n, _CURVATURE_SYSTEMS, replace=False))
    memory = {name: array[systems] for name, array in evaluation.memory.items()}
    errors = np.sqrt(np.diag(restricted_inverse(point.information, problem.free)))
    each = np.zeros((2, len(systems), len(free), len(free)))
    for row, i in enumerate(free):
        shift = np.zeros(len(errors))
        shift[i] = min((_CURVATURE_STEP if n >= FEW_SYSTEMS else _STEP_OF_FEW) * errors[i], 0.5)
        up, down = (likelihood(point.p + s, memory, systems) for s in (shift, -shift))
        for changes, name in zip(each, ("scores", "score_error"), strict=True):
            change = getattr(down, name) - getattr(up, name)
            changes[:, row] = change[:, free] / (2 * shift[i])
    each = (each + each.swapaxes(2, 3)) / 2
    inner = np.ix_(free, free)
    curvature = np.zeros((len(errors), len(errors)))
    curvature[inner] = steadied(each[0], each[1], squares[inner], n)
    return curvature


def estimate_at(
    problem: Problem,
    settings: MarginalSettings,
    state: ScoringState,
    curved: Likelihood | None,
    several: float,
) -> Estimate:
    """Return the estimate at the end of an ascent.

    Parameters
    ----------
    problem : Problem
    settings : MarginalSettings
    state : ScoringState
    curved : Likelihood or None
        The likelihood of which the curvature is taken; without one it is the sum of the outer
        products of the scores.
    several : float
        Share of the systems with a second mode that the draws do not cover.
    """
    evaluation, free = Evaluation(**state.point.memory), problem.free
    squares, of_penalty = squares_of(evaluation), penalty_at(problem, state.point.p).curvature
    curvature = state.point.information
    if curved is not None:
        curvature = curvature_at(problem, curved, state.point, evaluation, squares) + of_penalty
    definite = np.linalg.eigvalsh(curvature[np.ix_(free, free)])[0] > 0
    bread = restricted_inverse(curvature if definite else state.point.information, free)
    covariance = bread @ (squares + of_penalty) @ bread
    errors = np.sqrt(np.diag(covariance))
    monte_carlo = (evaluation.score_error @ bread).T @ (evaluation.score_error @ bread)
    shift = np.abs(evaluation.score_bias.sum(axis=0) @ bread)[free] / errors[free]
    diagnostics = {
        "value": float(evaluation.log_likelihood.sum()),
        "steps": float(state.iteration),
        "draws": float(settings.draws),
        "effective_share": float(evaluation.effective_share.mean()),
        "poor_share": poor_share(evaluation.effective_share, settings.draws),
        "draws_shift": float(shift.max(initial=0.0)),
        "draws_error": float((np.sqrt(np.diag(monte_carlo))[free] / errors[free]).max(initial=0)),
        "several_modes_share": several,
        "curvature_definite": float(definite),
    }
    reason = _doubt(state, diagnostics, len(evaluation.scores))
    return Estimate(
        p=state.point.p,
        covariance=covariance,
        monte_carlo=monte_carlo,
        influence=evaluation.scores @ bread,
        arrived=state.arrived,
        passes=not reason,
        reason=reason,
        diagnostics=diagnostics,
        arrays={
            "log_likelihood": evaluation.log_likelihood,
            "scores": evaluation.scores,
            "modes": evaluation.modes,
            "posterior_mean": evaluation.mean,
            "posterior_variance": evaluation.variance,
            "effective_share": evaluation.effective_share,
        },
        bound=np.sqrt(np.diag(restricted_inverse(squares, free))),
        path=state.path,
        bread=bread,
    )


def doubts_of_draws(effective_share: float, poor: float, systems: int) -> list[str]:
    """Return the reasons not to use integrals with such shares of effective draws.

    Parameters
    ----------
    effective_share : float
        Mean over the systems of the effective share of the draws.
    poor : float
        Share of systems with too few effective draws.
    systems : int
    """
    reasons = []
    if effective_share < _LEAST_SHARE:
        reasons.append(f"only {effective_share:.0%} of the draws count")
    # One system of few is a large share.
    if poor > max(_MOST_POOR, 1.5 / systems):
        reasons.append(f"{poor:.0%} of the systems have too few effective draws")
    return reasons


def poor_share(effective_share: np.ndarray, draws: int) -> float:
    """Return the share of systems with too few effective draws."""
    return float(np.mean(effective_share * draws < FEWEST_EFFECTIVE))


def _doubt(state: ScoringState, diagnostics: Mapping[str, float], systems: int) -> str:
    """Return the reasons not to use the estimate, or ""."""
    reasons = []
    if not state.arrived:
        reasons.append(f"it has not converged after {state.iteration} steps")
    reasons += doubts_of_draws(diagnostics["effective_share"], diagnostics["poor_share"], systems)
    # One system of few is a large share.
    one = 1.5 / systems
    if not diagnostics["draws_shift"] <= _MOST_SHIFT:
        reasons.append(
            f"with half the draws the estimate moves by {diagnostics['draws_shift']:.2g} standard "
            "errors"
        )
    if not diagnostics["draws_error"] <= _MOST_ERROR:
        reasons.append(
            f"its draws have {diagnostics['draws_error']:.2g} standard errors of Monte-Carlo error"
        )
    if diagnostics["several_modes_share"] > max(_MOST_MODES, one):
        reasons.append(
            f"{diagnostics['several_modes_share']:.0%} of the systems have several modes"
        )
    if not diagnostics["curvature_definite"]:
        reasons.append("the log-likelihood is not concave at its end")
    return "; ".join(reasons)
