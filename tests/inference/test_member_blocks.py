"""Blocks of the members of large groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import stdtrit

from popinv.inference.density import member_blocks
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.member_blocks import first_blocks, in_blocks, of_groups
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.closed_form import is_linear
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood, profiled
from popinv.inference.integrate.model_moments import matched_draws, moments_of_systems
from popinv.inference.integrate.pseudo import evaluate
from popinv.inference.uncertainty import profile
from popinv.inference.uncertainty.scores import pseudo_scores
from popinv.observation_files.trees import MemberTree
from popinv.population.constraints import REAL
from popinv.population.known import Known
from popinv.population.laws.levels import LevelLaw
from popinv.population.members import member_simulator
from popinv.population.noise.terms import replicated_noise
from popinv.population.noise.unstructured import IsotropicNoise

VALUES = [1.0, 0.5, 0.7, 0.4]


def scaled(z: torch.Tensor) -> torch.Tensor:
    """Return two observations of a parameter (n, 1), the second one times a design."""
    return torch.cat([z[:, :1], z[:, :1] * z[:, 1:]], dim=1)


def groups(members: int, deep: bool = False, plain: bool = False) -> tuple[Problem, np.ndarray]:
    """Return groups of a linear model with gaps, design, covariate and scales, or without."""
    rng, count = np.random.default_rng(6), 12
    places = (0,) * members, tuple(range(members))
    nodes = (places[0], tuple(i // 2 for i in places[1]), places[1]) if deep else places
    levels = {name: ["z"] for name in ("a", "b", "c")[: len(nodes)]}
    tree = MemberTree(tuple(levels), nodes)
    law = LevelLaw(("z",), [REAL], levels, covariates=["x"], effects=[("z", "x")], tree=tree)
    values = [*VALUES, 0.3] if deep else VALUES
    p = np.append(law.from_natural(values), np.log(0.3))
    known = Known.of_arrays(*(rng.normal(size=(count, members)) for _ in range(2)))
    if plain:
        known = Known.of_arrays(*(np.ones((count, members)) for _ in range(2)))
    shape = count, 2 * members
    present = (rng.random(shape) < 0.8) | plain
    scale = None if plain else rng.uniform(0.5, 2.0, count)
    simulate = member_simulator(scaled, members, 1)
    problem = Problem(
        np.zeros(shape),
        simulate,
        law,
        replicated_noise(IsotropicNoise(2), members),
        np.full(len(p), 0.5),
        conditions=Conditions.stated(shape, scale, present, np.zeros(shape[1]), known),
    )
    omega, e = (torch.from_numpy(rng.standard_normal((count, d))) for d in (law.d_omega, shape[1]))
    y = problem.model(torch.from_numpy(p), omega, e, np.arange(count)).numpy()
    return Problem(**{**vars(problem), "data": y}), p


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Cut groups with more than 11 observations into blocks of up to five members."""
    monkeypatch.setattr(member_blocks, "_LARGE", 11)


def values_of(problem: Problem, p: np.ndarray) -> np.ndarray:
    alpha, gamma = problem.tensors(p)
    moments = moments_of_systems(problem, alpha, gamma, matched_draws(problem, 64))
    return evaluate(problem, moments).log_likelihood


def dense(problem: Problem, p: np.ndarray, of_block: list[int]) -> np.ndarray:
    """Return log N of some members of each group, with the covariance written out."""
    values, sigma = [], np.exp(p[-1])
    mean, slope, batch, member = p[0], p[1], np.exp(p[2]), np.exp(p[3])
    for n, y in enumerate(problem.data):
        w, x = (each[n].numpy() for each in (problem.known.design, problem.known.covariates))
        rows = np.array([[1.0, w[j]] for j in of_block])
        centre = (mean + slope * x[of_block])[:, None] * rows
        effect = batch**2 * np.ones((len(of_block),) * 2) + member**2 * np.eye(len(of_block))
        covariance = np.einsum("ia,ij,jb->iajb", rows, effect, rows)
        covariance = covariance.reshape((2 * len(of_block),) * 2)
        covariance = covariance + (sigma * problem.conditions.scale[n]) ** 2 * np.eye(
            len(covariance)
        )
        pick = np.concatenate([[2 * j, 2 * j + 1] for j in of_block])
        seen = problem.conditions.present[n][pick]
        off = (y[pick] - centre.reshape(-1))[seen]
        inner = covariance[np.ix_(seen, seen)]
        square = off @ np.linalg.solve(inner, off)
        logdet = np.linalg.slogdet(2 * np.pi * inner)[1]
        values.append(-0.5 * (square + logdet))
    return np.array(values)


@pytest.mark.parametrize(("members", "size"), [(8, 4), (7, 4)])
def test_the_densities_of_blocks_are_those_of_their_members(members, size):
    problem, p = groups(members)
    parts, blocks = in_blocks(problem)
    assert (parts.members, blocks) == (size, 2)
    found = of_groups(values_of(parts, p), blocks)
    first, second = list(range(size)), list(range(size, members))
    expected = dense(problem, p, first) + dense(problem, p, second)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    np.testing.assert_allclose(values_of(first_blocks(problem), p), dense(problem, p, first))


def test_blocks_of_three_levels_keep_the_nodes_of_each():
    problem, _ = groups(8, deep=True)
    parts, blocks = in_blocks(problem)
    assert blocks == 2
    assert parts.law.tree.nodes == ((0,) * 4, (0, 0, 1, 1), (0, 1, 2, 3))
    # Blocks of one node in between would not tell its level from the outer one.
    problem, _ = groups(6, deep=True)
    assert in_blocks(problem) == (problem, 1)


def test_small_groups_and_systems_are_not_cut():
    problem, p = groups(5)
    assert in_blocks(problem) == (problem, 1)
    assert is_linear(problem, p)
    assert not is_linear(groups(8)[0], p)


def test_the_pseudo_likelihood_of_blocks_has_one_influence_for_each_group():
    problem, p = groups(8)
    estimate = fit_pseudo_likelihood(problem, [p])
    assert estimate.influence.shape == (12, len(p))
    squares = estimate.influence.T @ estimate.influence
    np.testing.assert_allclose(estimate.covariance, squares, rtol=1e-6)
    assert estimate.arrays["log_likelihood"].shape == (12,)
    assert np.all(np.abs(estimate.p - p) < 5 * np.sqrt(np.diag(estimate.covariance)) + 1e-6)
    scores = pseudo_scores(problem, estimate.p)(problem)
    assert scores.shape == (12, len(p))
    np.testing.assert_allclose(scores.sum(axis=0), 0.0, atol=0.5)


def test_ends_by_the_profile_of_blocks_count_the_groups(monkeypatch):
    monkeypatch.setattr(profile, "ILL_DETERMINED", 0.0)
    every, p = groups(8, plain=True)
    problem = every.of_systems(np.arange(4))
    estimate = fit_pseudo_likelihood(problem, [p])
    end = profiled(problem, estimate).ends[2].upper
    held = replace(problem, fixed=(2,))
    start = estimate.p.copy()
    start[2] = end
    fall = estimate.diagnostics["value"] - fit_pseudo_likelihood(held, [start]).diagnostics["value"]
    scale = np.clip(estimate.covariance[2, 2] / estimate.bread[2, 2], 0.2, 5.0)
    # Student's t of four groups, which have two blocks each.
    assert fall == pytest.approx(0.5 * scale * stdtrit(3, 0.975) ** 2, rel=0.02)
