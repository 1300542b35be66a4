r"""Bias of an answer due to the surrogate's error, measured by fresh solves and subtracted.

An estimate p solves ``sum_n s_n(p) = 0`` with scores s computed through the surrogate S. Systems
with parameters z_k drawn from the law are solved, and observed twice with the same noise: through
the solver, ``y_k = G(z_k) + xi_k``, and through the surrogate, ``S(z_k) + xi_k``. The second
observations have scores of mean zero. The mean score of the first is the bias of the score due to
the surrogate's error,

.. math::
    b = \frac1K \sum_k \bigl[ s(p;\, G(z_k) + \xi_k) - s(p;\, S(z_k) + \xi_k) \bigr],

and the answer without it is ``p - N A^{-1} b``, with A the curvature of all N systems. Both terms
see the same draws (a control variate), so few solves determine b, and its standard error follows
from the spread of the differences. The method needs no derivative of the solver and serves every
estimator with scores. A large b is not proportional to the change of p. The first term then uses
the noise of the corrected gamma, and the step is repeated until it is small. Few fresh solves do
not determine b. For a surrogate that has a posterior law of the solves (a Gaussian process),
:class:`PosteriorSolves` adds to the covariance instead, by draws of that law.

Of a simulator that is random itself, the first observations are runs with measurement noise, and
the second are draws of the model: its learned mean, intrinsic variation and noise. The mean score
of the runs is then the whole bias of the score, due to an error of the mean, of the variation, and
of taking the answer for normal (indirect inference: Gallant and Tauchen, Econometric Theory 12,
1996). Runs are random: the covariance of the answer grows by about N / K of itself. If the random
part of averages over a finite time is not declared, it counts as an error of S, and is subtracted
from the noise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import xarray as xr

from popinv.errors import DataError, DivergenceError
from popinv.forward.datasets import origin_of
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import Estimate, restricted_inverse
from popinv.inference.estimators.settings import FEWEST_GROUPS
from popinv.inference.uncertainty.profile import ill_determined
from popinv.judgement.measures import SurrogateTreatment
from popinv.late import torch
from popinv.optimisation.bounded import bounded_step
from popinv.population.known import inputs
from popinv.population.members import members_together
from popinv.population.places import at_places
from popinv.seeds import generator, standard_normal_rows
from popinv.surrogate.simulator import UncertainSurrogate

# Maps observations (n, d_y) of a problem's systems to scores (n, n_p) at the estimate.
Scores = Callable[[Problem], np.ndarray]

# The step is repeated while it is longer than this, in standard errors. Logarithms of positive
# quantities move by at most the second number at a time.
_SMALL, _MOST_STEPS = 0.3, 8
_LONGEST = 1.0
# Largest correction, in natural sizes of a change. A larger error of the estimate, as when two
# parameters trade off, does not justify a larger correction.
_FURTHEST = 20.0
# A correction beyond so many of its own standard deviations is no accident of some parameters.
_SURE = 2.5


@dataclass(frozen=True)
class ScoreDifference:
    """The scores that are compared, and how solves are observed for them.

    Attributes
    ----------
    problem : Problem
        With the surrogate.
    p : ndarray of shape (n_p,)
        The estimate.
    scores : callable
        The estimator's scores at p.
    stage : str
        Address of the draws.
    pairs : int
        Number of noise pairs for each solve.
    """

    problem: Problem
    p: np.ndarray
    scores: Scores
    stage: str
    pairs: int

    def differences(
        self,
        solved: np.ndarray,
        through: np.ndarray,
        gamma: np.ndarray | None,
        systems: np.ndarray | None,
    ) -> np.ndarray:
        """Return the scores of solves less those through the surrogate, with the same noise.

        Parameters
        ----------
        solved : ndarray of shape (J, K, d_y)
            Several noise-free observations of each of K parameters.
        through : ndarray of shape (K, d_y)
            The same observations through the surrogate.
        gamma : ndarray of shape (n_gamma,), optional
            The noise of the solves, if it differs from the noise of p.
        systems : ndarray of int, shape (K,), optional
            As in :func:`observe_again`.

        Returns
        -------
        ndarray of shape (J, 2 ``pairs``, K, n_p)
        """
        own = self.problem.split(self.p)[1]
        other = own if gamma is None else gamma

        def of(noise: np.ndarray, clean: np.ndarray) -> np.ndarray:
            observed = observe_again(self.problem, noise, clean, self.stage, self.pairs, systems)
            return self.scores(observed)

        reference = of(own, through)
        each = np.stack([of(other, clean) - reference for clean in solved])
        return each.reshape(len(solved), -1, len(through), len(self.p))


class PushMeasure(Protocol):
    """Solves that measure the bias of the score due to the surrogate's error, called its push."""

    def pushes(self, compared: ScoreDifference, gamma: np.ndarray | None = None) -> np.ndarray:
        """Return pushes (..., n_p); gamma is the noise of the solver's observations, or p's."""
        ...

    def best(self, pushes: np.ndarray) -> np.ndarray:
        """Return the push (n_p,) to subtract."""
        ...

    def covariance(self, pushes: np.ndarray) -> np.ndarray:
        """Return the covariance (n_p, n_p) of the error of the best push."""
        ...


