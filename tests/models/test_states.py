"""Whole states: what the sensors see of them is what the forward model answers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from test_lorenz96_averages import measure

from popinv.config.study import Study
from popinv.errors import SolverError
from popinv.forward.section import forward_section
from popinv.forward.states import states
from popinv_models.finite_elements.firedrake import load_firedrake
from popinv_models.lorenz96.states import FAST_SPAN

SEED = 5


def section(kind, **keys):
    """Return a complete forward section."""
    checked = forward_section({"kind": kind, **keys})
    assert not list(checked.problems())
    return checked


def draws(model, n, seed=0):
    return 0.4 * np.random.default_rng(seed).standard_normal((n, len(model.parameters)))


def at_places(space, grids, places):
    """Evaluate finite-element functions at places with Firedrake, from values on a grid of nodes.

    ``grids`` (n, x, y) holds the nodal values, x and y from 0 to the lengths of the sides.
    """
    fd = load_firedrake()
    mesh = space.mesh()
    nodes = fd.Function(fd.VectorFunctionSpace(mesh, space.ufl_element()))
    nodes.interpolate(fd.SpatialCoordinate(mesh))
    where = nodes.dat.data_ro
    counts = np.array(grids.shape[1:]) - 1
    index = np.round(where / where.max(axis=0) * counts).astype(int)
    values = []
    for grid in grids:
        u = fd.Function(space)
        u.dat.data[:] = grid[tuple(index.T)]
        values.append(fd.PointEvaluator(mesh, places).evaluate(u))
    return np.array(values)


@pytest.mark.firedrake
@pytest.mark.parametrize("field", ["cosine", "level_set"])
@pytest.mark.parametrize("nonlinearity", ["none", "quadratic"])
def test_pressure_along_a_line_is_what_the_sensors_see(field, nonlinearity):
    forward = section("porous_flow", field=field, nonlinearity=nonlinearity)
    model = forward.model(SEED)
    z = draws(model, 3)
    dataset = states(forward, SEED, z, "any", [7, 2, 9])
    assert dataset["pressure"].dims == dataset["log_permeability"].dims == ("system", "x")
    assert dataset.attrs["kind"] == "porous_flow"
    x, pressure = dataset["x"].values, dataset["pressure"].values
    # What is linear between vertices is Kirchhoff's transform of the pressure.
    transform = {"none": lambda u: u, "quadratic": lambda u: u + u**3 / 3}[nonlinearity]
    seen = np.array([np.interp(model.sensors[:, 0], x, transform(u)) for u in pressure])
    np.testing.assert_allclose(seen, transform(model.solve(z).observations), rtol=1e-12)
    assert np.all(pressure[:, [0, -1]] == 0)
    # The field by its definition.
    k = np.arange(1, forward.modes + 1)
    waves = np.cos(np.pi * np.outer(k, x))
    if field == "cosine":
        expected = z[:, :1] + z[:, 1:] @ waves
    else:
        step = 0.5 * (1 + np.tanh(forward.sharpness * (z[:, 2:] @ waves)))
        expected = np.log(np.exp(z[:, :1]) * (1 - step) + np.exp(z[:, 1:2]) * step)
    np.testing.assert_allclose(dataset["log_permeability"].values, expected, atol=1e-12)


@pytest.mark.firedrake
def test_pressure_in_the_plane_is_what_the_sensors_see():
    forward = section("porous_flow", dimension=2, elements=12, modes=3)
    model = forward.model(SEED)
    z = draws(model, 2)
    dataset = states(forward, SEED, z, "any", [0, 1])
    assert dataset["pressure"].dims == ("system", "x", "y")
    seen = at_places(model.discretisation.space, dataset["pressure"].values, model.sensors)
    np.testing.assert_allclose(seen, model.solve(z).observations, rtol=1e-12)
    # z = (mean, mode_0_1, mode_1_0, ...): the second is a wave along y, the third along x.
    slope = states(forward, SEED, np.array([[0, 0, 0.5, *[0] * 6]]), "any", [0])
    field = slope["log_permeability"].isel(system=0)
    np.testing.assert_allclose(field.values.T[0], 0.5 * np.cos(np.pi * field["x"]), atol=1e-15)
    assert np.ptp(field.values, axis=1).max() < 1e-15


@pytest.mark.firedrake
@pytest.mark.parametrize("steps", [10, 70])
def test_a_bar_moves_as_its_sensors_see_it(steps):
    forward = section("elastodynamics", elements=30, times=8, steps=steps, field="cosine", modes=3)
    model = forward.model(SEED)
    z = draws(model, 2)
    z[:, -1] = 0.2 * np.exp(z[:, -1])
    dataset = states(forward, SEED, z, "any", [0, 1])
    moved = dataset["displacement"]
    assert moved.dims == ("system", "time", "x")
    # Every one of 8 x 10 steps, and every other of 8 x 70.
    assert moved.sizes["time"] == {10: 80, 70: 280}[steps]
    at_times = moved.sel(time=model.times, method="nearest", tolerance=1e-9)
    seen = at_times.interp(x=model.sensors[:, 0]).transpose("system", "x", "time").values
    expected = model.solve(z).observations.reshape(2, len(model.sensors), -1)
    np.testing.assert_allclose(seen, expected, atol=1e-13)
    assert np.all(moved.sel(x=0) == 0)
    # Let go from a deflection 1 of the end, from which one step takes it hardly away.
    assert moved.isel(time=0, x=-1).values == pytest.approx(1, abs=0.1)
    basis = model.field.basis(dataset["x"].values[:, None])
    expected = z[:, :1] + z[:, 1:-1] @ basis
    np.testing.assert_allclose(dataset["log_stiffness"].values, expected, atol=1e-12)


@pytest.mark.firedrake
def test_a_cantilever_moves_as_its_sensors_see_it():
    places = [[0.31, 0.4], [0.9, 0.77]]
    forward = section(
        "elastodynamics", dimension=2, elements=6, duration=1.5, times=3, steps=4,
        sensors={"positions": places},
    )  # fmt: skip
    model = forward.model(SEED)
    z = np.array([[1.0, 0.03], [1.3, 0.05]])
    dataset = states(forward, SEED, z, "any", [0, 1])
    across = dataset["displacement_y"].sel(time=model.times, method="nearest", tolerance=1e-9)
    assert across.dims == ("system", "time", "x", "y")
    space, where = model.discretisation.scalar_space, model.discretisation.places
    expected = model.solve(z).observations.reshape(2, len(places), -1)
    for t in range(3):
        seen = at_places(space, across.isel(time=t).values, where)
        np.testing.assert_allclose(seen, expected[:, :, t], atol=1e-13)
    for name in ("displacement_x", "displacement_y"):
        assert np.all(dataset[name].sel(x=0) == 0)
    # Bent upwards, the upper side is shorter and the lower one longer, by symmetry as much.
    start = dataset.isel(system=0, time=0)
    assert float(start["displacement_y"].isel(x=-1).mean()) == pytest.approx(1, abs=0.05)
    along = start["displacement_x"].isel(x=-1).values
    assert along[0] > 0 > along[-1]
    assert along[0] + along[-1] == pytest.approx(0, abs=0.02)
    assert "log_stiffness" not in dataset


@pytest.mark.parametrize("windows", [1, 3])
@pytest.mark.parametrize("scales", [1, 2])
def test_averages_of_the_trajectories_are_what_is_observed(scales, windows):
    keys = {"variables": 8, "subvariables": 4} if scales == 2 else {"variables": 12}
    forward = section("lorenz96", scales=scales, spin_up=1.0, window=2.0, windows=windows, **keys)
    model = forward.model(SEED)
    z = np.array([[8.0], [9.0]]) if scales == 1 else np.array([[10.0, 1, 4, 6], [9.0, 1, 5, 6]])
    # Systems 4 and 9 of a batch that begins at 3.
    batch = np.repeat(z[:1], 7, axis=0)
    batch[[1, 6]] = z
    expected = model.solve(batch, "stage", 3).observations[[1, 6]]
    dataset = states(forward, SEED, z, "stage", [4, 9])
    assert dataset["x"].dims == ("system", "time", "place")
    times = dataset["time"].values
    assert times[-1] == pytest.approx(2.0 * windows)
    x = dataset["x"].values
    y = dataset["y"].values if scales == 2 else np.empty((*x.shape, 0))
    assert times[-1] <= FAST_SPAN  # so that the fast variables are there at all times
    for q, name in enumerate(forward.observables):
        for i in range(2):
            values = measure(name, x[i], y[i]).reshape(windows, -1).mean(axis=1)
            seen = expected[i].reshape(-1, windows)[q]
            np.testing.assert_allclose(values, seen, rtol=1e-12, atol=1e-13)


def test_the_fast_variables_are_kept_for_a_while():
    forward = section(
        "lorenz96", scales=2, variables=6, subvariables=4, spin_up=0.0, window=2 * FAST_SPAN
    )
    dataset = states(forward, SEED, np.array([[10.0, 1.0, 4.0, 6.0]]), "any", [0])
    assert dataset["fast_time"].values[-1] == pytest.approx(FAST_SPAN)
    assert dataset["time"].values[-1] == pytest.approx(2 * FAST_SPAN)


def test_what_cannot_be_solved_has_no_state():
    forward = section("lorenz96", spin_up=0.0, window=5.0)
    with pytest.raises(SolverError, match=r"system 1 has no state: the trajectory left"):
        states(forward, SEED, np.array([[8.0], [1e9]]), "any", [0, 1])


def test_a_simulator_of_ones_own_has_no_states():
    own = {"parameters": ["a"], "observations": {"count": 2}}
    forward = section("python", function="simulator:solve", **own)
    assert not Study.has_states(SimpleNamespace(forward=forward))
    with pytest.raises(ValueError, match="'python' has no states"):
        states(forward, SEED, np.ones((1, 1)), "any", [0])
    assert Study.has_states(SimpleNamespace(forward=section("lorenz96")))
