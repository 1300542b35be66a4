"""The estimate of the sliced Wasserstein distance: the coupled descent until convergence.

A descent with the set number of iterations is a leg. If the remaining distance at its end exceeds
the sampling error (:func:`judge_arrival`), another leg continues from there with the learning rates
of the first, up to ``DescentSettings.legs`` legs. With several starts, the answer is the end with
the smallest loss in the fixed metric. With many systems, a step uses some of them
(:meth:`popinv.inference.estimators.settings.DescentSettings.for_systems`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.density.problem import DescentState, Problem, begin
from popinv.inference.estimators.descent import Descent, learning_rate, run
from popinv.inference.estimators.estimate import Estimate
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.uncertainty.distance_influence import DistanceInfluence, distance_influence
from popinv.late import torch
from popinv.population.priors.prior import square_root
from popinv.seeds import generator
from popinv.store.checkpoints import Checkpoint, state_from_arrays, state_to_arrays

# Largest remaining distance in standard errors, and in standard deviations of the draws' noise.
_MOST_LEFT, _DOUBT = 0.5, 2.0


@dataclass(frozen=True)
class Arrival:
    """Diagnostics of the end of a descent.

    Attributes
    ----------
    remaining : ndarray of shape (n_p,)
        Remaining distance, in standard errors of each parameter.
    drift : ndarray of shape (n_p,)
        Mean of the second half of the window less the mean of the first, in standard errors.
    monte_carlo : ndarray of shape (n_p, n_p)
        Covariance of the answer's error due to the descent's own draws.
    """

    remaining: np.ndarray
    drift: np.ndarray
    monte_carlo: np.ndarray
    arrived: bool


def judge_arrival(
    state: DescentState,
    settings: DescentSettings,
    influence: DistanceInfluence | None,
    errors: np.ndarray,
    free: np.ndarray,
) -> Arrival:
    r"""Judge the last part of a descent's path.

    A step of the descent is ``p_{k+1} = p_k - r_k x_k``, with r_k the learning rate and x_k the
    gradient preconditioned by the descent's matrix H, which is estimated from few draws. Let M be
    the matrix of :mod:`popinv.inference.uncertainty.distance_influence`, estimated from many draws.
    Then ``M^{-1} H x_k`` is close to ``p_k - p*`` plus the noise of the draws. Over the averaging
    window,

    .. math::
        \bar x = M^{-1} H \frac{\sum_k (p_k - p_{k+1})}{\sum_k r_k}

    estimates the remaining distance, with a standard error from the spread of x_k. The descent has
    converged if this distance is small compared with the sampling standard error of every
    parameter, or does not differ significantly from zero. The error of the window's mean is then
    the mean of the noise, of variance ``Var(M^{-1} H x_k) / window``.

    Parameters
    ----------
    state : DescentState
        The state at the end of its iterations.
    influence : DistanceInfluence or None
        The influence at the answer. Without it the descent's own matrix is used.
    errors : ndarray of shape (n_p,)
        Sampling standard error of each parameter.
    free : ndarray of bool, shape (n_p,)
        Whether each parameter moves.
    """
    window = max(4, round(settings.averaging * state.iteration))
    path = state.path[state.iteration - window - 1 : state.iteration]
    rates = np.array(
        [learning_rate(settings, k) for k in range(state.iteration - window, state.iteration)]
    )
    steps = -np.diff(path, axis=0) / rates[:, None]
    gradients = steps
    if influence is not None:
        gradients = steps @ (influence.inverse @ state.curvature).T
    share = rates / rates.sum()
    left = share @ gradients
    spread = np.atleast_2d(np.cov(gradients, rowvar=False))
    doubt = np.sqrt(np.diag(spread) * (share**2).sum())
    size = np.where(free & (errors > 0), errors, np.inf)
    half = window // 2
    drift = (path[-half:].mean(axis=0) - path[-2 * half : -half].mean(axis=0)) / size
    excess = np.maximum(np.abs(left) - _DOUBT * doubt, 0.0) / size
    return Arrival(left / size, drift, spread / window, bool(np.all(excess <= _MOST_LEFT)))


# The influence is not computed for more parameters than this (as an unrestricted covariance has).
_MOST_PARAMETERS = 100


@dataclass(frozen=True)
class DistanceFit:
    """The estimate, and the record of its legs.

    Attributes
    ----------
    estimate : Estimate
        Its covariance is NaN if the influence function was not computed.
    loss, fixed_loss : ndarray of shape (k,)
        Along the path. ``fixed_loss`` is NaN where it was not evaluated.
    influence : DistanceInfluence or None
    """

    estimate: Estimate
    loss: np.ndarray
    fixed_loss: np.ndarray
    influence: DistanceInfluence | None


def starts_near(problem: Problem, start: np.ndarray, count: int) -> list[np.ndarray]:
    """Return the given start (n_p,), followed by draws about it with the problem's scale."""
    starts = [start]
    for index in range(1, count):
        draw = generator(problem.seed, f"{problem.stage}/start", index).standard_normal(len(start))
        starts.append(start + np.where(problem.free, problem.scale * draw, 0.0))
    return starts


