r"""The estimates of a study with added systems, from the estimates without them.

At the last maximum p_0 the scores s_n of the earlier systems and the gradient of the penalties sum
to zero. With M added systems, the gradient of the log likelihood at p_0 is known as soon as these
are evaluated there, and

.. math:: p_1 = p_0 + \Bigl(\frac{N + M}{N} A\Bigr)^{-1} \Bigl(\sum_{n \le N} s_n(p_0)
    + \sum_{N < n \le N + M} s_n(p_0) - \nabla P(p_0)\Bigr)

with the curvature A of the N earlier systems is the maximum to first order. The ascent starts
there, with the modes of all systems and the draws of the last ascent. Numbers of systems, and with
these their draws, stay the same. With at most 5 % of systems that were added since the curvature of
a system was computed, it is taken from the last answer.

The correction for the surrogate's error is a mean over the law, not a sum over the systems, and
stays. What may change is where the surrogate is evaluated: new systems may lie where it was not
trained. :func:`errors_at_modes` compares it with fresh solves at their posterior modes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import xarray as xr

from popinv.errors import DataError, DivergenceError
from popinv.inference.answer.result import correction_of, estimate_of
from popinv.inference.density.problem import Problem
from popinv.inference.density.solver import SolverSimulator
from popinv.inference.estimators.estimate import Estimate, restricted_inverse
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.estimators.marginal_estimate import estimate_at, point_of
from popinv.inference.estimators.newton import MOST_STEPS, informed, point_at
from popinv.inference.estimators.scoring import ascend, begin
from popinv.inference.estimators.settings import PolishSettings
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.inference.integrate.penalty import penalty_at
from popinv.inference.uncertainty.standard_errors import by_information
from popinv.inference.uncertainty.surrogate_bias import FreshSolves
from popinv.late import torch
from popinv.population.known import inputs
from popinv.population.members import members_apart

_PER_SYSTEM = ("modes", "corrections")
SMALL = 0.05
"""Largest share of systems added since a curvature was computed with which it is kept."""

# Predicted gain at the end of the ascent, 0.005 standard errors.
_TOLERANCE = 1e-5


class Continued:
    """The estimates of a problem with added systems.

    Parameters
    ----------
    problem : Problem
        All systems, through the surrogate; the added ones come last. Its stage is that of the last
        ascent.
    added : int
        Number of added systems.
    polish : PolishSettings
    solver : SolverSimulator, optional
        The forward model, if the likelihood goes through it.
    """

    def __init__(
        self,
        problem: Problem,
        added: int,
        polish: PolishSettings,
        solver: SolverSimulator | None = None,
    ) -> None:
        self.problem, self.added, self.polish, self.solver = problem, added, polish, solver
        self.numbers = np.arange(problem.count - added, problem.count)

    @staticmethod
    def last_p(last: xr.Dataset) -> np.ndarray:
        """Return the maximum (n_p,) of an estimate, without the correction for the surrogate."""
        return np.asarray(estimate_of(last) - correction_of(last))

    def likelihood(self, last: xr.Dataset) -> tuple[Estimate, dict[str, np.ndarray]]:
        """Return the likelihood's estimate, and the evaluation of the added systems before it.

        Parameters
        ----------
        last : Dataset
            The likelihood's estimate of the earlier systems.

        Returns
        -------
        estimate : Estimate
        before : dict of str to ndarray
            The memory of the added systems' evaluation at the earlier maximum.
        """
        draws = max(int(last.attrs["draws"]), self.polish.draws)
        settings = MarginalSettings(draws=draws)
        simulated = self.problem if self.solver is None else self.problem.through(self.solver)
        with nullcontext() if self.solver is None else self.solver.session():
            p = self.last_p(last)
            few = simulated.of_systems(self.numbers)
            near = likelihood_near(few, p, settings, self.numbers)
            start, information = self._first_order(last, p, near.here.scores)
            memory = self._memory(last, near.here.memory)
            estimate = None
            if memory is not None and self._is_small(last) and not len(near.hard):
                estimate = self._few_added(simulated, last, start, information, memory, settings)
            if estimate is None:
                estimate = fit_marginal_likelihood(
                    simulated,
                    start,
                    settings,
                    memory=memory,
                    curved=None if self.solver is None else self.problem,
                    information=information,
                    restricted=self.polish.restricted,
                )
        return _corrected(estimate, last), near.here.memory

    def _is_small(self, last: xr.Dataset) -> bool:
        """Return whether the added systems change neither curvature nor modes by much."""
        exact = last.attrs["draws"] == 0 or "ends" in last or self.polish.restricted
        # Many small additions are a large one.
        few = self.problem.count - self._of_curvature(last) <= SMALL * self.problem.count
        return few and not exact and not by_information(self.problem)

    def _of_curvature(self, last: xr.Dataset) -> int:
        """Return the number of systems when the curvature of an answer was computed."""
        return int(last.attrs.get("curvature_of", self.problem.count - self.added))

    def _few_added(
        self,
        problem: Problem,
        last: xr.Dataset,
        start: np.ndarray,
        information: np.ndarray,
        memory: Mapping[str, np.ndarray],
        settings: MarginalSettings,
    ) -> Estimate | None:
        """Return the estimate with the last curvature of a system, None if it does not pass.

        The log likelihood of an earlier system changes by the mean of its scores at both ends,
        times the step. Its value by new draws then needs no new draws.
        """
        near = likelihood_near(problem, start, settings, memory=memory)
        point = informed(point_at(problem, near), information)
        first = replace(point_of(problem, start, near.here), information=information)
        try:
            state = ascend(begin(first), point, problem, MOST_STEPS, tolerance=_TOLERANCE)
        except DivergenceError:
            return None
        penalty = penalty_at(problem, state.point.p)
        estimate = estimate_at(
            problem,
            settings.draws,
            state,
            None,
            None,
            float(last.attrs["several_modes_share"]),
            information - penalty.observed,
        )
        if not estimate.passes:
            return None
        step = estimate.p - self.last_p(last)
        scores, before = estimate.arrays["scores"], last["scores"].values
        earlier = last["log_likelihood"].values + (scores[: len(before)] + before) @ step / 2
        valued = replace(settings, scores=False)
        few = replace(problem.of_systems(self.numbers), stage=f"{problem.stage}/value")
        new = likelihood_near(few, estimate.p, valued, self.numbers).here
        each = np.concatenate([earlier, new.log_likelihood])
        error = np.hypot(last.attrs["value_error"], np.sqrt(np.sum(new.value_error**2)))
        return replace(
            estimate,
            diagnostics={
                **estimate.diagnostics,
                "value": each.sum(),
                "value_error": float(error),
                "curvature_of": self._of_curvature(last),
            },
            arrays={**estimate.arrays, "log_likelihood": each},
        )

    def pseudo_likelihood(self, last: xr.Dataset) -> Estimate:
        """Return the pseudo-likelihood's estimate from the last one."""
        p = self.last_p(last)
        return _corrected(fit_pseudo_likelihood(self.problem, [p]), last)

    def _first_order(
        self, last: xr.Dataset, p: np.ndarray, scores: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the maximum to first order (n_p,), and the information there."""
        problem, count = self.problem, self.problem.count
        bread = last["bread"].values
        moves = problem.free & (np.diag(bread) > 0)
        penalty = penalty_at(problem, p)
        of_systems = restricted_inverse(bread, moves) - penalty.observed
        information = count / (count - self.added) * of_systems + penalty.observed
        gradient = last["scores"].values.sum(axis=0) + scores.sum(axis=0) - penalty.gradient
        step = restricted_inverse(information, moves) @ gradient
        # A logarithm moves by at most one in a step, as in an ascent.
        longest = np.abs(step[problem.logarithmic]).max(initial=1.0)
        return p + step / longest, information

    def _memory(
        self, last: xr.Dataset, added: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray] | None:
        """Return the evaluation of all systems from which theirs starts, None if it is not kept."""
        if self.problem.law.component is not None or any(n not in last for n in _PER_SYSTEM):
            return None
        return {name: np.concatenate([last[name].values, added[name]]) for name in _PER_SYSTEM}


def _corrected(estimate: Estimate, last: xr.Dataset) -> Estimate:
    """Return an estimate with the correction for the surrogate's error that the last one has."""
    if "correction" not in last:
        return estimate
    correction = last["correction"].values
    return replace(
        estimate,
        p=estimate.p + correction,
        correction=correction,
        correction_covariance=last["correction_covariance"].values,
    )


def surrogate_errors(
    problem: Problem, z: torch.Tensor, own: np.ndarray, estimate: xr.Dataset
) -> np.ndarray:
    """Return the surrogate's error in each solve, (n,), in standard deviations of the noise.

    Parameters
    ----------
    problem : Problem
        With the surrogate.
    z : Tensor of shape (n, inputs)
    own : ndarray of shape (n, d_y)
        The observations of the forward model.
    estimate : Dataset
        With the covariance of the noise of one replicate.
    """
    factor = np.linalg.cholesky(estimate["noise_covariance"].values)
    white = np.linalg.solve(factor, FreshSolves(z.numpy(), own).errors(problem).T)
    return np.asarray(np.sqrt(np.mean(white**2, axis=0)))


def errors_at_modes(
    problem: Problem,
    p: np.ndarray,
    omega: np.ndarray,
    estimate: xr.Dataset,
    solver: SolverSimulator,
) -> np.ndarray:
    """Return the surrogate's errors at the posterior modes of systems, (n,), n at most M.

    Of groups, they are the errors at the members.

    Parameters
    ----------
    problem : Problem
        The added systems alone.
    p : ndarray of shape (n_p,)
    omega : ndarray of shape (M, d_omega)
        Their modes.
    estimate : Dataset
        As for :func:`surrogate_errors`.
    solver : SolverSimulator

    Raises
    ------
    DataError
        If the forward model cannot be solved at any of the modes.
    """
    alpha, _ = problem.tensors(p)
    z = inputs(problem.law, alpha, torch.from_numpy(omega), problem.conditions.known)
    # Places of a system's own follow its design. A solve gives all places.
    z = z[:, : z.shape[1] - problem.noise.own_places]
    each = members_apart(z, problem.members, problem.d_z)
    z = each[torch.from_numpy(problem.present_members.ravel())]
    with torch.no_grad(), solver.session():
        own = solver(z).numpy()
    solved = np.isfinite(own).all(axis=1)
    if not solved.any():
        raise DataError("the forward model cannot be solved at the modes of the added systems")
    return surrogate_errors(problem, z[torch.from_numpy(solved)], own[solved], estimate)
