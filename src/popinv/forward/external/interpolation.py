"""A simulator that is asked at times of its own, and interpolated to those of the observations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from popinv.forward.external.differentiable import DifferentiableSimulator
from popinv.forward.external.evaluation import RunningSimulator, checked_answer

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


@dataclass(frozen=True)
class Interpolated:
    """B G for a simulator G, entry by entry.

    Parameters
    ----------
    simulator : RunningSimulator
        Returns the simulated times of the first entry, then those of the second, and so on. It
        has derivatives if those of the interpolated observations are asked for.
    matrix : ndarray of shape (n, m)
        B, from `interpolation_matrix`.
    entries : int
        Number of entries.
    """

    simulator: RunningSimulator
    matrix: np.ndarray
    entries: int

    def call(self, z: np.ndarray, seeds: np.ndarray, seconds: float) -> np.ndarray:
        """Return B G of every entry, shape (rows of z, entries n)."""
        answer = self.simulator.call(z, seeds, seconds)
        width = self.entries * self.matrix.shape[1]
        return self._at_times(checked_answer(answer, len(z), width))

    def jvp(
        self, z: np.ndarray, tangents: np.ndarray, seeds: np.ndarray, seconds: float
    ) -> np.ndarray:
        """Return B G and its changes, B times those of G."""
        # The changes follow the values, as entries do.
        simulator = cast(DifferentiableSimulator, self.simulator)
        return self._at_times(simulator.jvp(z, tangents, seeds, seconds))

    def vjp(
        self, z: np.ndarray, cotangents: np.ndarray, seeds: np.ndarray, seconds: float
    ) -> np.ndarray:
        """Return the gradient of the sum of cotangents times B G, shape (n, d_z)."""
        simulator = cast(DifferentiableSimulator, self.simulator)
        pulled = cotangents.reshape(len(z), -1, len(self.matrix)) @ self.matrix
        return simulator.vjp(z, pulled.reshape(len(z), -1), seeds, seconds)

    def close(self) -> None:
        """Close the simulator."""
        self.simulator.close()

    def _at_times(self, values: np.ndarray) -> np.ndarray:
        at_times: np.ndarray = interpolated(values, self.matrix)
        return at_times