@dataclass(frozen=True)
class FreshSolves:
    """Inputs z of the forward model drawn from the law, and the solver's observations.

    Parameters
    ----------
    z : ndarray of shape (K, inputs)
        Parameters, then the design.
    y : ndarray of shape (K, d_y)
    systems : ndarray of int, shape (K,), optional
        The observed systems that the draws stand for; None if all are alike.
    conditions : Conditions, optional
        The conditions of these systems, if the problem's systems have different ones.
    members : ndarray of int, shape (2, K), optional
        The number of the drawn group of each draw (-1: drawn alone) and its place in it, if the
        draws are members of groups.
    """

    z: np.ndarray
    y: np.ndarray
    systems: np.ndarray | None = None
    conditions: Conditions | None = None
    members: np.ndarray | None = None

    @classmethod
    def of(cls, solves: xr.Dataset, most: int | None = None) -> FreshSolves:
        """Return the successful solves of a Dataset, at most the first ``most`` of them."""
        z, y = solves["z"].values, solves["y"].values
        # The row of a solve that failed is NaN.
        rows = np.flatnonzero(np.isfinite(y).all(axis=1))[:most]
        origin = {name: each[rows] for name, each in origin_of(solves).items()}
        members = np.stack([origin[n] for n in ("group", "member")]) if "group" in origin else None
        z, y = z[rows], y[rows]
        return cls(z, y, origin.get("system"), members=members)

    @classmethod
    def of_last_round(cls, check: xr.Dataset) -> FreshSolves:
        """Return the successful solves of the last round of a record of solves."""
        last = check["round"].values == check["round"].values.max()
        return cls.of(check.isel(sample=np.flatnonzero(last)))

    def with_conditions_of(self, problem: Problem) -> FreshSolves:
        """Return the solves with the conditions of their systems, for problems of other systems."""
        own = self.in_groups(problem)
        if own.systems is None:
            return own
        return replace(own, conditions=problem.conditions.of(own.systems))

    def in_groups(self, problem: Problem) -> FreshSolves:
        """Return the solves of whole groups, a row for each, for a problem of groups.

        Members that a group lacks, or whose solve failed, have the inputs of its first member and
        NaN for their solves.
        """
        if self.members is None:
            return self
        assert self.systems is not None
        kept = np.flatnonzero(self.members[0] >= 0)
        group, place = self.members[:, kept]
        numbers, first, row = np.unique(group, return_index=True, return_inverse=True)
        shape = len(numbers), problem.members
        z, y = (np.full((*shape, each.shape[1]), np.nan) for each in (self.z, self.y))
        z[:] = self.z[kept[first]][:, None]
        z[row, place], y[row, place] = self.z[kept], self.y[kept]
        return replace(
            self,
            z=members_together(z, problem.d_z),
            y=y.reshape(len(y), y.shape[1] * y.shape[2]),
            systems=self.systems[kept[first]],
            members=None,
        )

    def errors(self, problem: Problem) -> np.ndarray:
        """Return G(z) - S(z) at all places, of one replicate or one member, (K, d)."""
        with torch.no_grad():
            through = problem.surrogate(torch.from_numpy(self.z)).numpy()
        return np.asarray(self.y - through[:, : self.y.shape[1]])

    def of_problem(self, problem: Problem) -> FreshSolves:
        """Return the solves of whole groups, or at the places of the systems if these differ."""
        if self.members is not None or not (count := problem.noise.own_places):
            return self.in_groups(problem)
        turns = np.arange(len(self.z)) % len(problem.data)
        systems = turns if self.systems is None else self.systems
        places = problem.known.of(systems).design[:, -count:].numpy()
        y = at_places(self.y, places.astype(int), 1)
        return replace(self, z=np.concatenate([self.z, places], axis=1), y=y, systems=systems)

    def pushes(self, compared: ScoreDifference, gamma: np.ndarray | None = None) -> np.ndarray:
        """Return the push by solve, or by group, (K, n_p).

        Raises
        ------
        DataError
            If the solves hold few whole groups.
        """
        problem = compared.problem
        fresh = self.of_problem(problem)
        if problem.members > 1:
            _check_groups(len(fresh.z), problem.members)
        with torch.no_grad():
            through = problem.simulate(torch.from_numpy(fresh.z)).numpy()
            solved = problem.noise.of_one.of_run(torch.from_numpy(fresh.y)).numpy()
        solved, systems = problem.replicated(solved), fresh.systems
        # A member without a solve is observed through the surrogate both times.
        solved = np.where(np.isnan(solved), through, solved)
        if fresh.conditions is not None:
            own = replace(problem, conditions=fresh.conditions)
            compared, systems = replace(compared, problem=own), np.arange(len(solved))
        return compared.differences(solved[None], through, gamma, systems)[0].mean(axis=0)

    def best(self, pushes: np.ndarray) -> np.ndarray:
        """Return the mean of pushes (K, n_p)."""
        return pushes.mean(axis=0)

    def covariance(self, pushes: np.ndarray) -> np.ndarray:
        """Return the covariance of the mean of independent pushes (K, n_p)."""
        return np.cov(pushes, rowvar=False) / len(pushes)