def fit_distance(
    problem: Problem,
    settings: DescentSettings,
    starts: Sequence[np.ndarray],
    checkpoint: Checkpoint | None = None,
    description: str = "descent",
    progress: bool = True,
) -> DistanceFit:
    """Descend from each start until convergence, and return the best end.

    Parameters
    ----------
    starts : sequence of ndarray of shape (n_p,)
    checkpoint : Checkpoint, optional
        Holds the finished legs and the state of the current one. An interrupted call continues from
        there and returns the same bits.
    description : str
        Name of the progress bar.
    progress : bool
        Whether to show a bar on standard error, if that is a terminal.

    Raises
    ------
    DivergenceError
        If every descent diverges. A single diverging descent is left out, with a message.
    """
    settings = settings.for_systems(len(problem.data))
    legs = _Legs(problem, settings, checkpoint, progress)
    ends: list[DistanceFit] = []
    failures: list[DivergenceError] = []
    for index, start in enumerate(starts):
        name = description if len(starts) == 1 else f"{description} {index + 1} of {len(starts)}"
        try:
            ends.append(legs.descend(index, start, name))
        except DivergenceError as error:
            print(f"start {index + 1} of {len(starts)} is left out: {error}")
            failures.append(error)
    if not ends:
        raise failures[0]
    return min(ends, key=_last_loss)


def _last_loss(fit: DistanceFit) -> float:
    """Return the loss in the fixed metric at the end, as weighted losses are not comparable."""
    seen = fit.fixed_loss[~np.isnan(fit.fixed_loss)]
    return float(seen[-max(1, len(seen) // 4) :].mean())


class _Legs:
    """Descents that continue leg after leg, each kept in the checkpoint."""

    def __init__(
        self,
        problem: Problem,
        settings: DescentSettings,
        checkpoint: Checkpoint | None,
        progress: bool,
    ) -> None:
        self.problem, self.settings = problem, settings
        self.checkpoint, self.progress = checkpoint, progress
        self.kept = {} if checkpoint is None else checkpoint.read() or {}
        many = len(problem.free) > _MOST_PARAMETERS
        self.with_influence = not (many or (problem.noise.unrestricted and problem.free_noise))

    def descend(self, index: int, start: np.ndarray, name: str) -> DistanceFit:
        """Return the end of the descent from one start."""
        done: list[Descent] = []
        p = np.array(start, dtype=float)
        influence = self._influence(p)
        while True:
            first = None if influence is None else influence.matrix
            done.append(self._leg(f"{index}.{len(done)}", p, first, name))
            p = np.concatenate([done[-1].alpha, done[-1].gamma])
            influence = self._influence(p)
            estimate = self._estimate(done, p, influence)
            if estimate.arrived or len(done) >= self.settings.legs:
                loss = np.concatenate([leg.state.loss for leg in done])
                fixed_loss = np.concatenate([leg.state.fixed_loss for leg in done])
                return DistanceFit(estimate, loss, fixed_loss, influence)
            print(f"{name}: leg {len(done)} has not converged; another leg continues from there")

    def _influence(self, p: np.ndarray) -> DistanceInfluence | None:
        if not self.with_influence:
            return None
        try:
            return distance_influence(self.problem, p)
        except torch.linalg.LinAlgError as error:
            raise DivergenceError(f"the noise at {p} is not positive definite") from error

    def _leg(self, key: str, p: np.ndarray, first: np.ndarray | None, name: str) -> Descent:
        problem, settings = self.problem, self.settings
        if not key.endswith(".0"):
            problem = replace(problem, stage=f"{problem.stage}/leg_{key.split('.')[1]}")
        ours = {
            k.removeprefix(f"{key}."): v for k, v in self.kept.items() if k.startswith(f"{key}.")
        }
        if ours:
            state = state_from_arrays(DescentState, ours)
        else:
            state = begin(p[: problem.d_alpha], p[problem.d_alpha :], settings, first)

        def save(state: DescentState) -> None:
            if self.checkpoint is not None:
                arrays = state_to_arrays(state)
                self.kept.update({f"{key}.{k}": v for k, v in arrays.items()})
                self.checkpoint.write_when_due(self.kept)

        result = run(state, problem, settings, save, self.progress, name)
        save(result.state)
        return result

    def _estimate(
        self, done: Sequence[Descent], p: np.ndarray, influence: DistanceInfluence | None
    ) -> Estimate:
        problem, settings, state = self.problem, self.settings, done[-1].state
        path = np.concatenate([leg.state.path for leg in done])
        nothing = np.full((len(p), len(p)), np.nan)
        if influence is None:
            # Without standard errors, a drift is compared with the path's own spread.
            last = state.path[-max(4, round(settings.averaging * len(state.path))) :]
            arrival = judge_arrival(state, settings, None, last.std(axis=0), problem.free)
            each = np.full((len(problem.data), len(p)), np.nan)
            covariance = nothing
        else:
            each = influence.of_rows(problem.data) / len(problem.data)
            covariance = each.T @ each
            if problem.prior:
                # See `Estimate`.
                of_prior = square_root(problem.prior.curvature(p))
                root = influence.inverse @ of_prior / len(problem.data)
                covariance = covariance + root @ root.T
            errors = np.sqrt(np.diag(covariance))
            arrival = judge_arrival(state, settings, influence, errors, problem.free)
        return Estimate(
            p=p,
            covariance=covariance,
            monte_carlo=arrival.monte_carlo,
            influence=each,
            arrived=arrival.arrived,
            passes=arrival.arrived,
            reason="" if arrival.arrived else _still_moving(problem, arrival, len(done)),
            bread=nothing if influence is None else influence.inverse / len(problem.data),
            diagnostics={
                "remaining": float(np.abs(arrival.remaining).max(initial=0.0)),
                "drift": float(np.abs(arrival.drift).max(initial=0.0)),
                "legs": float(len(done)),
            },
            path=path,
        )


def _still_moving(problem: Problem, arrival: Arrival, legs: int) -> str:
    names = (*problem.law.names, *problem.noise.names)
    worst = int(np.argmax(np.abs(arrival.remaining)))
    return (
        f"after {legs} leg{'s' if legs > 1 else ''} {names[worst].replace('_', ' ')} is still "
        f"{abs(arrival.remaining[worst]):.2g} standard errors from where the descent leads"
    )
