"""Quantiles of the observations over the systems, and the range of each under the fitted model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popinv.figures.simulated import middle_of, range_of

# The least half width of a range, relative to the spread of the data. Where the model puts a whole
# quantile on a limit of quantification, the range has no width.
_LEAST = 1e-3


@dataclass(frozen=True)
class QuantileRanges:
    """Quantiles of the data, and the ranges of the same quantiles under the fitted model.

    Attributes
    ----------
    observed : ndarray of shape (3, bins)
        Quantiles over the systems, at :data:`popinv.figures.simulated.LEVELS`.
    low, middle, high : ndarray of shape (3, bins)
        Ends of the 95 % range, and median, of each quantile over simulated data sets.
    """

    observed: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray

    @classmethod
    def of_sets(cls, observed: np.ndarray, simulated: np.ndarray) -> QuantileRanges:
        """Return the ranges of quantiles (3, bins) from those of data sets (B, 3, bins)."""
        low, high = range_of(simulated)
        return cls(observed, low, middle_of(simulated), high)

    @property
    def outside(self) -> np.ndarray:
        """Whether each quantile lies outside its range, (3, bins); 1 in 20 of a right model's."""
        return np.asarray((self.observed < self.low) | (self.observed > self.high))

    def departure(self, spread: np.ndarray) -> np.ndarray:
        """Return the quantiles less the middle of their range, in units of its half, (3, bins).

        Below -1 and above 1 a quantile is outside its range.

        Parameters
        ----------
        spread : ndarray of shape (bins,)
            Standard deviations of the data. A range is taken to be no narrower than a thousandth.
        """
        up, down = self.high - self.middle, self.middle - self.low
        away = self.observed - self.middle
        half = np.maximum(np.where(away > 0, up, down), _LEAST * spread)
        return np.asarray(away / half)

    def scaled(self, mean: np.ndarray, spread: np.ndarray) -> QuantileRanges:
        """Return the quantiles of (y - mean) / spread, for each bin."""
        each = (self.observed, self.low, self.middle, self.high)
        return QuantileRanges(*((values - mean) / spread for values in each))

    def of(self, bins: np.ndarray) -> QuantileRanges:
        """Return the quantiles of some bins."""
        each = (self.observed, self.low, self.middle, self.high)
        return QuantileRanges(*(values[:, bins] for values in each))
