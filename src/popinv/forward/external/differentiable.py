"""The user's own simulator with derivatives, as a differentiable forward model.

Derivatives go the way of solves: a row of z with its directions beside it is one system of
:func:`popinv.forward.external.evaluation.evaluate`, and what comes back is one row of numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from popinv.errors import SolverError
from popinv.forward.base import Solutions
from popinv.forward.external.evaluation import DifferentiableSimulator
from popinv.forward.external.model import ExternalModel, row_seeds
from popinv.forward.external.section import ExternalSection
from popinv.forward.external.taylor import derivative_fault


@dataclass(frozen=True)
class _Along:
    """A simulator whose rows are rows of z with directions beside them."""

    simulator: DifferentiableSimulator
    d_z: int
    tangents: bool

    def call(self, rows: np.ndarray, seeds: np.ndarray, seconds: float) -> np.ndarray:
        z, directions = np.split(rows, [self.d_z], axis=1)
        if self.tangents:
            shape = len(z), directions.shape[1] // self.d_z, self.d_z
            return self.simulator.jvp(z, directions.reshape(shape), seeds, seconds)
        return self.simulator.vjp(z, directions, seeds, seconds)

    def close(self) -> None:
        self.simulator.close()


class DifferentiableExternalModel(ExternalModel):
    """A simulator whose derivatives come from the user.

    Parameters
    ----------
    section : ExternalSection
        The section of the configuration.
    seed : int
        The study's seed.
    start : callable
        Returns a new `DifferentiableSimulator`.
    rows_per_call : int
        Most systems in one call.
    advice : str
        Advice for the message that the derivatives are wrong.
    """

    def __init__(
        self,
        section: ExternalSection,
        seed: int,
        start: Callable[[], DifferentiableSimulator],
        rows_per_call: int,
        advice: str,
    ) -> None:
        super().__init__(section, seed, start, rows_per_call)
        self._advice = advice
        d_z = len(self.parameters)
        self._with_tangents = partial(_Along, d_z=d_z, tangents=True)
        self._with_cotangents = partial(_Along, d_z=d_z, tangents=False)
        # These are the seeds of ``solve`` when it is called without a stage. A generator for each
        # row takes longer than a quick simulator, and an ascent needs the same rows again.
        self._seeds = lru_cache(maxsize=2)(partial(row_seeds, seed, "solve", 0))

    def jvp(self, z: np.ndarray, tangents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return G(z), shape (n, d_y), and its derivatives along tangents, (k, n, d_y).

        Parameters
        ----------
        z : ndarray of shape (n, d_z)
        tangents : ndarray of shape (k, n, d_z)

        Raises
        ------
        SolverError
            As ``solve``.
        """
        answers = self._changes(z, tangents, self._seeds, "jvp")
        shape = len(z), 1 + len(tangents), len(self.observations)
        parts = answers.observations.reshape(shape).transpose(1, 0, 2)
        return parts[0], parts[1:]

    def vjp(self, z: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """Return the gradient in z of sum_j cotangents[:, j] G_j(z), shape (n, d_z).

        Parameters
        ----------
        z : ndarray of shape (n, d_z)
        cotangents : ndarray of shape (n, d_y)

        Raises
        ------
        SolverError
            As ``solve``.
        """
        return self._gradients(z, cotangents, self._seeds, "vjp").observations

    def check_derivatives(self, z: np.ndarray) -> bool:
        """Compare the derivatives with differences of solves, at the first two rows of z.

        Returns
        -------
        bool
            Whether there was anything to compare.

        Raises
        ------
        SolverError
            With what was given, what was expected, and what to do.
        """
        z, shape = z[:2], self._section.inputs_shape()

        # A row keeps its seed in every call, so that its random numbers are the same.
        def seeds(count: int) -> np.ndarray:
            return np.resize(self._seeds(len(z)), count)

        def solved(points: np.ndarray) -> Solutions:
            return self._answers(points, seeds, len(self.observations))

        with self.session():
            fault = derivative_fault(
                solved,
                lambda points, tangents: self._changes(points, tangents, seeds, "jvp"),
                lambda points, cotangents: self._gradients(points, cotangents, seeds, "vjp"),
                z,
                [parameter.name for parameter in self.parameters],
                held=0 if shape is None else len(shape.names()),
            )
        if fault:
            raise SolverError(f"the derivatives that the simulator gives: {fault} {self._advice}")
        return fault is not None

    def _changes(
        self,
        z: np.ndarray,
        tangents: np.ndarray,
        seeds: Callable[[int], np.ndarray],
        question: str,
    ) -> Solutions:
        k, n, d_z = tangents.shape
        beside = tangents.transpose(1, 0, 2).reshape(n, k * d_z)
        width = (1 + k) * len(self.observations)
        return self._answers(z, seeds, width, beside, self._with_tangents, question)

    def _gradients(
        self,
        z: np.ndarray,
        cotangents: np.ndarray,
        seeds: Callable[[int], np.ndarray],
        question: str,
    ) -> Solutions:
        width = len(self.parameters)
        return self._answers(z, seeds, width, cotangents, self._with_cotangents, question)
