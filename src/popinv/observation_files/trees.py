"""The members of a group, such as the specimens of a batch, and their occasions.

All groups of a study have the tree of the widest ones: each node has as many children as the widest
node of its rank has in any group. A smaller group has members that are absent, which have no
observations.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import xarray as xr

_KEY = "level_tree"


@dataclass(frozen=True)
class MemberTree:
    """The tree of a group.

    Attributes
    ----------
    levels : tuple of str
        Names of the levels, from outer to inner. The whole group is the one node of the first.
    nodes : tuple of tuples of int
        For each level, the node of each member, from 0.
    """

    levels: tuple[str, ...]
    nodes: tuple[tuple[int, ...], ...]

    @classmethod
    def of_one(cls, levels: tuple[str, ...]) -> MemberTree:
        """Return the tree of one member."""
        return cls(levels, ((0,),) * len(levels))

    @property
    def members(self) -> int:
        """M, the number of members."""
        return len(self.nodes[0])

    def block(self, most: int) -> MemberTree | None:
        """Return a tree of up to ``most`` members whose copies make up the tree, if there is one.

        At each level some of its nodes have the same parent, so that effects of levels are told
        apart. The last copy for a tree of two levels may have members that the tree lacks.
        """
        nodes = np.array(self.nodes)
        for size in range(min(most, self.members - 1), 1, -1):
            if self.members % size:
                continue
            if len(nodes) == 2 and 2 * size < most:
                break
            blocks = nodes.reshape(len(nodes), -1, size)
            # Numbers of nodes count from the first of the block.
            blocks = blocks - blocks[:, :, :1]
            counts = blocks[:, 0].max(axis=1) + 1
            if (blocks == blocks[:, :1]).all() and (np.diff(counts) > 0).all():
                own = tuple(tuple(map(int, each)) for each in blocks[:, 0])
                return MemberTree(self.levels, own)
        if len(nodes) != 2 or most >= self.members:
            return None
        size = -(-self.members // -(-self.members // most))
        return MemberTree(self.levels, ((0,) * size, tuple(range(size))))

    def attributes(self) -> dict[str, str]:
        """Return the tree as attributes of a Dataset."""
        return {_KEY: json.dumps({"levels": self.levels, "nodes": self.nodes})}


def tree_of(observations: xr.Dataset) -> MemberTree | None:
    """Return the tree of the groups of a Dataset; None if systems have no members."""
    if _KEY not in observations.attrs:
        return None
    found = json.loads(observations.attrs[_KEY])
    return MemberTree(tuple(found["levels"]), tuple(map(tuple, found["nodes"])))


def tree_of_labels(
    labels: np.ndarray, levels: Sequence[str]
) -> tuple[MemberTree, np.ndarray, np.ndarray]:
    """Return the tree of groups, and the place of each member in it.

    Children of a node stand in the order of their number of members, the most first, and children
    with equally many in the order in which their labels come up. Members with the same labels in
    different groups then have the same places, as far as this goes.

    Parameters
    ----------
    labels : ndarray of str, shape (n, L)
        The labels of each member, from the outer level to the inner one. All rows differ.
    levels : sequence of str, length L
        Names of the levels.

    Returns
    -------
    tree : MemberTree
    group, place : ndarray of int, shape (n,)
        Groups in the order in which they come up.

    Examples
    --------
    >>> tree, group, place = tree_of_labels(np.array([["a", "1"], ["b", "1"], ["b", "2"]]), "gm")
    >>> tree.nodes, group.tolist(), place.tolist()
    (((0, 0), (0, 1)), [0, 1, 1], [0, 0, 1])
    """
    count = labels.shape[1]
    codes = np.column_stack([pd.factorize(column)[0] for column in labels.T])
    # The rank of each member's node among the children of its parent, at each level.
    ranks = np.zeros_like(codes)
    for level in range(1, count):
        parents = pd.DataFrame(codes[:, :level]).groupby(list(range(level)), sort=False).ngroup()
        frame = pd.DataFrame({"parent": parents, "code": codes[:, level]})
        sizes = frame.groupby(["parent", "code"]).size().rename("size").reset_index()
        sizes = sizes.sort_values(["parent", "size", "code"], ascending=[True, False, True])
        sizes["rank"] = sizes.groupby("parent").cumcount()
        ranks[:, level] = frame.merge(sizes, how="left", on=["parent", "code"])["rank"]
    paths = np.unique(ranks, axis=0)
    nodes = [np.unique(paths[:, : k + 1], axis=0, return_inverse=True)[1] for k in range(count)]
    place = np.array([np.flatnonzero((paths == row).all(axis=1))[0] for row in ranks])
    tree = MemberTree(tuple(levels), tuple(tuple(map(int, each.reshape(-1))) for each in nodes))
    return tree, codes[:, 0], place
