"""Blocks of the members of large groups, for estimators by the moments of observations.

The cost of the moments of a group grows with the cube of the members. A large group is therefore
cut into blocks of members with the same tree. A block has the law of a group of its members, so
that the sum over blocks of their log densities is maximal near the truth as well (a composite
likelihood; Varin, Reid and Firth, Statistica Sinica 21, 2011). Blocks of a group depend on each
other: errors follow from the sums of their scores.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.population.known import Known
from popinv.population.laws.levels import LevelLaw
from popinv.population.members import member_simulator
from popinv.population.noise.terms import replicated_noise

# Groups with more observations are cut into blocks.
_LARGE = 200


def is_large(problem: Problem) -> bool:
    """Return whether the groups of a problem are not stacked, as they have many observations.

    Groups of crossed levels have no blocks that make up the group.
    """
    return problem.law.nested and problem.data.shape[1] > _LARGE


def in_blocks(problem: Problem) -> tuple[Problem, int]:
    """Return the problem with blocks of members as systems, and the number B of a group's blocks.

    The blocks of a group come one after the other. A problem without large groups, or whose groups
    have no blocks of one tree, is returned unchanged, with B = 1.
    """
    law = problem.law
    if not is_large(problem) or not isinstance(law, LevelLaw) or problem.part is not None:
        return problem, 1
    each = problem.data.shape[1] // problem.members
    tree = law.tree.block(max(_LARGE // each, 2))
    if tree is None:
        return problem, 1
    blocks = -(-problem.members // tree.members)
    groups, absent = len(problem.data), blocks * tree.members - problem.members

    def apart(rows: np.ndarray, fill: bool = False) -> np.ndarray:
        """Return what belongs to members (n, M k) for each block; absent members are like the last.

        With ``fill`` it is zero for them.
        """
        own = rows.reshape(groups, problem.members, -1)
        more = np.repeat(own[:, -1:], absent, axis=1)
        own = np.concatenate([own, np.zeros_like(more) if fill else more], axis=1)
        return own.reshape(groups * blocks, -1)

    conditions, known = problem.conditions, problem.known
    present = apart(conditions.present, fill=True)
    own = Conditions.stated(
        present.shape,
        np.repeat(conditions.scale, blocks) if conditions.scaled else None,
        present if conditions.gaps or absent else None,
        np.zeros(present.shape[1]) if conditions.gaps or absent else None,
        Known.of_arrays(*(apart(part.numpy()) for part in (known.design, known.covariates))),
        conditions.limits.mapped(apart) if conditions.limited else None,
    )
    replicates = problem.replicates // problem.members * tree.members
    simulate = problem.simulate.of_one  # type: ignore[attr-defined]
    return (
        replace(
            problem,
            data=apart(np.asarray(problem.data)),
            law=law.of_groups(tree),
            noise=replicated_noise(problem.noise.of_one, replicates),
            conditions=own,
            simulate=member_simulator(simulate, tree.members, law.width),
        ),
        blocks,
    )


def of_groups(rows: np.ndarray, blocks: int) -> np.ndarray:
    """Return the sums over the blocks (n B, ...) of each group, (n, ...)."""
    return rows if blocks == 1 else rows.reshape(-1, blocks, *rows.shape[1:]).sum(axis=1)


def first_blocks(problem: Problem) -> Problem:
    """Return the problem with one block of each large group; the information is then too small."""
    parts, blocks = in_blocks(problem)
    return parts if blocks == 1 else parts.of_systems(np.arange(0, len(parts.data), blocks))
