r"""Moments, quantiles and correlations of a law, with intervals, in place of its coefficients.

Some laws have coefficients without a meaning of their own
(:attr:`popinv.population.laws.base.Law.summarised`). With x the transformed parameters, the
results then state

- the skewness of each x,
- the quantiles of each parameter at 5, 25, 50, 75 and 95 %,
- the correlation of each two x.

A summary u(alpha) has the standard error ``sqrt(D C D^T)`` with D its derivative and C the
covariance of alpha (the delta method). All come from the same draws of the law. The derivative of a
quantile q of x is the mean of dx/dalpha over the draws near it (Hong, Operations Research 57,
2009),

.. math:: \frac{dq}{d\alpha} = E\Bigl[ \frac{\partial x}{\partial \alpha} \Bigm| x = q \Bigr].

Intervals are normal in the skewness, in the quantile of x, and in atanh of a correlation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popinv.inference.integrate.moments import matched_normals
from popinv.inference.uncertainty.intervals import containment, normal_interval
from popinv.late import torch
from popinv.population.laws.base import Law
from popinv.seeds import generator

_LEVELS = {
    "quantile_05": 0.05,
    "quantile_25": 0.25,
    "median": 0.5,
    "quantile_75": 0.75,
    "quantile_95": 0.95,
}
_PAIRS = 20_000
_STEP = 1e-4
# Share of the draws, on each side of a quantile, over which its derivative is averaged.
_NEAR = 0.01


@dataclass(frozen=True)
class LawSummary:
    """Summaries of a law and the ends of their 95 % intervals, each (n,).

    The ends are NaN if no covariance is given.
    """

    names: tuple[str, ...]
    values: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def summary_names(law: Law) -> tuple[str, ...]:
    """Return the names of the summaries, parameter by parameter, then pair by pair."""
    names, kinds = law.parameters, ("skewness", *_LEVELS)
    return (
        *(f"{name}_{kind}" for name in names for kind in kinds),
        *(f"{names[j]}_{names[i]}_correlation" for i in range(len(names)) for j in range(i)),
    )


def law_summary(
    law: Law, alpha: np.ndarray, covariance: np.ndarray | None = None, systems: int = 0
) -> LawSummary:
    """Return the summaries of a law at alpha.

    Parameters
    ----------
    law : Law
        It must be ``summarised``.
    alpha : ndarray of shape (d_alpha,)
    covariance : ndarray of shape (d_alpha, d_alpha), optional
        Covariance of alpha.
    systems : int
        The number of systems from which alpha is estimated.
    """
    omega = matched_normals(generator(0, "law_summary"), _PAIRS, law.d_omega)
    at = torch.from_numpy(np.array(alpha, dtype=float))

    def unbounded(shift: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return law.unbounded(law.sample(at + torch.from_numpy(shift), omega)).numpy()

    x = unbounded(np.zeros(len(alpha)))
    order = np.argsort(x, axis=0)
    places = [round(level * (len(x) - 1)) for level in _LEVELS.values()]
    centre = _coordinates(x, order, places)
    if covariance is None:
        nothing = np.full(len(centre), np.nan)
        return LawSummary(summary_names(law), _natural(law, centre), nothing, nothing)
    jacobian = np.empty((len(centre), len(alpha)))
    for i in range(len(alpha)):
        shift = np.zeros(len(alpha))
        shift[i] = _STEP
        jacobian[:, i] = _derivative(x, order, places, unbounded(shift), unbounded(-shift))
    errors = np.sqrt(np.einsum("ij,jk,ik->i", jacobian, covariance, jacobian))
    low, high = normal_interval(centre, errors, *containment(systems, np.ones(len(centre))))
    return LawSummary(summary_names(law), *(_natural(law, u) for u in (centre, low, high)))


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the skewness (d,) and atanh of the correlations (pairs,) of x (n, d)."""
    e = (x - x.mean(axis=0)) / x.std(axis=0)
    rows, columns = np.tril_indices(x.shape[1], -1)
    correlations = (e.T @ e / len(e))[rows, columns]
    return (e**3).mean(axis=0), np.arctanh(np.clip(correlations, -1 + 1e-12, 1 - 1e-12))


def _coordinates(x: np.ndarray, order: np.ndarray, places: list[int]) -> np.ndarray:
    skewness, correlations = _moments(x)
    quantiles = np.take_along_axis(x, order[places], axis=0)
    return np.concatenate([np.vstack([skewness, quantiles]).T.ravel(), correlations])


def _derivative(
    x: np.ndarray, order: np.ndarray, places: list[int], plus: np.ndarray, minus: np.ndarray
) -> np.ndarray:
    """Return the derivative of :func:`_coordinates` along one entry of alpha."""
    ends = [_moments(each) for each in (plus, minus)]
    skewness, correlations = ((a - b) / (2 * _STEP) for a, b in zip(*ends, strict=True))
    tangent, near = (plus - minus) / (2 * _STEP), round(_NEAR * len(x))
    quantiles = [
        np.take_along_axis(tangent, order[max(0, k - near) : k + near + 1], axis=0).mean(axis=0)
        for k in places
    ]
    return np.concatenate([np.vstack([skewness, *quantiles]).T.ravel(), correlations])


def _natural(law: Law, u: np.ndarray) -> np.ndarray:
    d, kinds = law.d_z, 1 + len(_LEVELS)
    each = u[: d * kinds].reshape(d, kinds).T.copy()
    each[1:] = law.bounded(torch.from_numpy(each[1:])).numpy()
    return np.concatenate([each.T.ravel(), np.tanh(u[d * kinds :])])
