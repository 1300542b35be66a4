"""Porous medium flow: order of accuracy, independent solvers, failures, reproducibility."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from forward_models import porous_flow, rms, slope, solved_elsewhere
from hypothesis import given, settings
from hypothesis import strategies as st
from rows_alone import assert_rows_are_alone
from scipy.integrate import cumulative_simpson
from tiers import parameters

from popinv.errors import DataError
from popinv.forward.base import ForwardModel
from popinv_models.finite_elements.firedrake import load_firedrake

pytestmark = pytest.mark.firedrake

SENSORS_1D = np.random.default_rng(0).uniform(0.03, 0.97, (50, 1))
SENSORS_2D = np.random.default_rng(1).uniform(0.03, 0.97, (50, 2))


def model(dimension, **arguments):
    sensors = SENSORS_1D if dimension == 1 else SENSORS_2D
    return porous_flow(sensors, dimension=dimension, **arguments)


@pytest.fixture(scope="module")
def line():
    return model(1)


@pytest.fixture(scope="module")
def square():
    return model(2)


def draws(flow, n, seed=0, scale=0.4):
    return scale * np.random.default_rng(seed).standard_normal((n, len(flow.parameters)))


# -- order of accuracy ---------------------------------------------------------------------------


@parameters(
    "dimension, sizes",
    [(1, (20, 40, 80)), (2, (8, 16, 32))],
    full=[(1, (20, 40, 80, 160)), (2, (8, 16, 32, 64))],
)
def test_second_order_against_a_manufactured_solution(dimension, sizes):
    fd = load_firedrake()
    # a = 0.3 + 0.5 cos(pi x) - 0.4 cos(2 pi x) in 1-D, 0.3 + 0.5 cos(pi y) - 0.4 cos(pi x) in
    # 2-D, and u = prod sin(pi x_d) * exp(x_1).
    z = np.array([[0.3, 0.5, -0.4]])

    def a(x):
        modes = (fd.cos(np.pi * x[0]), fd.cos(2 * np.pi * x[0]))
        if dimension == 2:
            modes = (fd.cos(np.pi * x[1]), fd.cos(np.pi * x[0]))
        return 0.3 + 0.5 * modes[0] - 0.4 * modes[1]

    def u(x):
        bubble = fd.sin(np.pi * x[0]) * fd.exp(x[0])
        return bubble if dimension == 1 else bubble * fd.sin(np.pi * x[1])

    def source(x):
        return -fd.div(fd.exp(a(x)) * fd.grad(u(x)))

    # Many sensors, so that their places within the cells average out.
    sensors = np.random.default_rng(2).uniform(0.01, 0.99, (400, dimension))
    exact = np.prod(np.sin(np.pi * sensors), axis=1) * np.exp(sensors[:, 0])
    errors = []
    for elements in sizes:
        flow = porous_flow(sensors, dimension=dimension, elements=elements, modes=2, source=source)
        full = np.zeros((1, len(flow.parameters)))
        full[0, :3] = z
        errors.append(rms(flow.solve(full).observations[0] - exact))
    # The sensors' places in the cells leave a few per cent of scatter in each error, which over
    # a factor of 8 in the number of elements shifts the slope by less than 0.1.
    assert 1.9 < slope(sizes, errors) < 2.1


@pytest.mark.parametrize("dimension", [1, 2])
def test_constant_permeability_has_the_known_solution(dimension):
    flow = model(dimension, source=3.0)
    z = np.zeros((2, len(flow.parameters)))
    z[1, 0] = np.log(2.0)
    values = flow.solve(z).observations
    np.testing.assert_allclose(values[1], values[0] / 2.0, rtol=1e-12)
    x = flow.sensors[:, 0]
    if dimension == 1:
        # Exact at the nodes; between them the linear interpolant is off by at most f h^2 / 8.
        assert np.abs(values[0] - 3.0 * x * (1 - x) / 2).max() < 3.0 / 8 / 200**2 * (1 + 1e-9)
    else:
        # Fourier series of the Poisson problem on the square.
        odd = np.arange(1, 200, 2)
        sines_x, sines_y = (np.sin(np.pi * np.outer(flow.sensors[:, d], odd)) for d in (0, 1))
        m, n = np.meshgrid(odd, odd, indexing="ij")
        weights = 16 * 3.0 / (np.pi**4 * m * n * (m**2 + n**2))
        exact = np.einsum("im,mn,in->i", sines_x, weights, sines_y)
        assert np.abs(values[0] - exact).max() < 3.0 / 32**2


def test_permeability_turned_by_half_a_turn_turns_the_solution(square):
    # (x, y) -> (1 - x, 1 - y) maps the mesh onto itself, so this holds up to rounding.
    turned = porous_flow(1 - SENSORS_2D, dimension=2)
    z = draws(square, 3)
    other = z.copy()
    other[:, 1:][:, square.field.wavenumbers.sum(axis=1) % 2 == 1] *= -1
    np.testing.assert_allclose(
        turned.solve(other).observations, square.solve(z).observations, rtol=1e-11
    )


# -- other solvers -------------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("field", ["cosine", "level_set"])
def test_agrees_with_firedrakes_own_solve(dimension, field):
    flow = model(dimension, field=field)
    z = draws(flow, 4)
    fast, reference = flow.solve(z), flow.solve_with_firedrake(z)
    assert not fast.failed.any()
    assert not reference.failed.any()
    assert np.abs(fast.observations - reference.observations).max() < 1e-10


def quadrature(flow, z, x):
    """Solve in one dimension by integrating the flux: exp(a) u' = c - f x, c from u(1) = 0."""
    grid = np.linspace(0.0, 1.0, 8001)
    resistance = np.exp(-flow.field.evaluate(z, flow.field.basis(grid[:, None])))
    flow_of_one = cumulative_simpson(resistance, x=grid, initial=0)
    flow_of_x = cumulative_simpson(flow.source * grid * resistance, x=grid, initial=0)
    constant = flow_of_x[:, -1:] / flow_of_one[:, -1:]
    u = constant * flow_of_one - flow_of_x
    return np.array([np.interp(x, grid, row) for row in u])


