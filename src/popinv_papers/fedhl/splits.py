"""Divisions of labelled data among clients.

Each function returns an array of row numbers for every client; together they hold every row once.
"""

from __future__ import annotations

import numpy as np

from popinv.errors import ConfigError


def homogeneous(count: int, clients: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Divide rows at random into parts of nearly equal size."""
    _enough(count, clients)
    return [np.sort(part) for part in np.array_split(rng.permutation(count), clients)]


def dirichlet(
    labels: np.ndarray, clients: int, concentration: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Divide each class by shares from a symmetric Dirichlet law.

    The smaller the concentration, the fewer clients hold most of a class. A client without rows
    gets one from the client that then has most.

    Parameters
    ----------
    labels : ndarray of shape (count,)
    concentration : float
        Positive; infinity divides every class equally.

    Raises
    ------
    ConfigError
        If the concentration is not positive, or there are fewer rows than clients.
    """
    _enough(len(labels), clients)
    if not concentration > 0:
        raise ConfigError(f"concentration is {concentration}, must be positive")
    if np.isinf(concentration):
        return homogeneous(len(labels), clients, rng)
    parts: list[list[int]] = [[] for _ in range(clients)]
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        shares = rng.dirichlet(np.full(clients, concentration))
        if not np.isfinite(shares).all():
            # If the concentration is so small that all shares round to zero, one client gets the
            # class.
            shares = np.eye(clients)[rng.integers(clients)]
        cuts = np.round(np.cumsum(shares)[:-1] * len(rows)).astype(int)
        for part, piece in zip(parts, np.split(rows, cuts), strict=True):
            part.extend(piece)
    for part in parts:
        if not part:
            part.append(max(parts, key=len).pop())
    return [np.sort(np.array(part, dtype=int)) for part in parts]


def site_wise(sites: np.ndarray) -> list[np.ndarray]:
    """Divide rows by their site, with sites in increasing order."""
    return [np.flatnonzero(sites == site) for site in np.unique(sites)]


def _enough(count: int, clients: int) -> None:
    if not 1 <= clients <= count:
        raise ConfigError(f"{clients} clients, must be from 1 to the number of rows, {count}")
