r"""Simultaneous bands of curves, from simulated ones.

A curve of the data is compared with a band in which a whole curve of the model stays in 95 of 100
cases: the global envelope by directional quantiles (Myllymäki et al., J. R. Statist. Soc. B 79,
2017). One half of the simulated curves gives the median :math:`m_k` at each point and the distances
:math:`s_k^\pm` from there to the quantiles of 2.5 and 97.5 %. A curve is as extreme as its most
extreme point,

.. math:: T = \max_k |c_k - m_k| / s_k^\pm,

and the band is :math:`m_k \pm t s_k^\pm`, with t the order statistic of rank 0.95 (B + 1) of the T
of the B curves of the other half. These and the curve of the data are exchangeable if the model is
right. The probability is therefore right for any number of curves, and whether or not their points,
or what they count, are independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# A one-sided distance is at least this share of the standard deviation: counts are discrete, and
# many may be equal to their median.
_LEAST = 0.5


@dataclass(frozen=True)
class Envelope:
    """A simultaneous band: the ends at each point, each of shape (n,)."""

    low: np.ndarray
    high: np.ndarray

    def holds(self, curve: np.ndarray) -> bool:
        """Return whether a whole curve (n,) is inside."""
        # Points that are equal to an end are inside, though rounding moves them.
        room = 1e-9 * np.maximum(self.high - self.low, 1e-300)
        return bool(np.all((curve >= self.low - room) & (curve <= self.high + room)))


def envelope(curves: np.ndarray, level: float = 0.95) -> Envelope:
    """Return the band that holds whole curves with a probability of ``level``.

    Parameters
    ----------
    curves : ndarray of shape (2 B + 1, n)
        Simulated curves. With 799 or 199 curves, the rank of t is a whole number for a level of
        0.95.

    Examples
    --------
    >>> curves = np.random.default_rng(0).standard_normal((999, 20))
    >>> band = envelope(curves)
    >>> bool(np.all(band.high > 2.5))  # wider than the 1.96 of a single point
    True
    """
    first, others = np.split(curves, [(len(curves) + 1) // 2])
    low, middle, high = np.quantile(first, (0.025, 0.5, 0.975), axis=0)
    least = np.maximum(_LEAST * first.std(axis=0), 1e-300)
    down, up = np.maximum(middle - low, least), np.maximum(high - middle, least)
    away = others - middle
    extreme = (np.abs(away) / np.where(away > 0, up, down)).max(axis=1)
    rank = min(int(np.ceil(level * (len(others) + 1))), len(others))
    t = np.sort(extreme)[rank - 1]
    return Envelope(middle - t * down, middle + t * up)