def test_agrees_with_quadrature_in_one_dimension():
    sizes = (50, 100, 200)
    errors = []
    for elements in sizes:
        flow = model(1, elements=elements)
        z = draws(flow, 20, scale=0.3)
        exact = quadrature(flow, z, flow.sensors[:, 0])
        errors.append(rms(flow.solve(z).observations - exact) / rms(exact))
    assert errors[-1] < 1e-3
    assert 1.8 < slope(sizes, errors) < 2.2


def test_stays_accurate_at_strong_contrast(line):
    z = np.zeros((1, len(line.parameters)))
    z[0, 2] = -5.0  # permeability from exp(-5) at the ends to exp(5) in the middle
    exact = quadrature(line, z, line.sensors[:, 0])
    assert rms(line.solve(z).observations - exact) < 2e-3 * rms(exact)


def test_agrees_with_scikit_fem_in_two_dimensions():
    import skfem
    from skfem.helpers import dot, grad

    z = draws(model(2, elements=4, modes=3), 1, scale=0.3)
    flow = model(2, elements=32, modes=3)

    @skfem.BilinearForm
    def stiffness(u, v, w):
        points = w.x.reshape(2, -1).T
        a = flow.field.evaluate(z, flow.field.basis(points)).reshape(w.x.shape[1:])
        return np.exp(a) * dot(grad(u), grad(v))

    @skfem.LinearForm
    def load(v, w):
        return flow.source * v

    # Quadratic elements and full quadrature: an error far below that of linear elements.
    ticks = np.linspace(0, 1, 41)
    mesh = skfem.MeshTri.init_tensor(ticks, ticks)
    basis = skfem.Basis(mesh, skfem.ElementTriP2(), intorder=5)
    u = skfem.solve(
        *skfem.condense(stiffness.assemble(basis), load.assemble(basis), D=basis.get_dofs())
    )
    exact = basis.probes(flow.sensors.T) @ u
    coarse = model(2, elements=16, modes=3)
    errors = [rms(m.solve(z).observations[0] - exact) / rms(exact) for m in (coarse, flow)]
    assert errors[1] < 5e-3
    assert 1.7 < np.log2(errors[0] / errors[1]) < 2.3


# -- nonlinear variants --------------------------------------------------------------------------


