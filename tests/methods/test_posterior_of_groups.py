"""Posteriors of groups with many members against closed forms and chains over all members."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiers import parameters

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.closed_form import ClosedForm
from popinv.methods.posterior import sampling
from popinv.methods.posterior.group_draws import SET_DRAWS, best_modes, least_of
from popinv.methods.posterior.references import references
from popinv.methods.posterior.sampling import many_members, sample_posteriors
from popinv.observation_files.trees import MemberTree
from popinv.population.constraints import POSITIVE, REAL
from popinv.population.laws.levels import LevelLaw
from popinv.population.members import member_simulator
from popinv.population.noise.terms import replicated_noise
from popinv.population.noise.unstructured import IsotropicNoise

TIMES = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)


def line(z: torch.Tensor) -> torch.Tensor:
    return z[:, :1] + z[:, 1:] * TIMES


def decay(z: torch.Tensor) -> torch.Tensor:
    return torch.exp(-z * TIMES)


def groups(count: int, tree: MemberTree, linear: bool) -> tuple[Problem, np.ndarray]:
    """Return groups of lines or of decays with absent members, and p."""
    rng, members = np.random.default_rng(3), tree.members
    names = ("start", "slope") if linear else ("rate",)
    levels = {name: names for name in tree.levels}
    law = LevelLaw(names, [REAL if linear else POSITIVE] * len(names), levels, tree=tree)
    deviations = [0.5, 0.3] if linear else [0.4]
    values = [*([1.0, -0.5] if linear else [-0.3]), *deviations * len(tree.levels)]
    p = np.append(law.from_natural(values), np.log(0.3 if linear else 0.1))
    simulate = member_simulator(line if linear else decay, members, len(names))
    omega = torch.from_numpy(rng.standard_normal((count, law.d_omega)))
    y = simulate(law.sample(torch.from_numpy(p[:-1]), omega)).numpy()
    y = y + np.exp(p[-1]) * rng.standard_normal(y.shape)
    present = np.ones(y.shape, dtype=bool)
    present[1, -6:] = False
    conditions = Conditions.stated(y.shape, present=present, fill=np.zeros(y.shape[1]))
    noise, scale = replicated_noise(IsotropicNoise(3), members), np.full(len(p), 0.5)
    y = np.where(present, y, 0.0)
    return Problem(y, simulate, law, noise, scale, conditions=conditions), p


def pairs(members: int) -> MemberTree:
    return MemberTree(("batch", "specimen"), ((0,) * members, tuple(range(members))))


DEEP = MemberTree(
    ("batch", "specimen", "occasion"),
    ((0,) * 12, tuple(k // 3 for k in range(12)), tuple(range(12))),
)


def z_moments(problem: Problem, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means and deviations (N, d_z) of the members' parameters in closed form."""
    alpha = problem.tensors(p)[0]
    zero = torch.zeros((1, problem.law.d_omega), dtype=torch.float64)
    base = problem.law.sample(alpha, zero)
    design = (problem.law.sample(alpha, torch.eye(zero.shape[1]).double()) - base).numpy()
    own = problem.simulate(base).numpy()
    of_y = problem.simulate(base + torch.from_numpy(design)).numpy() - own
    means, deviations = [], []
    for y, seen in zip(problem.data, problem.conditions.present, strict=True):
        j = of_y[:, seen] / np.exp(p[-1])
        covariance = np.linalg.inv(np.eye(len(j)) + j @ j.T)
        omega = covariance @ j @ ((y - own[0])[seen] / np.exp(p[-1]))
        means.append(base[0].numpy() + omega @ design)
        deviations.append(np.sqrt(np.diag(design.T @ covariance @ design)))
    return np.array(means), np.array(deviations)


