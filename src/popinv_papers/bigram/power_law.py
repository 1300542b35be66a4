r"""Zipf's law: frequencies are a negative power of the rank.

.. math:: \pi_k = k^{-a} / H_{d,a}, \qquad H_{d,a} = \sum_{k \le d} k^{-a}.

Under Assumption 2.3 of Kunstner and Bach (arXiv 2505.19227) the sorted conditional frequencies of
every context follow the same law.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from popinv.errors import ConfigError


def check_power_law(size: int, exponent: float) -> None:
    """Raise ConfigError unless there are at least two symbols and the exponent is positive."""
    if size < 2 or size != int(size):
        raise ConfigError(f"the size is {size}, must be a whole number of at least 2")
    if not (np.isfinite(exponent) and exponent > 0):
        raise ConfigError(f"the exponent is {exponent}, must be positive")


@lru_cache(maxsize=4)
def powers(size: int, exponent: float) -> np.ndarray:
    """Return k^-a for k = 1, ..., d, shape (d,); read-only, as it is cached."""
    values = np.arange(1, size + 1, dtype=float) ** -exponent
    values.flags.writeable = False
    return values


def harmonic(size: int, exponent: float) -> float:
    """Return H_{d,a}, the sum of k^-a over k = 1, ..., d."""
    return float(powers(size, exponent).sum())


def frequencies(size: int, exponent: float) -> np.ndarray:
    """Return pi_k of Zipf's law, shape (d,)."""
    return powers(size, exponent) / harmonic(size, exponent)


_FEWEST = 10


def fitted_exponent(counts: np.ndarray) -> tuple[float, float]:
    r"""Return the exponent of Zipf's law fitted to counts, and the root mean square misfit.

    The fit is a least-squares fit of log(count) on log(rank) with weights 1/rank, so that each
    decade of ranks has the same weight and the many rare symbols do not dominate. The misfit is in
    units of the natural logarithm, with the same weights. The counts have any order. Symbols that
    occur less than ten times are left out, as their counts are mostly noise.

    Raises
    ------
    ConfigError
        If fewer than three symbols are left.
    """
    kept = np.sort(counts[counts >= _FEWEST])[::-1].astype(float)
    if len(kept) < 3:
        raise ConfigError(
            f"{len(kept)} symbols occur {_FEWEST} times or more; a power law needs at least 3"
        )
    rank = np.arange(1, len(kept) + 1)
    x, y, weight = np.log(rank), np.log(kept), 1.0 / rank
    weight /= weight.sum()
    x_mean, y_mean = weight @ x, weight @ y
    slope = weight @ ((x - x_mean) * (y - y_mean)) / (weight @ (x - x_mean) ** 2)
    residual = y - y_mean - slope * (x - x_mean)
    return float(-slope), float(np.sqrt(weight @ residual**2))
