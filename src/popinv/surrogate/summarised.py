"""A network that learns from a summary of the inputs over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from popinv.forward.inputs.summary import InputsSummary
from popinv.late import torch
from popinv.surrogate.trained_network import Surrogate
from popinv.surrogate.training_state import TrainingData

KIND = "summarised"


@dataclass(frozen=True)
class Summarised:
    """A surrogate of the simulator's inputs, through a network of their summary.

    Where observations depend on more than the summary, the surrogate has an error that no training
    removes. The check of the surrogate on fresh solves measures it.

    Parameters
    ----------
    inner : Surrogate
    summary : InputsSummary
    """

    inner: Surrogate
    summary: InputsSummary

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """Plain values, with the key ``kind``."""
        inner = dict(self.inner.hyperparameters)
        return {"kind": KIND, "inner": inner, "summary": self.summary.hyperparameters}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], hyperparameters: Mapping[str, Any]
    ) -> Summarised:
        """Rebuild the surrogate from :meth:`to_arrays` and its hyperparameters."""
        inner = Surrogate.from_arrays(arrays, hyperparameters["inner"])
        return cls(inner, InputsSummary.from_plain(hyperparameters["summary"]))

    @property
    def network(self) -> torch.nn.Module:
        """The network."""
        return self.inner.network

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Map inputs (n, d) to observations (n, d_y)."""
        return self.inner(self.summary.of(z))

    def linearise(
        self, z: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the observations, and their derivatives along tangents (k, n, d)."""
        return self.inner.linearise(self.summary.of(z), self.summary.along(tangents))

    def in_double(self) -> Summarised:
        """Return the surrogate whose network computes in double precision."""
        return replace(self, inner=self.inner.in_double())

    def of_outputs(self, entries: np.ndarray) -> Summarised:
        """Return the surrogate of some of the observations alone."""
        return replace(self, inner=self.inner.of_outputs(entries))

    def predict(self, z: np.ndarray) -> np.ndarray:
        """Map an array of inputs to observations, without gradients."""
        return self.inner.predict(self.summary.of(torch.as_tensor(z)).numpy())

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything but the hyperparameters."""
        return self.inner.to_arrays()


def summarised_data(data: TrainingData, summary: InputsSummary) -> TrainingData:
    """Return solves whose inputs end with the summary."""
    return replace(data, z=summary.of(torch.from_numpy(data.z)).numpy())
