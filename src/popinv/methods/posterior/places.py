"""Quantities by which the posterior of a system is stated: values at places, and parameters.

The parameters of most forward models have a meaning each. Those of a random field are coefficients
of its expansion, and nobody asks for the coefficient of the seventeenth cosine. The posterior of a
field is told by its values at a few places instead, in the unit of the field, and by the parameters
beside it. Chains run in the coefficients; the draws are told.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from popinv.forward.base import Parameter
from popinv.forward.fields import Field
from popinv.forward.section import ForwardSection
from popinv.population.laws.field import FieldLaw
from popinv.population.laws.section import LawSection

# Places along a line, and along each side of a square.
_PLACES = {1: 5, 2: 3}


@dataclass(frozen=True)
class Quantities:
    """The quantities that are told of a system.

    Attributes
    ----------
    names, units : tuple of str
        Of the k quantities.
    coefficients : tuple of str
        Names of the parameters of the forward model, if they are not the quantities themselves.
    field : Field or None
    basis : ndarray of shape (modes, places) or None
        Of the field at its places.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    coefficients: tuple[str, ...] = ()
    field: Field | None = None
    basis: np.ndarray | None = None

    def of(self, z: np.ndarray) -> np.ndarray:
        """Return the quantities (..., k) of parameters (..., d_z)."""
        if self.field is None or self.basis is None:
            return z
        rows = z.reshape(-1, z.shape[-1])
        beside = rows[:, len(self.field.parameters) :]
        told = np.concatenate([self.field.evaluate(rows, self.basis), beside], axis=1)
        return told.reshape(*z.shape[:-1], -1)


def told_quantities(forward: ForwardSection, law: LawSection) -> Quantities:
    """Return the parameters of the forward model, or places of its field and what is beside it."""
    parameters = forward.parameters()
    field = forward.random_field() if isinstance(law, FieldLaw) else None
    if field is None:
        return Quantities(*_described(parameters))
    side = (np.arange(_PLACES[field.dimension]) + 0.5) / _PLACES[field.dimension]
    points = np.array(list(itertools.product(side, repeat=field.dimension)))
    # A field has no unit: it is the logarithm of a quantity relative to its usual value.
    values = [Parameter(f"{field.quantity} at {_place(point)}") for point in points]
    beside = parameters[len(field.parameters) :]
    coefficients = tuple(parameter.name for parameter in parameters)
    return Quantities(*_described([*values, *beside]), coefficients, field, field.basis(points))


def _described(parameters: Sequence[Parameter]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(p.name for p in parameters), tuple(p.units for p in parameters)


def _place(point: np.ndarray) -> str:
    return " ".join(f"{name}={x:.2g}" for name, x in zip("xy", point, strict=False))