def _check_groups(groups: int, members: int) -> None:
    if groups < FEWEST_GROUPS:
        raise DataError(
            f"the fresh solves hold all members of {groups} groups only, but the effect of the "
            f"surrogate's error is measured on {FEWEST_GROUPS} whole groups or more; set "
            f"'assessment.surrogate_check' to {FEWEST_GROUPS * members} or more, as a group has up "
            f"to {members} members"
        )


def observe_again(
    problem: Problem,
    gamma: np.ndarray,
    clean: np.ndarray,
    stage: str,
    pairs: int,
    drawn_for: np.ndarray | None = None,
) -> Problem:
    """Return the problem with noise-free observations observed again, several times each.

    Parameters
    ----------
    problem : Problem
        The new systems draw their noise scales and missing entries from its systems.
    gamma : ndarray of shape (n_gamma,)
    clean : ndarray of shape (K, d_y)
        Signals; of a random simulator, mean and factor.
    stage : str
        Address of the draws. The same stage gives the same noise.
    pairs : int
        Number of pairs (xi, -xi) of the noise for each solve.
    drawn_for : ndarray of int, shape (K,), optional
        The system whose conditions each solve takes; a random one by default.

    Returns
    -------
    Problem
        With 2 ``pairs`` K systems. Rows k, k + K, k + 2 K and so on belong to the same solve.
    """
    count, d_y = len(clean), problem.noise.d_y
    e = standard_normal_rows(problem.seed, f"{stage}/noise", 0, count, pairs * d_y)
    half = e.reshape(count, pairs, d_y)
    draws = torch.from_numpy(np.concatenate([half, -half], axis=1).swapaxes(0, 1).reshape(-1, d_y))
    times, at = 2 * pairs, torch.from_numpy(np.array(gamma))
    signal = torch.from_numpy(np.tile(clean, (times, 1)))
    conditions = problem.conditions
    if conditions.plain:
        with torch.no_grad():
            return replace(problem, data=problem.observed(at, signal, draws).numpy())
    rng = generator(problem.seed, f"{stage}/systems")
    rows = rng.integers(len(conditions), size=count) if drawn_for is None else drawn_for
    systems = np.tile(rows, times)
    with torch.no_grad():
        data = problem.observed(at, signal, draws, systems).numpy()
    return replace(problem, data=data, conditions=conditions.of(systems))


