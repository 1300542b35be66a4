r"""The effects of levels, node by node, under a normal density that has the form of the tree.

The parameters of member j before their transform are affine in the effects of the nodes above it,

.. math:: x_j = m_j + \sum_l F_l^T \omega_{l, \nu_l(j)} .

If log p(y_j | x_j) is quadratic about some point, with information W_j, then all omega of a group
are jointly normal with the precision

.. math:: H = I + \sum_j F_{(j)} W_j F_{(j)}^T ,

in which a node is linked with its ancestors and its descendants alone. Elimination from the
innermost level outwards factorises H at a cost that is linear in the members. Given its ancestors
a, node s has the precision :math:`K_s = L_s L_s^T` and the mean
:math:`c_s + B_s (\omega_a - c_a)` with :math:`B_s = -K_s^{-1} K_{sa}`, and its ancestors get
:math:`K_{aa} - K_{as} K_s^{-1} K_{sa}` (a Cholesky factorisation without fill-in; George and Liu,
Computer Solution of Large Sparse Positive Definite Systems, Prentice-Hall, 1981).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from popinv.late import torch
from popinv.observation_files.trees import MemberTree


@dataclass(frozen=True)
class EffectNodes:
    """The nodes of some groups, without members that are absent.

    Attributes
    ----------
    count : int
        n, the number of groups.
    sizes : tuple of int
        d_l, the standard normal numbers of a node of each level, from outer to inner.
    groups : list of Tensor of int, shape (nodes_l,)
        The group of each node of each level.
    places : list of Tensor of int, shape (nodes_l,)
        The number of each node in the tree.
    parents : list of Tensor of int, shape (nodes_l,)
        The node of the level before; of a node of the first level, its group.
    paths : list of Tensor of int, shape (m,)
        The node of each member at each level. The innermost nodes are the members.
    first : tuple of int
        The first number of each level among the omega of a group.
    width : int
        d_omega.
    """

    count: int
    sizes: tuple[int, ...]
    groups: list[torch.Tensor]
    places: list[torch.Tensor]
    parents: list[torch.Tensor]
    paths: list[torch.Tensor]
    first: tuple[int, ...]
    width: int

    @classmethod
    def of(cls, tree: MemberTree, sizes: Sequence[int], present: np.ndarray) -> EffectNodes:
        """Return the nodes of groups whose members are present (n, M)."""
        group, member = np.nonzero(present)
        groups, places, parents, paths = [], [], [], []
        above = group
        for nodes in tree.nodes:
            number = np.asarray(nodes)[member]
            pairs, lead, path = np.unique(
                np.column_stack([group, number]), axis=0, return_index=True, return_inverse=True
            )
            path = path.reshape(-1)
            groups.append(torch.from_numpy(pairs[:, 0]))
            places.append(torch.from_numpy(pairs[:, 1]))
            parents.append(torch.from_numpy(above[lead]))
            paths.append(torch.from_numpy(path))
            above = path
        assert len(groups[-1]) == len(member), "the innermost nodes are the members"
        counts = [size * (max(nodes) + 1) for size, nodes in zip(sizes, tree.nodes, strict=True)]
        first = (0, *np.cumsum(counts).tolist())
        return cls(
            len(present), tuple(sizes), groups, places, parents, paths, first[:-1], first[-1]
        )

    @property
    def before(self) -> list[int]:
        """Number of entries of the ancestors of a node of each level, and of a whole path."""
        return [sum(self.sizes[:level]) for level in range(len(self.sizes) + 1)]

    def columns(self, level: int) -> torch.Tensor:
        """Return where the numbers of each node stand among its group's omega, (nodes_l, d_l)."""
        start = self.first[level] + self.sizes[level] * self.places[level]
        return start[:, None] + torch.arange(self.sizes[level])

    def apart(self, omega: torch.Tensor) -> list[torch.Tensor]:
        """Return the numbers (nodes_l, ..., d_l) of each level from omega (n, ..., d_omega)."""
        found = []
        for level, group in enumerate(self.groups):
            rows, columns = omega[group], self.columns(level)
            index = columns.reshape(len(rows), *[1] * (rows.ndim - 2), -1)
            found.append(rows.gather(-1, index.expand(*rows.shape[:-1], -1)))
        return found

    def together(self, numbers: Sequence[torch.Tensor], empty: torch.Tensor) -> torch.Tensor:
        """Return omega (n, ..., d_omega); nodes that are absent have the values of ``empty``."""
        omega = empty.clone().movedim(-1, 1)
        for level, each in enumerate(numbers):
            group = self.groups[level][:, None].expand(-1, self.sizes[level])
            omega[group, self.columns(level)] = each.movedim(-1, 1)
        return omega.movedim(1, -1)

    def summed(self, values: torch.Tensor, level: int) -> torch.Tensor:
        """Return the sums over the children (nodes_l, ...) of each parent, or of each group."""
        count = self.count if level == 0 else len(self.groups[level - 1])
        return values.new_zeros((count, *values.shape[1:])).index_add_(
            0, self.parents[level], values
        )

    def of_groups(self, values: torch.Tensor, level: int) -> torch.Tensor:
        """Return the sums over the nodes (nodes_l, ...) of each group."""
        return values.new_zeros((self.count, *values.shape[1:])).index_add_(
            0, self.groups[level], values
        )

    def ancestors(self, level: int, above: int) -> torch.Tensor:
        """Return the node of an outer level, or itself, above each node of a level, (nodes_l,)."""
        at = torch.arange(len(self.groups[level]))
        for between in range(level, above, -1):
            at = self.parents[between][at]
        return at

    def on_path(self, numbers: Sequence[torch.Tensor], level: int) -> torch.Tensor:
        """Return the numbers of all ancestors of each node of a level, (nodes_l, ..., D_l).

        Numbers (nodes_k, S_0, ..., S_k, d_k) belong to all draws of the levels below.
        """
        found = [numbers[above][self.ancestors(level, above)] for above in range(level)]
        draws = found[-1].shape[1:-1]
        padded = [_padded(each, len(draws) + 2).expand(-1, *draws, -1) for each in found]
        return torch.cat(padded, dim=-1)

    def shifts(
        self, factors: Sequence[torch.Tensor], numbers: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Return the sum of the effects on each member, (m, ..., d), for any draws of numbers."""
        axes = numbers[-1].ndim
        pairs = zip(factors, numbers, self.paths, strict=True)
        each = [_padded((own @ factor)[path], axes) for factor, own, path in pairs]
        return sum(each[1:], start=each[0])


@dataclass(frozen=True)
class TreeNormal:
    """The factorised precision of the effects of groups.

    Attributes
    ----------
    nodes : EffectNodes
    factors : list of Tensor of shape (d_l, d)
        F_l.
    lower : list of Tensor of shape (nodes_l, d_l, d_l)
        L_s.
    slopes : list of Tensor of shape (nodes_l, d_l, D_l)
        B_s, with the D_l numbers of the ancestors, from outer to inner.
    """

    nodes: EffectNodes
    factors: list[torch.Tensor]
    lower: list[torch.Tensor]
    slopes: list[torch.Tensor]

    @classmethod
    def of(
        cls,
        nodes: EffectNodes,
        factors: list[torch.Tensor],
        information: torch.Tensor,
        damping: torch.Tensor | None = None,
    ) -> TreeNormal:
        """Return the factors for the members' information W (m, d, d).

        With a damping (n,), the diagonal of H grows by these shares.
        """
        whole = torch.cat(factors)
        rest = whole @ information @ whole.T
        diagonal = rest.diagonal(dim1=1, dim2=2)
        depth, before = len(factors), nodes.before
        lower, slopes = [], []
        for level in range(depth - 1, -1, -1):
            a, d = before[level], nodes.sizes[level]
            inner = rest[:, a:, a:] + torch.eye(d, dtype=rest.dtype)
            if damping is not None:
                own = torch.zeros((len(inner), d), dtype=rest.dtype).index_add_(
                    0, nodes.paths[level], diagonal[:, a : a + d]
                )
                inner = inner + (damping[nodes.groups[level], None] * (1 + own)).diag_embed()
            root, across = torch.linalg.cholesky(inner), rest[:, a:, :a]
            slope = -torch.cholesky_solve(across, root)
            lower.append(root)
            slopes.append(slope)
            if level:
                rest = nodes.summed(rest[:, :a, :a] + across.mT @ slope, level)
        return cls(nodes, factors, lower[::-1], slopes[::-1])

    @property
    def logdet(self) -> torch.Tensor:
        """Log det H of each group, (n,)."""
        total = torch.zeros(self.nodes.count, dtype=self.factors[0].dtype)
        for level, root in enumerate(self.lower):
            logs = 2 * torch.log(root.diagonal(dim1=1, dim2=2)).sum(dim=1)
            total = total + self.nodes.of_groups(logs, level)
        return total

    def solve(
        self, gradient: torch.Tensor, own: Sequence[torch.Tensor] | None = None
    ) -> list[torch.Tensor]:
        """Return ``H^{-1} b`` of each level (nodes_l, k, d_l).

        Parameters
        ----------
        gradient : Tensor of shape (m, k, d)
            The part of b that comes from the members' x.
        own : sequence of Tensor of shape (nodes_l, k, d_l), optional
            A further part for each node.
        """
        nodes, before = self.nodes, self.nodes.before
        rest, right = gradient @ torch.cat(self.factors).T, []
        for level in range(len(self.lower) - 1, -1, -1):
            a = before[level]
            inner = rest[..., a:] if own is None else rest[..., a:] + own[level]
            right.append(torch.cholesky_solve(inner.mT, self.lower[level]).mT)
            if level:
                rest = nodes.summed(rest[..., :a] + inner @ self.slopes[level], level)
        found: list[torch.Tensor] = []
        for level, value in enumerate(right[::-1]):
            if level:
                value = value + nodes.on_path(found, level) @ self.slopes[level].mT
            found.append(value)
        return found

    def covariances(self) -> list[torch.Tensor]:
        """Return the covariance of each node and its ancestors, (nodes_l, D, D), at each level."""
        found: list[torch.Tensor] = []
        for level, (root, slope) in enumerate(zip(self.lower, self.slopes, strict=True)):
            own = torch.cholesky_inverse(root)
            if level:
                above = found[-1][self.nodes.parents[level]]
                across = slope @ above
                own = own + across @ slope.mT
                top = torch.cat([above, across.mT], dim=2)
                own = torch.cat([top, torch.cat([across, own], dim=2)], dim=1)
            found.append(own)
        return found

    def draw(
        self, level: int, centre: Sequence[torch.Tensor], above: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Return the means (nodes_l, ..., d_l) of a level's nodes given draws of their ancestors.

        Parameters
        ----------
        centre : sequence of Tensor of shape (nodes_l, d_l)
            The mean of all nodes.
        above : sequence of Tensor of shape (nodes_k, ..., d_k)
            Draws of the levels before.
        """
        own = centre[level]
        if not level:
            return own
        drawn, middle = self.nodes.on_path(above, level), self.nodes.on_path(centre, level)
        moved = drawn - _padded(middle, drawn.ndim)
        flat = moved.flatten(1, -2) @ self.slopes[level].mT
        return _padded(own, drawn.ndim) + flat.reshape(*moved.shape[:-1], -1)


def _padded(values: torch.Tensor, axes: int) -> torch.Tensor:
    """Return values (nodes, ..., d) with further axes of length 1 before the last one."""
    return values.reshape(*values.shape[:-1], *[1] * (axes - values.ndim), values.shape[-1])
