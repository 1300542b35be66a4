r"""The estimates of a study with added systems, from the estimates without them.

At the last maximum p_0 the scores s_n of the earlier systems and the gradient of the penalties sum
to zero. With M added systems, the gradient of the log likelihood at p_0 is known as soon as these
are evaluated there, and

.. math:: p_1 = p_0 + \Bigl(\frac{N + M}{N} A\Bigr)^{-1} \Bigl(\sum_{n \le N} s_n(p_0)
    + \sum_{N < n \le N + M} s_n(p_0) - \nabla P(p_0)\Bigr)

with the curvature A of the N earlier systems is the maximum to first order. The ascent starts
there, with the modes of all systems and the draws of the last ascent. Numbers of systems, and with
these their draws, stay the same.

The correction for the surrogate's error is a mean over the law, not a sum over the systems, and
stays. What may change is where the surrogate is evaluated: new systems may lie where it was not
trained. :func:`surrogate_error` compares it with fresh solves at their posterior modes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import torch
import xarray as xr

from popinv.errors import DataError
from popinv.inference.estimate import Estimate, restricted_inverse
from popinv.inference.likelihood.fit_marginal import fit_marginal_likelihood
from popinv.inference.likelihood.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.likelihood.marginal import MarginalSettings
from popinv.inference.likelihood.marginal_near import likelihood_near
from popinv.inference.likelihood.penalty import penalty_at
from popinv.inference.problem import Problem
from popinv.inference.result import correction_of, estimate_of
from popinv.inference.settings import PolishSettings
from popinv.inference.solver import SolverSimulator
from popinv.population.known import inputs
from popinv.surrogate.design import whitened_rmse

_PER_SYSTEM = ("modes", "corrections")


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
            here = likelihood_near(few, p, settings, self.numbers).here
            start, information = self._first_order(last, p, here.scores)
            estimate = fit_marginal_likelihood(
                simulated,
                start,
                settings,
                memory=self._memory(last, here.memory),
                curved=None if self.solver is None else self.problem,
                information=information,
                restricted=self.polish.restricted,
            )
        return _corrected(estimate, last), here.memory

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
        information = count / (count - self.added) * restricted_inverse(bread, moves)
        gradient = last["scores"].values.sum(axis=0) + scores.sum(axis=0)
        gradient = gradient - penalty_at(problem, p).gradient
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


def surrogate_error(
    problem: Problem,
    p: np.ndarray,
    omega: np.ndarray,
    estimate: xr.Dataset,
    solver: SolverSimulator,
) -> float:
    """Return the surrogate's error at the posterior modes of systems, in noise deviations.

    Parameters
    ----------
    problem : Problem
        The added systems alone.
    p : ndarray of shape (n_p,)
    omega : ndarray of shape (M, d_omega)
        Their modes.
    estimate : Dataset
        With the covariance of the noise of one replicate.
    solver : SolverSimulator

    Raises
    ------
    DataError
        If the forward model cannot be solved at any of the modes.
    """
    alpha, _ = problem.tensors(p)
    z = inputs(problem.law, alpha, torch.from_numpy(omega), problem.conditions.known)
    # Places of a system's own follow its design. A solve gives all places.
    z = z[:, : z.shape[1] - problem.own_places]
    with torch.no_grad(), solver.session():
        own = solver(z).numpy()
        through = problem.surrogate(z).numpy()[:, : own.shape[1]]
    solved = np.isfinite(own).all(axis=1)
    if not solved.any():
        raise DataError("the forward model cannot be solved at the modes of the added systems")
    factor = np.linalg.cholesky(estimate["noise_covariance"].values)
    return whitened_rmse(through[solved], own[solved], factor)
