"""Checks on the time step and the arithmetic for one system."""

from __future__ import annotations

import math

import numpy as np

from popinv.forward.elastodynamics import kernels
from popinv.forward.elastodynamics.operators import ElasticOperators

__all__ = ["inaccuracy"]

_EPSILON = 2.0**-52

# Errors, relative to the amplitude of the motion, beyond which an answer is refused.
_LARGEST_TIME_STEPPING_ERROR = 0.5
_LARGEST_ROUNDING_ERROR = 1e-4


def inaccuracy(
    operators: ElasticOperators,
    entries: np.ndarray,
    shape: np.ndarray,
    damping: tuple[float, float],
    time_step: float,
    duration: float,
) -> str:
    r"""Return why the answer for a system would be too inaccurate, or "".

    Both estimates rest on the lowest frequency,

        omega^2 = u . K u / (u . M u)   with u the static shape,

    slightly above the true one.

    *Time step.* Average acceleration slows the mode by omega^3 dt^2 / 12, which by the time t has
    put it out of phase by that times t, while its amplitude has fallen by exp(-decay t) with
    decay = (a + b omega^2) / 2. Their product is largest at t = 1 / decay, or at the end.

    *Rounding.* It acts as forces of the size of eps K u, which in the time t make velocities of
    the size of eps t max_i(K_ii / M_ii) u, to compare with omega u.

    Parameters
    ----------
    operators : ElasticOperators
    entries : ndarray of shape (n_entries,)
        Lower triangle of K.
    shape : ndarray of shape (unknowns,)
        Deflection under a force at the end, to any scale.
    damping : (float, float)
        a and b of the damping a M + b K.
    time_step, duration : float

    Returns
    -------
    str
    """
    lower, mass = operators.stiffness, operators.mass
    energy = kernels.quadratic_form(entries, lower.rows, lower.columns, shape)
    inertia = kernels.quadratic_form(mass, lower.rows, lower.columns, shape)
    frequency = math.sqrt(energy / inertia)
    decay = (damping[0] + damping[1] * frequency**2) / 2
    time = min(duration, 1 / decay) if decay > 0 else duration
    out_of_phase = (frequency * time_step) ** 2 / 12 * frequency * time
    stepping = out_of_phase * math.exp(-decay * time)
    # Written so that NaN counts as inaccurate.
    if not stepping <= _LARGEST_TIME_STEPPING_ERROR:
        return (
            "the system is too stiff for the time step: errors may reach "
            f"{stepping:.1g} of the amplitude (raise 'steps')"
        )
    diagonal = lower.rows == lower.columns
    rounding = _EPSILON * duration * float(np.max(entries[diagonal] / mass[diagonal])) / frequency
    if not rounding <= _LARGEST_ROUNDING_ERROR:
        return (
            "the stiffness varies too strongly: rounding errors may reach "
            f"{rounding:.0e} of the amplitude"
        )
    return ""
