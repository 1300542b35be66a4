"""Confidence intervals of natural values from an estimate's covariance."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from scipy.special import stdtrit

from popinv.inference.problem import Problem
from popinv.inference.result import parameters_of
from popinv.population.laws.base import Law
from popinv.population.noise.base import NoiseModel

__all__ = ["boundaries", "intervals", "noise_interval", "normal_interval"]

_STEP = 1e-5


def normal_interval(
    centre: np.ndarray, errors: np.ndarray, systems: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper 95 % ends in the unconstrained coordinates, each (n_p,).

    The standard errors come from the scores of finitely many systems and are uncertain themselves.
    The quantile is therefore Student's, with one degree of freedom less than systems.
    """
    half = stdtrit(systems - 1, 0.975) * errors
    return centre - half, centre + half


def noise_interval(
    noise: NoiseModel, gamma: np.ndarray, covariance: np.ndarray, systems: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper 95 % ends for the noise's natural values, each (n,).

    The interval is normal in the logarithm of each positive value and in atanh of each
    correlation. If gamma holds exactly these, it is :func:`normal_interval` of gamma. An
    unrestricted covariance has other coordinates, whose errors are propagated to these.

    Parameters
    ----------
    noise : NoiseModel
    gamma : ndarray of shape (n,)
        The estimate.
    covariance : ndarray of shape (n, n)
        Covariance of gamma.
    systems : int
    """

    def mapped(values: np.ndarray) -> np.ndarray:
        return noise.unbounded(noise.to_natural(values))

    shifts = _STEP * np.eye(len(gamma))
    jacobian = (mapped(gamma + shifts) - mapped(gamma - shifts)).T / (2 * _STEP)
    errors = np.sqrt(np.einsum("ij,jk,ik->i", jacobian, covariance, jacobian))
    low, high = normal_interval(mapped(gamma), errors, systems)
    return noise.bounded(low), noise.bounded(high)


def law_interval(
    law: Law, alpha: np.ndarray, covariance: np.ndarray, systems: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper 95 % ends for the law's natural values, each (d_alpha,).

    The interval is normal in alpha, but for correlations in their atanh, to which the errors of
    alpha are propagated.

    Parameters
    ----------
    law : Law
    alpha : ndarray of shape (d_alpha,)
        The estimate.
    covariance : ndarray of shape (d_alpha, d_alpha)
        Covariance of alpha.
    systems : int
    """
    errors = np.sqrt(np.diag(covariance))
    low, high = (law.to_natural(end) for end in normal_interval(alpha, errors, systems))
    inside = law.correlations
    if inside.any():
        shifts = _STEP * np.eye(len(alpha))
        ends = [np.arctanh(law.to_natural(alpha + sign * shifts)[:, inside]) for sign in (1, -1)]
        jacobian = (ends[0] - ends[1]).T / (2 * _STEP)
        own = np.sqrt(np.einsum("ij,jk,ik->i", jacobian, covariance, jacobian))
        centre = np.arctanh(law.to_natural(alpha)[inside])
        low[inside], high[inside] = (np.tanh(e) for e in normal_interval(centre, own, systems))
    return low, high


def intervals(problem: Problem, estimate: xr.Dataset) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the ends of the 95 % intervals of ``law`` and ``noise``, in natural values.

    An end that the data do not determine is 0 or infinite.

    Parameters
    ----------
    problem : Problem
    estimate : Dataset
        From :func:`popinv.inference.result.estimate_dataset`.
    """
    alpha, gamma = parameters_of(estimate)
    covariance, d_alpha = estimate["covariance"].values, problem.d_alpha
    systems = len(problem.data)
    law = list(law_interval(problem.law, alpha, covariance[:d_alpha, :d_alpha], systems))
    noise = noise_interval(problem.noise, gamma, covariance[d_alpha:, d_alpha:], systems)
    if "ends" in estimate:
        # Only positive parameters have their own ends, and exp maps these to natural values.
        for ends, first in ((law, 0), (noise, d_alpha)):
            own = estimate["ends"].values[first : first + len(ends[0])]
            for side in range(2):
                known = ~np.isnan(own[:, side])
                ends[side][known] = np.exp(own[known, side])
    return {"law": (law[0], law[1]), "noise": (noise[0], noise[1])}


def boundaries(estimate: xr.Dataset) -> dict[int, str]:
    """Return the entries of p that lie at their boundary, "zero" or "infinity"."""
    if "ends" not in estimate:
        return {}
    return {int(i): where for i, where in json.loads(estimate["ends"].attrs["boundary"]).items()}
