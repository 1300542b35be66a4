"""Noise that is made of other noise.

:class:`WrappedNoise` is another model of noise, with further parameters. The wrapper takes every
attribute that it does not state from the noise within.

:class:`NoiseAtSome` is the noise of some of the places alone, with the rows and columns of Gamma at
these places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from popinv.late import torch
from popinv.population.constraints import Constraint, entrywise
from popinv.population.correlation_matrix import CorrelationMatrix
from popinv.population.noise.base import NoiseModel


class WrappedNoise(NoiseModel):
    """Noise that contains another model of noise.

    gamma holds the parameters of the noise within, then those that the wrapper adds.

    Parameters
    ----------
    noise : NoiseModel
        The noise within.
    added : mapping of str to Constraint
        The wrapper's own parameters.
    renamed : iterable of str, optional
        Names of the parameters of the noise within.
    """

    def __init__(
        self,
        noise: NoiseModel,
        added: Mapping[str, Constraint] | None = None,
        renamed: Iterable[str] | None = None,
    ) -> None:
        added = added or {}
        self._noise, self._within = noise, len(noise.names)
        self._constraints_added = tuple(added.values())
        self.names = (*(noise.names if renamed is None else renamed), *added)
        self.constraints = (*noise.constraints, *self._constraints_added)
        self.d_y, self.shrinkage = noise.d_y, noise.shrinkage

    def within(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the parameters of the noise within."""
        return gamma[: self._within]

    def added(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the parameters that the wrapper adds."""
        return gamma[self._within :]

    @property
    def correlations(self) -> np.ndarray:
        """Boolean mask (n,) of the noise within and of the added parameters."""
        own = self._noise.correlations
        return np.concatenate([own, super().correlations[self._within :]])

    @property
    def matrices(self) -> tuple[CorrelationMatrix, ...]:
        """The matrices of the noise within."""
        return self._noise.matrices

    @property
    def sizes(self) -> np.ndarray:
        """Boolean mask (n,) of the noise within and of the added parameters."""
        return np.concatenate([self._noise.sizes, super().sizes[self._within :]])

    @property
    def scale(self) -> np.ndarray:
        """Natural size of a change, for the noise within and for the added parameters."""
        return np.concatenate([self._noise.scale, super().scale[self._within :]])

    def penalty(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the penalty of the noise within."""
        return self._noise.penalty(self.within(gamma))

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return Gamma of the noise within."""
        return self._noise.covariance(self.within(gamma))

    def unbounded(self, natural: np.ndarray) -> np.ndarray:
        """Map each natural value (..., n) to the real line by its constraint."""
        return self._both(self._noise.unbounded, natural, inverse=True)

    def bounded(self, unbounded: np.ndarray) -> np.ndarray:
        """Undo :meth:`unbounded`."""
        return self._both(self._noise.bounded, unbounded)

    def to_natural(self, unconstrained: np.ndarray) -> np.ndarray:
        """Return the natural values for unconstrained gamma of shape (..., n)."""
        return self._both(self._noise.to_natural, unconstrained)

    def to_unconstrained(self, natural: np.ndarray) -> np.ndarray:
        """Undo :meth:`to_natural`, for values (n,)."""
        return self._both(self._noise.to_unconstrained, natural, inverse=True)

    def _both(self, within: Any, values: np.ndarray, *, inverse: bool = False) -> np.ndarray:
        """Return values mapped by the noise within, and by the constraints of the others."""
        values = np.asarray(values, dtype=float)
        added = entrywise(self._constraints_added, values[..., self._within :], inverse=inverse)
        return np.concatenate([within(values[..., : self._within]), added], axis=-1)

    def _by_name(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        added = self.names[self._within :]
        of_added = {name: value for name, value in values.items() if name in added}
        rest = {name: value for name, value in values.items() if name not in added}
        return {**self._noise._by_name(rest), **of_added}


class NoiseAtSome(WrappedNoise):
    """The noise at some of the places: rows and columns of Gamma.

    Parameters
    ----------
    whole : NoiseModel
        The noise of one replicate at all places.
    places : sequence of int
        In increasing order.
    """

    def __init__(self, whole: NoiseModel, places: Sequence[int]) -> None:
        super().__init__(whole)
        self.whole, self.places, self.d_y = whole, torch.tensor(list(places)), len(places)
        self.independent = whole.independent

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the covariance at these places, shape (d_y, d_y)."""
        covariance = self.whole.covariance(gamma)
        return covariance[self.places[:, None], self.places]
