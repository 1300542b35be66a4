"""A simulator whose observations are the logarithms of another's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from popinv.forward.external.differentiable import DifferentiableSimulator
from popinv.forward.external.evaluation import RunningSimulator


@dataclass(frozen=True)
class Logarithms:
    """log G for a simulator of G, whose entries must be positive.

    An entry that is not positive becomes NaN, with which its system counts as failed.

    Parameters
    ----------
    simulator : RunningSimulator
        With derivatives if those of the logarithms are asked for.
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