def corrected(
    problem: Problem,
    estimate: Estimate,
    scores: Scores,
    fresh: FreshSolves,
    stage: str,
    pairs: int = 1,
) -> Estimate:
    """Return the estimate corrected for the surrogate's error.

    Without such an error (:attr:`Problem.correctable`) the estimate is returned unchanged. If the
    steps do not converge, the estimate keeps its value and does not pass. Its ``correction`` then
    holds the sum of the steps.

    Parameters
    ----------
    problem : Problem
        With the surrogate.
    scores : callable
        The estimator's scores at the estimate.
    stage : str
        Address of the draws.
    pairs : int
        Number of noise pairs for each solve.
    """
    if not problem.correctable:
        return estimate
    systems, measure = len(problem.data), _measure(problem, fresh)
    compared = ScoreDifference(problem, estimate.p, _remembered(scores), stage, pairs)
    p, errors = estimate.p, np.sqrt(np.diag(estimate.covariance))
    # A parameter that the data hardly determine stays, as its step is not reliable.
    vague = ill_determined(problem, estimate.covariance, estimate.bread)
    moves = problem.free & (errors > 0) & ~vague
    step = _held(estimate.bread, moves)
    curvature = restricted_inverse(step, moves)
    longest = np.where(problem.logarithmic, _LONGEST, np.inf)[moves]
    for _ in range(_MOST_STEPS):
        try:
            each = measure.pushes(compared, problem.split(p)[1])
        except DivergenceError:
            return _not_corrected(estimate, p - estimate.p)
        # The draws keep the law of the estimate. The change of p's law is added.
        moved = p - estimate.p
        moved[problem.d_alpha :] = 0.0
        slope = systems * measure.best(each) + curvature @ moved
        change = np.zeros_like(p)
        change[moves] = bounded_step(curvature[np.ix_(moves, moves)], slope[moves], longest)
        p = p - change
        if np.any(np.abs(p - estimate.p)[moves] > _FURTHEST * problem.scale[moves]):
            return _not_corrected(estimate, p - estimate.p)
        if np.all(np.abs(change[moves]) <= _SMALL * errors[moves]):
            break
    else:
        return _not_corrected(estimate, p - estimate.p)
    pushes = each @ step * systems
    return replace(
        estimate,
        p=p,
        correction=p - estimate.p,
        correction_covariance=measure.covariance(pushes),
    )


def _remembered(scores: Scores) -> Scores:
    """Return scores that are computed once for each data set.

    The steps share the surrogate's data set, and all data sets if the noise does not move.
    """
    found: dict[bytes, np.ndarray] = {}

    def of(observed: Problem) -> np.ndarray:
        key = hashlib.blake2b(np.asarray(observed.data).tobytes()).digest()
        if key not in found:
            found[key] = scores(observed)
        return found[key]

    return of


def _measure(problem: Problem, fresh: FreshSolves) -> PushMeasure:
    surrogate = problem.surrogate
    if not isinstance(surrogate, UncertainSurrogate):
        return fresh
    return PosteriorSolves.given(surrogate, fresh)