@parameters(
    "dimension, nonlinearity, exponent, sizes",
    [(1, "quadratic", 1.0, (25, 50, 100)), (1, "power", 2.0, (25, 50, 100))],
    full=[(2, "quadratic", 1.0, (8, 16, 32)), (2, "power", 1.0, (8, 16, 32))],
)
def test_kirchhoff_agrees_with_newton(dimension, nonlinearity, exponent, sizes):
    # Away from the boundary, where the power's u behaves as a root of the distance.
    sensors = np.random.default_rng(3).uniform(0.25, 0.75, (100, dimension))
    differences = []
    for elements in sizes:
        law = {"nonlinearity": nonlinearity, "exponent": exponent}
        flow = porous_flow(sensors, dimension=dimension, elements=elements, modes=2, **law)
        z = draws(flow, 2, scale=0.3)
        fast, newton = flow.solve(z), flow.solve_with_firedrake(z)
        assert not newton.failed.any(), newton.reason
        differences.append(rms(fast.observations - newton.observations) / rms(fast.observations))
    assert differences[-1] < 1e-3
    assert 1.8 < slope(sizes, differences) < 2.4


def test_kirchhoff_inverts_its_transform():
    linear = model(1, elements=20, modes=2, source=-7.0)
    quadratic = model(1, elements=20, modes=2, source=-7.0, nonlinearity="quadratic")
    power = model(1, elements=20, modes=2, source=-7.0, nonlinearity="power", exponent=1.5)
    z = draws(linear, 5)
    v = linear.solve(z).observations
    assert (v < 0).all()  # the power's odd continuation is used
    u = quadratic.solve(z).observations
    np.testing.assert_allclose(u + u**3 / 3, v, rtol=1e-12)
    u = power.solve(z).observations
    np.testing.assert_allclose(u * np.abs(u) ** 1.5 / 2.5, v, rtol=1e-12)


# -- failed rows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", [1, 2])
def test_failed_rows_say_why_and_leave_the_others_alone(dimension, line, square):
    flow = line if dimension == 1 else square
    z = draws(flow, 9)
    good = flow.solve(z).observations.copy()
    z[1, 2] = np.nan
    z[2, 0] = np.inf
    z[4, 0] = 1e4
    z[5, 0] = -1e4
    z[6] = 0.0
    z[6, 0] = 709.7  # a finite permeability, but not four times it
    # Permeable inside, nearly tight along the boundary: exp(40) between the two.
    names = [p.name for p in flow.parameters]
    z[7] = 0.0
    for name in ["mode_2"] if dimension == 1 else ["mode_0_2", "mode_2_0"]:
        z[7, names.index(name)] = -20.0
    outcome = flow.solve(z)
    assert outcome.failed.tolist() == [False, True, True, False, True, True, True, True, False]
    assert np.array_equal(outcome.observations[~outcome.failed], good[~outcome.failed])
    assert np.isnan(outcome.observations[outcome.failed]).all()
    assert outcome.reason[1] == f"parameter '{names[2]}' is nan"
    assert outcome.reason[2] == "parameter 'mean' is inf"
    assert "too high" in outcome.reason[4]
    assert "too low" in outcome.reason[5]
    assert "stiffness matrix overflows" in outcome.reason[6]
    assert "varies too strongly" in outcome.reason[7]


def test_the_reference_flags_the_same_rows():
    flow = model(1, elements=10, modes=2)
    z = draws(flow, 3)
    z[1, 1] = np.nan
    assert flow.solve_with_firedrake(z).reason.tolist() == flow.solve(z).reason.tolist()


def test_an_empty_batch_is_an_empty_answer(line):
    outcome = line.solve(np.empty((0, len(line.parameters))))
    assert outcome.observations.shape == (0, 50)
    assert outcome.failed.shape == (0,)


