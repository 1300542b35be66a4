"""Simulators whose observations are made of what others return: logarithms, and at other times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from popinv.forward.external.evaluation import (
    DifferentiableSimulator,
    RunningSimulator,
    checked_answer,
)
from popinv.forward.external.observations import interpolated


@dataclass(frozen=True)
class Interpolated:
    """B G for a simulator G, entry by entry.

    Parameters
    ----------
    simulator : RunningSimulator
        Returns all simulated times of the first entry, then of the second, and so on. It has
        derivatives if derivatives of the interpolated observations are needed.
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
        """Return B G and its changes, which are B times the changes of G."""
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


@dataclass(frozen=True)
class Logarithms:
    """log G for a simulator of G, whose entries must be positive.

    An entry that is not positive becomes NaN, with which its system counts as failed.

    Parameters
    ----------
    simulator : RunningSimulator
        With derivatives if derivatives of the logarithms are needed.
    count : int
        Number of observations d_y.
    """

    simulator: RunningSimulator
    count: int

    def call(self, z: np.ndarray, seeds: np.ndarray, seconds: float) -> np.ndarray:
        """Return log G, shape (n, d_y)."""
        return _log(self.simulator.call(z, seeds, seconds))

    def jvp(
        self, z: np.ndarray, tangents: np.ndarray, seeds: np.ndarray, seconds: float
    ) -> np.ndarray:
        """Return log G and its changes, the changes of G divided by G, (n, (1 + k) d_y)."""
        simulator = cast(DifferentiableSimulator, self.simulator)
        both = simulator.jvp(z, tangents, seeds, seconds).reshape(len(z), -1, self.count)
        value = np.where(both[:, :1] > 0, both[:, :1], np.nan)
        return np.concatenate([np.log(value), both[:, 1:] / value], axis=1).reshape(len(z), -1)

    def vjp(
        self, z: np.ndarray, cotangents: np.ndarray, seeds: np.ndarray, seconds: float
    ) -> np.ndarray:
        """Return the gradient of the sum of cotangents times log G, shape (n, d_z)."""
        simulator = cast(DifferentiableSimulator, self.simulator)
        value = simulator.call(z, seeds, seconds)
        positive = (value > 0).all(axis=1, keepdims=True)
        scaled = cotangents / np.where(positive, value, 1.0)
        return np.where(positive, simulator.vjp(z, scaled, seeds, seconds), np.nan)

    def close(self) -> None:
        """Close the simulator."""
        self.simulator.close()


def _log(value: np.ndarray) -> np.ndarray:
    return np.log(np.where(value > 0, value, np.nan))
