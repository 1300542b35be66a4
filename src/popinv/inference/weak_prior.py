r"""The prior of law and noise that a posterior has for what the study states no prior of.

Each entry of p = (alpha, gamma) is u, and its natural value x = t(u) by its constraint
(:mod:`popinv.population.constraints`). The entries are independent:

- a mean or a coefficient has a flat prior,
- a positive x has the half-Student-t prior of 4 degrees of freedom whose scale is 2.5 times its
  start (Gelman, Bayesian Analysis 1, 2006), and an x > low the same for x - low,
- a correlation and a share are uniform; of several correlations, the canonical partial
  correlations are.

The prior's density in u has the Jacobian dx / du as a factor, without which its mode is that of the
natural values.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from popinv.errors import ConfigError
from popinv.inference.problem import Problem
from popinv.population.constraints import POSITIVE, REAL, Above, entrywise
from popinv.population.priors.stated import WEAK_FREEDOM, WEAK_SCALE

_FAR = 30.0


class LogPrior(Protocol):
    """The logarithm of a prior density of p, up to a constant."""

    def value(self, p: np.ndarray, jacobian: bool = False) -> float:
        """Return it at p (n_p,), in natural values, or of p itself with the Jacobian."""
        ...

    def gradient(self, p: np.ndarray, jacobian: bool = False) -> np.ndarray:
        """Return its derivatives in p (n_p,)."""
        ...


class WeakPrior:
    """The prior of this module, for one problem, with the priors that the study states.

    A parameter with a stated prior has that alone. Beside stated priors, all correlations that have
    none are uniform.

    Parameters
    ----------
    problem : Problem
    start : ndarray of shape (n_p,)
        The study's start, which gives the scales.

    Raises
    ------
    ConfigError
        If the noise has coordinates that are no constrained numbers, as an unrestricted covariance.
    """

    def __init__(self, problem: Problem, start: np.ndarray) -> None:
        self._stated = problem.prior.stated
        self._free = problem.free & ~self._stated.entries
        self._constraints = (*problem.law.constraints, *problem.noise.constraints)
        gamma = problem.split(np.asarray(start, dtype=float))[1]
        entries = entrywise(problem.noise.constraints, gamma)
        if not np.allclose(entries, problem.noise.to_natural(gamma)):
            raise ConfigError(
                "the default prior has no form for this noise, whose parameters are no single "
                "numbers with a constraint each. Choose a noise such as 'isotropic', 'diagonal' or "
                "'kernel', or give a prior of your own."
            )
        self.start = torch.tensor(np.asarray(start, dtype=float))

    def value(self, p: np.ndarray, jacobian: bool = False) -> float:
        """Return the logarithm of the prior density at p (n_p,), up to a constant."""
        of_slopes = jacobian and not self._stated
        value = float(self._log(torch.tensor(p, dtype=torch.float64), of_slopes))
        return value + (self._stated.value(p, jacobian) if self._stated else 0.0)

    def gradient(self, p: np.ndarray, jacobian: bool = False) -> np.ndarray:
        """Return its derivatives in p (n_p,)."""
        at = torch.tensor(p, dtype=torch.float64, requires_grad=True)
        with torch.enable_grad():
            value = self._log(at, jacobian and not self._stated) + 0 * at.sum()
            (gradient,) = torch.autograd.grad(value, at)
        found: np.ndarray = gradient.numpy()
        return found + self._stated.gradient(p, jacobian) if self._stated else found

    def _log(self, p: torch.Tensor, jacobian: bool) -> torch.Tensor:
        total = torch.zeros((), dtype=p.dtype)
        for i in np.flatnonzero(self._free).tolist():
            constraint = self._constraints[i]
            if constraint == POSITIVE or isinstance(constraint, Above):
                # A value beyond e^30 starts has the density of its tail.
                ratio = torch.exp(torch.clamp(p[i] - self.start[i], max=_FAR)) / WEAK_SCALE
                total = total - (WEAK_FREEDOM + 1) / 2 * torch.log1p(ratio**2 / WEAK_FREEDOM)
            if jacobian and constraint != REAL:
                total = total + constraint.log_slope(p[i])
        return total

    def draws(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return draws of p (count, n_p).

        NaN for entries whose prior is flat or stated by the study, or that are held.
        """
        found = np.full((count, len(self._constraints)), np.nan)
        for i in np.flatnonzero(self._free):
            constraint = self._constraints[i]
            if constraint == POSITIVE or isinstance(constraint, Above):
                sizes = np.abs(rng.standard_t(WEAK_FREEDOM, count)) * WEAK_SCALE
                found[:, i] = float(self.start[i]) + np.log(sizes)
            elif constraint != REAL:
                low, high = (constraint.bounded(np.array(end)) for end in (-_FAR, _FAR))
                found[:, i] = constraint.unbounded(rng.uniform(low, high, count))
        return found
