"""Checks on the time step and the arithmetic."""

from __future__ import annotations

import math

import numpy as np

from popinv_models.elastodynamics import kernels
from popinv_models.elastodynamics.operators import ElasticOperators

_EPSILON = 2.0**-52

# Errors, relative to the amplitude of the motion, beyond which an answer is refused.
_LARGEST_TIME_STEPPING_ERROR = 0.5
_LARGEST_ROUNDING_ERROR = 1e-4


def lowest_frequency(operators: ElasticOperators, entries: np.ndarray, shape: np.ndarray) -> float:
    """Return an estimate of the lowest frequency, slightly above it.

        omega^2 = u . K u / (u . M u)   with u the static shape.

    Parameters
    ----------
    entries : ndarray of shape (n_entries,)
        Lower triangle of K.
    shape : ndarray of shape (unknowns,)
        Deflection under a force at the end, to any scale.
    """
    lower, mass = operators.stiffness, operators.mass
    energy = kernels.quadratic_form(entries, lower.rows, lower.columns, shape)
    inertia = kernels.quadratic_form(mass, lower.rows, lower.columns, shape)
    return math.sqrt(energy / inertia)


def stiffest(operators: ElasticOperators, entries: np.ndarray) -> float:
    """Return the largest K_ii / M_ii."""
    diagonal = operators.stiffness.rows == operators.stiffness.columns
    return float(np.max(entries[diagonal] / operators.mass[diagonal]))


def inaccuracies(
    frequency: np.ndarray,
    stiffest: np.ndarray,
    damping: np.ndarray,
    stiffness_damping: float,
    time_step: float,
    duration: float,
) -> list[str]:
    r"""Return why the answer for each system would be too inaccurate, or "".

    *Time step.* Average acceleration slows the lowest mode by omega^3 dt^2 / 12, which by the time
    t has put it out of phase by that times t, while its amplitude has fallen by exp(-decay t) with
    decay = (a + b omega^2) / 2. Their product is largest at t = 1 / decay, or at the end.

    *Rounding.* It acts as forces of the size of eps K u, which in the time t make velocities of
    the size of eps t max_i(K_ii / M_ii) u, to compare with omega u.

    Parameters
    ----------
    frequency, stiffest, damping : ndarray of shape (n,)
        omega from `lowest_frequency`, the largest K_ii / M_ii, and a.
    stiffness_damping : float
        b of the damping a M + b K.
    """
    with np.errstate(all="ignore"):
        decay = (damping + stiffness_damping * frequency**2) / 2
        time = np.where(decay > 0, np.minimum(duration, 1 / decay), duration)
        out_of_phase = (frequency * time_step) ** 2 / 12 * frequency * time
        stepping = out_of_phase * np.exp(-decay * time)
        rounding = _EPSILON * duration * stiffest / frequency
    reasons = [""] * len(frequency)
    # Written so that NaN counts as inaccurate.
    accurate = (stepping <= _LARGEST_TIME_STEPPING_ERROR) & (rounding <= _LARGEST_ROUNDING_ERROR)
    for i in np.flatnonzero(~accurate):
        reasons[i] = _reason(stepping[i], rounding[i])
    return reasons


def _reason(stepping: float, rounding: float) -> str:
    if not stepping <= _LARGEST_TIME_STEPPING_ERROR:
        return (
            "the system is too stiff for the time step: errors may reach "
            f"{stepping:.1g} of the amplitude (raise 'steps')"
        )
    return (
        "the stiffness varies too strongly: rounding errors may reach "
        f"{rounding:.0e} of the amplitude"
    )
