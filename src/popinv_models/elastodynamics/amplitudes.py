"""Elastic bodies whose pluck or load has an amplitude that differs from system to system.

The displacement is proportional to the amplitude of the excitation: the bodies are solved with the
amplitude 1, and the answers are multiplied.
"""

from __future__ import annotations

import numpy as np

from popinv.forward.base import Observations, Parameter, Solutions
from popinv.forward.checks import checked_rows
from popinv_models.elastodynamics.model import ElastodynamicsModel
from popinv_models.elastodynamics.section import Elastodynamics as Section


class OwnAmplitudes:
    """Damped vibration with the amplitude as the last entry of each row of z.

    Parameters
    ----------
    section : Elastodynamics
        Its ``design`` holds the amplitude.
    seed : int
        The study's seed, from which random places of sensors are drawn.
    """

    def __init__(self, section: Section, seed: int) -> None:
        of_one = section.model_copy(update={"amplitude": 1.0, "design_list": []})
        self.of_one = ElastodynamicsModel(of_one, seed)
        self.parameters: tuple[Parameter, ...] = section.inputs()
        self.observations: Observations = section.observed(seed)

    def solve(self, z: np.ndarray, stage: str = "solve", first: int = 0) -> Solutions:
        """Solve for a batch of systems; see `ElastodynamicsModel.solve`."""
        z, _ = checked_rows("elastodynamics", z, self.parameters)
        solved = self.of_one.solve(z[:, :-1], stage, first)
        values, reasons = solved.observations * z[:, -1:], solved.reason.astype(object)
        for i in np.flatnonzero(~np.isfinite(z[:, -1])):
            reasons[i] = reasons[i] or f"parameter 'amplitude' is {z[i, -1]}"
        values[reasons != ""] = np.nan
        return Solutions(values, reasons.astype(str))

    def jvp(self, z: np.ndarray, tangents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return observations and their derivatives along tangents, at the given amplitudes.

        Parameters
        ----------
        z : ndarray of shape (n, d_z + 1)
        tangents : ndarray of shape (k, n, d_z + 1)
            Their last entries, of the amplitude, do not count.

        Returns
        -------
        ndarray of shape (n, d_y), ndarray of shape (k, n, d_y)
        """
        values, changes = self.of_one.jvp(z[:, :-1], tangents[..., :-1])
        return values * z[:, -1:], changes * z[:, -1:]

    def vjp(self, z: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """Return the gradient in z of the sum of cotangents (n, d_y) times the observations.

        It is zero in the amplitude, which is known.
        """
        gradient = self.of_one.vjp(z[:, :-1], cotangents * z[:, -1:])
        return np.hstack([gradient, np.zeros((len(z), 1))])
