"""The members of a group: each calls the same simulator, with known quantities of its own.

A group with M members is one system (:mod:`popinv.population.laws.levels`). Its inputs are the
parameters of all members, then the design of all members, one member after the other. Its
observations come from all members. A member that is absent has no observations, and inputs that
nothing depends on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr

from popinv.errors import DataError
from popinv.forward.tangents import linearised
from popinv.observation_files.trees import tree_of
from popinv.population.known import Known, known_of
from popinv.population.laws.base import Law
from popinv.population.laws.levels import LevelLaw

Simulate = Callable[[torch.Tensor], torch.Tensor]


class _OfMembers:
    """G of each member: Tensor (n, M (d_z + k)) to Tensor (n, M d_y)."""

    def __init__(self, simulate: Any, members: int, d_z: int) -> None:
        self._simulate, self._members, self._d_z = simulate, members, d_z

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self._simulate(self._apart(z))
        return y.reshape(len(z), -1)

    @property
    def of_one(self) -> Simulate:
        """G of one member: Tensor (n, d_z + k) to Tensor (n, d_y)."""
        simulate: Simulate = self._simulate
        return simulate

    @property
    def exact(self) -> bool:
        """Whether the simulator is the forward model itself."""
        return bool(getattr(self._simulate, "exact", False))

    @property
    def differentiable(self) -> bool:
        """Whether the simulator has derivatives."""
        return bool(getattr(self._simulate, "differentiable", True))

    def linearise(
        self, z: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return y for z and its derivatives along tangents (k, n, ...).

        A member depends on its own inputs alone. With more tangents than one member has parameters,
        the derivatives are those in these parameters, combined, so that the solves do not grow with
        the square of the number of members.
        """
        own = getattr(self._simulate, "linearise", None)
        of_one = partial(linearised, self._simulate) if own is None else own
        rows, moves = self._apart(z), self._apart(tangents)
        # The design does not move.
        d_z, moved = self._d_z, bool((moves[..., self._d_z :] != 0).any())
        if len(moves) <= d_z or moved:
            y, change = of_one(rows, moves)
        else:
            units = torch.eye(d_z, rows.shape[1], dtype=z.dtype)[:, None]
            y, slopes = of_one(rows, units.expand(-1, *rows.shape))
            change = torch.einsum("dnj,knd->knj", slopes, moves[..., :d_z].to(slopes.dtype))
        return y.reshape(len(z), -1), change.reshape(len(change), len(z), -1)

    def _apart(self, z: torch.Tensor) -> torch.Tensor:
        """Return the inputs (..., n M, d_z + k) of each member."""
        split = self._members * self._d_z
        parts = [z[..., :split], z[..., split:]]
        each = [x.reshape(*x.shape[:-1], self._members, -1) for x in parts if x.shape[-1]]
        return torch.cat(each, dim=-1).flatten(-3, -2)


def member_simulator(simulate: Simulate, members: int, d_z: int) -> Simulate:
    """Return the simulator of groups; one member returns the simulator unchanged.

    Parameters
    ----------
    simulate : callable
        G of one member.
    members, d_z : int
        M, and the number of parameters of one member.
    """
    return simulate if members == 1 else _OfMembers(simulate, members, d_z)


def law_and_members(law: Law, observations: xr.Dataset) -> tuple[Law, int]:
    """Return the law of the observed systems for a law of one member, and how many members.

    Raises
    ------
    DataError
        If the law has other levels than the groups.
    """
    tree = tree_of(observations)
    levels = law.tree.levels if isinstance(law, LevelLaw) else ()
    if tree is None and not levels:
        return law, 1
    if tree is None or not isinstance(law, LevelLaw) or levels != tree.levels:
        has = "no levels" if tree is None else f"the levels {', '.join(tree.levels)}"
        wants = f"the levels {', '.join(levels)}" if levels else "none"
        raise DataError(
            f"the observations have {has}, and the law has {wants}; read the observations again "
            "with the study's 'law.levels'"
        )
    return law.of_groups(tree), tree.members


def known_of_members(observations: xr.Dataset) -> Known:
    """Return design and covariates of each member that was observed, or else of each system."""
    tree = tree_of(observations)
    known = known_of(observations)
    if tree is None or not known.width:
        return known
    y = observations["y"].values
    present = ~np.isnan(y.reshape(len(y) * tree.members, -1)).all(axis=1)
    parts = (part.reshape(len(present), -1) for part in (known.design, known.covariates))
    return Known(*(part[torch.from_numpy(present)] for part in parts))
