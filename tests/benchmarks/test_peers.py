"""The peers of the benchmarks agree with the package, which they share no solver with."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from inference.problems import curve, curve_problem
from tiers import parameters

from benchmarks import descent_step, lorenz96, porous_cube, surrogate_training
from benchmarks.peers import elastodynamics, porous_flow
from benchmarks.peers.lorenz96 import jax_scan, numpy_roll, torch_roll
from benchmarks.peers.lorenz96_numba import BLOCK, hand_blocked
from benchmarks.peers.predecessor import Predecessor
from benchmarks.peers.sliced_wasserstein import by_pot, by_sorting, with_gradient
from benchmarks.peers.study import plain_study
from benchmarks.peers.training import data_loader, indexed
from benchmarks.sliced_wasserstein import difference
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.settings import DescentSettings
from popinv.population.synthetic import broad_parameters
from popinv.seeds import generator
from popinv.surrogate.training import TrainingData, TrainingSettings
from popinv.transport.sliced import directions, sliced_wasserstein_squared
from popinv_models.elastodynamics.section import Elastodynamics
from popinv_models.porous_flow.section import PorousFlow


@pytest.mark.full
@pytest.mark.firedrake
@pytest.mark.parametrize("peer", [porous_flow.firedrake_built_once, porous_flow.scikit_fem])
@pytest.mark.parametrize(("dimension", "elements"), [(1, 12), (2, 5)])
@pytest.mark.parametrize("field", ["cosine", "level_set"])
def test_porous_flow(peer, dimension: int, elements: int, field: str) -> None:
    rng = generator(0, "test")
    places = rng.uniform(0.05, 0.95, (4, dimension))
    keys = {"dimension": dimension, "elements": elements, "field": field, "modes": 3}
    sensors = {"positions": places.tolist()}
    model = PorousFlow(kind="porous_flow", sensors=sensors, **keys).model(0)
    z = 0.5 * rng.standard_normal((3, len(model.parameters)))
    theirs = peer(dimension, elements, places, model.field)(z)
    np.testing.assert_allclose(theirs, model.solve(z).observations, rtol=1e-10)


@pytest.mark.full
@pytest.mark.firedrake
@pytest.mark.parametrize("name", ["firedrake_naive", "firedrake_built_once", "scikit_fem"])
def test_porous_cube(name: str) -> None:
    rng = generator(0, "test")
    places = rng.uniform(0.05, 0.95, (4, 3))
    z = 0.5 * rng.standard_normal((2, porous_cube.peers.MODES))
    theirs = getattr(porous_cube.peers, name)(places, 4)(z)
    solve = porous_cube.iterative(places, 4)
    np.testing.assert_allclose(solve(z), theirs, rtol=1e-10)
    np.testing.assert_array_equal(solve(z[1:]), solve(z)[1:])
    assert np.ptp(theirs, axis=0).max() > 0.05 * theirs.max()  # the systems differ


@pytest.mark.full
@pytest.mark.firedrake
@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("field", ["none", "cosine"])
def test_elastodynamics(field: str, dimension: int) -> None:
    # Off the middle of the cantilever, where a mirrored mesh would show.
    places = np.array([[0.3, 0.3], [0.9, 0.8]])[:, :dimension]
    keys = {"dimension": dimension, "elements": 6, "times": 3, "steps": 60, "field": field}
    keys |= {} if field == "none" else {"modes": 2}
    sensors = {"positions": places.tolist()}
    model = Elastodynamics(kind="elastodynamics", sensors=sensors, **keys).model(0)
    z = np.array([[1.0, 0.2], [1.7, 0.0]])
    peer = elastodynamics.scikit_fem
    if field == "cosine":
        z = 0.3 * generator(0, "test").standard_normal((2, len(model.parameters)))
        z[:, -1] = [0.2, 0.0]
        peer = elastodynamics.scikit_fem_field
    theirs = peer(model)(z)
    np.testing.assert_allclose(theirs, model.solve(z).observations, rtol=1e-8, atol=1e-10)


@pytest.mark.full
@parameters(
    "peer, subvariables",
    [(numpy_roll, 4), (hand_blocked, 0)],
    full=[(numpy_roll, 0), (hand_blocked, 4), *product([torch_roll, jax_scan], [0, 4])],
)
def test_lorenz96(peer, subvariables: int) -> None:
    if peer is jax_scan:
        pytest.importorskip("jax")
    # Neither a whole number of blocks nor less than one.
    given = lorenz96.example(BLOCK + 5, subvariables)
    before = [array.copy() for array in given[:2]]
    ours, peers = lorenz96.ours(given, 0.005, 20)(), peer(*given, 0.005, 20)()
    assert lorenz96.difference(ours, peers) < 1e-11
    assert np.abs(ours[0] - before[0]).max() > 0.1  # they have moved
    for array, kept in zip(given[:2], before, strict=True):
        np.testing.assert_array_equal(array, kept)


@pytest.mark.parametrize("distance", [by_pot, by_sorting])
def test_sliced_wasserstein(distance) -> None:
    if distance is by_pot:
        pytest.importorskip("ot")
    rng = generator(0, "test")
    data, model = rng.standard_normal((40, 5)), 0.3 + rng.standard_normal((40, 5))
    theta = directions(rng, 12, 5)
    peer = with_gradient(distance, data, model, theta)
    assert difference(sliced_wasserstein_squared(data, model, theta), peer()) < 1e-12


@pytest.mark.parametrize(("loader", "options"), [(data_loader, {}), (indexed, {"fused": True})])
@pytest.mark.parametrize("whitened", [True, False])
def test_training(loader, options, whitened: bool) -> None:
    rng = generator(0, "test")
    z = rng.standard_normal((150, 2))
    y = np.column_stack([np.sin(z[:, 0]), z[:, 0] * z[:, 1], np.exp(0.3 * z[:, 1])])
    settings = TrainingSettings(
        hyperparameters={"width": 16, "depth": 2, "dtype": "float64"},
        whitening=10 * np.eye(3) if whitened else None,
        batch_size=32,
        max_epochs=8,
    )
    contest = surrogate_training.contest(TrainingData(z, y), settings, loader, options)
    ours, plain = contest.ours(), contest.peer()
    # In double precision rounding leaves no doubt that all steps are the same.
    assert ours == pytest.approx(plain, rel=1e-8)
    assert contest.peer() == plain  # each call starts from the first weights


def curves(count: int) -> tuple[Problem, np.ndarray]:
    """Return a population of curves with correlated noise, and the true (alpha, gamma)."""
    problem, alpha, gamma = curve_problem(count, seed=1)
    return problem, np.concatenate([alpha, gamma])


def test_predecessor_has_the_loss_and_gradient_of_the_descent() -> None:
    problem, truth = curves(50)
    settings = DescentSettings(debias=False, model_samples=50, directions=20, iterations=1)
    point = truth + np.array([0.3, -0.2, 0.5, 0.1, 0.4, -0.3])
    assert descent_step.loss_difference(problem, settings, point) < 1e-10
    # The comparison can fail: with the correction for finite samples the loss is another one.
    other = DescentSettings(debias=True, model_samples=50, directions=20, iterations=1)
    assert descent_step.loss_difference(problem, other, point) > 1e-2


def test_predecessor_descends_to_the_truth() -> None:
    problem, truth = curves(300)
    descent = Predecessor(problem, truth + 0.3, directions=30, iterations=200, learning_rate=0.03)
    losses = [descent.iterate() for _ in range(200)]
    assert np.mean(losses[-20:]) < 0.5 * losses[0]
    np.testing.assert_allclose(descent.p.detach().numpy()[:4], truth[:4], atol=0.15)


def test_plain_study_recovers_the_law() -> None:
    problem, truth = curves(300)
    start = truth + 0.3
    design = broad_parameters(problem.law, start[:4], np.full(4, 0.3), 0, "test/design", 200)
    asked: list[tuple[int, bool]] = []

    def how(number: int, covariance: np.ndarray | None) -> TrainingSettings:
        asked.append((number, covariance is not None))
        network = {"width": 32, "depth": 2}
        return TrainingSettings(
            stage=f"train/{number}",
            hyperparameters=network,
            whitening=None if covariance is None else np.linalg.inv(np.linalg.cholesky(covariance)),
            max_epochs=40,
        )

    def solve(z: np.ndarray) -> np.ndarray:
        return curve(torch.from_numpy(z)).numpy()

    theirs = plain_study(problem, solve, design, start, how, 2, 30, (60, 100))
    assert asked == [(0, False), (1, True)]
    np.testing.assert_allclose(theirs[:4], truth[:4], atol=0.2)
