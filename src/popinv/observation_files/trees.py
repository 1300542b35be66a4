"""The members of a group, such as the specimens of a batch, and their occasions.

All groups of a study have the tree of the widest ones: each node has as many children as the widest
node of its rank has in any group. A smaller group has members that are absent, which have no
observations.

Two levels may be crossed, such as plates and samples: each member belongs to a node of either, and
neither is within the other. Members that share a node are then in one group, and a group is a
connected part of the table.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import xarray as xr

_KEY = "level_tree"


@dataclass(frozen=True)
class LevelColumns:
    """Columns that name the levels of a study.

    Attributes
    ----------
    names : tuple of str
        From outer to inner.
    crossed : tuple of str
        Two of them, one after the other, neither of which is within the other; or none.
    """

    names: tuple[str, ...] = ()
    crossed: tuple[str, ...] = ()

    def around(self, level: int) -> list[int]:
        """Return the levels within whose nodes the labels of a level count."""
        outer = self.names[:level]
        if self.names[level] in self.crossed:
            outer = tuple(name for name in outer if name not in self.crossed)
        return [self.names.index(name) for name in outer]

    def groups(self, codes: np.ndarray) -> np.ndarray:
        """Return the group (n,) of members whose labels have these codes (n, L).

        Groups are numbered in the order in which they come up.
        """
        group = codes[:, 0]
        if self.names[0] not in self.crossed:
            return group
        # A group takes the smallest number of any member that shares a label, until none changes.
        while True:
            before = group
            for label in codes[:, :2].T:
                group = pd.Series(group).groupby(label).transform("min").to_numpy()
            if np.array_equal(group, before):
                return pd.factorize(group)[0]


NO_LEVELS = LevelColumns()


@dataclass(frozen=True)
class MemberTree:
    """The tree of a group.

    Attributes
    ----------
    levels : tuple of str
        Names of the levels, from outer to inner. The whole group is the one node of the first,
        unless this is crossed with the second.
    nodes : tuple of tuples of int
        For each level, the node of each member, from 0.
    """

    levels: tuple[str, ...]
    nodes: tuple[tuple[int, ...], ...]

    @classmethod
    def of_one(cls, levels: tuple[str, ...]) -> MemberTree:
        """Return the tree of one member."""
        return cls(levels, ((0,),) * len(levels))

    @classmethod
    def regular(cls, levels: tuple[str, ...], children: Sequence[int]) -> MemberTree:
        """Return the tree in which each node has as many children as its level states.

        Parameters
        ----------
        children : sequence of int
            Number of children of a node, for each level after the first.

        Examples
        --------
        >>> MemberTree.regular(("batch", "specimen", "occasion"), [2, 2]).nodes
        ((0, 0, 0, 0), (0, 0, 1, 1), (0, 1, 2, 3))
        """
        members, nodes = math.prod(children), [1]
        for each in children:
            nodes.append(nodes[-1] * each)
        return cls(levels, tuple(tuple(m * n // members for m in range(members)) for n in nodes))

    @property
    def members(self) -> int:
        """M, the number of members."""
        return len(self.nodes[0])

    @cached_property
    def paths(self) -> np.ndarray:
        """The rank of each member's node among the children of its parent, (M, L), if nested.

        Examples
        --------
        >>> MemberTree.regular(("site", "sample", "occasion"), [2, 2]).paths.tolist()
        [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]]
        """
        own = np.array(self.nodes)
        parents = np.concatenate([np.zeros_like(own[:1]), own[:-1]])
        first = [
            pd.Series(nodes).groupby(parent).transform("min").to_numpy()
            for nodes, parent in zip(own, parents, strict=True)
        ]
        return np.asarray((own - np.array(first)).T)

    @cached_property
    def nested(self) -> bool:
        """Whether each node is within one node of every level before; not if levels are crossed."""
        for k, inner in enumerate(self.nodes):
            for outer in self.nodes[:k]:
                if len(set(zip(outer, inner, strict=True))) > len(set(inner)):
                    return False
        return True

    def units(self, present: np.ndarray) -> int:
        """Return the number of independent units of groups whose members are present (n, M).

        It is the fewest nodes of a level in all groups together. Nested levels have the fewest at
        the outermost one, and these are the groups. Crossed levels may join all members into one
        group, whose labels are the units.
        """
        return min(sum(len(set(np.array(own)[row])) for row in present) for own in self.nodes)

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
    labels: np.ndarray, columns: LevelColumns, tree: MemberTree | None = None
) -> tuple[MemberTree, np.ndarray, np.ndarray]:
    """Return the tree of groups, and the place of each member in it.

    Children of a node stand in the order of their number of members, the most first, and children
    with equally many in the order in which their labels come up. Members with the same labels in
    different groups then have the same places, as far as this goes.

    Parameters
    ----------
    labels : ndarray of str, shape (n, L)
        The labels of each member, from the outer level to the inner one. All rows differ.
    columns : LevelColumns
        The L levels.
    tree : MemberTree, optional
        A tree that there is, of nested levels, in which the groups are placed.

    Returns
    -------
    tree : MemberTree
    group, place : ndarray of int, shape (n,)
        Groups in the order in which they come up. The place is -1 if the tree does not have it.

    Examples
    --------
    >>> labels = np.array([["a", "1"], ["b", "1"], ["b", "2"]])
    >>> tree, group, place = tree_of_labels(labels, LevelColumns(("g", "m")))
    >>> tree.nodes, group.tolist(), place.tolist()
    (((0, 0), (0, 1)), [0, 1, 1], [0, 0, 1])
    >>> tree, group, place = tree_of_labels(labels, LevelColumns(("g", "m"), ("g", "m")))
    >>> tree.nodes, group.tolist(), place.tolist()
    (((0, 0, 1), (0, 1, 0)), [0, 0, 0], [2, 0, 1])
    """
    count = labels.shape[1]
    codes = np.column_stack([pd.factorize(column)[0] for column in labels.T])
    group = columns.groups(codes)
    # The rank of each member's node among the children of its parent, at each level.
    ranks = np.zeros_like(codes)
    for level in range(count):
        around = pd.DataFrame(np.column_stack([group, codes[:, columns.around(level)]]))
        parents = around.groupby(list(around.columns), sort=False).ngroup()
        frame = pd.DataFrame({"parent": parents, "code": codes[:, level]})
        sizes = frame.groupby(["parent", "code"]).size().rename("size").reset_index()
        sizes = sizes.sort_values(["parent", "size", "code"], ascending=[True, False, True])
        sizes["rank"] = sizes.groupby("parent").cumcount()
        ranks[:, level] = frame.merge(sizes, how="left", on=["parent", "code"])["rank"]
    if tree is not None:
        same = (tree.paths == ranks[:, None]).all(axis=2)
        return tree, group, np.where(same.any(axis=1), same.argmax(axis=1), -1)
    paths = np.unique(ranks, axis=0)
    own = [[*columns.around(k), k] for k in range(count)]
    nodes = [np.unique(paths[:, each], axis=0, return_inverse=True)[1] for each in own]
    place = np.array([np.flatnonzero((paths == row).all(axis=1))[0] for row in ranks])
    tree = MemberTree(columns.names, tuple(tuple(map(int, each.reshape(-1))) for each in nodes))
    return tree, group, place
