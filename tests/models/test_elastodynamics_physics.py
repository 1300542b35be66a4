"""Elastodynamics: orders of accuracy, closed forms and the conservation of energy."""

from __future__ import annotations

import numpy as np
import pytest
from forward_models import PLACES, bar_or_beam, elastodynamics, rms, slope
from scipy.linalg import eigh
from scipy.sparse import csr_matrix

from popinv_models.elastodynamics import kernels
from popinv_models.finite_elements import banded
from popinv_models.finite_elements.firedrake import load_firedrake

pytestmark = pytest.mark.firedrake


@pytest.fixture(scope="module")
def bar():
    return bar_or_beam()


class System:
    """The matrices of one system, to march from any state."""

    def __init__(self, forward, stiffness, damping=(0.0, 0.0), time_step=None):
        op, lower = forward.operators, forward.operators.stiffness
        self.operators = op
        self.time_step = dt = forward.time_step if time_step is None else time_step
        cells = np.broadcast_to(stiffness, len(op.midpoints)).astype(float)
        (entries,), _ = lower.assembled(cells[None])
        self.mass, self.stiffness = (
            csr_matrix((values[op.entries], op.columns, op.pointer))
            for values in (op.mass, entries)
        )
        self.factors = banded.empty_factors(lower.unknowns, lower.bandwidth)
        a, b = damping
        self.weights = 1 + dt / 2 * a, dt / 2 * b + dt**2 / 4
        of_step = self.weights[0] * op.mass + self.weights[1] * entries
        banded.place(of_step, lower.rows, lower.columns, self.factors)
        assert banded.factorise(self.factors) == 0

    def advance(self, displacement, velocity, steps):
        """March in place, without load."""
        op = self.operators
        kernels.march(
            op.diagonals,
            op.offsets,
            self.factors,
            self.weights,
            np.zeros((1, len(displacement))),
            self.time_step,
            displacement,
            velocity,
            op.observation_pointer,
            op.observation_columns,
            op.observation_weights,
            steps,
            np.empty((len(op.observation_pointer) - 1, 1)),
        )

    def energy(self, displacement, velocity):
        return (
            velocity @ (self.mass @ velocity) + displacement @ (self.stiffness @ displacement)
        ) / 2


# -- order of accuracy ---------------------------------------------------------------------------

A, B = 0.7, 0.05


def manufactured(dimension, random, height=0.5, **arguments):
    """Return relative error against u = s(x) (1 - cos 2 t), with damping and a smooth stiffness.

    s vanishes at x = 0 and its gradient on the rest of the boundary, which is free of traction.
    """
    fd = load_firedrake()
    sensors = np.random.default_rng(2).uniform(0.01, 0.99, (300, dimension))

    def shape(x, sin=fd.sin):
        if dimension == 1:
            return sin(np.pi / 2 * x[0])
        return x[0] * (1 - x[0]) ** 2 * x[1] ** 2 * (height - x[1]) ** 2

    def source(x, t):
        growth = 1 - fd.cos(2 * t), 2 * fd.sin(2 * t), 4 * fd.cos(2 * t)
        if dimension == 1:
            s = fd.as_vector([shape(x)])
            stress = fd.grad(shape(x))
            log_e = 0.3 + 0.5 * fd.cos(np.pi * x[0]) - 0.4 * fd.cos(2 * np.pi * x[0])
        else:
            s = shape(x) * fd.as_vector([1.0, 2.0])
            strain, nu = fd.sym(fd.grad(s)), 0.3
            stress = (strain + nu / (1 - 2 * nu) * fd.tr(strain) * fd.Identity(2)) / (1 + nu)
            log_e = 0.3 + 0.5 * fd.cos(np.pi * x[1] / height) - 0.4 * fd.cos(np.pi * x[0])
        force = -fd.div((fd.exp(log_e) if random else 1) * stress)
        if dimension == 1:
            s = s[0]
        return s * (growth[2] + A * growth[1]) + force * (growth[0] + B * growth[1])

    forward = elastodynamics(
        sensors,
        dimension=dimension,
        height=height,
        field="cosine" if random else "none",
        modes=2,
        excitation="load",
        amplitude=0.0,
        stiffness_damping=B,
        duration=1.0,
        times=2,
        source=source,
        **arguments,
    )
    z = np.zeros((1, len(forward.parameters)))
    if random:
        z[0, :3] = [0.3, 0.5, -0.4]
    else:
        z[0, 0] = 1.0
    z[0, -1] = A
    values = forward.solve(z).observations.reshape(len(sensors), 2)
    size = np.array([1.0, height])[:dimension]
    s = shape((sensors * size).T, np.sin) * (1 if dimension == 1 else 2)
    exact = s[:, None] * (1 - np.cos(2 * forward.times))
    return rms(values - exact) / rms(exact)


