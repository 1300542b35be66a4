"""The units in which a network computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Standardisation:
    """Change of units: affine for inputs, logarithmic in the tails for outputs.

        inputs   (z - mean) / scale, with mean and standard deviation; log z in place of z
                 if a parameter is positive by its law;
        outputs  arcsinh((y - mean) / scale), with median and scaled median deviation.

    The solutions of a broad first design are heavy-tailed (a log-permeability that is one standard
    deviation lower multiplies the pressure), and one row of the tail can be a thousand times the
    rest. The arcsinh is linear about the median, limits the influence of the tail, and has an exact
    inverse.

    A column that is constant in the data gets scale 1, so the network receives 0. The network then
    has not learned the effect of the column. If the column varies later, the surrogate answers with
    its random initial dependence until it is trained on rows that vary. Draw the rows of the first
    round with every parameter spread that a later round may move.

    Parameters
    ----------
    input_mean, input_scale : ndarray of shape (d_z,)
        Mean and scale of the logarithm, where it is taken.
    output_mean, output_scale : ndarray of shape (d_y,)
    input_logarithmic : ndarray of bool, shape (d_z,), optional
        Whether the logarithm of an input is taken; by default never.
    """

    input_mean: np.ndarray
    input_scale: np.ndarray
    output_mean: np.ndarray
    output_scale: np.ndarray
    input_logarithmic: np.ndarray | None = None

    def __post_init__(self) -> None:
        mask = (
            np.zeros(len(self.input_mean))
            if self.input_logarithmic is None
            else (self.input_logarithmic)
        )
        object.__setattr__(self, "input_logarithmic", np.asarray(mask, dtype=bool))

    @classmethod
    def from_data(
        cls,
        z: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray | None = None,
        logarithmic: Sequence[bool] | None = None,
    ) -> Standardisation:
        """Return weighted means and deviations of the inputs, medians and scales of the outputs."""
        mask = np.zeros(z.shape[1], dtype=bool) if logarithmic is None else np.array(logarithmic)
        z = _logarithms(z, mask)
        mean_z, mean_y = np.average(z, axis=0, weights=weights), np.median(y, axis=0)
        scale_z = _scale(np.average(np.square(z - mean_z), axis=0, weights=weights), mean_z)
        # The factor 1.4826 makes the median deviation of a normal sample its standard deviation.
        # The median deviation is 0 if more than half the rows agree; the standard deviation then
        # replaces it.
        robust = np.square(1.4826 * np.median(np.abs(y - mean_y), axis=0))
        spread = np.square(y - mean_y).mean(axis=0)
        scale_y = _scale(np.where(robust > 0, robust, spread), mean_y)
        return cls(mean_z, scale_z, mean_y, scale_y, mask)

    def standard_inputs(self, z: np.ndarray) -> np.ndarray:
        """Return the inputs in the units of the network."""
        mask: Any = self.input_logarithmic
        return (_logarithms(z, mask) - self.input_mean) / self.input_scale

    def standard_outputs(self, y: np.ndarray) -> np.ndarray:
        """Return the outputs in the units of the network."""
        return np.arcsinh(self.scaled_outputs(y))

    def scaled_outputs(self, y: np.ndarray) -> np.ndarray:
        """Return ``(y - mean) / scale``."""
        return (y - self.output_mean) / self.output_scale


def _logarithms(z: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask, np.log(np.where(mask, z, 1.0)), z)


def _scale(variance: np.ndarray, mean: np.ndarray) -> np.ndarray:
    scale = np.sqrt(variance)
    # The mean of equal numbers is rounded, so a constant column's variance is not always 0.
    return np.where(scale > 1e-12 * np.abs(mean), scale, 1.0)
