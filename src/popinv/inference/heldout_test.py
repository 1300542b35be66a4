"""A statistic of held-out observations, and its distribution under the fitted model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["HeldOutTest"]


@dataclass(frozen=True)
class HeldOutTest:
    """The statistic, its null sample (resamples,), and its p-value."""

    statistic: float
    null: np.ndarray

    @property
    def null_95(self) -> float:
        """The 95 % point of the null."""
        return float(np.quantile(self.null, 0.95))

    @property
    def p_value(self) -> float:
        """Share of null values that are at least as large, with the statistic among them."""
        return float((1 + np.sum(self.null >= self.statistic)) / (1 + len(self.null)))
