r"""Confidence intervals of natural values from an estimate's covariance.

Means, coefficients and correlations have intervals by Student's t, since their standard errors come
from the systems too. In linear models, Satterthwaite's formula gives the degrees of freedom of the
coefficients of the mean (:meth:`popinv.inference.estimators.restricted.Restriction.degrees`).
Elsewhere, the degrees of freedom are the systems less the q coefficients of the mean of the same
parameter (containment; Pinheiro and Bates, Mixed-Effects Models in S and S-PLUS, Springer, 2000,
section 2.4.2). Of groups with crossed levels, the labels of the level with the fewest take the
place of the systems.

A standard deviation has the interval that belongs to the sample variance of a normal sample. If s
is the standard error of its logarithm, the estimate is as good as an estimate from
:math:`n = 1 / (2 s^2)` independent numbers (Satterthwaite, Biometrics Bulletin 2, 1946), and the
ends are

.. math:: \hat\sigma \sqrt{n / \chi^2_{\nu, 0.975}}, \qquad
    \hat\sigma \sqrt{n / \chi^2_{\nu, 0.025}},

with :math:`\nu = n - q` for the law, whose mean is estimated too, and :math:`\nu = n` for the
noise. Restricted maximum likelihood loses no degree of freedom: :math:`\nu = n` throughout. Where
n is small, and for noise that is correlated, the profile of the likelihood gives the ends
(:mod:`popinv.inference.uncertainty.profile`).
"""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from scipy.special import gammaincinv, stdtrit

from popinv.inference.answer.result import parameters_of
from popinv.inference.density.problem import Problem
from popinv.population.constraints import entrywise
from popinv.population.laws.base import Law
from popinv.population.noise.terms import Noise

_STEP = 1e-5
# Fewest degrees of freedom, and the number from which the interval is normal.
_FEWEST, _MANY = 1.0, 1e6
_NORMAL = 1.96


