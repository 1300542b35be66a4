"""Lorenz-96 in time: against another integrator, its invariants and what is known of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from popinv_models.lorenz96.integrator import Coefficients, advance


def tendency(slow, fast, forcing, h=0.0, c=1.0, b=1.0):
    """Return the equations' right-hand side for one member, written with rolls."""
    d_slow = np.roll(slow, 1) * (np.roll(slow, -1) - np.roll(slow, 2)) - slow + forcing
    if not fast.size:
        return d_slow, fast
    d_slow -= h * c * fast.mean(axis=1)
    ring = fast.ravel()
    advected = -c * b * np.roll(ring, -1) * (np.roll(ring, -2) - np.roll(ring, 1))
    driven = h * c / fast.shape[1] * np.repeat(slow, fast.shape[1])
    return d_slow, (advected - c * ring + driven).reshape(fast.shape)


def reference(slow, fast, time, *parameters):
    """Return one member's state at ``time`` by an adaptive method of order 8."""

    def f(t, u):
        x, y = u[: slow.size], u[slow.size :].reshape(fast.shape)
        return np.concatenate([part.ravel() for part in tendency(x, y, *parameters)])

    start = np.concatenate([slow, fast.ravel()])
    # Tighter than any error of the fixed steps compared with it.
    end = solve_ivp(f, (0, time), start, method="DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    return end[: slow.size], end[slow.size :].reshape(fast.shape)


def states(members, variables, subvariables=0, seed=0):
    rng = np.random.default_rng(seed)
    slow = 2 + 3 * rng.standard_normal((members, variables))
    return slow, 0.3 * rng.standard_normal((members, variables, subvariables))


@pytest.mark.parametrize("subvariables", [0, 5])
def test_agrees_with_an_adaptive_method(subvariables):
    slow, fast = states(3, 9, subvariables)
    z = np.array([[8.0, 1.0, 4.0, 6.0], [6.0, 0.5, 3.0, 5.0], [10.0, 1.5, 2.0, 8.0]])
    z = z if subvariables else z[:, :1]
    x, y = advance(slow, fast, Coefficients.of(z, subvariables), 0.0005, 1000)
    for i in range(3):
        x_expected, y_expected = reference(slow[i], fast[i], 0.5, *z[i])
        # The steps' own error is of order (c b dt)^4 = 1e-9 and grows a little in half a unit.
        np.testing.assert_allclose(x[i], x_expected, atol=1e-7)
        np.testing.assert_allclose(y[i], y_expected, atol=1e-7)


@pytest.mark.parametrize("subvariables", [0, 4])
def test_the_error_falls_with_the_fourth_power_of_the_step(subvariables):
    slow, fast = states(1, 8, subvariables)
    z = np.array([[8.0, 1.0, 3.0, 4.0]])[:, : 4 if subvariables else 1]
    x_expected, y_expected = reference(slow[0], fast[0], 0.4, *z[0])
    errors = []
    for steps in (40, 80, 160):
        x, y = advance(slow, fast, Coefficients.of(z, subvariables), 0.4 / steps, steps)
        gaps = [x[0] - x_expected, (y[0] - y_expected).ravel()]
        errors.append(np.linalg.norm(np.concatenate(gaps)))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 4, atol=0.3)  # as far as the next order is felt


@pytest.mark.parametrize("subvariables", [0, 6])
def test_advection_and_coupling_conserve_the_energy(subvariables):
    slow, fast = states(4, 12, subvariables)
    one, none = np.ones(4), np.zeros(4)
    h_c = 3.0 if subvariables else 0.0
    alone = Coefficients(none, h_c * one, 4 * one, none, h_c / max(subvariables, 1) * one)
    energy = (slow**2).sum(axis=1) + (fast**2).sum(axis=(1, 2))
    drifts = []
    for steps in (200, 400):
        x, y = advance(slow, fast, alone, 1.0 / steps, steps, slow_damping=0.0)
        end = (x**2).sum(axis=1) + (y**2).sum(axis=(1, 2))
        drifts.append(np.abs(end / energy - 1).max())
    assert not np.allclose(x, slow, atol=0.5)
    # Nothing but the method's error of fourth order, or fifth for a conserved quantity.
    assert drifts[0] < 1e-4
    assert 12 < drifts[0] / drifts[1] < 50