@parameters("tree", [DEEP], full=[pairs(13)], ids=["three levels", "two levels"])
def test_members_of_linear_groups_have_their_closed_form(tree):
    problem, p = groups(2, tree, linear=True)
    assert many_members(problem)
    found = sample_posteriors(problem, p, 2, 40, 8000)
    means, deviations = z_moments(problem, p)
    each = [z.reshape(-1, z.shape[2]) for z in found.draws]
    drawn = np.array([z[: min(map(len, each))] for z in each])
    # Absent members have the law given the effects of their group.
    apart = (drawn.mean(axis=1) - means) / deviations * np.sqrt(found.effective)
    assert np.abs(apart).max() < 4.5
    assert 0.4 < np.mean(apart**2) < 1.6
    spread = drawn.std(axis=1, ddof=1) / deviations
    assert np.abs((spread - 1) * np.sqrt(2 * found.effective)).max() < 4.5
    assert found.effective.min() >= 40
    assert (found.effective <= np.array([[len(z)] for z in each])).all()
    assert found.r_hat.max() <= 1.05


@pytest.mark.full
def test_the_error_of_law_and_noise_is_that_of_the_mixture():
    problem, p = groups(2, pairs(13), linear=True)
    rng = np.random.default_rng(1)
    laws = p + np.array([0.8, 0.8, 0.2, 0.2, 0.2, 0.2, 0.3]) * rng.standard_normal((8, len(p)))
    found = sample_posteriors(problem, p, 4, 50, 8000, laws)
    each = [z_moments(problem, law) for law in laws]
    means = np.mean([m for m, _ in each], axis=0)
    second = np.mean([m**2 + s**2 for m, s in each], axis=0)
    deviations = np.sqrt(second - means**2)
    for n, own in enumerate(found.draws):
        drawn = own.reshape(-1, own.shape[2])
        apart = (drawn.mean(axis=0) - means[n]) / deviations[n]
        assert np.abs(apart * np.sqrt(found.effective[n])).max() < 4.5
        spread = drawn.std(axis=0, ddof=1) / deviations[n]
        assert np.abs((spread - 1) * np.sqrt(2 * found.effective[n])).max() < 4.5


@pytest.mark.full
def test_sets_and_chains_have_the_same_posterior(monkeypatch):
    problem, p = groups(4, pairs(4), linear=False)
    assert not many_members(problem)
    chains = sample_posteriors(problem, p, 4, 80, 40000)
    monkeypatch.setattr(sampling, "_MANY", 0)
    sets = sample_posteriors(problem, p, 4, 80, 40000)
    for n, (one, other) in enumerate(zip(chains.draws, sets.draws, strict=True)):
        one, other = (each.reshape(-1, each.shape[2]) for each in (one, other))
        size = 1 / (1 / chains.effective[n] + 1 / sets.effective[n])
        deviation = one.std(axis=0)
        apart = (one.mean(axis=0) - other.mean(axis=0)) / deviation
        assert np.abs(apart * np.sqrt(size)).max() < 4
        for share in (0.05, 0.5, 0.95):
            below = (other < np.quantile(one, share, axis=0)).mean(axis=0)
            assert np.abs(below - share).max() < 4 * np.sqrt(share * (1 - share) / size.min())
    np.testing.assert_allclose(sets.least_misfit, chains.least_misfit, atol=1e-2)


@pytest.mark.full
def test_groups_are_drawn_alike_alone_and_beside_others():
    problem, p = groups(3, pairs(13), linear=True)
    every = sample_posteriors(problem, p, 2, 20, 500)
    again = sample_posteriors(problem, p, 2, 100, 500)
    for one, other in zip(every.draws, again.draws, strict=True):
        np.testing.assert_allclose(one, other[:, : one.shape[1]], rtol=1e-9)
    assert (again.moves >= every.moves).all()
    assert again.moves.max() <= 500 // SET_DRAWS * SET_DRAWS


def test_the_misfit_of_a_linear_group_is_the_distance_from_the_population():
    problem, p = groups(4, pairs(5), linear=True)
    found = least_of(best_modes(problem, p))
    exact = ClosedForm(problem)(p)
    modes = best_modes(problem, p).omega.numpy()
    np.testing.assert_allclose(modes, exact.modes, atol=0.02)
    np.testing.assert_allclose(found, 2 * references(problem, p)[1], atol=2e-3)
