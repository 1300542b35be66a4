r"""The integrals over the effects of groups, level by level.

Given the effects above it, a node of a group is independent of the other nodes. With the density
phi of the standard normal numbers, a node of the innermost level has the likelihood of its member,
and a node s of another level has

.. math:: L_s(a) = \int \phi(\omega)\, \prod_{c} L_c(a, \omega)\, d\omega ,

over its children c, given the numbers a of its ancestors. The group has the likelihood of its
outermost node. Draws estimate every integral: S for the outermost node, and for each draw of
the ancestors a few draws of its own for each node below. Given the ancestors, the estimates of the
children are unbiased and independent. Their product is unbiased for any number of inner draws
(Andrieu and Roberts, Ann. Statist. 37, 2009). The variance of the log weights is the variance
due to the outer effects, and the sum of the members' variances divided by the number of inner
draws.

*Proposals* are normal about the mode of all effects, node by node given the ancestors
(:class:`~popinv.population.laws.level_effects.TreeNormal`); where only the value is needed, or the
density is not normal, they are defensive. The mode of all effects is not where the integral over
the members is largest. The outer effects move there before, by steps with slopes that are means
over draws of the members.

*Scores* are weighted means of

- :math:`u^T J (m_i - \sum_l F_l^T a_{il}) + \sum_l a_{il} \cdot \omega_l` for an entry i of the
  mean, with its derivative m_i and :math:`a_i = -d\omega^* / d\alpha_i` at the mode. That is the
  slope of log p(y | x) less Stein's identity for the constant field a (see
  :func:`~popinv.inference.integrate.integrals.law_fields`),
- :math:`\omega^T N_i\, \omega - \operatorname{tr} N_i` for deviations and correlations of a level
  (:meth:`~popinv.population.laws.levels.LevelLaw.effect_scores`),
- the derivative of log p(y | g) for the noise.

The first is odd about the mode if the model is linear, and draws come in pairs. The others are
quadratic there: the difference between the mean over the draws of their quadratic part, without
weights, and its known mean under the proposals is subtracted. A linear model with normal noise
thus has exact values and scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from popinv.inference.density.densities import density_of
from popinv.inference.density.density import AtSignal
from popinv.inference.density.problem import Problem
from popinv.inference.integrate.draws import (
    antithetic_normals,
    inner_shifts,
    shifted_normals,
)
from popinv.inference.integrate.group_modes import Expanded, GroupModes, MemberGroups
from popinv.inference.integrate.integrals import (
    LOUDER,
    MODES,
    MarginalSettings,
    summarised,
    suspicious,
)
from popinv.inference.integrate.proposals import defensive
from popinv.late import torch
from popinv.population.laws.level_effects import TreeNormal
from popinv.population.laws.levels import LevelLaw
from popinv.seeds import generator

# Draws of a member for each draw of its outer effects, for any number of members. The errors of
# members add up in the weights: effective shares are 0.96, 0.83 and 0.57 with 64, 256 and 1024
# members of 3 observations, and 0.65, 0.54 and 0.31 with defensive draws. More inner draws in place
# of outer ones have larger errors, as both errors fall with all draws of a member.
_INNER_DRAWS = 8
# Draws of a node between the outermost and the innermost level.
_BETWEEN = 4
# Numbers in the largest array of draws that are computed together.
_VALUES = 2**21
# Cost of a solve's derivative along one direction, in solves.
TANGENT = 0.3
# Steps of the outer effects to where the integral over the members is largest, the longest of them
# in posterior deviations, and the steps of the members that follow.
_CENTRING, _LONGEST, _FOLLOWING = 2, 3.0, 2


def inner_draws(levels: int) -> tuple[int, ...]:
    """Return the numbers of draws of a node of each inner level, for each draw of its ancestors.

    Examples
    --------
    >>> inner_draws(2), inner_draws(3)
    ((8,), (4, 8))
    """
    return (*(_BETWEEN,) * (levels - 2), _INNER_DRAWS)


def calls_of_a_draw(problem: Problem, scores: bool = True, corrections: float = 0.0) -> float:
    """Return how often a draw of a system calls the simulator, in the mean over all systems.

    Without scores, the draws of groups are defensive, and more. Each of the corrections of a draw,
    of which there are ``corrections`` in the mean, is a call with derivatives in all of omega.
    """
    law = problem.law
    if not (isinstance(law, LevelLaw) and law.nested):
        return problem.members + corrections * (1 + TANGENT * law.d_omega)
    members, inner = integrals_of(problem) / problem.count, len(law.sizes()) - 1
    each = _INNER_DRAWS * _BETWEEN ** (inner - 1)
    return members * each * (1 if scores and problem.is_normal else 2**inner)


def integrals_of(problem: Problem) -> int:
    """Return the number of systems, or of the members of all groups."""
    return int(problem.whole.present_members.sum())


@dataclass(frozen=True)
class NestedIntegrals:
    """The integrals of some groups, in the place of ``integrals.Integrals``.

    Attributes
    ----------
    groups : MemberGroups
    numbers : ndarray of int, shape (n,)
        Numbers of the groups, which determine their draws.
    """

    groups: MemberGroups
    numbers: np.ndarray

    @classmethod
    def at(cls, problem: Problem, p: np.ndarray, numbers: np.ndarray) -> NestedIntegrals:
        """Return the integrals of all groups of a problem at p (n_p,), with these numbers (n,)."""
        alpha, gamma = problem.tensors(p)
        rows = np.arange(len(problem.data))
        return cls(
            MemberGroups.of_problem(problem, alpha, density_of(problem, gamma), rows), numbers
        )

    def of(self, rows: torch.Tensor) -> NestedIntegrals:
        """Return the integrals of some of the groups."""
        return NestedIntegrals(self.groups.of(rows), self.numbers[rows.numpy()])

    def find_modes(self, settings: MarginalSettings, start: torch.Tensor | None) -> GroupModes:
        """Return the modes, searched from a given start or from draws of the law."""
        steps, groups = settings.first_mode_steps, self.groups
        if start is not None:
            return groups.search(start, settings.mode_steps if groups.density.is_normal else steps)
        drawn = groups.starts("mode_starts")[0]
        modes = groups.search(drawn, steps)
        modes = modes.better(groups.search(torch.zeros_like(drawn), steps))
        residual = groups.density.at(modes.expanded.signal).residual
        misfit, seen = (
            groups.nodes.of_groups(each, -1)
            for each in ((residual**2).sum(dim=1), groups.density.seen)
        )
        rows = suspicious(misfit, modes.omega, seen)
        if len(rows):
            block, point = groups.of(rows), torch.zeros_like(drawn[rows])
            for factor in LOUDER:
                point = block.louder(factor).search(point, steps).omega
            further = modes.omega.clone()
            further[rows] = point
            modes = modes.better(groups.search(further, steps))
        return modes

    def all_modes(self, settings: MarginalSettings, starts: str) -> list[GroupModes]:
        """Return the modes at which searches from separate draws of the law end."""
        points = self.groups.starts(starts, MODES)
        return [self.groups.search(each, settings.first_mode_steps) for each in points]

    def evaluate(
        self, settings: MarginalSettings, modes: GroupModes, corrections: int
    ) -> tuple[np.ndarray, ...]:
        """Return the fields of :class:`popinv.inference.integrate.marginal.Evaluation`."""
        log_weight, each, surplus, omega, within = self._weighted(settings, modes)
        if settings.scores:
            count = log_weight.shape[1]
            halves = surplus.unflatten(1, (2, -1)).mean(dim=2, keepdim=True)
            excess = halves.expand(-1, -1, count // 2, -1).flatten(1, 2)
            each[..., : excess.shape[2]] -= excess
        none = torch.zeros(len(log_weight), dtype=torch.long)
        found = list(summarised(omega, log_weight, each, modes.omega, none))
        weights = torch.softmax(log_weight, dim=1)
        found[7] = found[7] + (weights[..., None] * within).sum(dim=1).numpy()
        return tuple(found)

    def draws(self, draws: int, modes: GroupModes) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weighted draws of the posterior of omega (n, S, d_omega), and log weights (n, S).

        Each is a draw of the outermost effects with one of the draws of each node below it, chosen
        by their weights. The weight is the estimated likelihood of the outermost effects over their
        proposal. As that estimate is unbiased, the weighted draws have the exact posterior for any
        number of inner draws (Andrieu and Roberts, Ann. Statist. 37, 2009).
        """
        settings = MarginalSettings(draws, scores=False, features=lambda omega, *_: omega)
        log_weight, each, *_ = self._weighted(settings, modes)
        return each[..., len(self.groups.problem.free) :], log_weight

    def evaluations(self, draws: int) -> int:
        """Return how often :meth:`draws` calls the simulator of each member."""
        return draws * math.prod(self._inner_draws(wide=True))

    def _inner_draws(self, wide: bool) -> tuple[int, ...]:
        """Return the numbers of draws of a node of each inner level."""
        inner = inner_draws(len(self.groups.factors))
        # A defensive density has several parts.
        return tuple(2 * each for each in inner) if wide else inner

    def _weighted(self, settings: MarginalSettings, modes: GroupModes) -> list[torch.Tensor]:
        """Return what :meth:`_Centred.weighted` returns, for all outer draws."""
        wide = not (self.groups.density.is_normal and settings.scores)
        count, inner = settings.draws, self._inner_draws(wide)
        about = _Centred.about(self, modes, inner, wide)
        shifts = [
            self.shifts(f"level/{k}", k, count, inner[: k - 1]) for k in range(1, about.depth)
        ]
        outer, log_ratio = about.outer(count)
        parts = []
        picked = None if settings.features is None else self._picks(count)
        for which in torch.arange(count).split(max(1, _VALUES // about.values_of_a_draw)):
            digits = [each[:, which] for each in shifts]
            picks = None if picked is None else [each[:, which] for each in picked]
            own = outer[:, which], log_ratio[:, which]
            parts.append(about.weighted(*own, digits, settings, picks))
        return [torch.cat(part, dim=1) for part in zip(*parts, strict=True)]

    def _picks(self, count: int) -> list[torch.Tensor]:
        """Return omega (n, S, d_omega) of the law, and uniform numbers (nodes_l, S) of each level.

        The first are for absent members, the others choose one of the draws of an inner node.
        """
        groups, problem = self.groups, self.groups.problem
        spare, uniform = [], []
        for number in self.numbers:
            rng = generator(problem.seed, f"{problem.stage}/likelihood/picks", int(number))
            spare.append(rng.standard_normal((count, problem.law.d_omega)))
            uniform.append(rng.random((len(groups.nodes.sizes), groups.present.shape[1], count)))
        every = torch.from_numpy(np.array(uniform))
        nodes = zip(groups.nodes.groups, groups.nodes.places, strict=True)
        own = [every[group, level, place] for level, (group, place) in enumerate(nodes)]
        return [torch.from_numpy(np.array(spare)), *own]

    def shifts(
        self, stage: str, level: int, outer: int, between: tuple[int, ...] = ()
    ) -> torch.Tensor:
        """Return random digits (nodes_l, S, R, ..., d_l) of a level, for draws of its ancestors."""
        groups = self.groups
        places, width = max(groups.law.tree.nodes[level]) + 1, groups.nodes.sizes[level]
        shape = (places, outer * math.prod(between))
        every = inner_shifts(groups.problem, stage, self.numbers, shape, width)
        own = every[groups.nodes.groups[level], groups.nodes.places[level]]
        return own.reshape(len(own), outer, *between, width)


@dataclass(frozen=True)
class _Centred:
    """The proposals of all nodes.

    Attributes
    ----------
    integrals : NestedIntegrals
    at : Expanded
        The posterior about the centres of the proposals.
    normal : TreeNormal
        Their precision.
    inner : tuple of int
        Draws of a node of each inner level for each draw of its ancestors.
    wide : bool
        Whether draws are defensive.
    """

    integrals: NestedIntegrals
    at: Expanded
    normal: TreeNormal
    inner: tuple[int, ...]
    wide: bool

    @classmethod
    def about(
        cls, integrals: NestedIntegrals, modes: GroupModes, inner: tuple[int, ...], wide: bool
    ) -> _Centred:
        """Return proposals whose outer effects are about the largest integral over the members."""
        groups, at, normal = integrals.groups, modes.expanded, modes.normal
        nodes, last = groups.nodes, len(normal.factors) - 1
        digits = integrals.shifts("centre", last, 1)[:, 0]
        xi = shifted_normals(digits, inner[-1])
        for _ in range(_CENTRING):
            numbers = at.numbers
            omega, log_ratio = _proposed(numbers[last][:, None], normal.lower[last], xi)
            axes = [each[:, None] for each in numbers[:last]]
            there, _, slopes = groups.slopes(groups.at([*axes, omega]))
            log, slopes = _sound(there.log, slopes)
            slope = (_weights(log_ratio + log)[..., None] * slopes).sum(dim=1, keepdim=True)
            # The innermost numbers stay at their modes given the others.
            own = [-each[:, None] for each in numbers[:last]]
            own.append(-slope @ normal.factors[last].T)
            length = replace(at, slope=slope[:, 0]).promised(normal, own) ** 0.5
            share = torch.clamp(_LONGEST / length.clamp(min=1e-300), max=1.0)
            moves = normal.solve(slope, own)
            numbers = [
                each + share[group, None] * move[:, 0]
                for each, move, group in zip(numbers, moves, nodes.groups, strict=True)
            ]
            for step in range(_FOLLOWING + 1):
                at = groups.expanded(numbers)
                normal = TreeNormal.of(nodes, normal.factors, at.information)
                if step < _FOLLOWING:
                    gradient = at.slope @ normal.factors[last].T - numbers[last]
                    move = torch.cholesky_solve(gradient[..., None], normal.lower[last])
                    numbers = [*numbers[:last], numbers[last] + move[..., 0]]
        return cls(integrals, at, normal, inner, wide)

    @property
    def groups(self) -> MemberGroups:
        """The groups."""
        return self.integrals.groups

    @property
    def depth(self) -> int:
        """L, the number of levels."""
        return len(self.normal.factors)

    @property
    def values_of_a_draw(self) -> int:
        """Numbers in the largest array of all members at an outer draw."""
        members, width = self.at.signal.shape
        widest = max(width, len(self.groups.problem.free))
        return int(members * math.prod(self.inner) * widest)

    def outer(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return draws of the outermost nodes (nodes_0, S, d_0), and log phi / q (nodes_0, S)."""
        nodes, problem = self.groups.nodes, self.groups.problem
        xi = antithetic_normals(problem, self.integrals.numbers, count, nodes.sizes[0])
        centre, lower = self.at.numbers[0][:, None], self.normal.lower[0]
        return _proposed(centre, lower, xi[nodes.groups[0]], self.wide)

    def weighted(
        self,
        outer: torch.Tensor,
        log_ratio: torch.Tensor,
        shifts: Sequence[torch.Tensor],
        settings: MarginalSettings,
        picks: Sequence[torch.Tensor] | None,
    ) -> tuple[torch.Tensor, ...]:
        """Return log weights and means of scores for some outer draws.

        Parameters
        ----------
        outer, log_ratio : Tensor of shape (nodes_0, s, d_0), (nodes_0, s)
            From :meth:`outer`.
        shifts : sequence of Tensor of shape (nodes_l, s, ..., d_l)
            Random digits of the inner levels.
        picks : sequence of Tensor, optional
            From :meth:`NestedIntegrals._picks`, if there are features.

        Returns
        -------
        log_weight : Tensor of shape (n, s)
        each : Tensor of shape (n, s, n_p + k)
            Means of scores and features over the draws of inner nodes.
        surplus : Tensor of shape (n, s, n_p)
            By how much the means of the scores' quadratic parts exceed what is known of them.
        mean, variance : Tensor of shape (n, s, d_omega)
            Of omega over the draws of inner nodes.
        """
        groups, nodes, normal = self.groups, self.groups.nodes, self.normal
        omega, ratios = [outer], [log_ratio]
        for level, digits in enumerate(shifts, 1):
            centre = normal.draw(level, self.at.numbers, omega).unsqueeze(-2)
            xi = shifted_normals(digits, self.inner[level - 1])
            drawn, ratio = _proposed(centre, normal.lower[level], xi, self.wide)
            omega.append(drawn)
            ratios.append(ratio)
        x = groups.at(omega)
        if settings.scores:
            there, signal, slopes = groups.slopes(x)
            each = self._of_members(slopes, there)
        else:
            with torch.no_grad():
                signal = groups.signal(x)
            there = groups.density.at(signal)
            each = x.new_zeros((*x.shape[:-1], len(groups.problem.free)))
        log, each = _sound(there.log, each)
        weights: list[torch.Tensor] = []
        means: list[tuple[torch.Tensor, torch.Tensor]] = []
        for level in range(self.depth - 1, -1, -1):
            log = ratios[level] + log
            if settings.scores and groups.problem.free_law:
                each = each + self._of_nodes(level, omega[level])
            if not level:
                break
            own = _weights(log)

            def averaged(
                values: torch.Tensor, deeper: int, own: torch.Tensor = own, level: int = level
            ) -> torch.Tensor:
                weight = own[nodes.ancestors(deeper, level)]
                return (weight[..., None] * values).sum(dim=-2)

            means = [(omega[level], omega[level] ** 2), *means]
            means = [
                (averaged(mean, deeper), averaged(square, deeper))
                for deeper, (mean, square) in enumerate(means, level)
            ]
            weights = [own, *weights]
            each = nodes.summed((own[..., None] * each).sum(dim=-2), level)
            log = nodes.summed(torch.logsumexp(log, dim=-1) - math.log(own.shape[-1]), level)
        first = [omega[0], *(mean for mean, _ in means)]
        second = [torch.zeros_like(omega[0]), *(square - mean**2 for mean, square in means)]
        empty = x.new_zeros((nodes.count, outer.shape[1], nodes.width))
        mean = nodes.together(first, empty)
        variance = nodes.together(second, torch.ones_like(empty))
        log, each = (nodes.of_groups(part, 0) for part in (log, each))
        surplus = self._surplus(omega, x) if settings.scores else torch.zeros_like(each)
        if settings.features is not None and picks is not None:
            chosen = self._chosen(picks, omega, weights, there.residual, signal)
            each = torch.cat([each, settings.features(*chosen)], dim=2)
        return log, each, surplus, mean, variance

    @cached_property
    def _fields(self) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The parts (m, K, d) of the scores of the means that slopes multiply, and all a_l."""
        groups, at = self.groups, self.at
        slopes = groups.law.mean_slopes(groups.covariates).transpose(0, 1)
        slopes = slopes.expand(len(at.slope), -1, -1)
        fields = self.normal.solve(-slopes @ at.information)
        return slopes + groups.nodes.shifts(groups.factors, fields), [-each for each in fields]

    def _of_members(self, slopes: torch.Tensor, there: AtSignal) -> torch.Tensor:
        """Return the parts of the scores of draws (m, ..., n_p) that come from single members."""
        problem = self.groups.problem
        each = slopes.new_zeros((*slopes.shape[:-1], len(problem.free)))
        if problem.free_law:
            moved, _ = self._fields
            found = slopes.flatten(1, -2) @ moved.mT
            each[..., : moved.shape[1]] = found.reshape(*slopes.shape[:-1], -1)
        for i, score in enumerate(there.noise_scores(), problem.d_alpha):
            each[..., i] = score
        return each

    def _of_nodes(self, level: int, omega: torch.Tensor) -> torch.Tensor:
        """Return the parts of the scores of draws (nodes_l, ..., n_p) that come from a level."""
        problem, fields = self.groups.problem, self._fields[1][level]
        each = omega.new_zeros((*omega.shape[:-1], len(problem.free)))
        found = omega.flatten(1, -2) @ fields.mT
        each[..., : fields.shape[1]] = found.reshape(*omega.shape[:-1], -1)
        entries, matrices = self._matrices[level]
        traces = matrices.diagonal(dim1=1, dim2=2).sum(dim=1)
        each[..., entries] = torch.einsum("...i,kij,...j->...k", omega, matrices, omega) - traces
        return each

    @cached_property
    def _matrices(self) -> list[tuple[slice, torch.Tensor]]:
        """N of each level."""
        return self.groups.law.effect_scores(self.groups.alpha)

    @cached_property
    def _quadratic(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Moments under the proposals, from which the means of the quadratic parts follow.

        The means of ``omega^T N omega`` of each group (n, n_p), the matrices A (m, k, d, d) of the
        noise, for which its scores have the quadratic part -dx^T A dx, and the covariances
        (m, d, d) of dx.
        """
        groups, nodes, at = self.groups, self.groups.nodes, self.at
        known = at.slope.new_zeros((nodes.count, len(groups.problem.free)))
        covariances = self.normal.covariances()
        for level, (entries, matrices) in enumerate(self._matrices):
            d, centre = nodes.sizes[level], at.numbers[level]
            second = covariances[level][:, -d:, -d:] + centre[:, :, None] * centre[:, None]
            known[:, entries] = nodes.of_groups(
                torch.einsum("kij,nij->nk", matrices, second), level
            )
        whole = torch.cat(groups.factors)
        eye = torch.eye(whole.shape[1], dtype=whole.dtype).expand(len(at.slope), -1, -1)
        fields = list(groups.density.noise_fields(at.signal, at.jacobian, eye))
        noise = [field.linear for field in fields]
        stacked = (
            torch.stack(noise, dim=1) if noise else at.slope.new_zeros((len(eye), 0, *eye[0].shape))
        )
        return known, stacked, whole.T @ covariances[-1] @ whole

    def _surplus(self, omega: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """Return the means of the quadratic parts over inner draws, less what is known of them."""
        groups, nodes, problem = self.groups, self.groups.nodes, self.groups.problem
        found = x.new_zeros((nodes.count, x.shape[1], len(problem.free)))
        if self.wide:
            # Defensive draws have other moments.
            return found
        known, noise, covariance = self._quadratic
        if problem.free_law:
            for level, (entries, matrices) in enumerate(self._matrices):
                second = _second_moments(omega[level])
                own = torch.einsum("kij,nsij->nsk", matrices, second)
                found[..., entries] = nodes.of_groups(own, level) - known[:, None, entries]
        centre = groups.at(self.at.numbers)
        second = _second_moments(x - centre.reshape(len(centre), *[1] * (x.ndim - 2), -1))
        own = -torch.einsum("mkij,msij->msk", noise, second - covariance[:, None])
        last = problem.d_alpha + own.shape[2]
        found[..., problem.d_alpha : last] = nodes.of_groups(own, -1)
        return found

    def _chosen(
        self,
        picks: Sequence[torch.Tensor],
        omega: Sequence[torch.Tensor],
        weights: Sequence[torch.Tensor],
        residual: torch.Tensor,
        signal: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return omega (n, s, d_omega), residuals and signals of groups, at one draw of each node.

        The weights of the draws are the probabilities.
        """
        groups, nodes = self.groups, self.groups.nodes
        spare, uniform = picks[0], picks[2:]
        chosen: list[torch.Tensor] = []

        def at_chosen(values: torch.Tensor, level: int, last: int) -> torch.Tensor:
            """Return values (nodes_l, s, R_1, ..., R_k, ...) at the chosen draws of k levels."""
            for above in range(1, last + 1):
                index = chosen[above - 1][nodes.ancestors(level, above)]
                index = index.reshape(*index.shape, *[1] * (values.ndim - 2))
                index = index.expand(*index.shape[:3], *values.shape[3:])
                values = values.gather(2, index)[:, :, 0]
            return values

        for level, (weight, number) in enumerate(zip(weights, uniform, strict=True), 1):
            share = at_chosen(weight, level, level - 1).cumsum(dim=-1)
            below = share < number[..., None] * share[..., -1:]
            chosen.append(below.sum(dim=-1).clamp(max=share.shape[-1] - 1))
        own = [omega[0]]
        own += [at_chosen(each, level, level) for level, each in enumerate(omega[1:], 1)]
        last, (n, members) = self.depth - 1, groups.present.shape

        def stacked(values: torch.Tensor) -> torch.Tensor:
            each = at_chosen(values, last, last)
            found = each.new_zeros((n, each.shape[1], members, each.shape[2]))
            found[nodes.groups[-1], :, nodes.places[-1]] = each
            return found.flatten(2)

        return nodes.together(own, spare), stacked(residual), stacked(signal)


def _second_moments(values: torch.Tensor) -> torch.Tensor:
    """Return the second moments (n, s, d, d) of values (n, s, ..., d) over the inner draws."""
    flat = values.reshape(*values.shape[:2], -1, values.shape[-1])
    return flat.mT @ flat / flat.shape[2]


def _sound(log: torch.Tensor, each: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logs (...) and values (..., k) of draws; those that failed have weight zero."""
    good = torch.isfinite(log) & torch.isfinite(each).all(dim=-1)
    return torch.where(good, log, -torch.inf), torch.where(good[..., None], each, 0.0)


def _weights(log: torch.Tensor) -> torch.Tensor:
    """Return the weights of draws, along the last axis; all are zero where all have failed."""
    return torch.softmax(log, dim=-1).nan_to_num(0.0)


def _proposed(
    centre: torch.Tensor, lower: torch.Tensor, xi: torch.Tensor, wide: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return draws (nodes, ..., d) about centres, and log phi less their log density (nodes, ...).

    Parameters
    ----------
    centre : Tensor of shape (nodes, ..., 1, d)
    lower : Tensor of shape (nodes, d, d)
        The Cholesky factor of the precision.
    xi : Tensor of shape (nodes, ..., d)
    wide : bool
        Whether draws are defensive.
    """
    d, rows = xi.shape[-1], xi.flatten(1, -2)
    if wide:
        count = rows.shape[1] // xi.shape[-2]
        precision = (lower @ lower.mT).repeat_interleave(count, dim=0)
        means = centre.expand(*xi.shape[:-2], 1, d).reshape(-1, 1, d)
        omega, log_density = defensive(means, precision, xi.reshape(len(means), -1, d))
        omega, log_density = omega.reshape(xi.shape), log_density.reshape(xi.shape[:-1])
    else:
        shift = torch.linalg.solve_triangular(lower.mT, rows.mT, upper=True).mT
        omega = centre + shift.reshape(xi.shape)
        logdet = torch.log(lower.diagonal(dim1=1, dim2=2)).sum(dim=1)
        log_density = logdet.reshape(-1, *[1] * (xi.ndim - 2)) - 0.5 * (xi**2).sum(dim=-1)
    return omega, -0.5 * (omega**2).sum(dim=-1) - log_density