# -- reproducibility and memory ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dimension", "field", "nonlinearity"),
    [(1, "cosine", "power"), (1, "level_set", "none"), (2, "cosine", "quadratic")],
)
def test_a_row_does_not_depend_on_its_batch(dimension, field, nonlinearity):
    flow = model(dimension, field=field, nonlinearity=nonlinearity)
    n = 700 if dimension == 1 else 40  # several of the solver's own portions
    assert_rows_are_alone(lambda z: flow.solve(z).observations, draws(flow, n), 1, 3, n // 2 + 1)


@pytest.mark.full
def test_other_processes_and_thread_counts_give_the_same_bits(square, tmp_path):
    z = draws(square, 6)
    # This process has one thread.
    found = solved_elsewhere(square, z, tmp_path, 2)
    assert found == square.solve(z).observations.tobytes()


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_memory_stays_flat(line):
    z = draws(line, 1000)
    line.solve(z)
    before = resident_bytes()
    for _ in range(10):
        line.solve(z)
    assert resident_bytes() - before < 4e6


# -- the contract and its refusals ---------------------------------------------------------------


def test_keeps_the_contract(line, square):
    for flow, names in ((line, ("x",)), (square, ("x", "y"))):
        assert isinstance(flow, ForwardModel)
        assert tuple(flow.observations.coordinate_names) == names
        assert len(flow.observations) == 50
    assert [p.name for p in line.parameters[:2]] == ["mean", "mode_1"]
    assert len(line.parameters) == 21
    assert len(square.parameters) == 36


def test_observations_come_in_the_order_of_the_sensors(square):
    shuffle = np.random.default_rng(4).permutation(50)
    other = porous_flow(SENSORS_2D[shuffle], dimension=2)
    z = draws(square, 3)
    np.testing.assert_array_equal(
        other.solve(z).observations, square.solve(z).observations[:, shuffle]
    )


def test_z_of_another_width_is_refused(line):
    with pytest.raises(DataError, match=r"\(n, 21\)"):
        line.solve(np.zeros((3, 20)))
    with pytest.raises(DataError, match=r"\(n, 21\)"):
        line.solve(np.zeros(21))
    with pytest.raises(DataError, match="numbers"):
        line.solve([["a"] * 21])


def test_building_a_model_leaves_subnormal_numbers_alone():
    model = porous_flow(np.array([[0.5]]), elements=8, modes=3)
    model.solve_with_firedrake(np.zeros((1, 4)))
    # A product, so that the processor computes it and no constant is folded.
    assert np.float64(5e-324) * np.ones(3)[1] > 0


def run(program: str, name: str, value: str | None = None, **options):
    """Run a program with this value of a variable of the environment, or without the variable."""
    environment = {key: own for key, own in os.environ.items() if key != name}
    if value is not None:
        environment[name] = value
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, **options)


@pytest.mark.full
def test_subnormal_numbers_are_left_alone_where_firedrake_was_imported_before():
    program = """
import firedrake
import numpy as np
from popinv_models.finite_elements.firedrake import load_firedrake

fd = load_firedrake()
mesh = fd.UnitIntervalMesh(3)
fd.assemble(fd.Function(fd.FunctionSpace(mesh, "CG", 1)) * fd.dx)
print(np.float64(5e-324) * np.ones(3)[1] > 0)
"""
    done = run(program, "PYOP2_CFLAGS")
    assert done.stdout.split() == ["True"], done.stderr


# A start takes longer than all else: the other case has no options.
@pytest.mark.full
@parameters("options", ["-log_view :view"], full=[None])
def test_a_closed_connection_raises_where_firedrake_is_loaded(options, tmp_path):
    program = """
import socket
from popinv_models.finite_elements.firedrake import load_firedrake

fd = load_firedrake()
fd.assemble(fd.Constant(1.0) * fd.dx(domain=fd.UnitIntervalMesh(3)))
ours, theirs = socket.socketpair()
theirs.close()
try:
    ours.send(b"anyone there?")
except BrokenPipeError:
    print("raised")
"""
    done = run(program, "PETSC_OPTIONS", options, cwd=tmp_path)
    assert (done.returncode, done.stdout.split()) == (0, ["raised"]), done.stderr
    # The user's own options are kept.
    assert (tmp_path / "view").exists() == (options is not None)


@settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, 60), max_size=4).map(sorted))
def test_any_split_into_chunks_gives_the_same_solves(line, cuts):
    z = draws(line, 60)
    whole = line.solve(z).observations
    parts = [line.solve(z[a:b]).observations for a, b in pairwise([0, *cuts, 60])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
