"""After the distance: pseudo-likelihood and likelihood, through the surrogate or the solver itself.

The pseudo-likelihood comes first, from the last round's estimate and from the study's start. The
likelihood begins at its end. Both go through the solver itself where that costs no more than the
study allows; otherwise through the surrogate, whose push is then measured by fresh solves and taken
off (:mod:`popinv.inference.surrogate_bias`). Costs are nominal, by counts of solves, so that the
same study takes the same path on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from popinv.checkpoints import Checkpoint
from popinv.errors import DivergenceError
from popinv.inference.estimate import Estimate
from popinv.inference.likelihood import pseudo
from popinv.inference.likelihood.fit_marginal import fit_marginal_likelihood
from popinv.inference.likelihood.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.likelihood.marginal import MarginalSettings
from popinv.inference.likelihood.scores import marginal_scores, pseudo_scores
from popinv.inference.likelihood.scoring import ScoringState, state_arrays, state_of
from popinv.inference.problem import Problem
from popinv.inference.solver import SolverSimulator
from popinv.inference.surrogate_bias import FreshSolves, corrected

__all__ = [
    "PolishSettings",
    "Polished",
    "likelihood_solves",
    "polish",
    "pseudo_likelihood_solves",
]

_PSEUDO_EVALUATIONS, _MARGINAL_EVALUATIONS, _CURVATURE_SYSTEMS = 4, 4, 400
# A solve with its adjoint, in solves; a tangent beside a solve; steps to the modes.
_WITH_ADJOINT, _TANGENT, _MODE_STEPS = 3.0, 0.3, 20
# Pairs of noise with which fresh solves are observed.
_PSEUDO_PAIRS, _MARGINAL_PAIRS = 4, 1
_FRESH = "polish/fresh"


@dataclass(frozen=True)
class PolishSettings:
    """How much the polish may do.

    Attributes
    ----------
    solver_seconds : float
        Nominal seconds of the solver that either estimator may take; 0 leaves the solver out.
    draws : int
        Draws for each system's integral in the likelihood.
    likelihood : bool
        Whether the marginal likelihood is asked for.
    """

    solver_seconds: float = 120.0
    draws: int = 64
    likelihood: bool = True

    def may_solve(self, problem: Problem, seconds_per_solve: float) -> bool:
        """Whether either estimator may go through the solver."""
        fewest = min(pseudo_likelihood_solves(problem), likelihood_solves(problem, self.draws))
        return seconds_per_solve * fewest <= self.solver_seconds


@dataclass(frozen=True)
class Polished:
    """Estimates of the two likelihoods, and what they went through.

    Attributes
    ----------
    pseudo_likelihood : Estimate
    likelihood : Estimate or None
        None where it was not asked for or cannot be computed, as ``reason`` says.
    through : dict of str to str
        "solver" or "surrogate", by estimator.
    surrogate_shift : ndarray of shape (n_p,)
        By how much the surrogate's error moves the pseudo-likelihood's answer.
    reason : str
        Why there is no likelihood, or "".
    """

    pseudo_likelihood: Estimate
    likelihood: Estimate | None
    through: dict[str, str]
    surrogate_shift: np.ndarray
    reason: str = ""


def pseudo_likelihood_solves(problem: Problem) -> float:
    """Return about how many solves the pseudo-likelihood needs."""
    draws = len(pseudo.matched_draws(problem))
    return _PSEUDO_EVALUATIONS * draws * (1 + 2 * problem.d_alpha)


def likelihood_solves(problem: Problem, draws: int) -> float:
    """Return about how many solves the marginal likelihood needs, derivatives counted as such."""
    n, n_p = len(problem.data), int(problem.free.sum())
    evaluations = _MARGINAL_EVALUATIONS + 2 * n_p * min(1.0, _CURVATURE_SYSTEMS / n)
    to_modes = _MODE_STEPS * (2 + _TANGENT * problem.law.d_omega)
    return n * (_WITH_ADJOINT * draws * evaluations + to_modes)


def polish(
    problem: Problem,
    settings: PolishSettings,
    starts: Sequence[np.ndarray],
    fresh: FreshSolves,
    solver: SolverSimulator | None = None,
    seconds_per_solve: float = np.inf,
    checkpoint: Checkpoint | None = None,
    say: Callable[[str], None] = print,
) -> Polished:
    """Estimate law and noise by pseudo-likelihood and by likelihood.

    Parameters
    ----------
    problem : Problem
        With the surrogate.
    settings : PolishSettings
    starts : sequence of ndarray of shape (n_p,)
    fresh : FreshSolves
        Solves of the law near the answer, which the surrogate has not seen.
    solver : SolverSimulator, optional
        The forward model itself.
    seconds_per_solve : float
        Its nominal cost.
    checkpoint : Checkpoint, optional
        Holds what is done of the likelihood's ascent.
    say : callable
        Told in words what is done.
    """
    first = fit_pseudo_likelihood(problem, starts)
    say(f"pseudo-likelihood through the surrogate: {_where(problem, first)}")
    scores = pseudo_scores(problem, first.p)
    pseudo_likelihood = corrected(problem, first, scores, fresh, _FRESH, _PSEUDO_PAIRS)
    through = {"pseudo_likelihood": "surrogate"}
    solved = None if solver is None else replace(problem, simulate=solver)
    allowed = settings.solver_seconds / seconds_per_solve
    if solved is not None and pseudo_likelihood_solves(problem) <= allowed:
        try:
            pseudo_likelihood = fit_pseudo_likelihood(solved, [pseudo_likelihood.p])
            through["pseudo_likelihood"] = "solver"
            say(f"pseudo-likelihood through the solver: {_where(problem, pseudo_likelihood)}")
        except DivergenceError as error:
            say(f"pseudo-likelihood through the solver: left out, {error}")
    found = Polished(pseudo_likelihood, None, through, first.p - pseudo_likelihood.p)
    if not settings.likelihood:
        return replace(found, reason="it was not asked for")
    # What lies at its boundary stays there; a scoring step has no curvature to go by.
    at_boundary = tuple(i for i, ends in pseudo_likelihood.ends.items() if ends.boundary)
    base, name = replace(problem, fixed=at_boundary), "surrogate"
    if solved is not None and solver is not None and solver.differentiable:
        if likelihood_solves(problem, settings.draws) <= allowed:
            base, name = replace(solved, fixed=at_boundary), "solver"
    marginal_settings = MarginalSettings(draws=settings.draws)
    try:
        likelihood = _marginal(base, pseudo_likelihood.p, marginal_settings, checkpoint)
    except DivergenceError as error:
        return replace(found, reason=str(error))
    kept = {i: pseudo_likelihood.ends[i] for i in at_boundary}
    likelihood = replace(likelihood, ends={**likelihood.ends, **kept})
    say(f"likelihood through the {name}: {_where(problem, likelihood)}")
    if likelihood.passes and name == "surrogate":
        scores = marginal_scores(base, likelihood.p, marginal_settings)
        likelihood = corrected(base, likelihood, scores, fresh, _FRESH, _MARGINAL_PAIRS)
        say(f"likelihood without the surrogate's push: {_where(problem, likelihood)}")
    return replace(found, likelihood=likelihood, through={**through, "likelihood": name})


def _marginal(
    problem: Problem,
    start: np.ndarray,
    settings: MarginalSettings,
    checkpoint: Checkpoint | None,
) -> Estimate:
    kept = None if checkpoint is None else checkpoint.read()

    def save(state: ScoringState) -> None:
        if checkpoint is not None:
            checkpoint.write_when_due(state_arrays(state))

    state = None if kept is None else state_of(kept)
    return fit_marginal_likelihood(problem, start, settings, state, save)


def _where(problem: Problem, estimate: Estimate) -> str:
    """Return the estimate in words."""
    alpha, gamma = problem.split(estimate.p)
    values = np.concatenate([problem.law.to_natural(alpha), problem.noise.to_natural(gamma)])
    names = (*problem.law.names, *problem.noise.names)
    shown = ", ".join(f"{n} {v:.4g}" for n, v in list(zip(names, values, strict=True))[:6])
    return f"{shown}; {estimate.reason}" if estimate.reason else shown
