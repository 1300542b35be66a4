r"""The marginal likelihood where the model is linear in what varies.

If the noise-free observation is an affine function of a system's standard normal numbers,
:math:`g(\omega) = c + J \omega`, and the noise is Gaussian and constant, then

.. math:: y_n \sim N\bigl(c,\; J J^T + s_n^2 \Gamma\bigr)

exactly, whatever c and J depend on. The Gaussian pseudo-likelihood then is the likelihood, and its
matched draws give its moments without error (:mod:`popinv.inference.integrate.pseudo`). Linear
mixed-effects models are of this kind, and so are curves of which only an amplitude varies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from popinv.inference.density.division import blocks_of_rows, together
from popinv.inference.density.member_blocks import is_large
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import Estimate
from popinv.inference.estimators.fit_pseudo import ascended, evaluator
from popinv.inference.estimators.marginal_estimate import estimate_at
from popinv.inference.estimators.newton import observed_information
from popinv.inference.estimators.restricted import Restriction, restricted_state, with_degrees
from popinv.inference.estimators.scoring import ScoringState
from popinv.inference.integrate import pseudo
from popinv.inference.integrate.integrals import MarginalSettings
from popinv.inference.integrate.marginal import Evaluation, integrals_at
from popinv.inference.integrate.model_moments import matched_draws, moments_of_systems
from popinv.inference.integrate.push_forward import PushForward
from popinv.inference.uncertainty.standard_errors import by_information
from popinv.late import torch
from popinv.seeds import generator

# Number of checked systems with known quantities of their own, and pairs of draws of each.
_LOOKED_AT, _PAIRS = 50, 4
# Largest departure from linearity: as a share of the signal, which is rounding, and of the noise.
_ROUNDING, _OF_NOISE = 1e-11, 1e-6
# Matched draws have exact moments if they are a few times as many as the numbers that vary.
_DRAWS = 64
# Largest difference of two informations, as correlations, that is one of their numerical errors.
_SAME_INFORMATION = 1e-6


def is_linear(problem: Problem, p: np.ndarray) -> bool:
    """Return whether the likelihood has a closed form, as far as draws of the law at p tell.

    An affine function satisfies ``g(u + v) - g(u) - g(v) + g(0) = 0`` for all u and v. The nested
    integrals of large groups, which are exact for linear models, cost less than the closed form.
    """
    problem = problem.whole
    law = problem.law
    if law.component is not None or law.strongly_curved or not law.d_omega:
        return False
    if problem.noise_varies or is_large(problem):
        return False
    alpha, gamma = problem.tensors(p)
    rng = generator(problem.seed, f"{problem.stage}/linear")
    systems = problem.conditions.groups[1]
    if len(systems) > 1:
        systems = rng.permutation(systems)[:_LOOKED_AT]
    push_forward = PushForward(problem, alpha, problem.known).rows(torch.from_numpy(systems))
    shape = (len(systems) * _PAIRS, law.d_omega)
    u, v = (torch.from_numpy(rng.standard_normal(shape)) for _ in range(2))
    at = [push_forward(omega) for omega in (u + v, u, v, torch.zeros_like(u))]
    departure = float((at[0] - at[1] - at[2] + at[3]).abs().max())
    noise = float(torch.diagonal(problem.noise.covariance(gamma)).min()) ** 0.5
    largest = max(float(each.abs().max()) for each in at)
    return bool(departure <= max(_ROUNDING * largest, _OF_NOISE * noise))


@dataclass(frozen=True)
class ClosedForm:
    """The likelihood of all systems, as a ``marginal_estimate.Likelihood``."""

    problem: Problem

    def __call__(
        self,
        p: np.ndarray,
        memory: Mapping[str, np.ndarray] | None = None,
        systems: np.ndarray | None = None,
    ) -> Evaluation:
        """Evaluate some systems at p, by default the own ones; a memory has their posteriors."""
        problem = self.problem if systems is None else self.problem.whole.of_systems(systems)
        alpha, gamma = problem.tensors(p)
        moments = moments_of_systems(problem, alpha, gamma, matched_draws(problem, _DRAWS))
        found = pseudo.evaluate(problem, moments)
        n, none = len(found.scores), np.zeros_like(found.scores)
        modes, variance = (
            (memory["modes"], memory["variance"]) if memory else _posteriors(problem, p)
        )
        return Evaluation(
            log_likelihood=found.log_likelihood,
            value_error=np.zeros(n),
            scores=found.scores,
            score_bias=none,
            score_error=none,
            modes=modes,
            mean=modes,
            variance=variance,
            effective_share=np.ones(n),
            corrections=np.zeros(n, dtype=int),
        )


def _posteriors(problem: Problem, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means and variances of the posteriors, which are normal, each (n, d_omega)."""
    means, variances = [], []
    with together(problem):
        for block in blocks_of_rows(np.arange(len(problem.data))):
            some = problem.of_systems(np.arange(block.start, block.stop))
            start = torch.zeros((len(some.data), problem.law.d_omega), dtype=torch.float64)
            modes = integrals_at(some, p).find_modes(MarginalSettings(), start)
            inverse = torch.linalg.inv(modes.hessian)
            means.append(modes.omega.numpy())
            variances.append(inverse.diagonal(dim1=1, dim2=2).numpy())
    return np.concatenate(means), np.concatenate(variances)


def fit_closed_form(
    problem: Problem,
    start: np.ndarray,
    progress: Callable[[ScoringState], None] | None = None,
    restricted: bool = False,
) -> Estimate:
    """Return the maximum of the likelihood of a linear problem, from a start (n_p,).

    If it is ``restricted``, the law's means are integrated.
    """
    omega = matched_draws(problem, _DRAWS)
    state = ascended(problem, start, omega, progress)
    likelihood = ClosedForm(problem)
    point = replace(state.point, memory=likelihood(state.point.p).memory)
    state, evaluate = replace(state, point=point), evaluator(problem, omega)
    if restricted:
        state, restriction = restricted_state(problem, likelihood, state, start, progress)
        profiled, added = restriction.of(evaluate), restriction.at(state.point)
        estimate = estimate_at(
            problem, 0, state, likelihood, lambda _: profiled, 0.0, restriction=added
        )
        return with_degrees(estimate, restriction, state.point)
    if not by_information(problem):
        return estimate_at(problem, 0, state, likelihood, lambda _: evaluate, 0.0)
    information, curvature = observed_information(problem, likelihood, state.point)
    estimate = estimate_at(problem, 0, state, likelihood, lambda _: evaluate, 0.0, curvature)
    restriction = Restriction(problem, likelihood, information)
    # That of the evaluations of the ascent is the expected one.
    if _linear_in_means(restriction, state.point.information):
        restriction = replace(restriction, expected=evaluate)
    return with_degrees(estimate, restriction, state.point)


def _linear_in_means(restriction: Restriction, expected: np.ndarray) -> bool:
    """Return whether the observed information of the law's means is the expected one.

    It is where the observations are linear in the means too. In a curve of which only an amplitude
    varies, other parameters have means as well.
    """
    means = np.ix_(restriction.means, restriction.means)
    sizes = np.sqrt(np.diag(expected))[restriction.means]
    apart = (restriction.information - expected)[means] / np.outer(sizes, sizes)
    return bool(np.all(np.abs(apart) < _SAME_INFORMATION))
