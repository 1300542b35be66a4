"""What a server makes of a gradient: a step of plain descent, or one of Adam."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from popinv.errors import ConfigError
from popinv.surrogate.training import BETA_1, BETA_2, EPSILON


class Steps(Protocol):
    """The steps of one run; they may have a state, so every run needs new ones."""

    def onward(self, point: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Return the next point of the main branch."""
        ...

    def aside(self, point: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Return a worker's next point beside the main branch."""
        ...


class Plain:
    """x - gamma g, on the main branch and beside it.

    Parameters
    ----------
    rate : float or ndarray
        gamma; as an array it broadcasts against points.
    """

    def __init__(self, rate: float | np.ndarray) -> None:
        self.rate = rate

    def onward(self, point: np.ndarray, gradient: np.ndarray) -> np.ndarray:  # noqa: D102
        return point - self.rate * gradient

    aside = onward


class Adam:
    """A step of Adam on the main branch for each gradient, in the order of their arrival.

    The theorem of computation trees does not cover it: x^k is no longer the start less a multiple
    of the sum of gradients on its path.

    Parameters
    ----------
    rate : float or ndarray
        The learning rate, which is constant; as an array it broadcasts against points.
    """

    def __init__(self, rate: float | np.ndarray) -> None:
        self.rate, self.count = rate, 0
        self.first: np.ndarray | float = 0.0
        self.second: np.ndarray | float = 0.0

    def onward(self, point: np.ndarray, gradient: np.ndarray) -> np.ndarray:  # noqa: D102
        self.count += 1
        self.first = BETA_1 * self.first + (1 - BETA_1) * gradient
        self.second = BETA_2 * self.second + (1 - BETA_2) * np.square(gradient)
        root = np.sqrt(self.second / (1 - BETA_2**self.count)) + EPSILON
        return point - self.rate / (1 - BETA_1**self.count) * self.first / root

    def aside(self, point: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Refuse: workers do not hold the moments."""
        raise ConfigError("Adam on the server goes with policies without local steps only")