def test_each_scale_conserves_its_own_energy_without_coupling():
    slow, fast = states(2, 10, 5)
    one, none = np.ones(2), np.zeros(2)
    alone = Coefficients(none, none, 5 * one, none, none)
    x, y = advance(slow, fast, alone, 0.001, 500, slow_damping=0.0)
    # (c b max|Y| dt)^4 = 1e-9 a unit of time.
    np.testing.assert_allclose((x**2).sum(axis=1), (slow**2).sum(axis=1), rtol=1e-8)
    np.testing.assert_allclose((y**2).sum(axis=(1, 2)), (fast**2).sum(axis=(1, 2)), rtol=1e-8)


def test_a_shift_along_the_ring_commutes_with_the_flow():
    slow, fast = states(2, 7, 4)
    coefficients = Coefficients.of(np.array([[8.0, 1.0, 5.0, 6.0]] * 2), 4)
    x, y = advance(slow, fast, coefficients, 0.005, 100)
    x_3, y_3 = advance(np.roll(slow, 3, 1), np.roll(fast, 3, 1), coefficients, 0.005, 100)
    np.testing.assert_array_equal(x_3, np.roll(x, 3, 1))
    np.testing.assert_array_equal(y_3, np.roll(y, 3, 1))


def test_without_coupling_the_slow_scale_is_that_of_one_scale():
    slow, fast = states(3, 9, 4)
    z = np.array([[8.0, 0.0, 5.0, 6.0]] * 3)
    x, y = advance(slow, fast, Coefficients.of(z, 4), 0.005, 400)
    alone, _ = advance(slow, fast[:, :, :0], Coefficients.of(z[:, :1], 0), 0.005, 400)
    np.testing.assert_array_equal(x, alone)
    # Fast variables that nothing drives decay at the rate c = 5: over 2 units, to exp(-10).
    norms = np.sqrt((y**2).sum(axis=(1, 2)) / (fast**2).sum(axis=(1, 2)))
    np.testing.assert_allclose(norms, np.exp(-10), rtol=1e-3)


@pytest.mark.parametrize(("steps", "members"), [(7, 1), (8, 33)])
def test_members_do_not_depend_on_their_block(steps, members):
    slow, fast = states(members, 6, 4)
    z = np.random.default_rng(1).uniform(4, 9, (members, 4))
    x, y = advance(slow, fast, Coefficients.of(z, 4), 0.005, steps)
    for i in {0, members // 2, members - 1}:
        own = slice(i, i + 1)
        alone = advance(slow[own], fast[own], Coefficients.of(z[own], 4), 0.005, steps)
        np.testing.assert_array_equal(alone[0], x[own])
        np.testing.assert_array_equal(alone[1], y[own])


def test_the_largest_lyapunov_exponent_is_the_known_one():
    # Lorenz and Emanuel (1998), K = 40 and F = 8: errors double in 2.1 days, 0.42 units, which is
    # an exponent of 1.65; later computations give 1.67 to 1.69.
    members, every, size = 32, 50, 1e-6
    coefficients = Coefficients.of(np.full((2 * members, 1), 8.0), 0)
    both, none = states(2 * members, 40)
    rng = np.random.default_rng(2)
    both[members:] = both[:members] + size * rng.standard_normal((members, 40))
    growth = []
    for _ in range(120):
        both, _ = advance(both, none, coefficients, 0.01, every)
        apart = both[members:] - both[:members]
        length = np.linalg.norm(apart, axis=1, keepdims=True)
        growth.append(np.log(length / size).mean() / (0.01 * every))
        both[members:] = both[:members] + size * apart / length
    # The first growths still turn the error into the growing direction. Over 50 units and 32
    # members the exponent's own sampling error is below 0.02.
    assert np.mean(growth[20:]) == pytest.approx(1.68, abs=0.06)