def _held(inverse: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return the inverse of the free block of a matrix, given the whole matrix's inverse."""
    held = ~free & (np.diag(inverse) > 0)
    step = np.zeros_like(inverse)
    between = inverse[np.ix_(free, held)]
    inner = np.linalg.solve(inverse[np.ix_(held, held)], between.T)
    step[np.ix_(free, free)] = inverse[np.ix_(free, free)] - between @ inner
    return step


def _not_corrected(estimate: Estimate, tried: np.ndarray) -> Estimate:
    reason = "the surrogate's error moves it by too much for a correction"
    return replace(
        estimate,
        passes=False,
        reason="; ".join(filter(None, (estimate.reason, reason))),
        correction=tried,
        correction_covariance=np.zeros_like(estimate.covariance),
    )


@dataclass(frozen=True)
class AnswerShift:
    """The effect of the surrogate's error on an answer.

    Attributes
    ----------
    shift : ndarray of shape (n_p,)
        The answer without the correction less the answer; its standard deviation if that is
        included in the intervals; through the surrogate, if the answer does not use it. Of a random
        simulator, what is beyond 2.5 of its standard deviations. In standard errors of the answer,
        and zero for parameters that are held or not determined.
    treatment : str
        One of `popinv.judgement.measures.SurrogateTreatment`.
    """

    shift: np.ndarray
    treatment: SurrogateTreatment

    @classmethod
    def of(cls, population: xr.Dataset) -> AnswerShift:
        """Return the shift of an answer.

        It is a :func:`popinv.inference.answer.dataset.population_dataset`.
        """
        covariance = population["covariance"].values
        errors = np.sqrt(np.diag(covariance))
        treatment: SurrogateTreatment = "left"
        shift = population["surrogate_shift"].values
        random = "intrinsic_covariance" in population
        if population.attrs["through"] == "solver":
            treatment = "unused"
        elif "correction" in population:
            more = np.diag(covariance - population["sampling_covariance"].values)
            spread, moved = np.sqrt(np.maximum(more, 0.0)), -population["correction"].values
            if not moved.any():
                treatment, shift = "included", spread
            elif random:
                # Runs of a random simulator move it in any case; this is beyond their randomness.
                beyond = np.maximum(np.abs(moved) - _SURE * spread, 0.0)
                treatment, shift = "runs", np.sign(moved) * beyond
            else:
                treatment, shift = "corrected", moved
        elif random:
            treatment = "unmeasured"
        known = errors > 0
        if "law_lower" in population:
            ends = [population[f"{part}_lower"].values for part in ("law", "noise")]
            known &= ~np.isnan(np.concatenate(ends))
        return cls(np.where(known, shift / np.where(known, errors, 1.0), 0.0), treatment)

    @property
    def largest(self) -> float:
        """The largest of all parameters."""
        return float(np.abs(self.shift).max(initial=0.0))


# Draws of the posterior, and parameters of each.
_DRAWS, _PLACES = 24, 96


def inflation_of(surrogate: UncertainSurrogate, fresh: FreshSolves) -> float:
    """Return the factor of the predictive deviations, from solves that S has not seen."""
    if not len(fresh.z):
        return 1.0
    errors = (fresh.y - surrogate.predict(fresh.z)) / surrogate.deviation(fresh.z)
    square = float(np.mean(np.square(errors)))
    return float(np.sqrt(max(1.0, square)))


@dataclass(frozen=True)
class PosteriorSolves:
    r"""Draws from the posterior law of solves that have not been made.

    A Gaussian process S is conditioned on the fresh solves, with its hyperparameters unchanged.
    Joint draws :math:`G_j` of its posterior at K parameters :math:`z_k` drawn from the law stand in
    for the solver. Each gives a push on the mean score,

    .. math::
        b_j = \frac1K \sum_k \bigl[ s(p;\, G_j(z_k) + \xi_k) - s(p;\, S(z_k) + \xi_k) \bigr].

    The mean square of :math:`N A^{-1} b_j` is added to the covariance of the answer. To first order
    it is the delta method with the posterior covariance of G between all pairs of systems, which is
    what counts: errors that all systems share do not average out. Adding the predictive variance to
    the noise of each system would ignore these errors.

    Nothing is subtracted from the answer. The mean of :math:`b_j` holds the part of the noise that
    would be an error of S, which follows from the predictive variance and is as uncertain as this.
    With few solves its subtraction moves an answer farther from the truth.

    The predictive deviations are multiplied by :math:`\max(1, c)`, where :math:`c^2` is the mean
    square of the fresh solves' errors in predictive deviations. This factor corrects for
    hyperparameters that few solves make too certain.

    Parameters
    ----------
    posterior : UncertainSurrogate
        Conditioned on the fresh solves.
    inflation : float
        Factor of its deviations.
    """

    posterior: UncertainSurrogate
    inflation: float

    @classmethod
    def given(cls, surrogate: UncertainSurrogate, fresh: FreshSolves) -> PosteriorSolves:
        """Return the posterior given fresh solves."""
        inflation = inflation_of(surrogate, fresh)
        return cls(surrogate.conditioned(fresh.z, fresh.y), inflation)

    def pushes(self, compared: ScoreDifference, gamma: np.ndarray | None = None) -> np.ndarray:
        """Return the push of each draw, mean over the parameters, (J, n_p)."""
        problem, stage = compared.problem, compared.stage
        (z, systems), count = _places(problem, compared.p, stage), problem.noise.own_places
        normal = generator(problem.seed, f"{stage}/posterior").standard_normal(
            (_DRAWS, self.posterior.components, len(z) * problem.members)
        )
        with torch.no_grad():
            through = problem.simulate(torch.from_numpy(z)).numpy()
        of_members = problem.inputs_apart(z)[:, : z.shape[1] - count]
        solved = self.posterior.draws(of_members, normal, self.inflation)
        if problem.members > 1:
            each = solved.reshape(_DRAWS * len(z), -1)
            solved = problem.replicated(each).reshape(_DRAWS, len(z), -1)
        if count:
            solved = np.stack([at_places(each, z[:, -count:].astype(int), 1) for each in solved])
        each = compared.differences(solved, through, gamma, systems)
        return each.reshape(_DRAWS, -1, len(compared.p)).mean(axis=1)

    def best(self, pushes: np.ndarray) -> np.ndarray:
        """Return zeros: nothing is subtracted."""
        return np.zeros(pushes.shape[1])

    def covariance(self, pushes: np.ndarray) -> np.ndarray:
        """Return the mean square of the draws' pushes (J, n_p)."""
        return pushes.T @ pushes / len(pushes)


def _places(problem: Problem, p: np.ndarray, stage: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return inputs of the forward model drawn from the law, and the systems they stand for."""
    alpha, count = problem.tensors(p)[0], max(_PLACES // problem.members, FEWEST_GROUPS)
    pairs = count // 2
    half = standard_normal_rows(problem.seed, f"{stage}/places", 0, pairs, problem.law.d_omega)
    # A draw and its opposite have mean zero together, so few draws suffice.
    omega = torch.from_numpy(np.concatenate([half, -half]))
    systems = problem.random_systems(f"{stage}/systems", 0, len(omega))
    known = problem.known_in_turns(len(omega), systems)
    with torch.no_grad():
        return inputs(problem.law, alpha, omega, known).numpy(), systems


def solver_residuals(problem: Problem, check: xr.Dataset) -> np.ndarray | None:
    """Return G(z) - S(z) of the solves of the last round of a record, shape (K, d_y).

    The residuals are at all places. For groups, each row has the residuals of as many members,
    which stand one after the other in the record and so mostly belong to one group. None if there
    are no solves, or if they do not show the surrogate's error (:attr:`Problem.solves_show_error`).
    """
    problem = problem.at_all_places
    if not problem.solves_show_error:
        return None
    fresh = FreshSolves.of_last_round(check)
    if not len(fresh.y):
        return None
    each = fresh.errors(problem)
    rows = np.arange(len(each))[:, None] + np.arange(problem.members)
    return problem.replicated(each[rows % len(each)].reshape(len(each), -1))
