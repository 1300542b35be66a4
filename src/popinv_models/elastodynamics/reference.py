"""Newmark's method as a loop of Firedrake solves: a slow check of the compiled loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from popinv_models.elastodynamics.operators import BodyDiscretisation
from popinv_models.finite_elements.firedrake import load_firedrake


def solve_afresh(left: Any, right: Any, unknown: Any, condition: Any) -> Callable[[], Any]:
    """Return a function that solves ``left == right`` with a solver made for this one call."""
    fd = load_firedrake()
    return lambda: fd.solve(left == right, unknown, bcs=condition)


def newmark(
    discretisation: BodyDiscretisation,
    stiffness: np.ndarray,
    damping: tuple[float, float],
    *,
    plucked: bool,
    amplitude: float,
    source: Callable[[Any, Any], Any] | None,
    time_step: float,
    times: int,
    steps: int,
    prepare: Callable[[Any, Any, Any, Any], Callable[[], Any]] = solve_afresh,
) -> np.ndarray:
    r"""Solve one system with Newmark's method, beta = 1/4 and gamma = 1/2, for accelerations.

    Each step predicts u* = u + dt v + dt^2 / 4 a and v* = v + dt / 2 a and solves

        M a_1 + C (v* + dt / 2 a_1) + K (u* + dt^2 / 4 a_1) = f_1

    for the new acceleration; the first acceleration solves the equation of motion at t = 0.

    Parameters
    ----------
    stiffness : ndarray of shape (n_cells,)
        Young's modulus of each cell.
    damping : (float, float)
        a and b of the damping a M + b K.
    plucked : bool
        True if the body starts from the static shape under a force at its end, instead of being
        loaded there.
    amplitude : float
        Deflection of the end, or traction.
    source : callable or None
        f, from UFL coordinates and time to a UFL expression.
    times, steps : int
        Number of observation times, and of time steps between them.
    prepare : callable, default `solve_afresh`
        From left side, right side, unknown and boundary condition of the equation of a step to
        the function that solves it.

    Returns
    -------
    ndarray of shape (n_places, times)

    Raises
    ------
    firedrake.ConvergenceError
        If a linear solve fails.
    """
    fd = load_firedrake()
    space, condition = discretisation.space, discretisation.condition
    trial, v = fd.TrialFunction(space), fd.TestFunction(space)
    modulus = discretisation.stiffness
    modulus.dat.data[:] = stiffness
    # Constants and not floats: a number inside a form is compiled into the kernel.
    a, b, dt, time = (fd.Constant(value) for value in (*damping, time_step, 0.0))
    traction = fd.Constant(0.0 if plucked else amplitude)
    displacement, velocity, acceleration = (fd.Function(space) for _ in range(3))
    moved, speeded = fd.Function(space), fd.Function(space)

    def inertia(u: Any) -> Any:
        return discretisation.mass_form(u, v)

    def elasticity(u: Any) -> Any:
        return discretisation.stiffness_form(u, v, modulus)

    load = traction * discretisation.end_form(v)
    if source is not None:
        load += discretisation.source_form(source, time, v)
    if plucked:
        fd.solve(elasticity(trial) == discretisation.end_form(v), displacement, bcs=condition)
        end = fd.assemble(discretisation.end_form(displacement))
        displacement *= amplitude * (discretisation.size[1:].prod() / end)
    # The body starts at rest: nothing is damped yet.
    fd.solve(inertia(trial) == load - elasticity(displacement), acceleration, bcs=condition)

    left = (1 + dt / 2 * a) * inertia(trial) + (dt / 2 * b + dt**2 / 4) * elasticity(trial)
    right = load - a * inertia(speeded) - elasticity(moved + b * speeded)
    solve = prepare(left, right, acceleration, condition)
    values = np.empty((len(discretisation.places), times))
    for step in range(1, times * steps + 1):
        time.assign(step * time_step)
        moved.assign(displacement + dt * velocity + dt**2 / 4 * acceleration)
        speeded.assign(velocity + dt / 2 * acceleration)
        solve()
        displacement.assign(moved + dt**2 / 4 * acceleration)
        velocity.assign(speeded + dt / 2 * acceleration)
        if step % steps == 0:
            values[:, step // steps - 1] = discretisation.observe(displacement)
    return values
