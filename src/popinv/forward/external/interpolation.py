"""Interpolation in time, from the times of a simulator to those of the observations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# Degrees of the splines that a configuration may name.
DEGREES = {"linear": 1, "cubic": 3}


def interpolation_matrix(
    simulated: Sequence[float], times: Sequence[float], kind: str
) -> np.ndarray:
    """Return B with y(times) = B y(simulated), for the spline through the simulated values.

    Parameters
    ----------
    simulated : sequence of float, length m
        Increasing times.
    times : sequence of float, length n
        Between the first and the last of them.
    kind : {"linear", "cubic"}
        The cubic spline is the one without a knot at the second and the last but one time; with
        fewer than four times its degree is m - 1.

    Returns
    -------
    ndarray of shape (n, m)
    """
    # Imported here, since few studies need it.
    from scipy.interpolate import make_interp_spline

    degree = min(DEGREES[kind], len(simulated) - 1)
    spline = make_interp_spline(np.asarray(simulated, float), np.eye(len(simulated)), k=degree)
    return np.asarray(spline(np.asarray(times, float)))


def interpolated(values: Any, matrix: Any) -> Any:
    """Return B y of every entry for arrays, or tensors, y (rows, entries m) and B (n, m)."""
    entries = values.reshape(len(values), -1, matrix.shape[1])
    return (entries @ matrix.T).reshape(len(values), -1)


def interpolation_error(y: np.ndarray, simulated: Sequence[float], kind: str) -> float:
    """Return an estimate of the largest error of interpolating y, shape (n, m), in time.

    The error for half of the times is seen at the other half. It falls as the step to the power
    degree + 1, so it is divided by two to that power.
    """
    seen = interpolation_matrix(simulated[::2], simulated[1 : len(simulated) - 1 : 2], kind)
    halved = np.abs(y[:, ::2] @ seen.T - y[:, 1 : len(simulated) - 1 : 2])
    return float(halved.max(initial=0.0) / 2 ** (DEGREES[kind] + 1))
