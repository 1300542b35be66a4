"""Porous flow with loads and sensors that differ from system to system."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from popinv.forward.base import DifferentiableModel
from popinv.forward.states import states
from popinv_models.finite_elements.firedrake import load_firedrake
from popinv_models.porous_flow.model import PorousFlowModel
from popinv_models.porous_flow.section import PorousFlow as Section

pytestmark = pytest.mark.firedrake

EVERY = {"source_shape": "gaussian"}
CASES = [
    {"elements": 40, "design": ["source"]},
    {"elements": 40, "design": ["sensors", "source"], "nonlinearity": "quadratic"},
    {"elements": 40, "design": ["source_x", "source", "source_width", "sensors"], **EVERY},
    {"dimension": 2, "elements": 8, "modes": 3, "design": ["sensors", "source"]},
    {
        "dimension": 2,
        "elements": 8,
        "modes": 3,
        "design": ["source", "source_x", "source_y", "sensors"],
        "source_width": 0.3,
        "nonlinearity": "power",
        "exponent": 1.5,
        **EVERY,
    },
]


def made(keys, sensors=5):
    given = {"kind": "porous_flow", "sensors": {"count": sensors}, **keys}
    section = Section.model_validate(given)
    return section, PorousFlowModel(section, 3)


def rows(section, count, seed=0):
    """Return parameters and designs of a few systems."""
    rng = np.random.default_rng(seed)
    z = 0.3 * rng.standard_normal((count, len(section.inputs())))
    first = len(section.parameters())
    limits = {"source": (2, 20), "source_width": (0.1, 0.4)}
    for j, name in enumerate(section.design_names()):
        z[:, first + j] = rng.uniform(*limits.get(name, (0.05, 0.95)), count)
    return z


def without_transform(keys):
    """Return the pressure for v = K(u), in closed form."""
    if keys.get("nonlinearity") == "quadratic":
        return lambda v: 2 * np.sinh(np.arcsinh(1.5 * v) / 3)
    exponent = keys.get("exponent", 0.0)
    return lambda v: ((exponent + 1) * v) ** (1 / (exponent + 1))


@pytest.mark.full
@pytest.mark.parametrize("keys", CASES)
def test_agrees_with_firedrakes_own_solve(keys):
    section, flow = made(keys)
    z = rows(section, 4)
    linear = {key: keys[key] for key in keys if key not in ("nonlinearity", "exponent")}
    reference = made(linear)[1].solve_with_firedrake(z)
    fast = flow.solve(z)
    assert not fast.failed.any()
    expected = without_transform(keys)(reference.observations)
    np.testing.assert_allclose(fast.observations, expected, rtol=1e-10)


@pytest.mark.full
@pytest.mark.parametrize("dimension", [1, 2])
def test_agrees_with_a_solve_that_knows_nothing_of_designs(dimension):
    """Solve two systems directly, with the load as an expression and the sensors as points."""
    fd = load_firedrake()
    side = 400 if dimension == 1 else 48
    design = ["source", "source_x", "source_width", "sensors"]
    if dimension == 2:
        design.insert(2, "source_y")
    keys = {"dimension": dimension, "elements": side, "modes": 3, "design": design, **EVERY}
    section, flow = made(keys)
    z = rows(section, 2, seed=5)
    names = [each.name for each in section.inputs()]
    for row, y in zip(z, flow.solve(z).observations, strict=True):
        of = dict(zip(names, row, strict=True))
        mesh = fd.UnitIntervalMesh(side) if dimension == 1 else fd.UnitSquareMesh(side, side)
        space, x = fd.FunctionSpace(mesh, "CG", 2), fd.SpatialCoordinate(mesh)
        a = of["mean"]
        for k, value in zip(flow.field.wavenumbers, row[1:], strict=False):
            mode = value
            for d in range(dimension):
                mode *= fd.cos(fd.pi * float(k[d]) * x[d])
            a += mode
        squared = sum((x[d] - of[f"source_{axis}"]) ** 2 for d, axis in enumerate(section.axes()))
        load = of["source"] * fd.exp(-squared / (2 * of["source_width"] ** 2))
        u, v = fd.Function(space), fd.TestFunction(space)
        trial = fd.TrialFunction(space)
        dx = fd.dx(metadata={"quadrature_degree": 6})
        form = fd.exp(a) * fd.inner(fd.grad(trial), fd.grad(v)) * dx
        fd.solve(form == load * v * dx, u, bcs=fd.DirichletBC(space, 0, "on_boundary"))
        places = [[of[f"{axis}_{j}"] for axis in section.axes()] for j in range(1, 6)]
        exact = fd.PointEvaluator(mesh, np.array(places)).evaluate(u)
        assert np.abs(y - exact).max() < 5e-3 * np.abs(exact).max()


@pytest.mark.parametrize("keys", CASES)
def test_derivatives_in_the_parameters_agree_with_differences(keys):
    section, flow = made(keys)
    z = rows(section, 3)
    assert isinstance(flow, DifferentiableModel)
    rng, first = np.random.default_rng(2), len(section.parameters())
    tangents = np.zeros((2, *z.shape))
    tangents[:, :, :first] = rng.standard_normal((2, len(z), first))
    y, changes = flow.jvp(z, tangents)
    np.testing.assert_allclose(y, flow.solve(z).observations, rtol=1e-11)
    for tangent, change in zip(tangents, changes, strict=True):
        ends = [flow.solve(z + h * tangent).observations for h in (1e-5, -1e-5)]
        np.testing.assert_allclose(change, (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-7)
    cotangents = rng.standard_normal(y.shape)
    gradient = flow.vjp(z, cotangents)
    np.testing.assert_allclose(
        (changes * cotangents).sum(axis=2), (tangents * gradient).sum(axis=2), rtol=1e-9
    )
    assert not gradient[:, first:].any()


@pytest.mark.parametrize("dimension", [1, 2])
def test_a_design_that_is_the_same_in_all_systems_changes_nothing(dimension):
    places = np.random.default_rng(1).uniform(0.1, 0.9, (4, dimension))
    keys = {"dimension": dimension, "modes": 3}
    fixed = Section(kind="porous_flow", sensors={"positions": places.tolist()}, source=7.0, **keys)
    section, flow = made({**keys, "design": ["source", "sensors"]}, sensors=4)
    z = 0.3 * np.random.default_rng(0).standard_normal((3, len(fixed.parameters())))
    design = np.broadcast_to(np.append(7.0, places), (3, 1 + places.size))
    seen = flow.solve(np.hstack([z, design])).observations
    np.testing.assert_allclose(seen, PorousFlowModel(fixed, 3).solve(z).observations, rtol=1e-11)
    assert section.observed(0).coordinate_names == ("sensor",)


def test_the_solution_of_a_row_does_not_depend_on_the_others():
    section, flow = made(CASES[2])
    z = rows(section, 700)
    every = flow.solve(z).observations
    np.testing.assert_array_equal(flow.solve(z[300:303]).observations, every[300:303])


def test_loads_between_the_nodes_and_sensors_outside_fail_with_a_reason():
    section, flow = made(CASES[2])
    z, names = rows(section, 4), [each.name for each in section.inputs()]
    z[0, names.index("source_width")] = 0.04
    z[1, names.index("x_2")] = 1.0
    z[2, names.index("x_1")] = np.nan
    solved = flow.solve(z)
    assert solved.reason.tolist() == [
        "the load is narrower than two elements",
        "a sensor lies outside the domain",
        "parameter 'x_1' is nan",
        "",
    ]
    tangents = np.ones((1, *z.shape))
    assert np.isnan(flow.jvp(z, tangents)[1]).all(axis=(0, 2)).tolist() == [True] * 3 + [False]
    assert flow.solve_with_firedrake(z).reason.tolist() == solved.reason.tolist()


def test_a_load_without_a_design_may_be_gaussian_and_a_source_zero():
    alike = {"source_shape": "gaussian", "source_x": 0.3, "source": 4.0, "elements": 40}
    section, flow = made(alike)
    known, own = made({**alike, "source": 1.0, "source_x": 0.9, "design": ["source_x", "source"]})
    z = rows(section, 2)
    design = [[0.3, 4.0]] * 2
    np.testing.assert_allclose(
        flow.solve(z).observations, own.solve(np.hstack([z, design])).observations, rtol=1e-12
    )
    nothing = own.solve(np.hstack([z, [[0.3, 0.0]] * 2]))
    assert not nothing.failed.any()
    assert not nothing.observations.any()
    assert known.design_names() == ("source_x", "source")


def test_states_are_those_of_the_systems_loads():
    section, flow = made(CASES[2])
    z, names = rows(section, 2), [each.name for each in section.inputs()]
    whole = states(section, 3, z, "solve", [0, 1])
    places = [names.index(f"x_{j}") for j in range(1, 6)]
    seen = zip(z, whole["pressure"].values, flow.solve(z).observations, strict=True)
    for row, pressure, y in seen:
        np.testing.assert_allclose(np.interp(row[places], whole["x"], pressure), y, rtol=1e-10)


@pytest.mark.parametrize(
    ("keys", "place", "text"),
    [
        ({"design": ["source_x"]}, "design[0]", "source_shape: gaussian"),
        ({"design": ["source", "source"]}, "design[1]", "already"),
        ({"design": ["sensors"], "sensors": {"positions": [0.5]}}, "sensors", "'count' alone"),
        ({"source_x": 0.2}, "source_x", "uniform"),
        ({"source_shape": "gaussian", "source_width": 0.005}, "source_width", "two elements"),
        ({"source_shape": "gaussian", "source_y": 0.2}, "source_y", "dimension is 1"),
    ],
)
def test_contradictions_are_explained(keys, place, text):
    section = Section.model_validate({"kind": "porous_flow", **keys})
    problems = list(section.problems())
    assert [(text in problem.text) for problem in problems] == [True], problems


def test_an_unknown_entry_of_the_design_is_refused():
    with pytest.raises(ValidationError):
        Section.model_validate({"kind": "porous_flow", "design": ["pressure"]})