def containment(
    systems: int, lost: np.ndarray, restricted: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return degrees of freedom and the factors by which standard errors are too small, each (n,).

    The spread of N systems about a mean with q coefficients is too small by the factor
    :math:`\sqrt{(N - q) / N}`. Restricted maximum likelihood has undone it already.

    Parameters
    ----------
    lost : ndarray of shape (n,)
        q.
    """
    degrees = np.maximum(systems - lost, _FEWEST)
    return degrees, np.ones(len(lost)) if restricted else np.sqrt(systems / degrees)


def normal_interval(
    centre: np.ndarray, errors: np.ndarray, degrees: np.ndarray, widening: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper 95 % ends in the unconstrained coordinates, each (n,).

    The standard errors come from finitely many systems and are uncertain themselves. The quantile
    is therefore Student's. ``widening`` undoes the bias of the standard errors.
    """
    half = stdtrit(degrees, 0.975) * widening * errors
    return centre - half, centre + half


def deviation_interval(
    centre: np.ndarray, errors: np.ndarray, lost: np.ndarray | int
) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper 95 % ends of the logarithms of standard deviations, each (n,).

    Parameters
    ----------
    centre, errors : ndarray of shape (n,)
        Logarithms of the estimates, and their standard errors.
    lost : ndarray of shape (n,), or int
        Degrees of freedom lost by the estimate of the mean.
    """
    numbers = 1 / (2 * np.maximum(errors, 1 / np.sqrt(2 * _MANY)) ** 2)
    enough = np.maximum(numbers, lost + _FEWEST)
    half = (enough - lost) / 2
    ends = (centre + 0.5 * np.log(enough / (2 * gammaincinv(half, q))) for q in (0.975, 0.025))
    # An error too large for any sample does not narrow the interval.
    wide, normal = numbers < enough, _NORMAL * errors
    low, high = (np.where(errors > 0, end, centre) for end in ends)
    low = np.where(wide, np.minimum(low, centre - normal), low)
    return low, np.where(wide, np.maximum(high, centre + normal), high)


def noise_interval(
    noise: Noise,
    gamma: np.ndarray,
    covariance: np.ndarray,
    systems: int,
    restricted: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper 95 % ends for the noise's natural values, each (n,).

    Standard deviations have :func:`deviation_interval`. The others have :func:`normal_interval` in
    the logarithm of each positive value and in atanh of each correlation. An unrestricted
    covariance has other coordinates, whose errors are propagated to these.

    Parameters
    ----------
    gamma : ndarray of shape (n,)
        The estimate.
    covariance : ndarray of shape (n, n)
        Covariance of gamma.
    restricted : bool
        Whether the estimate is by restricted maximum likelihood.
    """

    def mapped(values: np.ndarray) -> np.ndarray:
        return noise.unbounded(noise.to_natural(values))

    shifts = _STEP * np.eye(len(gamma))
    jacobian = (mapped(gamma + shifts) - mapped(gamma - shifts)).T / (2 * _STEP)
    errors = np.sqrt(np.einsum("ij,jk,ik->i", jacobian, covariance, jacobian))
    centre = mapped(gamma)
    one = np.ones(len(gamma))
    low, high = normal_interval(centre, errors, *containment(systems, one, restricted))
    sized = noise.sizes
    low[sized], high[sized] = deviation_interval(centre[sized], errors[sized], 0)
    return noise.bounded(low), noise.bounded(high)


def law_interval(
    law: Law,
    alpha: np.ndarray,
    covariance: np.ndarray,
    systems: int,
    restricted: bool = False,
    small_sample: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper 95 % ends for the law's natural values, each (d_alpha,).

    Standard deviations have :func:`deviation_interval`. The others have :func:`normal_interval` in
    alpha, but correlations in their atanh, to which the errors of alpha are propagated.

    Parameters
    ----------
    alpha : ndarray of shape (d_alpha,)
        The estimate.
    covariance : ndarray of shape (d_alpha, d_alpha)
        Covariance of alpha.
    restricted : bool
        Whether the estimate is by restricted maximum likelihood.
    small_sample : ndarray of shape (2, d_alpha), optional
        Degrees of freedom and widening of the coefficients of the mean; NaN for containment.
    """
    errors, lost = np.sqrt(np.diag(covariance)), law.mean_counts
    small = np.stack(containment(systems, lost, restricted))
    if small_sample is not None:
        small = np.where(np.isnan(small_sample), small, small_sample)
    low, high = normal_interval(alpha, errors, *small)
    lost = np.zeros(len(alpha)) if restricted else lost
    sized = np.array(law.positive) & [name.endswith("standard_deviation") for name in law.names]
    low[sized], high[sized] = deviation_interval(alpha[sized], errors[sized], lost[sized])
    low, high = law.to_natural(low), law.to_natural(high)
    inside = law.correlations
    if inside.any():
        shifts = _STEP * np.eye(len(alpha))
        ends = [np.arctanh(law.to_natural(alpha + sign * shifts)[:, inside]) for sign in (1, -1)]
        jacobian = (ends[0] - ends[1]).T / (2 * _STEP)
        own = np.sqrt(np.einsum("ij,jk,ik->i", jacobian, covariance, jacobian))
        centre = np.arctanh(law.to_natural(alpha)[inside])
        low[inside], high[inside] = (
            np.tanh(e) for e in normal_interval(centre, own, *small[:, inside])
        )
    return low, high


def intervals(problem: Problem, estimate: xr.Dataset) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the ends of the 95 % intervals of ``law`` and ``noise``, in natural values.

    An end that the data do not determine is that of the parameter's domain, such as 0 or infinity.

    Parameters
    ----------
    estimate : Dataset
        From :func:`popinv.inference.answer.result.estimate_dataset`.
    """
    alpha, gamma = parameters_of(estimate)
    covariance, d_alpha = estimate["covariance"].values, problem.d_alpha
    units, restricted = problem.units, "restriction" in estimate.attrs
    small = estimate["small_sample"].values[:, :d_alpha] if "small_sample" in estimate else None
    of_law, of_noise = covariance[:d_alpha, :d_alpha], covariance[d_alpha:, d_alpha:]
    law = list(law_interval(problem.law, alpha, of_law, units, restricted, small))
    noise = noise_interval(problem.noise, gamma, of_noise, units, restricted)
    if "ends" in estimate:
        parts = (law, problem.law, slice(d_alpha)), (noise, problem.noise, slice(d_alpha, None))
        for ends, family, part in parts:
            own = estimate["ends"].values[part]
            for end, values in zip(ends, own.T, strict=True):
                known = ~np.isnan(values)
                end[known] = entrywise(family.constraints, values)[known]
    return {"law": (law[0], law[1]), "noise": (noise[0], noise[1])}


def boundaries(estimate: xr.Dataset) -> dict[int, str]:
    """Return the entries of p that lie at their boundary, and the boundary in words."""
    if "ends" not in estimate:
        return {}
    return {int(i): where for i, where in json.loads(estimate["ends"].attrs["boundary"]).items()}


def settled(estimate: xr.Dataset) -> tuple[int, ...]:
    """Return the positive entries of p near zero whose interval has an upper end.

    The data determine this number, though not its logarithm.
    """
    if "ends" not in estimate:
        return ()
    ends = estimate["ends"].values
    return tuple(np.flatnonzero(np.isneginf(ends[:, 0]) & np.isfinite(ends[:, 1])).tolist())
