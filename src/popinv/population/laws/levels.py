r"""Parameters that vary at several levels: between groups, systems of a group, and occasions.

A group, such as a batch, is a tree of members, such as the occasions of its specimens. Its nodes at
level l share an effect. The parameters of member m of a group are

.. math:: z_m = t\Bigl(\mu + B c_m + \sum_l P_l\, D_l C_l\, \omega_{l, \nu_l(m)}\Bigr),

with the transform t of each parameter, the covariates :math:`c_m` of the member, its node
:math:`\nu_l(m)` at level l, the standard deviations :math:`D_l` and the Cholesky factor
:math:`C_l` of the correlations of level l, and :math:`P_l`, which puts the parameters that vary at
level l among all. All omega are independent and standard normal (a linear mixed model of z in the
transformed scale; Pinheiro and Bates, Mixed-Effects Models in S and S-PLUS, Springer, 2000,
section 2.1.2). Two levels may be crossed, such as plates and samples: neither is then within the
other (the same, section 4.2.2), and the values of cells with fewer effects than values have no
density.

A group is one system of the estimators: it has the parameters of all members, one after the other,
and their observations. The law of one member alone has a tree of one leaf.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from popinv.late import torch
from popinv.observation_files.trees import MemberTree
from popinv.population.constraints import (
    REAL,
    Constraint,
    columns_bounded,
    columns_unbounded,
)
from popinv.population.laws.base import Law
from popinv.population.laws.gaussian import GaussianLaw, normal_law
from popinv.population.laws.parameters import correlations_at, level_name


@dataclass(frozen=True)
class _Level:
    """The effects of one level.

    Attributes
    ----------
    law : GaussianLaw
        Of the effect of a node, whose mean is zero.
    entries : slice
        Its deviations and correlations among the entries of alpha.
    numbers : slice
        Its standard normal numbers among all, node by node.
    nodes : Tensor of int, shape (M,)
        The node of each member.
    put : Tensor of shape (d_l, d)
        P_l transposed.
    """

    law: GaussianLaw
    entries: slice
    numbers: slice
    nodes: torch.Tensor
    put: torch.Tensor

    def alpha(self, alpha: torch.Tensor) -> torch.Tensor:
        """Return the entries (..., k) of the law of one effect."""
        own = alpha[..., self.entries]
        means = own.new_zeros((*own.shape[:-1], len(self.put)))
        return torch.cat([means, own], dim=-1)

    def factor(self, alpha: torch.Tensor) -> torch.Tensor:
        """Return E (d_l, d_l) at one alpha: row k is the effect of the k-th number."""
        return self.law.sample(self.alpha(alpha), torch.eye(len(self.put), dtype=alpha.dtype))

    def scaled(
        self, alpha: torch.Tensor
    ) -> tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor]:
        """Return E as a function of its own entries, and these entries with unit deviations.

        The scores of standard normal numbers do not depend on the deviations.
        """
        means = alpha.new_zeros(len(self.put))
        unit = torch.eye(len(self.put), dtype=alpha.dtype)
        deviations = torch.tensor(self.law.positive[len(self.put) :])
        own = torch.where(deviations, 0.0, alpha[self.entries])
        return lambda at: self.law.sample(torch.cat([means, at]), unit), own

    def effects(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        """Return the effects on all transformed parameters of each member, (n, M, d)."""
        own, n = self.alpha(alpha), len(omega)
        numbers = omega[:, self.numbers].reshape(-1, len(self.put))
        if own.ndim == 2:
            own = own.repeat_interleave(len(numbers) // n, dim=0)
        effects = self.law.sample(own, numbers).unflatten(0, (n, self.nodes.max() + 1))
        return effects[:, self.nodes] @ self.put


class LevelLaw(Law):
    """The parameters of the members of a group, normal at each level after a transform.

    alpha holds the means and the coefficients of the covariates, and then, level by level, the
    logarithms of the standard deviations and atanh of the partial correlations.

    Parameters
    ----------
    parameters : sequence of str
        Names of the parameters of one member.
    transforms : sequence of Constraint
        The constraint of each.
    levels : mapping of str to sequence of str
        The levels from outer to inner, each with the parameters that vary at it.
    fixed : mapping of str to float
        Parameters with a known value.
    groups : sequence of sequences of str
        Groups of parameters that are correlated with each other, at each level at which they vary.
    covariates, effects
        As for :class:`~popinv.population.laws.gaussian.GaussianLaw`.
    tree : MemberTree, optional
        The members of a group; one member by default.
    """

    def __init__(
        self,
        parameters: Sequence[str],
        transforms: Sequence[Constraint],
        levels: Mapping[str, Sequence[str]],
        fixed: Mapping[str, float] | None = None,
        groups: Sequence[Sequence[str]] = (),
        covariates: Sequence[str] = (),
        effects: Sequence[tuple[str, str]] = (),
        tree: MemberTree | None = None,
    ) -> None:
        fixed = fixed or {}
        self.tree = MemberTree.of_one(tuple(levels)) if tree is None else tree
        self._arguments = (parameters, transforms, levels, fixed, groups, covariates, effects)
        members, width = self.tree.members, len(parameters)
        free = [name for name in parameters if name not in fixed]
        # Without parameters that vary, it has only the means and the coefficients.
        self._means = normal_law(
            parameters, common=free, fixed=fixed, covariates=covariates, effects=effects
        )
        names, constraints = list(self._means.names), list(self._means.constraints)
        self._levels: list[_Level] = []
        first = 0
        for (level, own), nodes in zip(levels.items(), self.tree.nodes, strict=True):
            varying = [name for name in parameters if name in own]
            law = normal_law(varying, groups=correlations_at(groups, varying))
            added = law.names[len(varying) :]
            entries = slice(len(names), len(names) + len(added))
            count = len(varying) * (max(nodes) + 1)
            put = torch.zeros((len(varying), width), dtype=torch.float64)
            put[range(len(varying)), [parameters.index(name) for name in varying]] = 1.0
            numbers = slice(first, first + count)
            self._levels.append(_Level(law, entries, numbers, torch.tensor(nodes), put))
            names += [level_name(name, level) for name in added]
            constraints += law.constraints[len(varying) :]
            first += count
        self.names, self.constraints = tuple(names), tuple(constraints)
        self.d_omega, self.d_z, self.members = first, members * width, members
        self.nested = members > 1 and self.tree.nested
        self.transforms = (*transforms,) * members
        # The value of a parameter that is held is not transformed.
        pairs = zip(parameters, transforms, strict=True)
        self._bounds = [REAL if name in fixed else each for name, each in pairs]
        self.affine = all(each == REAL for each in self._bounds)
        self.covariates = members * len(covariates)
        self.coefficients = self._means.coefficients
        self.mean_entries = self._means.mean_entries
        self._places = {i: parameters.index(name) for i, name in enumerate(free)}
        self.joint = any(level.law.joint for level in self._levels)

    @property
    def mean_counts(self) -> np.ndarray:
        """Number of coefficients of the same parameter's mean, at least 1, for each entry."""
        counts = super().mean_counts
        own = self._means.mean_counts
        counts[: len(own)] = own
        return counts

    @property
    def width(self) -> int:
        """d, the number of parameters of one member."""
        return len(self._bounds)

    def of_groups(self, tree: MemberTree) -> LevelLaw:
        """Return the same law, with the same entries, of groups with other members."""
        return LevelLaw(*self._arguments, tree=tree)

    @property
    def has_density(self) -> bool:
        """Whether each value has an effect of its own; the cells of crossed levels may lack it."""
        parameter = self._distinct[1]
        for i in np.flatnonzero(self.varying[: self.width]):
            own = [level.nodes for level in self._levels if level.put[:, i].any()]
            if len(torch.unique(torch.stack(own), dim=1).T) > parameter.count(int(i)):
                return False
        return True

    @property
    def medians(self) -> Mapping[int, int]:
        """The means of the parameters that a transform bounds, by their place in z."""
        return {entry: i for entry, i in self._places.items() if self._bounds[i] != REAL}

    @property
    def varying(self) -> np.ndarray:
        """Boolean mask (d_z,): the parameters that vary at any level."""
        each = sum(level.put.sum(dim=0) for level in self._levels)
        return np.tile(np.asarray(each) > 0, self.members)

    def sample(
        self, alpha: torch.Tensor, omega: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Map omega (n, d_omega) to z (n, M d), for groups with covariates (n, M k).

        Parameters
        ----------
        alpha : Tensor of shape (d_alpha,) or (n, d_alpha)
        omega : Tensor of shape (n, d_omega)
        covariates : Tensor of shape (n, M k), optional
            The covariates of each member, one member after the other.
        """
        x = self._transformed(alpha, omega, covariates)
        if not self.affine:
            x = columns_bounded(self._bounds, x)
        return x.flatten(1)

    def sample_given(
        self, alpha: torch.Tensor, omega: torch.Tensor, covariates: torch.Tensor
    ) -> torch.Tensor:
        """Map omega (n, d_omega) to z (n, M d) for groups with covariates (n, M k)."""
        return self.sample(alpha, omega, covariates)

    def tangents(
        self, alpha: torch.Tensor, omega: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the derivatives of z in each omega, (d_omega, n, M d), at one alpha.

        The transformed parameters are affine in omega.
        """
        x = self._transformed(alpha, omega, covariates)
        unit = torch.eye(self.d_omega, dtype=omega.dtype)
        along = torch.stack([level.effects(alpha, unit) for level in self._levels]).sum(dim=0)
        return (along[:, None] * self.member_slopes(x)).flatten(2)

    def log_density(
        self, alpha: torch.Tensor, z: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the log density of the parameters that differ, for each row of z (n, M d).

        A parameter has one value for each node of the innermost level at which it varies.
        """
        member, parameter = self._distinct
        n, every = len(z), columns_unbounded(self._bounds, z.reshape(len(z), -1, self.width))
        mean = self._mean(alpha, n, covariates)
        x = (every - mean)[:, member, parameter]
        factor = torch.linalg.cholesky(self._covariance(alpha))
        e = torch.linalg.solve_triangular(factor, x[..., None], upper=False)[..., 0]
        logdet = torch.log(torch.diagonal(factor, dim1=-2, dim2=-1)).sum(dim=-1)
        slopes = [
            self._bounds[i].log_slope(every[:, m, i])
            for m, i in zip(member, parameter, strict=True)
        ]
        normal = -0.5 * (e**2).sum(dim=1) - 0.5 * len(member) * math.log(2 * math.pi)
        return normal - logdet - torch.stack(slopes).sum(dim=0)

    def log_density_given(
        self, alpha: torch.Tensor, z: torch.Tensor, covariates: torch.Tensor
    ) -> torch.Tensor:
        """Return the log density of groups with covariates (n, M k)."""
        return self.log_density(alpha, z, covariates)

    def units(self, present: np.ndarray) -> int:
        """Return the number of groups, or of the labels of the crossed level that has fewest.

        See :meth:`popinv.observation_files.trees.MemberTree.units`.
        """
        apart = self.nested or self.members == 1
        return len(present) if apart else self.tree.units(present)

    def sizes(self) -> tuple[int, ...]:
        """Return d_l, the number of parameters that vary at each level."""
        return tuple(len(level.put) for level in self._levels)

    def effect_factors(self, alpha: torch.Tensor) -> list[torch.Tensor]:
        """Return F_l (d_l, d) of each level at alpha (d_alpha,), which maps omega to effects."""
        return [level.factor(alpha) @ level.put for level in self._levels]

    def effect_scores(self, alpha: torch.Tensor) -> list[tuple[slice, torch.Tensor]]:
        r"""Return the scores of each level's deviations and correlations, as matrices.

        With the density of the effect :math:`e = E^T \omega` of a node,

        .. math:: \partial_i \log p(e) = \omega^T N_i\, \omega - \operatorname{tr} N_i,
            \qquad N_i = (\partial_i E) E^{-1} .

        Returns
        -------
        list of (slice, Tensor of shape (k_l, d_l, d_l))
            The entries of alpha, and their N.
        """
        found = []
        for level in self._levels:
            of_own, own = level.scaled(alpha)
            derivative = torch.autograd.functional.jacobian(of_own, own).permute(2, 0, 1)
            found.append((level.entries, derivative @ torch.linalg.inv(of_own(own))))
        return found

    def member_means(self, alpha: torch.Tensor, covariates: torch.Tensor | None) -> torch.Tensor:
        """Return m_j (m, d), or (1, d) without covariates, at covariates (m, k) of members."""
        own = alpha[: len(self._means.names)]
        count = 1 if covariates is None else len(covariates)
        return self._means.sample(own, own.new_zeros((count, 0)), covariates)

    def mean_slopes(self, covariates: torch.Tensor | None) -> torch.Tensor:
        """Return the derivatives of the means in alpha, (entries, m or 1, d). They are linear."""
        count, zero = len(self.names), torch.zeros(len(self.names), dtype=torch.float64)
        entries, base = len(self._means.names), self.member_means(zero, covariates)
        units = torch.eye(count, dtype=zero.dtype)[:entries]
        return torch.stack([self.member_means(unit, covariates) - base for unit in units])

    def bounded_members(self, x: torch.Tensor) -> torch.Tensor:
        """Return the parameters of members for their transformed values x (m, d)."""
        return x if self.affine else columns_bounded(self._bounds, x)

    def member_slopes(self, x: torch.Tensor) -> torch.Tensor:
        """Return the derivative of each parameter of members in its transformed value, (m, d)."""
        columns = zip(self._bounds, x.unbind(dim=-1), strict=True)
        return torch.stack([torch.exp(each.log_slope(column)) for each, column in columns], dim=-1)

    def to_natural(self, unconstrained: np.ndarray) -> np.ndarray:
        """Return the natural values for unconstrained alpha (..., d_alpha)."""
        alpha = np.asarray(unconstrained, dtype=float)
        natural = super().to_natural(alpha)
        for level in self._levels:
            own = alpha[..., level.entries]
            whole = np.concatenate([np.zeros((*own.shape[:-1], len(level.put))), own], axis=-1)
            natural[..., level.entries] = level.law.to_natural(whole)[..., len(level.put) :]
        return natural

    def to_unconstrained(self, natural: np.ndarray) -> np.ndarray:
        """Undo :meth:`to_natural`, for values (d_alpha,).

        Raises
        ------
        ValueError
            If correlations belong to no joint law.
        """
        alpha = super().to_unconstrained(natural)
        for level in self._levels:
            whole = np.concatenate([np.zeros(len(level.put)), natural[level.entries]])
            alpha[level.entries] = level.law.to_unconstrained(whole)[len(level.put) :]
        return alpha

    def _transformed(
        self, alpha: torch.Tensor, omega: torch.Tensor, covariates: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the transformed parameters of each member, (n, M, d)."""
        x = self._mean(alpha, len(omega), covariates)
        for level in self._levels:
            x = x + level.effects(alpha, omega)
        return x

    def _mean(
        self, alpha: torch.Tensor, count: int, covariates: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the transformed means of each member (count, M or 1, d)."""
        own, members = alpha[..., : len(self._means.names)], self.members
        if covariates is None:
            nothing = own.new_zeros((count, 0))
            return self._means.sample(own, nothing)[:, None]
        if own.ndim == 2:
            own = own.repeat_interleave(members, dim=0)
        each = covariates.reshape(count * members, covariates.shape[1] // members)
        nothing = own.new_zeros((len(each), 0))
        return self._means.sample(own, nothing, each).reshape(count, members, self.width)

    @cached_property
    def _distinct(self) -> tuple[list[int], list[int]]:
        """The members and the parameters that represent all values that differ."""
        member, parameter = [], []
        for i in np.flatnonzero(self.varying[: self.width]):
            innermost = [level for level in self._levels if level.put[:, i].any()][-1]
            for first in np.unique(innermost.nodes.numpy(), return_index=True)[1]:
                member.append(int(first))
                parameter.append(int(i))
        return member, parameter

    def _covariance(self, alpha: torch.Tensor) -> torch.Tensor:
        """Return the covariance (..., V, V) of the distinct transformed values."""
        member, parameter = self._distinct
        total = alpha.new_zeros((*alpha.shape[:-1], len(member), len(member)))
        for level in self._levels:
            unit = torch.eye(len(level.put), dtype=alpha.dtype)
            own = level.alpha(alpha)
            if own.ndim == 1:
                factor = level.law.sample(own, unit)
            else:
                rows = own.repeat_interleave(len(unit), dim=0)
                factor = level.law.sample(rows, unit.repeat(len(own), 1))
                factor = factor.reshape(len(own), len(unit), -1)
            # Row k of the factor is the effect of the k-th standard normal number.
            effect = factor @ level.put
            of_one = (effect.mT @ effect)[..., parameter, :][..., parameter]
            nodes = level.nodes[member]
            total = total + of_one * (nodes[:, None] == nodes)
        return total
