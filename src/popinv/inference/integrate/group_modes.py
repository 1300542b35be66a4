r"""Groups of members that share effects, and the posterior modes of these effects.

The members of a group are independent given all effects
(:mod:`popinv.population.laws.level_effects`), so that a step to the mode

.. math:: \omega \leftarrow \omega + H^{-1} \Bigl(\sum_j F_{(j)} J_j^T u_j - \omega\Bigr), \qquad
    W_j = J_j^T W(g_j) J_j ,

costs as much as the members. J_j is the Jacobian of the observations of member j in its transformed
parameters, u_j the slope of log p(y_j | g_j), and H has the damping of Levenberg. A member that is
absent counts nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from popinv.forward.tangents import linearised, pulled_back
from popinv.inference.density.density import AtSignal, Density, StackedDensity
from popinv.inference.density.problem import Problem, Simulate
from popinv.inference.integrate.draws import draws_of_law
from popinv.inference.integrate.modes import (
    FIRST_DAMPING,
    LESS,
    MORE,
    MOST_DAMPING,
    TOLERANCE,
)
from popinv.late import torch
from popinv.population.known import Known
from popinv.population.laws.level_effects import EffectNodes, TreeNormal
from popinv.population.laws.levels import LevelLaw


@dataclass(frozen=True)
class MemberGroups:
    """n groups at one alpha and one gamma.

    Attributes
    ----------
    problem : Problem
        Of all groups, for its law, its simulator and the address of its draws.
    alpha : Tensor of shape (d_alpha,)
    stacked : StackedDensity
        The density of the n groups.
    known : Known
        Of the n groups.
    present : ndarray of bool, shape (n, M)
    """

    problem: Problem
    alpha: torch.Tensor
    stacked: Density
    known: Known
    present: np.ndarray

    @classmethod
    def of_problem(
        cls, problem: Problem, alpha: torch.Tensor, stacked: Density, systems: np.ndarray
    ) -> MemberGroups:
        """Return some of a problem's groups, for their density."""
        known, present = problem.known.of(systems), problem.present_members[systems]
        return cls(problem, alpha, stacked, known, present)

    def of(self, rows: torch.Tensor) -> MemberGroups:
        """Return some of the groups."""
        return MemberGroups(
            self.problem,
            self.alpha,
            self.stacked.rows(rows),
            self.known.of(rows),
            self.present[rows.numpy()],
        )

    @property
    def law(self) -> LevelLaw:
        """The law of a group."""
        law = self.problem.law
        assert isinstance(law, LevelLaw)
        return law

    @cached_property
    def nodes(self) -> EffectNodes:
        """The nodes of the members that are present."""
        return EffectNodes.of(self.law.tree, self.law.sizes(), self.present)

    @cached_property
    def density(self) -> Density:
        """The density of the m members that are present."""
        assert isinstance(self.stacked, StackedDensity)
        replicates = self.stacked.members // self.problem.members
        rows = self.stacked.each
        members = rows if replicates == 1 else StackedDensity(rows, replicates)
        return members.rows(torch.from_numpy(np.flatnonzero(self.present)))

    @cached_property
    def factors(self) -> list[torch.Tensor]:
        """F_l (d_l, d) of each level."""
        return self.law.effect_factors(self.alpha)

    @cached_property
    def covariates(self) -> torch.Tensor | None:
        """The covariates of the members (m, k), if the law has any."""
        if not self.law.covariates:
            return None
        return self._of_members(self.known.covariates[:, : self.law.covariates])

    @cached_property
    def means(self) -> torch.Tensor:
        """The means of the members' transformed parameters, (m or 1, d)."""
        return self.law.member_means(self.alpha, self.covariates)

    @cached_property
    def _design(self) -> torch.Tensor:
        return self._of_members(self.known.design)

    def _of_members(self, known: torch.Tensor) -> torch.Tensor:
        """Return known quantities (n, M k) of the members that are present, (m, k)."""
        return known.reshape(self.present.size, -1)[torch.from_numpy(np.flatnonzero(self.present))]

    @cached_property
    def _simulate(self) -> Simulate:
        simulate: Simulate = self.problem.simulate.of_one  # type: ignore[attr-defined]
        return simulate

    def at(self, numbers: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the transformed parameters (m, ..., d) of the members at numbers of all levels."""
        shifts = self.nodes.shifts(self.factors, numbers)
        return self.means.reshape(-1, *[1] * (shifts.ndim - 2), self.means.shape[-1]) + shifts

    def signal(self, x: torch.Tensor) -> torch.Tensor:
        """Return the observations (m, ..., d_y) at transformed parameters (m, ..., d)."""
        flat = x.reshape(-1, x.shape[-1])
        y = self._simulate(self._inputs(flat))
        return y.reshape(*x.shape[:-1], -1)

    def slopes(self, x: torch.Tensor) -> tuple[AtSignal, torch.Tensor, torch.Tensor]:
        """Return the density at x (m, ..., d), the signal, and the gradient of log p in x."""
        rows = x.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            y = self.signal(rows)
        signal = y.detach()
        there = self.density.at(signal)
        (gradient,) = pulled_back(y, (rows,), there.slope)
        return there, signal, gradient

    def linearise(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the observations at x (m, d), and their Jacobians in x (m, d_y, d)."""
        with torch.no_grad():
            z = self._inputs(x)
            along = self.law.member_slopes(x).T[:, :, None] * torch.eye(
                x.shape[1], z.shape[1], dtype=x.dtype
            ).unsqueeze(1)
            own = getattr(self._simulate, "linearise", None)
            y, change = linearised(self._simulate, z, along) if own is None else own(z, along)
        return y, change.permute(1, 2, 0)

    def _inputs(self, flat: torch.Tensor) -> torch.Tensor:
        z = self.law.bounded_members(flat)
        if not (design := self._design).shape[1]:
            return z
        return torch.cat([z, design.repeat_interleave(len(flat) // len(design), dim=0)], dim=1)

    def expanded(self, numbers: Sequence[torch.Tensor]) -> Expanded:
        """Return the posterior about numbers (nodes_l, d_l) of all levels, to second order."""
        x = self.at(numbers)
        signal, jacobian = self.linearise(x)
        there = self.density.at(signal)
        slope = (there.slope[:, None] @ jacobian)[:, 0]
        log = self.nodes.of_groups(there.log, -1)
        square = sum(
            self.nodes.of_groups((each**2).sum(dim=1), level) for level, each in enumerate(numbers)
        )
        objective = 0.5 * square - log
        objective = torch.where(torch.isfinite(objective), objective, torch.inf)
        information = self.density.information(signal, jacobian)
        return Expanded(list(numbers), signal, jacobian, information, slope, objective)

    def search(self, start: torch.Tensor, steps: int) -> GroupModes:
        """Descend from omega (n, d_omega) to a mode of each group."""
        nodes = self.nodes
        here = self.expanded(nodes.apart(start))
        damping = torch.full((nodes.count,), FIRST_DAMPING, dtype=start.dtype)
        for step in range(steps + 1):
            own = [-each[:, None] for each in here.numbers]
            gain = 0.5 * here.promised(TreeNormal.of(nodes, self.factors, here.information), own)
            arrived = ~(gain > TOLERANCE) | (damping > MOST_DAMPING)
            if step == steps or bool(arrived.all()):
                break
            damped = TreeNormal.of(nodes, self.factors, here.information, damping)
            moves = damped.solve(here.slope[:, None], own)
            pairs = zip(here.numbers, moves, nodes.groups, strict=True)
            there = self.expanded(
                [
                    each + torch.where(arrived[group, None], 0.0, move[:, 0])
                    for each, move, group in pairs
                ]
            )
            better = (there.objective < here.objective) & ~arrived
            damping = damping * torch.where(better, LESS, torch.where(arrived, 1.0, MORE))
            here = here.replaced(nodes, better, there)
        omega = nodes.together(here.numbers, torch.zeros_like(start))
        normal = TreeNormal.of(nodes, self.factors, here.information)
        return GroupModes(self, omega, here.objective, arrived, normal, here)

    def starts(self, stage: str, count: int = 1) -> list[torch.Tensor]:
        """Return points (n, d_omega) from which searches for modes may start.

        Each member has the best of some draws of the numbers on its path, and an outer effect is
        the mean over its members. Each of ``count`` points chooses from draws of its own.
        """
        nodes, before = self.nodes, self.nodes.before
        draws, found = draws_of_law(self.problem, stage, before[-1]), []
        whole = torch.cat(self.factors)
        for own in draws.split(len(draws) // count):
            objectives = []
            for draw in own:
                with torch.no_grad():
                    x = (self.means + draw @ whole).expand(len(nodes.paths[0]), -1)
                    log = self.density.at(self.signal(x)).log
                objective = 0.5 * (draw**2).sum() - log
                objectives.append(torch.where(torch.isfinite(objective), objective, torch.inf))
            best = own[torch.stack(objectives).argmin(dim=0)]
            numbers = []
            for level, path in enumerate(nodes.paths):
                shape = (len(nodes.groups[level]), nodes.sizes[level])
                ours = best[:, before[level] : before[level + 1]]
                members = torch.bincount(path, minlength=shape[0])[:, None]
                total = ours.new_zeros(shape).index_add_(0, path, ours)
                numbers.append(total / members)
            empty = best.new_zeros((nodes.count, nodes.width))
            found.append(nodes.together(numbers, empty))
        return found

    def louder(self, factor: float) -> MemberGroups:
        """Return the groups with all deviations of the noise times a factor."""
        return replace(self, stacked=self.stacked.louder(factor))


@dataclass(frozen=True)
class Expanded:
    """The posterior of groups about one point, to second order.

    Attributes
    ----------
    numbers : list of Tensor of shape (nodes_l, d_l)
    signal : Tensor of shape (m, d_y)
    jacobian : Tensor of shape (m, d_y, d)
        In the transformed parameters of each member.
    information : Tensor of shape (m, d, d)
        W_j.
    slope : Tensor of shape (m, d)
        Gradient of log p(y_j) in x_j.
    objective : Tensor of shape (n,)
        Half the sum of the squares of omega, less log p(y | g).
    """

    numbers: list[torch.Tensor]
    signal: torch.Tensor
    jacobian: torch.Tensor
    information: torch.Tensor
    slope: torch.Tensor
    objective: torch.Tensor

    def promised(self, normal: TreeNormal, own: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return ``b^T H^{-1} b`` of each group for the gradient b with these own parts, (n,)."""
        nodes, moves = normal.nodes, normal.solve(self.slope[:, None], own)
        along = nodes.shifts(normal.factors, [move[:, 0] for move in moves])
        total = nodes.of_groups((along * self.slope).sum(dim=1), -1)
        for level, (each, move) in enumerate(zip(own, moves, strict=True)):
            total = total + nodes.of_groups((each * move).sum(dim=(1, 2)), level)
        return total

    def replaced(self, nodes: EffectNodes, groups: torch.Tensor, other: Expanded) -> Expanded:
        """Return this with some groups (a mask (n,)) taken from another."""
        members = groups[nodes.groups[-1]]
        numbers = [
            torch.where(groups[group, None], new, old)
            for group, new, old in zip(nodes.groups, other.numbers, self.numbers, strict=True)
        ]
        changed = {}
        for name in ("signal", "jacobian", "information", "slope"):
            new, old = getattr(other, name), getattr(self, name)
            changed[name] = torch.where(members.reshape(-1, *[1] * (old.ndim - 1)), new, old)
        objective = torch.where(groups, other.objective, self.objective)
        return Expanded(numbers=numbers, objective=objective, **changed)


@dataclass(frozen=True)
class GroupModes:
    """The modes of n groups, with fields as of :class:`~popinv.inference.integrate.modes.Modes`.

    Attributes
    ----------
    normal : TreeNormal
        H at the modes.
    expanded : Expanded
        The posterior about them.
    """

    groups: MemberGroups
    omega: torch.Tensor
    objective: torch.Tensor
    arrived: torch.Tensor
    normal: TreeNormal
    expanded: Expanded

    def of(self, rows: torch.Tensor) -> GroupModes:
        """Return the modes of some of the groups."""
        return self.groups.of(rows).search(self.omega[rows], 0)

    def replaced(self, rows: torch.Tensor, other: GroupModes) -> GroupModes:
        """Return these modes with some groups (a mask (n,)) taken from others."""
        expanded = self.expanded.replaced(self.groups.nodes, rows, other.expanded)
        return GroupModes(
            self.groups,
            torch.where(rows[:, None], other.omega, self.omega),
            expanded.objective,
            torch.where(rows, other.arrived, self.arrived),
            TreeNormal.of(self.groups.nodes, self.groups.factors, expanded.information),
            expanded,
        )

    def better(self, other: GroupModes) -> GroupModes:
        """Return for each group the better of two modes."""
        lower = other.objective < self.objective
        return self.replaced(lower, other) if bool(lower.any()) else self

    @property
    def evidence(self) -> torch.Tensor:
        """The negative logarithm of the integral by Laplace's method, without constants, (n,)."""
        return self.objective + 0.5 * self.normal.logdet

    def distance(self, omega: torch.Tensor) -> torch.Tensor:
        """Return the squared distance of omega (n, d_omega) in posterior deviations, (n,)."""
        nodes, apart = self.groups.nodes, omega - self.omega
        moved = nodes.shifts(self.groups.factors, nodes.apart(apart))
        each = (moved[:, None] @ self.expanded.information @ moved[..., None])[:, 0, 0]
        return (apart**2).sum(dim=1) + nodes.of_groups(each, -1)