def test_second_order_in_space_and_time_on_the_bar():
    sizes = (10, 20, 40, 80)
    errors = [manufactured(1, True, elements=n, steps=n) for n in sizes]
    assert 1.9 < slope(sizes, errors) < 2.1


@pytest.mark.full
@pytest.mark.parametrize(("random", "sizes", "order"), [(False, (8, 16), 3), (True, (16, 32), 2)])
def test_order_in_space_on_the_cantilever(random, sizes, order):
    # Quadratic elements have order 3; a varying stiffness, taken at the midpoints, leaves 2. The
    # range allows for two sizes that are not yet in the limit: the shape is of degree 7.
    errors = [manufactured(2, random, elements=n, steps=40) for n in sizes]
    assert order - 0.3 < slope(sizes, errors) < order + 0.4


@pytest.mark.full
@pytest.mark.parametrize("dimension", [1, 2])
def test_second_order_in_time(dimension):
    sizes = (2, 4, 8)
    mesh = {"elements": 400 if dimension == 1 else 24}
    errors = [manufactured(dimension, False, steps=n, **mesh) for n in sizes]
    # The error of the cantilever's mesh, a third of the smallest of these, lowers the slope.
    assert 1.85 < slope(sizes, errors) < 2.1


# -- closed forms --------------------------------------------------------------------------------


def plucked_bar(stiffness, damping, x, t, terms=20000):
    """Fourier series of the bar let go from u = x, shape (len(x), len(t))."""
    k = np.pi / 2 * (2 * np.arange(terms) + 1)
    frequency = np.sqrt(stiffness * k**2 - damping**2 / 4)
    shape = 2 * (-1.0) ** np.arange(terms) / k**2 * np.sin(np.outer(x, k))
    phase = np.outer(frequency, t)
    motion = np.cos(phase) + damping / 2 / frequency[:, None] * np.sin(phase)
    return shape @ (np.exp(-damping * np.asarray(t) / 2) * motion)


@pytest.mark.parametrize("excitation", ["pluck", "load"])
def test_bar_agrees_with_the_fourier_series(excitation):
    z = np.array([[1.0, 0.2], [2.5, 0.1]])
    errors = []
    for elements, steps in ((25, 10), (100, 40)):
        forward = bar_or_beam(elements=elements, steps=steps, excitation=excitation)
        values = forward.solve(z).observations.reshape(2, 3, -1)
        exact = np.array([plucked_bar(*row, PLACES[:, 0], forward.times) for row in z])
        if excitation == "load":  # approaches the static state x / E, as the plucked bar does 0
            exact = (PLACES[:, :1] - exact) / z[:, :1, None]
        errors.append(rms(values - exact) / rms(exact))
    # The bar has travelling kinks, where the order of points lies between 1/2 and 1.
    assert errors[1] < 0.015
    assert errors[0] / errors[1] > 2


