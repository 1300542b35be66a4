"""Fields of the logarithm of a material's property from a vector of parameters.

A field maps one row of parameters z to the logarithm of a property, a(x), such as the
log-permeability, at given points of the unit interval or the unit square. Both fields here are
built from the cosine functions

    cos_j(x) = prod_d cos(pi k_jd x_d),

the eigenfunctions of the Laplacian with zero normal derivative on the boundary; ``wavenumbers``
gives the multi-indices k_j.

The value at a point is a function of the row and the point alone, bit for bit: sums run over the
modes in their order, in compiled loops over single rows, never through a matrix product whose
order of summation could depend on the size of the batch.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np

from popinv.errors import DataError
from popinv.forward.base import Parameter
from popinv.forward.wavenumbers import cosine_parameters, level_set_parameters, wavenumbers
from popinv.store.compiled import njit


class Field(ABC):
    """A random field over the cosine functions.

    Parameters
    ----------
    dimension : {1, 2}
        Number of space dimensions.
    modes : int
        Wavenumbers per direction, see `wavenumbers`.
    quantity : str
        The name of the quantity, "log-permeability" for example.
    """

    def __init__(self, dimension: int, modes: int, quantity: str) -> None:
        self.quantity = quantity
        self.wavenumbers = wavenumbers(dimension, modes)
        self.dimension = dimension
        self.modes = int(modes)

    @property
    @abstractmethod
    def parameters(self) -> tuple[Parameter, ...]:
        """The entries of z that describe the field, in order; others may follow them."""

    def basis(self, points: np.ndarray) -> np.ndarray:
        """Cosine functions at the given points.

        Parameters
        ----------
        points : array_like of float, shape (n_points, dimension)

        Returns
        -------
        ndarray of shape (n_modes, n_points)
            Entry (j, p) is prod_d cos(pi k_jd x_pd).

        Raises
        ------
        DataError
            If the points have another dimension than the field.
        """
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.dimension:
            raise DataError(
                f"Points of a field in {self.dimension} dimension(s) have shape "
                f"(n_points, {self.dimension}), not {points.shape}."
            )
        values = np.ones((len(self.wavenumbers), len(points)))
        for d in range(self.dimension):
            values *= np.cos(np.pi * np.outer(self.wavenumbers[:, d], points[:, d]))
        return values

    def evaluate(self, z: np.ndarray, basis: np.ndarray) -> np.ndarray:
        """Values of the field at the points of a basis.

        Parameters
        ----------
        z : ndarray of float64, shape (n, at least the number of parameters)
            Further columns, of parameters beside the field, are not looked at.
        basis : ndarray of shape (n_modes, n_points)
            From `basis`.

        Returns
        -------
        ndarray of shape (n, n_points)
            a(x_p) of each row; not finite where the row is not, or where a property overflows.
        """
        values = np.empty((len(z), basis.shape[1]))
        self._fill(np.ascontiguousarray(z, dtype=np.float64), basis, values)
        return values

    @abstractmethod
    def _fill(self, z: np.ndarray, basis: np.ndarray, values: np.ndarray) -> None:
        """Write the values of `evaluate`."""

    @abstractmethod
    def jvp(self, z: np.ndarray, basis: np.ndarray, tangents: np.ndarray) -> np.ndarray:
        """Return the changes of the values along tangents.

        Parameters
        ----------
        z, basis
            As in `evaluate`.
        tangents : ndarray of shape (k, n, d_z)

        Returns
        -------
        ndarray of shape (k, n, n_points)
        """

    @abstractmethod
    def vjp(self, z: np.ndarray, basis: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """Return the gradient (n, d_z) of the values' sum with cotangents (n, n_points).

        It is zero beyond the field's own parameters.
        """


class CosineField(Field):
    """The logarithm of a property as a mean plus a cosine series.

    a(x) = z_0 + sum_{j=1}^{m} z_j cos_j(x),   cos_j(x) = prod_d cos(pi k_jd x_d)

    With Gaussian coefficients whose variances follow a spectral density this is the truncated
    Whittle-Matern field of the Laplacian with zero normal derivative at the boundary.

    z = (mean, mode_1, ..., mode_m) in one dimension and (mean, mode_0_1, mode_1_0, ...) in two,
    named by wavenumber.
    """

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Mean and coefficients, in the order of z."""
        return cosine_parameters(self.dimension, self.modes, self.quantity)

    def _fill(self, z: np.ndarray, basis: np.ndarray, values: np.ndarray) -> None:
        _cosine_series(z, basis, values)

    def jvp(self, z: np.ndarray, basis: np.ndarray, tangents: np.ndarray) -> np.ndarray:
        """Return the changes (k, n, n_points) of the values, which are linear in z."""
        shape = (*tangents.shape[:2], basis.shape[1])
        if tangents.strides[1] == 0:
            # The same tangents for all rows, as views of one.
            tangents = tangents[:, :1]
        changes = tangents[..., :1] + tangents[..., 1 : 1 + len(basis)] @ basis
        return np.broadcast_to(changes, shape)

    def vjp(self, z: np.ndarray, basis: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """Return the gradient in z of the values' sum with cotangents (n, n_points)."""
        gradient = np.zeros_like(z)
        gradient[:, 0] = cotangents.sum(axis=1)
        gradient[:, 1 : 1 + len(basis)] = cotangents @ basis.T
        return gradient


class LevelSetField(Field):
    """Two materials separated by a smoothed level set.

    a(x) = log(kappa_1 + (kappa_2 - kappa_1) / 2 * (1 + tanh(sharpness f(x)))),
    f(x) = sum_{j=1}^{m} c_j cos_j(x),   z = (log kappa_1, log kappa_2, c_1, ..., c_m)

    f is used as it is given: the width of the transition between the materials is 1 / sharpness
    in units of f, so a population law that wants the same width for every system normalises the
    coefficients, for instance to unit L2 norm of f.

    Parameters
    ----------
    dimension, modes, quantity
        As in `Field`.
    sharpness : float
        Steepness of the transition, positive.
    """

    def __init__(self, dimension: int, modes: int, sharpness: float, quantity: str) -> None:
        super().__init__(dimension, modes, quantity)
        self.sharpness = sharpness

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Values of the two materials and coefficients, in the order of z."""
        return level_set_parameters(self.dimension, self.modes, self.quantity)

    def _fill(self, z: np.ndarray, basis: np.ndarray, values: np.ndarray) -> None:
        _level_set(z, basis, self.sharpness, values)

    def jvp(self, z: np.ndarray, basis: np.ndarray, tangents: np.ndarray) -> np.ndarray:
        """Return the changes (k, n, n_points) along tangents (k, n, 2 + n_modes)."""
        in_material, in_level = self._derivatives(z, basis)
        change = in_level * (tangents[..., 2 : 2 + len(basis)] @ basis)
        for m in range(2):
            change += tangents[..., m, None] * in_material[m]
        return change

    def vjp(self, z: np.ndarray, basis: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """Return the gradient in z of the values' sum with cotangents (n, n_points)."""
        in_material, in_level = self._derivatives(z, basis)
        gradient = np.zeros_like(z)
        for m in range(2):
            gradient[:, m] = (cotangents * in_material[m]).sum(axis=1)
        gradient[:, 2 : 2 + len(basis)] = (cotangents * in_level) @ basis.T
        return gradient

    def _derivatives(self, z: np.ndarray, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return da / dlog kappa_m, shape (2, n, n_points), and da / df, shape (n, n_points)."""
        kappa = np.exp(z[:, :2])
        tangent = np.tanh(self.sharpness * (z[:, 2 : 2 + len(basis)] @ basis))
        step = 0.5 * (1.0 + tangent)
        shares = np.stack([kappa[:, :1] * (1.0 - step), kappa[:, 1:] * step])
        total = shares.sum(axis=0)
        slope = 0.5 * self.sharpness * (1.0 - tangent**2)
        return shares / total, (kappa[:, 1:] - kappa[:, :1]) * slope / total


@njit
def _add_modes(coefficients: np.ndarray, basis: np.ndarray, values: np.ndarray) -> None:
    # Modes outermost: each point's sum runs over the modes in order, and the inner loop over
    # points holds no reduction, so vectorisation cannot change the order of summation.
    for j in range(basis.shape[0]):
        coefficient = coefficients[j]
        for p in range(basis.shape[1]):
            values[p] += coefficient * basis[j, p]


@njit
def _cosine_series(z: np.ndarray, basis: np.ndarray, values: np.ndarray) -> None:
    for i in range(z.shape[0]):
        values[i, :] = z[i, 0]
        _add_modes(z[i, 1:], basis, values[i])


@njit
def _level_set(z: np.ndarray, basis: np.ndarray, sharpness: float, values: np.ndarray) -> None:
    for i in range(z.shape[0]):
        values[i, :] = 0.0
        _add_modes(z[i, 2:], basis, values[i])
        kappa_1 = math.exp(z[i, 0])
        kappa_2 = math.exp(z[i, 1])
        for p in range(basis.shape[1]):
            step = 0.5 * (1.0 + math.tanh(sharpness * values[i, p]))
            # A convex combination: never below the smaller permeability, not even by rounding.
            values[i, p] = math.log(kappa_1 * (1.0 - step) + kappa_2 * step)
