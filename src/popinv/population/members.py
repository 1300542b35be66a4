"""The members of a group: each calls the same simulator, with known quantities of its own.

A group with M members is one system (:mod:`popinv.population.laws.levels`). Its inputs are the
parameters of all members, then the design of all members, one member after the other. Its
observations come from all members. A member that is absent has no observations, and inputs that
nothing depends on. The forward model is solved, and its surrogate trained, for members.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from popinv.errors import DataError
from popinv.forward.tangents import linearised
from popinv.late import torch
from popinv.observation_files.trees import tree_of
from popinv.population.known import Known, known_of
from popinv.population.laws.base import Law
from popinv.population.laws.levels import LevelLaw
from popinv.population.synthetic import parameters

Simulate = Callable[["torch.Tensor"], "torch.Tensor"]


class _OfMembers:
    """G of each member: Tensor (n, M (d_z + k)) to Tensor (n, M d_y)."""

    def __init__(self, simulate: Any, members: int, d_z: int) -> None:
        self.simulate, self._members, self._d_z = simulate, members, d_z

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.simulate(members_apart(z, self._members, self._d_z))
        return y.reshape(len(z), -1)

    @property
    def of_one(self) -> Simulate:
        """G of one member: Tensor (n, d_z + k) to Tensor (n, d_y)."""
        simulate: Simulate = self.simulate
        return simulate

    @property
    def exact(self) -> bool:
        """Whether the simulator is the forward model itself."""
        return bool(getattr(self.simulate, "exact", False))

    @property
    def differentiable(self) -> bool:
        """Whether the simulator has derivatives."""
        return bool(getattr(self.simulate, "differentiable", True))

    def linearise(
        self, z: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return y for z and its derivatives along tangents (k, n, ...).

        A member depends on its own inputs alone. With more tangents than one member has parameters,
        the derivatives are those in these parameters, combined, so that the solves do not grow with
        the square of the number of members.
        """
        own = getattr(self.simulate, "linearise", None)
        of_one = partial(linearised, self.simulate) if own is None else own
        rows, moves = (members_apart(each, self._members, self._d_z) for each in (z, tangents))
        # The design does not move.
        d_z, moved = self._d_z, bool((moves[..., self._d_z :] != 0).any())
        if len(moves) <= d_z or moved:
            y, change = of_one(rows, moves)
        else:
            units = torch.eye(d_z, rows.shape[1], dtype=z.dtype)[:, None]
            y, slopes = of_one(rows, units.expand(-1, *rows.shape))
            change = torch.einsum("dnj,knd->knj", slopes, moves[..., :d_z].to(slopes.dtype))
        return y.reshape(len(z), -1), change.reshape(len(change), len(z), -1)


def of_one_member(simulate: Simulate) -> Simulate:
    """Return the simulator of one member and one replicate for a simulator of groups."""
    while not hasattr(simulate, "predict") and hasattr(simulate, "simulate"):
        simulate = simulate.simulate
    return simulate


def of_replicates(clean: np.ndarray, replicates: int, members: int) -> np.ndarray:
    """Return noise-free observations (n, M d) of members for all replicates, (n, R d).

    Parameters
    ----------
    replicates, members : int
        R, the replicates of all members together, and M.
    """
    if replicates == members:
        return clean
    each = clean.reshape(len(clean), members, 1, -1)
    return np.tile(each, (1, 1, replicates // members, 1)).reshape(len(clean), -1)


def members_apart(z: torch.Tensor, members: int, d_z: int) -> torch.Tensor:
    """Return the inputs (..., n M, d_z + k) of each member for groups with inputs (..., n, inputs).

    Parameters
    ----------
    members, d_z : int
        M, and the number of parameters of one member.
    """
    split = members * d_z
    parts = [z[..., :split], z[..., split:]]
    each = [x.reshape(*x.shape[:-1], members, -1) for x in parts if x.shape[-1]]
    return torch.cat(each, dim=-1).flatten(-3, -2)


def members_together(z: np.ndarray, d_z: int) -> np.ndarray:
    """Return the inputs of groups (n, inputs) for members with inputs (n, M, d_z + k)."""
    count, members, inputs = z.shape
    parameters, design = z[..., :d_z], z[..., d_z:]
    sides = members * d_z, members * (inputs - d_z)
    both = zip((parameters, design), sides, strict=True)
    return np.concatenate([each.reshape(count, width) for each, width in both], axis=1)


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


def is_grouped(observations: xr.Dataset) -> bool:
    """Return whether the systems of a Dataset are groups."""
    return tree_of(observations) is not None


def observed_members(observations: xr.Dataset) -> np.ndarray:
    """Return which members of groups have an observation, a boolean mask (n, M)."""
    tree, y = tree_of(observations), observations["y"].values
    members = 1 if tree is None else tree.members
    present: np.ndarray = ~np.isnan(y.reshape(len(y), members, -1)).all(axis=2)
    return present


def known_of_members(observations: xr.Dataset) -> Known:
    """Return design and covariates of each member that was observed, or else of each system."""
    known = known_of(observations)
    if not is_grouped(observations):
        return known
    return known_apart(known, observed_members(observations))


def known_apart(known: Known, present: np.ndarray) -> Known:
    """Return what is known of the members that are present (n, M), one after the other."""
    rows, members = torch.from_numpy(np.flatnonzero(present)), present.shape[1]
    parts = (known.design, known.covariates)
    return Known(*(each.reshape(present.size, each.shape[1] // members)[rows] for each in parts))


@dataclass(frozen=True)
class DrawnMembers:
    """Members of observed groups that are drawn at random, group by group, to be solved.

    Attributes
    ----------
    system, member : ndarray of int, shape (n,)
        The observed group that each stands for, and the place in it.
    group : ndarray of int, shape (n,)
        The number of the drawn group, from 0. A group may be drawn several times.
    whole : ndarray of bool, shape (n,)
        Whether all observed members of the group were drawn. The last group may lack some.
    """

    system: np.ndarray
    member: np.ndarray
    group: np.ndarray
    whole: np.ndarray

    @classmethod
    def of(cls, observations: xr.Dataset, rng: np.random.Generator, count: int) -> DrawnMembers:
        """Return ``count`` members."""
        present = observed_members(observations)
        sizes = present.sum(axis=1)
        # Each group has a member, so that these groups suffice.
        drawn = rng.choice(np.flatnonzero(sizes), size=count)
        group, member = (each[:count] for each in np.nonzero(present[drawn]))
        whole = np.bincount(group, minlength=count) == sizes[drawn]
        return cls(drawn[group], member, group, whole[group])

    def parameters(
        self, law: Law, alpha: np.ndarray, observations: xr.Dataset, seed: int, stage: str
    ) -> np.ndarray:
        """Return inputs of the forward model (n, inputs) drawn from mu(alpha).

        Parameters
        ----------
        law : LevelLaw
            Of one member.
        seed, stage : int, str
            Address of the draws.

        Raises
        ------
        DataError
            As :func:`law_and_members`.
        """
        of_groups, members = law_and_members(law, observations)
        first = np.unique(self.group, return_index=True)[1]
        known = known_of(observations).of(self.system[first])
        z = parameters(of_groups, alpha, seed, stage, len(first), known)
        each = members_apart(torch.from_numpy(z), members, law.d_z).numpy()
        found: np.ndarray = each[self.group * members + self.member]
        return found

    @property
    def origin(self) -> dict[str, np.ndarray]:
        """The variables of :data:`popinv.forward.datasets.ORIGIN`."""
        group = np.where(self.whole, self.group, -1)
        return {"system": self.system, "member": self.member, "group": group}
