r"""Secure aggregation: masks that hide each site's message and cancel in the sum.

Numbers are rounded to multiples of 2^-24 and counted modulo 2^64. Each pair of sites s < t shares a
key, from which both draw the same mask, uniform on all residues. Site s adds it and site t
subtracts it. The sum of all messages is exact, and every proper subset of them is uniform (Bonawitz
et al., Practical secure aggregation for privacy-preserving machine learning, CCS 2017).

The keys would come from a key agreement of the sites; here they follow from a seed. Sites that drop
out are not treated: all sites answer in each round.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from popinv.errors import DivergenceError
from popinv.seeds import generator

RESOLUTION = 2.0**-24
# Sums must stay below this, in units of the resolution.
_LARGEST = 2.0**62


def encoded(numbers: np.ndarray, sites: int) -> np.ndarray:
    """Return numbers as residues modulo 2^64, shape (n,).

    Raises
    ------
    DivergenceError
        If a number is so large, or not finite, that the sum of ``sites`` messages may overflow.
    """
    whole = np.rint(numbers / RESOLUTION)
    if not np.all(np.abs(whole) < _LARGEST / sites):
        raise DivergenceError("a message is too large for the fixed-point numbers of the masks")
    return whole.astype(np.int64).view(np.uint64)


def decoded(residues: np.ndarray) -> np.ndarray:
    """Return the numbers of residues."""
    return residues.view(np.int64).astype(float) * RESOLUTION


def masked(residues: np.ndarray, site: int, sites: int, seed: int, index: int) -> np.ndarray:
    """Return a site's message under its masks.

    Parameters
    ----------
    residues : ndarray of uint64, shape (n,)
    site, sites : int
        The number of the site, and how many there are.
    seed, index : int
        The keys' seed, and the number of the round. No round has the masks of another.
    """
    hidden = residues.copy()
    for other in range(sites):
        if other == site:
            continue
        low, high = sorted((site, other))
        rng = generator(seed, f"federated/mask/{low}/{high}", index)
        mask = rng.integers(0, 2**64, size=len(residues), dtype=np.uint64)
        hidden = hidden + mask if site == low else hidden - mask
    return hidden


def summed(messages: Sequence[np.ndarray]) -> np.ndarray:
    """Return the sum of residues modulo 2^64."""
    total = np.zeros_like(messages[0])
    for message in messages:
        total = total + message
    return total
