"""Maximum likelihood of a mixture of normal laws by expectation and maximisation (EM).

Each step is in closed form and does not lower the likelihood (Dempster, Laird and Rubin, Maximum
likelihood from incomplete data via the EM algorithm, Journal of the Royal Statistical Society B 39,
1977). The likelihood has several local maxima, so EM begins at several places.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from popinv.errors import DivergenceError
from popinv.population.laws.mixture.values import Components

_MOST_STEPS, _CLOSE = 300, 1e-9
_RANDOM_STARTS = 8
# A component that is narrower, in shares of the deviation of all systems, or that holds fewer
# systems, describes single systems.
_NARROWEST, _FEWEST = 1e-3, 2.0


def best_components(x: np.ndarray, start: Components) -> Components:
    """Return the most likely components that EM finds.

    EM begins at the start, at the groups between the quantiles of each parameter, and at random
    systems. Local maxima with components that describe single systems are left out.

    Parameters
    ----------
    x : ndarray of shape (n, d)

    Raises
    ------
    DivergenceError
        If x is not finite, if a parameter is the same in all systems, or if all maxima that are
        found are left out.
    """
    if not np.isfinite(x).all():
        raise DivergenceError("parameters outside the law's range have no likelihood")
    if not x.std(axis=0).all():
        raise DivergenceError("a parameter is the same in all systems, so it has no density")
    best, highest = None, -np.inf
    for first in (start, *_starts(x, len(start.weights))):
        found, value = improve(x, first)
        if value > highest and not _describes_single_systems(x, found):
            best, highest = found, value
    if best is None:
        raise DivergenceError(
            f"{len(x)} systems do not determine {len(start.weights)} components of a mixture"
        )
    return best


def improve(x: np.ndarray, components: Components) -> tuple[Components, float]:
    """Return components after EM, and their mean log likelihood.

    EM stops when a step raises the mean log likelihood by less than 1e-9, and after 300 steps.

    Parameters
    ----------
    x : ndarray of shape (n, d)
    """
    floor = 0.1 * _NARROWEST * x.std(axis=0)
    value = -np.inf
    for _ in range(_MOST_STEPS):
        e = (x[:, None] - components.means) / components.deviations
        each = -0.5 * (e**2 + np.log(2 * np.pi)) - np.log(components.deviations)
        with np.errstate(divide="ignore"):
            joint = np.log(components.weights) + each.sum(axis=2)
        total = logsumexp(joint, axis=1, keepdims=True)
        last, value = value, float(total.mean())
        if value - last < _CLOSE:
            break
        belongs = np.exp(joint - total)
        counts = np.maximum(belongs.sum(axis=0), np.finfo(float).tiny)
        means = belongs.T @ x / counts[:, None]
        squares = np.einsum("nk,nki->ki", belongs, (x[:, None] - means) ** 2)
        deviations = np.sqrt(squares / counts[:, None])
        components = Components(counts / counts.sum(), means, np.maximum(deviations, floor))
    return components, value


def _starts(x: np.ndarray, count: int) -> list[Components]:
    (n, d), deviation = x.shape, x.std(axis=0)
    even = np.full(count, 1 / count)
    starts = []
    for i in range(d):
        groups = np.array_split(x[np.argsort(x[:, i])], count)
        means = np.stack([group.mean(axis=0) for group in groups])
        spread = np.stack([np.maximum(group.std(axis=0), 0.1 * deviation) for group in groups])
        starts.append(Components(even, means, spread))
    rng = np.random.default_rng(0)
    for _ in range(_RANDOM_STARTS if count > 1 else 0):
        means = x[rng.choice(n, count, replace=n < count)]
        starts.append(Components(even, means, np.tile(deviation / count, (count, 1))))
    return starts


def _describes_single_systems(x: np.ndarray, found: Components) -> bool:
    narrow = (found.deviations < _NARROWEST * x.std(axis=0)).any()
    return bool(narrow or found.weights.min() * len(x) < _FEWEST)
