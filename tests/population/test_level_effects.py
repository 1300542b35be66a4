"""The factorised precision of the effects of groups, against the matrix written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from popinv.observation_files.trees import MemberTree
from popinv.population.laws.level_effects import EffectNodes, TreeNormal

TREE = MemberTree(("a", "b", "c"), ((0,) * 5, (0, 0, 1, 1, 2), (0, 1, 2, 3, 4)))
SIZES, WIDTH = (2, 1, 2), 3
PRESENT = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 1, 0]], dtype=bool)


@pytest.fixture(scope="module")
def tree():
    """Return nodes, factors, informations of the members, and the matrices H of both groups."""
    torch.manual_seed(0)
    nodes = EffectNodes.of(TREE, SIZES, PRESENT)
    factors = [torch.randn(size, WIDTH, dtype=torch.float64) for size in SIZES]
    root = torch.randn(int(PRESENT.sum()), WIDTH, WIDTH, dtype=torch.float64)
    information = root @ root.mT
    dense, member = [], 0
    for present in PRESENT:
        whole = torch.eye(nodes.width, dtype=torch.float64)
        for place in np.flatnonzero(present):
            rows = effects_of(place, factors, nodes.width)
            whole += rows @ information[member] @ rows.T
            member += 1
        dense.append(whole)
    return nodes, factors, information, torch.stack(dense)


def effects_of(place: int, factors: list[torch.Tensor], width: int) -> torch.Tensor:
    """Return the effect of each of all numbers on a member, (d_omega, d)."""
    rows, first = torch.zeros((width, WIDTH), dtype=torch.float64), 0
    for numbers, size, factor in zip(TREE.nodes, SIZES, factors, strict=True):
        start = first + size * numbers[place]
        rows[start : start + size] = factor
        first += size * (max(numbers) + 1)
    return rows


def test_numbers_and_effects_find_their_places(tree):
    nodes, factors, _, _ = tree
    omega = torch.randn(2, 4, nodes.width, dtype=torch.float64)
    numbers = nodes.apart(omega)
    shifts, member = nodes.shifts(factors, numbers), 0
    for group, present in enumerate(PRESENT):
        for place in np.flatnonzero(present):
            expected = omega[group] @ effects_of(place, factors, nodes.width)
            torch.testing.assert_close(shifts[member], expected)
            member += 1
    again = nodes.together(numbers, torch.full_like(omega, torch.nan))
    known = torch.isfinite(again)
    assert known[0].all()
    assert (~known[1]).sum() == 4 * (1 + 2 + 2)
    torch.testing.assert_close(again[known], omega[known])


def test_elimination_solves_with_the_whole_matrix(tree):
    nodes, factors, information, dense = tree
    normal = TreeNormal.of(nodes, factors, information)
    torch.testing.assert_close(normal.logdet, torch.logdet(dense))
    gradient = torch.randn(len(information), 2, WIDTH, dtype=torch.float64)
    own = [
        torch.randn(len(g), 2, size, dtype=torch.float64)
        for g, size in zip(nodes.groups, SIZES, strict=True)
    ]
    right = nodes.together(own, torch.zeros(2, 2, nodes.width, dtype=torch.float64))
    member = 0
    for group, present in enumerate(PRESENT):
        for place in np.flatnonzero(present):
            right[group] += gradient[member] @ effects_of(place, factors, nodes.width).T
            member += 1
    expected = torch.linalg.solve(dense, right.mT).mT
    found = nodes.together(normal.solve(gradient, own), torch.zeros_like(right))
    torch.testing.assert_close(found, expected)


def test_covariances_and_conditional_means_are_those_of_the_inverse(tree):
    nodes, factors, information, dense = tree
    normal, inverse = TreeNormal.of(nodes, factors, information), torch.linalg.inv(dense)
    columns = [nodes.columns(level) for level in range(3)]
    centre = [torch.zeros(len(c), c.shape[1], dtype=torch.float64) for c in columns]
    above = [
        torch.randn(len(columns[0]), 3, 2, dtype=torch.float64),
        torch.randn(len(columns[1]), 3, 4, 1, dtype=torch.float64),
    ]
    means = normal.draw(2, centre, above)
    assert means.shape == (8, 3, 4, 2)
    for node, covariance in enumerate(normal.covariances()[2]):
        group = int(nodes.groups[2][node])
        one, two = (int(nodes.ancestors(2, level)[node]) for level in (0, 1))
        outer = torch.cat([columns[0][one], columns[1][two]])
        path = torch.cat([outer, columns[2][node]])
        torch.testing.assert_close(covariance, inverse[group][path][:, path])
        drawn = torch.cat([above[0][one][:, None].expand(-1, 4, -1), above[1][two]], dim=2)
        across = inverse[group][columns[2][node]][:, outer]
        weight = across @ torch.linalg.inv(inverse[group][outer][:, outer])
        torch.testing.assert_close(means[node], drawn @ weight.T)


def test_damping_adds_to_the_diagonal(tree):
    nodes, factors, information, dense = tree
    damping = torch.tensor([0.3, 2.0], dtype=torch.float64)
    normal = TreeNormal.of(nodes, factors, information, damping)
    more = damping[:, None] * dense.diagonal(dim1=1, dim2=2)
    # Absent nodes are not among the nodes of a tree.
    present = nodes.together(
        [torch.ones(len(g), d) for g, d in zip(nodes.groups, SIZES, strict=True)],
        torch.zeros(2, nodes.width),
    )
    whole = dense + (more * present).diag_embed()
    torch.testing.assert_close(normal.logdet, torch.logdet(whole))