def test_lowest_frequency_of_the_bar():
    system = System(bar_or_beam(elements=50), 4.0)
    lowest = eigh(
        system.stiffness.toarray(), system.mass.toarray(), eigvals_only=True, subset_by_index=[0, 0]
    )[0]
    # Linear elements with a consistent mass: omega_h^2 = omega^2 (1 + (k h)^2 / 12 + ...).
    exact = 4.0 * (np.pi / 2) ** 2 * (1 + (np.pi / 2 / 50) ** 2 / 12)
    assert abs(lowest / exact - 1) < (np.pi / 2 / 50) ** 4


def test_slender_cantilever_is_a_beam():
    # Euler and Bernoulli's beam with the modulus E / (1 - nu^2) of plane strain. Shear, left out
    # there, adds about height^2 to the deflection: 0.2 %. Two elements across suffice.
    height, nu = 0.05, 0.3
    forward = elastodynamics([[0.999, 0.5]], dimension=2, height=height, elements=40)
    system, op = System(forward, 1.0), forward.operators
    bending = height**3 / 12 / (1 - nu**2)
    deflection = op.end @ np.linalg.solve(system.stiffness.toarray(), op.end) / height
    assert abs(deflection / (height / (3 * bending)) - 1) < 5e-3
    lowest = eigh(
        system.stiffness.toarray(), system.mass.toarray(), eigvals_only=True, subset_by_index=[0, 0]
    )[0]
    assert abs(np.sqrt(lowest / (1.8751**4 * bending / height)) - 1) < 5e-3


@pytest.mark.parametrize(("a", "b"), [(0.0, 0.0), (0.3, 0.0), (0.1, 0.02)])
def test_one_mode_is_a_damped_oscillator(bar, a, b):
    duration, errors, sizes = 3.0, [], (100, 200)
    for steps in sizes:
        system = System(bar, 1.5, (a, b), duration / steps)
        squares, modes = eigh(
            system.stiffness.toarray(), system.mass.toarray(), subset_by_index=[2, 2]
        )
        mode, rate = modes[:, 0].copy(), a + b * squares[0]
        displacement, velocity = mode.copy(), np.zeros_like(mode)
        system.advance(displacement, velocity, steps)
        amplitude = mode @ (system.mass @ displacement)

        # q = Re(c exp(lambda t)) solves q'' + rate q' + omega^2 q = 0, q(0) = 1, q'(0) = 0;
        # average acceleration replaces exp(s) by (1 + s / 2) / (1 - s / 2), s = lambda dt.
        frequency = np.sqrt(squares[0] - rate**2 / 4)
        c, exponent = 1 - 0.5j * rate / frequency, -rate / 2 + 1j * frequency
        s = exponent * duration / steps
        newmark = (c * ((1 + s / 2) / (1 - s / 2)) ** steps).real
        # Rounding: eps times the ratio of the highest frequency to this one, for each step.
        assert abs(amplitude - newmark) < 1e-11
        errors.append(abs(amplitude - (c * np.exp(exponent * duration)).real))
        # In this mode alone: nothing leaks into others.
        assert rms(displacement - amplitude * mode) < 1e-11 * rms(mode)
    assert 1.8 < slope(sizes, errors) < 2.2


@pytest.mark.parametrize("dimension", [1, 2])
def test_energy_is_conserved_without_damping(dimension):
    forward = bar_or_beam(dimension, elements=40 if dimension == 1 else 8)
    stiffness = np.exp(np.random.default_rng(0).standard_normal(len(forward.operators.midpoints)))
    system = System(forward, stiffness, time_step=0.02)
    n, rng = forward.operators.stiffness.unknowns, np.random.default_rng(1)
    displacement, velocity = 0.01 * rng.standard_normal(n), rng.standard_normal(n)
    energies, steps = [system.energy(displacement, velocity)], 500
    for _ in range(10):
        system.advance(displacement, velocity, steps)
        energies.append(system.energy(displacement, velocity))
    # A step's rounding errors change the energy by a few eps of itself, at worst all one way.
    bound = 4 * np.finfo(float).eps * steps * np.arange(11)
    assert (np.abs(np.array(energies) / energies[0] - 1) <= bound).all()
