"""Derivatives of the forward models: Taylor tests, and adjoints against tangents."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from forward_models import elastodynamics, porous_flow

from popinv.forward.base import DifferentiableModel
from popinv.inference.density.solver import SolverSimulator

pytestmark = pytest.mark.firedrake

FLOWS = [
    {"dimension": 1, "elements": 40},
    {"dimension": 1, "elements": 40, "nonlinearity": "quadratic"},
    {"dimension": 1, "elements": 40, "nonlinearity": "power", "exponent": 1.5},
    {"dimension": 1, "elements": 40, "field": "level_set", "modes": 5},
    {"dimension": 2, "elements": 8, "modes": 3},
    {"dimension": 2, "elements": 8, "modes": 3, "field": "level_set"},
]
BODIES = [
    {"elements": 12, "times": 6, "steps": 10},
    {"elements": 12, "times": 6, "steps": 10, "excitation": "load", "stiffness_damping": 0.02},
    {"elements": 12, "times": 6, "steps": 10, "field": "cosine", "modes": 3},
    {"dimension": 2, "elements": 4, "times": 5, "steps": 5, "duration": 10.0},
    {"dimension": 2, "elements": 4, "times": 5, "steps": 5, "field": "cosine", "modes": 2,
     "duration": 10.0, "excitation": "load"},
]  # fmt: skip


def flow(options):
    sensors = np.random.default_rng(0).uniform(0.1, 0.9, (5, options["dimension"]))
    model = porous_flow(sensors, **options)
    z = 0.3 * np.random.default_rng(1).standard_normal((4, len(model.parameters)))
    return model, z


def body(options):
    dimension = options.get("dimension", 1)
    sensors = np.random.default_rng(0).uniform(0.3, 0.9, (3, dimension))
    model = elastodynamics(sensors, **options)
    rng = np.random.default_rng(1)
    if model.field is None:
        z = rng.uniform(0.8, 1.2, (3, 2))
    else:
        z = 0.1 * rng.standard_normal((3, len(model.parameters)))
    z[:, -1] = rng.uniform(0.05, 0.2, 3)
    return model, z


CASES = [(flow, options) for options in FLOWS] + [(body, options) for options in BODIES]


@pytest.mark.parametrize(("make", "options"), CASES)
def test_the_remainder_of_taylor_is_of_second_order(make, options):
    model, z = make(options)
    assert isinstance(model, DifferentiableModel)
    direction = np.random.default_rng(2).standard_normal(z.shape)
    y, changes = model.jvp(z, direction[None])
    np.testing.assert_allclose(y, model.solve(z).observations, rtol=1e-12, atol=1e-14)
    steps = np.array([1e-2, 5e-3, 2.5e-3]) * 0.2
    remainders = [
        np.abs(model.solve(z + h * direction).observations - y - h * changes[0]).max()
        for h in steps
    ]
    orders = np.diff(np.log(remainders)) / np.diff(np.log(steps))
    assert np.all(np.abs(orders - 2) < 0.1), orders


@pytest.mark.parametrize(("make", "options"), CASES)
def test_the_adjoint_is_that_of_the_tangents(make, options):
    model, z = make(options)
    rng = np.random.default_rng(3)
    tangents = rng.standard_normal((2, *z.shape))
    cotangents = rng.standard_normal((len(z), len(model.observations)))
    _, changes = model.jvp(z, tangents)
    gradient = model.vjp(z, cotangents)
    forwards = (changes * cotangents).sum(axis=2)
    backwards = (tangents * gradient).sum(axis=2)
    np.testing.assert_allclose(forwards, backwards, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("options", FLOWS)
def test_tangents_may_be_views_of_one_for_all_rows(options):
    model, z = flow(options)
    shared = np.random.default_rng(4).standard_normal((3, 1, z.shape[1]))
    views = np.broadcast_to(shared, (3, *z.shape))
    np.testing.assert_allclose(model.jvp(z, views)[1], model.jvp(z, views.copy())[1], rtol=1e-12)


# A stiffness or a permeability of zero, and a permeability that overflows.
@pytest.mark.parametrize(
    ("make", "options", "fate"),
    [
        (flow, FLOWS[0], -800.0),
        (flow, FLOWS[0], 800.0),
        (flow, FLOWS[4], -800.0),
        (flow, FLOWS[4], 800.0),
        (body, BODIES[0], -800.0),
    ],
)
def test_rows_that_cannot_be_solved_are_nan_and_leave_the_others_alone(make, options, fate):
    model, z = make(options)
    broken = np.repeat(z[:3], [2, 2, 1], axis=0)
    broken[1], broken[3] = np.nan, fate
    z = z[[0, 0, 1, 1, 2]]
    tangents = np.ones((1, *z.shape))
    cotangents = np.ones((len(z), len(model.observations)))
    y, changes = model.jvp(broken, tangents)
    gradient = model.vjp(broken, cotangents)
    assert np.isnan(y[[1, 3]]).all()
    assert np.isnan(changes[:, [1, 3]]).all()
    assert np.isnan(gradient[[1, 3]]).all()
    good = [0, 2, 4]
    np.testing.assert_array_equal(gradient[good], model.vjp(z, cotangents)[good])
    np.testing.assert_array_equal(changes[:, good], model.jvp(z, tangents)[1][:, good])


def test_the_solver_is_differentiable_for_torch():
    model, z = flow(FLOWS[0])
    simulate = SolverSimulator(model)
    assert simulate.differentiable
    at = torch.from_numpy(z).requires_grad_(True)
    assert torch.autograd.gradcheck(simulate, (at,), atol=1e-6)
    along = torch.randn((2, *z.shape), dtype=torch.float64)
    value, changes = simulate.linearise(at.detach(), along)
    np.testing.assert_allclose(value, model.solve(z).observations)
    np.testing.assert_allclose(changes, model.jvp(z, along.numpy())[1])
    assert simulate.solves > 0
