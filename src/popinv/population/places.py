r"""Systems that are observed at few of the places, or times, at which any system is observed.

The observations of N systems are stored at the union of all places, with gaps. Where no system has
half of these d places, inference treats m observations of each system, with m the largest number of
any system: y_n has the entries ``e_n`` (m,) of the union, and

.. math:: y_n = G(z_n)[e_n] + \xi_n, \qquad \operatorname{Cov} \xi_n = \Gamma[e_n, e_n].

A system with fewer observations is filled up with other places of the union, at which it has gaps.

The places are known quantities of a system. The places are the last columns of the design, for the
simulator, and the last covariates, for the noise (:mod:`popinv.population.known`). So simulated
systems take their places from observed ones, and systems with the same places and other known
quantities have the same moments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from popinv.late import torch
from popinv.population.known import Known

Simulate = Callable[["torch.Tensor"], "torch.Tensor"]


def own_places(present: np.ndarray) -> np.ndarray | None:
    """Return the places (N, m) of systems that observe some of d; None if any has half of them.

    Parameters
    ----------
    present : ndarray of bool, shape (N, R, d)
        Which entries of each replicate were observed. The replicates of a system share its places.

    Returns
    -------
    ndarray of int
        In increasing order, all different.
    """
    seen = present.any(axis=1)
    most = max(1, int(seen.sum(axis=1).max()))
    if 2 * most >= seen.shape[1]:
        return None
    return np.sort(np.argsort(~seen, axis=1, kind="stable")[:, :most], axis=1)


def at_places(rows: np.ndarray, places: np.ndarray, replicates: int) -> np.ndarray:
    """Return the entries (N, R m) at places (N, m) of rows (N, R d), replicate by replicate."""
    each = rows.reshape(len(rows), replicates, -1)
    return np.take_along_axis(each, places[:, None], axis=2).reshape(len(rows), -1)


def known_with_places(known: Known, places: np.ndarray) -> Known:
    """Return known quantities of systems with their places."""
    own = torch.from_numpy(places.astype(float))
    both = (torch.cat([part, own], dim=1) for part in (known.design, known.covariates))
    return Known(*both)


class _AtPlaces:
    """A simulator of all places, of which each row has some: Tensor (n, inputs + m) to (n, m).

    It has the derivatives of that simulator.
    """

    def __init__(self, simulate: Any, count: int) -> None:
        self._simulate, self._count = simulate, count

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self._simulate(z[:, : -self._count])
        return values.gather(1, self._places(z))

    @property
    def in_double(self) -> Callable[[], Any]:
        """The same simulator of all places in double precision, if it has one."""
        found: Callable[[], Any] = self._simulate.in_double
        return found

    @property
    def differentiable(self) -> bool:
        """Whether the simulator has derivatives."""
        return bool(getattr(self._simulate, "differentiable", True))

    @property
    def linearise(self) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
        """The function of z (n, ...) and tangents (k, n, ...), if the simulator has one."""
        whole = self._simulate.linearise

        def along(z: torch.Tensor, tangents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            places = self._places(z)
            y, change = whole(z[:, : -self._count], tangents[..., : -self._count])
            return y.gather(1, places), change.gather(2, places.expand(len(change), -1, -1))

        return along

    def _places(self, z: torch.Tensor) -> torch.Tensor:
        return z[:, -self._count :].long()


def simulator_at_places(simulate: Simulate, count: int) -> Simulate:
    """Return the simulator of m places of each row, which follow its inputs: (n, inputs + m).

    A count of zero returns the simulator unchanged.
    """
    if not count:
        return simulate
    own = getattr(simulate, "at_places", None)
    return _AtPlaces(simulate, count) if own is None else own(count)
