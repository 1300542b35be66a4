r"""Coupled descent on the law of the parameters and the law of the noise.

With N observations y and M draws of the model,

.. math::
    J(p; B) = \tfrac{d_y}{2}\, SW^2_{2,B}\bigl(\nu_N,\;
    G_\# \mu(\alpha) * N(0, \Gamma(\gamma))\bigr) + h(\alpha) - \tfrac1N \log \pi(p), \qquad
    p = (\alpha, \gamma),

with the prior pi (:mod:`popinv.population.priors.prior`). The metric B weighs the directions,
theta -> B^{-1/2} theta. Gamma enters twice: in the simulated noise and, as B, in the metric. The
policies differ in their choice of B:

``cut``
    B = Gamma(gamma), held fixed in the derivative;
``full``
    B = Gamma(gamma), differentiated as well;
``plain``
    B = I.

Vadeboncoeur, Girolami and Stuart introduced the weighted loss with a cut gradient (arXiv
2505.19841; the scale d_y/2 and the regularisation h are from arXiv 2405.17955). Its field is not a
gradient field: the loss need not fall monotonically, and its values under different B are not
comparable. A second loss in the fixed metric of the data's variances is recorded for comparison.

The step is preconditioned by the Gauss-Newton matrix of :mod:`popinv.transport.curvature`, or is
Adam's in the plain coordinates. An unrestricted covariance takes the step of
:mod:`popinv.inference.estimators.covariance_step`. The learning rate decays geometrically, and the
answer is the mean of the last iterates. Two finite samples of one law have a positive distance, and
descending on it shrinks the model. With ``debias``, half the distance between two samples of the
model is subtracted. The expected gradient then vanishes at the truth exactly if these samples are
as large as the data. Preconditioner, step lengths and this correction are this package's own
choices.

The covariance of noise that grows with the signal is its mean over the signals of the step.

If observed systems have noise scales or missing entries, the model's draws take them over; see
:mod:`popinv.inference.density.conditions`.

The prior counts as if N J were the negative log likelihood. J weighs a system by its noise alone,
and not by the variance over the systems, so that the prior counts less here than in a likelihood.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from popinv.errors import DataError, DivergenceError
from popinv.forward.tangents import each_tangent
from popinv.inference.answer.stated_values import farthest_system, in_words
from popinv.inference.density.conditions import deviations
from popinv.inference.density.problem import DescentState, Problem
from popinv.inference.estimators.covariance_step import (
    curvature_factor,
    joint_step,
    moves_full_covariance,
)
from popinv.inference.estimators.settings import CurvatureSettings, DescentSettings
from popinv.inference.estimators.trust_region import longest_steps
from popinv.late import torch
from popinv.optimisation.bounded import bounded_step
from popinv.population.priors.prior import nonnegative
from popinv.seeds import generator
from popinv.threads import fixed_threads
from popinv.transport.curvature import gauss_newton_matrix
from popinv.transport.debiased import projected_debiased_wasserstein
from popinv.transport.sliced import directions, projected_wasserstein_squared

_BETA_1, _BETA_2 = 0.9, 0.99
_DAMPING = 1e-3
_CURVATURE_BINS, _LEAST_ROWS_PER_BIN = 25, 20
_MONITOR_EVERY = 10
# The curvature is computed again after this change of the logarithms.
_OUT_OF_DATE = 0.4
_CURVATURE = CurvatureSettings()


@dataclass(frozen=True)
class Descent:
    """The averaged parameters and the final state of a descent."""

    alpha: np.ndarray
    gamma: np.ndarray
    state: DescentState


def _unit_directions(problem: Problem, settings: DescentSettings, k: int) -> torch.Tensor:
    d_y, stage = problem.data.shape[1], problem.stage
    if not settings.pooled_directions:
        rng = generator(problem.seed, f"{stage}/directions", k)
        return torch.from_numpy(directions(rng, settings.directions, d_y))
    rng = generator(problem.seed, f"{stage}/pool")
    pool = directions(rng, settings.pooled_directions, d_y)
    chosen = generator(problem.seed, f"{stage}/directions", k).choice(
        settings.pooled_directions, min(settings.directions, settings.pooled_directions), False
    )
    return torch.from_numpy(np.ascontiguousarray(pool[:, np.sort(chosen)]))


def _metric_directions(
    problem: Problem,
    settings: DescentSettings,
    p: torch.Tensor,
    theta: torch.Tensor,
    signal: torch.Tensor,
    systems: np.ndarray | None,
) -> torch.Tensor:
    """Return U = L^{-T} theta. Only the full policy lets gradients through."""
    if settings.policy == "plain":
        return theta
    cholesky = problem.noise_factor(p[problem.d_alpha :], signal, systems)
    u = torch.linalg.solve_triangular(cholesky.T, theta, upper=True)
    return u if settings.policy == "full" else u.detach()


def _half_distance(
    data: torch.Tensor, sample: torch.Tensor, u: torch.Tensor, debias: bool
) -> torch.Tensor:
    """Return d_y / 2 times the squared distance along the columns of u (d_y, K)."""
    a, b = (u.T @ data.T).T, (u.T @ sample.T).T
    # Two halves of the draws serve as two independent samples of the model.
    distance = projected_debiased_wasserstein if debias else projected_wasserstein_squared
    return data.shape[1] / 2 * distance(a, b)


def _batch(problem: Problem, settings: DescentSettings, k: int) -> torch.Tensor:
    if settings.batch_size is None or settings.batch_size >= len(problem.data):
        return torch.from_numpy(np.asarray(problem.data))
    rng = generator(problem.seed, f"{problem.stage}/batch", k)
    rows = rng.choice(len(problem.data), settings.batch_size, replace=False)
    return torch.from_numpy(problem.data[rows])


def step(
    state: DescentState,
    problem: Problem,
    settings: DescentSettings,
    curvature_settings: CurvatureSettings = _CURVATURE,
) -> tuple[DescentState, dict[str, Any]]:
    """Take one step, as a pure function of the arguments.

    Returns
    -------
    state : DescentState
        The record (``path``, ``loss``, ``fixed_loss``) is the given state's own arrays with one
        more row filled.
    info : dict
        ``loss``, and ``gradient`` of shape (n_p,).

    Raises
    ------
    DivergenceError
        If the loss or the gradient is not finite.
    """
    k = state.iteration
    rng = generator(problem.seed, f"{problem.stage}/draws", k)
    omega = torch.from_numpy(rng.standard_normal((settings.model_samples, problem.law.d_omega)))
    e = torch.from_numpy(rng.standard_normal((settings.model_samples, problem.noise.d_y)))
    systems = problem.random_systems(f"{problem.stage}/systems", k, settings.model_samples)
    theta = _unit_directions(problem, settings, k)
    data = _batch(problem, settings, k)

    p = torch.from_numpy(state.parameters.copy()).requires_grad_(True)
    known = problem.known_in_turns(len(omega), systems)
    signal = problem.signal(p[: problem.d_alpha], omega, known)
    u = _metric_directions(problem, settings, p, theta, signal, systems)
    sample = problem.observed(p[problem.d_alpha :], signal, e, systems)
    loss = _half_distance(data, sample, u, settings.debias)
    if settings.regularisation:
        alpha, start = p[: problem.d_alpha], torch.from_numpy(state.start[: problem.d_alpha])
        loss = loss + ((alpha - start) ** 2).sum() / (2 * settings.regularisation**2)
    if problem.prior:
        loss = loss - problem.prior.log_density(p) / len(problem.data)
    (gradient,) = torch.autograd.grad(loss, p)
    if not (torch.isfinite(loss) and torch.isfinite(gradient).all()):
        raise DivergenceError(
            f"step {k} of the descent: the loss or its gradient is not finite at "
            f"{in_words(problem, state.parameters)}. {farthest_system(problem)}".removesuffix(". ")
        )

    fixed_loss = np.nan
    with torch.no_grad():
        if k % _MONITOR_EVERY == 0:
            scale = torch.from_numpy(deviations(problem.data))
            fixed_loss = float(_half_distance(data, sample, theta / scale[:, None], debias=False))
        curvature, taken_at = state.curvature, state.curvature_parameters
        if _curvature_is_due(problem, curvature_settings.every, state):
            taken_at = state.parameters
            m = min(curvature_settings.rows, settings.model_samples)
            draws = omega[:m], e[:m], None if systems is None else systems[:m]
            if moves_full_covariance(problem, settings):
                curvature = curvature_factor(problem, settings, p.detach(), draws, k)
            else:
                curvature = _curvature(problem, p.detach(), draws, sample[:m], u)
        spread = float((data @ u).var(dim=0).mean())
    moved = _move(state, problem, settings, gradient.numpy(), curvature, (loss.item(), spread))
    state = replace(moved, iteration=k + 1, curvature_parameters=taken_at)
    state.path[k], state.loss[k], state.fixed_loss[k] = state.parameters, loss.item(), fixed_loss
    return state, {"loss": loss.item(), "gradient": gradient.numpy()}


def _curvature_is_due(problem: Problem, every: int, state: DescentState) -> bool:
    if every and state.iteration % every == 0:
        return True
    # A matrix that was computed far away is out of date, as the metric has changed.
    moved = np.abs(state.parameters - state.curvature_parameters)[problem.logarithmic]
    return bool(np.any(moved > _OUT_OF_DATE))


def _curvature(
    problem: Problem,
    p: torch.Tensor,
    draws: tuple[torch.Tensor, torch.Tensor, np.ndarray | None],
    sample: torch.Tensor,
    u: torch.Tensor,
) -> np.ndarray:
    # A held unrestricted covariance has too many parameters for useless derivatives.
    held = problem.noise.unrestricted and not problem.free_noise
    first = problem.d_alpha if held else len(p)
    columns = each_tangent(lambda q: problem.model(torch.cat([q, p[first:]]), *draws), p[:first])
    rows_per_bin = max(_LEAST_ROWS_PER_BIN, len(sample) // _CURVATURE_BINS)
    return gauss_newton_matrix(sample, columns, u, rows_per_bin).numpy()


def _move(
    state: DescentState,
    problem: Problem,
    settings: DescentSettings,
    gradient: np.ndarray,
    curvature: np.ndarray,
    apart: tuple[float, float],
) -> DescentState:
    """Return the state after a step; ``apart`` holds the loss and the spread of the data."""
    k, free = state.iteration, problem.free
    rate = learning_rate(settings, k)
    if moves_full_covariance(problem, settings):
        parameters = joint_step(
            problem, settings, state.parameters, gradient, curvature, rate, apart
        )
        return replace(state, parameters=parameters, curvature=curvature)
    first = _BETA_1 * state.first_moment + (1 - _BETA_1) * gradient
    second = _BETA_2 * state.second_moment + (1 - _BETA_2) * gradient**2
    stiffness = np.diag(curvature)
    longest = longest_steps(problem, settings, *apart, stiffness)
    change = np.zeros_like(gradient)
    if settings.optimiser == "adam":
        mean, square = first / (1 - _BETA_1 ** (k + 1)), second / (1 - _BETA_2 ** (k + 1))
        # Adam's step has no unit, so a location's step is multiplied by the location's unit.
        size = np.where(problem.logarithmic, 1.0, longest / settings.max_step)
        change[free] = -rate * (size * mean / (np.sqrt(square) + 1e-300))[free]
    else:
        known = free[: len(curvature)]
        matrix = curvature[np.ix_(known, known)].copy()
        if settings.regularisation:
            prior = np.arange(len(gradient)) < problem.d_alpha
            matrix += np.diag(prior[free] / settings.regularisation**2)
        if problem.prior:
            rows = np.flatnonzero(known)
            own = nonnegative(problem.prior.curvature(state.parameters))
            matrix += own[np.ix_(rows, rows)] / len(problem.data)
        # With a unit diagonal the damping is the same in any unit. A parameter that does not affect
        # the sample has a diagonal of zero.
        root = np.sqrt(np.maximum(np.diag(matrix), np.finfo(float).tiny))
        scaled = matrix / np.outer(root, root) + _DAMPING * np.eye(len(root))
        bound = longest[free] * root / rate
        change[free] = -rate * bounded_step(scaled, gradient[free] / root, bound) / root
    return replace(
        state,
        parameters=state.parameters + np.clip(change, -longest, longest),
        curvature=curvature,
        first_moment=first,
        second_moment=second,
    )


def learning_rate(settings: DescentSettings, iteration: int) -> float:
    """Return the learning rate of a step, which decays geometrically."""
    share = iteration / max(1, settings.iterations - 1)
    ratio = settings.final_learning_rate / settings.learning_rate
    return settings.learning_rate * ratio**share


def estimate(state: DescentState, settings: DescentSettings) -> np.ndarray:
    """Return p averaged over the last share of the steps taken."""
    last = max(1, round(settings.averaging * state.iteration))
    return state.path[state.iteration - last : state.iteration].mean(axis=0)


def run(
    state: DescentState,
    problem: Problem,
    settings: DescentSettings,
    checkpoint: Callable[[DescentState], None] | None = None,
    progress: bool = True,
    description: str = "descent",
    curvature_settings: CurvatureSettings = _CURVATURE,
) -> Descent:
    """Run the descent until the iterations are done.

    Parameters
    ----------
    state : DescentState
        From :func:`popinv.inference.density.problem.begin`, or from a checkpoint, which gives the
        same result bit for bit.
    checkpoint : callable, optional
        A function that receives the state after every step.
    progress : bool
        Whether to show a bar on standard error, if that is a terminal.
    description : str
        Name of the bar.
    curvature_settings : CurvatureSettings
        When the Gauss-Newton matrix is computed again.

    Raises
    ------
    DataError
        If the state belongs to a descent with another number of iterations.
    DivergenceError
        As :func:`step`.
    """
    if state.path.shape[0] != settings.iterations:
        raise DataError(
            f"the state is of a descent of {state.path.shape[0]} iterations, "
            f"the settings require {settings.iterations}"
        )
    # The record's arrays are filled in place, so the run needs its own copy.
    state = replace(
        state,
        path=state.path.copy(),
        loss=state.loss.copy(),
        fixed_loss=state.fixed_loss.copy(),
    )
    bar = tqdm(
        total=settings.iterations,
        initial=state.iteration,
        desc=description,
        unit="step",
        file=sys.stderr,
        mininterval=0.5,
        disable=None if progress else True,
    )
    with fixed_threads(), bar:
        while state.iteration < settings.iterations:
            state, info = step(state, problem, settings, curvature_settings)
            if state.iteration % 10 == 0:
                bar.set_postfix_str(
                    f"loss {info['loss']:.3g}, {in_words(problem, state.parameters)}",
                    refresh=False,
                )
            bar.update()
            if checkpoint is not None:
                checkpoint(state)
    p = estimate(state, settings)
    return Descent(p[: problem.d_alpha], p[problem.d_alpha :], state)
