r"""A Gaussian process as the surrogate of a forward model, in physical units.

Observations are standardised, ``u = T^{-1}((y - mean) / scale)``, with T the identity or, for
observations with heavy tails, sinh. Their principal components in standard deviations of the noise
are independent processes of the standardised inputs,

.. math::
    u(x) = o + \sum_c t_c(x)\,B_c, \qquad y = \text{mean} + \text{scale}\;T(u).

Components whose root mean square over all observations is below 0.001 standard deviations of the
noise are left out. The first round has no estimate of the noise and uses the observations' own
standard deviations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from popinv.errors import DataError
from popinv.late import torch
from popinv.surrogate.gaussian_process.fit import fit_processes
from popinv.surrogate.gaussian_process.processes import Processes
from popinv.surrogate.standardisation import Standardisation

_LEFT_OUT = 1e-3
# Observations this far from their median, in scaled median deviations, are heavy tails.
_HEAVY = 20.0
# Components below this share of the largest are rounding errors.
_RANK = 1e-9
_UNITS = tuple(f.name for f in fields(Standardisation))
_PROCESSES = ("amplitude", "slope", "nugget", "lengths", "inputs", "targets")
_MAPS = ("offset", "basis", "projection")


@dataclass(frozen=True)
class Emulator:
    """Gaussian processes in physical units.

    Parameters
    ----------
    processes : Processes
        Processes of q principal components.
    standardisation : Standardisation
        Its outputs are without the arcsinh if ``heavy`` is False.
    offset, basis : Tensor of shape (d_y,), (q, d_y)
    projection : Tensor of shape (d_y, q)
        From u - o to the components: least squares in units of the noise.
    heavy : bool
        Whether T is sinh.
    """

    processes: Processes
    standardisation: Standardisation
    offset: torch.Tensor
    basis: torch.Tensor
    projection: torch.Tensor
    heavy: bool

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """The plain values of an artefact."""
        return {
            "kind": "gaussian_process",
            "covariance": self.processes.covariance,
            "heavy": self.heavy,
        }

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Map parameters (n, d_z) to the posterior mean of u in units of y, (n, d_y)."""
        return self._physical(self.processes.mean(self._inner(z)))

    def linearise(
        self, z: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return y for z (n, d_z) and its derivatives along tangents (k, n, d_z), (k, n, d_y)."""
        along = tangents / self._unit("input_scale")
        if self._logarithmic.any():
            along = torch.where(
                self._logarithmic, along / torch.where(self._logarithmic, z, 1.0), along
            )
        component, change = self.processes.linearise(self._inner(z), along)
        slope = self._unit("output_scale")
        if self.heavy:
            slope = slope * torch.cosh(self._standard(component))
        return self._physical(component), (change @ self.basis) * slope

    def predict(self, z: np.ndarray) -> np.ndarray:
        """Map an array (n, d_z) to observations (n, d_y), without gradients."""
        with torch.no_grad():
            return self(torch.as_tensor(z, dtype=torch.float64)).numpy()

    def deviation(self, z: np.ndarray) -> np.ndarray:
        """Return the predictive standard deviation of a solve at z (n, d_z), (n, d_y).

        It includes the nugget. With sinh, the deviation is computed to first order.
        """
        inner = self._inner(torch.as_tensor(z, dtype=torch.float64))
        variance = self.processes.variance(inner) + self.processes.nugget
        slope = self._unit("output_scale").expand(len(z), -1)
        if self.heavy:
            slope = slope * torch.cosh(self._standard(self.processes.mean(inner)))
        return (slope * (variance @ self.basis.square()).sqrt()).numpy()

    def draws(self, z: np.ndarray, normal: np.ndarray, inflation: float = 1.0) -> np.ndarray:
        """Return joint draws of solves at all rows of z from the posterior.

        Parameters
        ----------
        z : ndarray of shape (m, d_z)
        normal : ndarray of shape (k, q, m)
            Standard normal numbers; q is :attr:`components`.
        inflation : float
            Factor of the posterior deviations.

        Returns
        -------
        ndarray of shape (k, m, d_y)
        """
        inner = self._inner(torch.as_tensor(z, dtype=torch.float64))
        mean = self.processes.mean(inner)
        values, vectors = torch.linalg.eigh(self.processes.covariances(inner))
        values = values.clamp_min(0.0) + self.processes.nugget[:, None]
        errors = torch.einsum("cij,cj,kcj->kic", vectors, values.sqrt(), torch.as_tensor(normal))
        return self._physical(mean + inflation * errors).numpy()

    def conditioned(self, z: np.ndarray, y: np.ndarray) -> Emulator:
        """Return the surrogate conditioned on further solves, with the same hyperparameters."""
        inner = self._inner(torch.as_tensor(z, dtype=torch.float64))
        return replace(self, processes=self.processes.conditioned(inner, self._components(y)))

    @property
    def components(self) -> int:
        """Number of principal components, q."""
        return len(self.processes)

    def candidate_covariances(self, z: np.ndarray) -> np.ndarray:
        """Return the posterior covariances of the components between rows of z, (q, m, m)."""
        inner = self._inner(torch.as_tensor(z, dtype=torch.float64))
        return self.processes.covariances(inner).numpy()

    def component_sizes(self, noise_covariance: np.ndarray) -> np.ndarray:
        """Return the mean square (q,) over observations of each component's unit, in noise units.

        With sinh, the unit is computed at the median of the observations.
        """
        whitening = np.linalg.inv(np.linalg.cholesky(noise_covariance))
        moved = (self.basis.numpy() * self.standardisation.output_scale) @ whitening.T
        return np.square(moved).mean(axis=1)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything but the hyperparameters as arrays, for ``from_arrays``."""
        arrays = {name: np.asarray(getattr(self.standardisation, name)) for name in _UNITS}
        arrays |= {name: getattr(self.processes, name).numpy() for name in _PROCESSES}
        return arrays | {name: getattr(self, name).numpy() for name in _MAPS}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], hyperparameters: Mapping[str, Any]
    ) -> Emulator:
        """Rebuild the surrogate from the arrays of ``to_arrays``.

        Raises
        ------
        DataError
            If an array is missing.
        """
        if missing := [n for n in (*_UNITS, *_PROCESSES, *_MAPS) if n not in arrays]:
            raise DataError(f"the surrogate lacks the arrays {', '.join(missing)}")
        # Copies of torch always have the same layout, on which a last digit may depend.
        tensors = {
            name: torch.from_numpy(np.array(value, order="C")).clone()
            for name, value in arrays.items()
        }
        return cls(
            Processes(hyperparameters["covariance"], **{n: tensors[n] for n in _PROCESSES}),
            Standardisation(*(np.array(arrays[name]) for name in _UNITS)),
            offset=tensors["offset"],
            basis=tensors["basis"],
            projection=tensors["projection"],
            heavy=bool(hyperparameters["heavy"]),
        )

    @property
    def _logarithmic(self) -> torch.Tensor:
        return torch.as_tensor(self.standardisation.input_logarithmic)

    def _unit(self, name: str) -> torch.Tensor:
        return torch.as_tensor(getattr(self.standardisation, name), dtype=torch.float64)

    def _inner(self, z: torch.Tensor) -> torch.Tensor:
        mask = self._logarithmic
        if mask.any():
            z = torch.where(mask, torch.log(torch.where(mask, z, 1.0)), z)
        return (z - self._unit("input_mean")) / self._unit("input_scale")

    def _standard(self, component: torch.Tensor) -> torch.Tensor:
        return self.offset + component @ self.basis

    def _physical(self, component: torch.Tensor) -> torch.Tensor:
        standard = self._standard(component)
        curved = torch.sinh(standard) if self.heavy else standard
        return self._unit("output_mean") + self._unit("output_scale") * curved

    def _components(self, y: np.ndarray) -> torch.Tensor:
        """Return the components (n, q) of observations."""
        standard = torch.from_numpy(_standard_outputs(self.standardisation, y, self.heavy))
        return (standard - self.offset) @ self.projection


def train_emulator(
    z: np.ndarray,
    y: np.ndarray,
    *,
    covariance: str,
    restarts: int,
    seed: int,
    stage: str,
    whitening: np.ndarray | None = None,
    logarithmic: tuple[bool, ...] | None = None,
) -> Emulator:
    """Return a Gaussian process fitted to solves.

    Parameters
    ----------
    z, y : ndarray of shape (n, d_z), (n, d_y)
    covariance, restarts, seed, stage
        As for :func:`popinv.surrogate.gaussian_process.fit.fit_processes`.
    whitening : ndarray of shape (d_y, d_y), optional
        L^{-1} of the noise covariance L L^T.
    logarithmic : tuple of bool, optional
        Inputs that are read by their logarithms.

    Raises
    ------
    DataError
        If there are fewer than 3 solves, or all gave the same observations.
    """
    if len(z) < 3:
        raise DataError(f"a Gaussian process needs at least 3 solves; got {len(z)}")
    units = Standardisation.from_data(z, y, logarithmic=logarithmic)
    heavy = bool(np.max(np.abs(y - units.output_mean) / units.output_scale) > _HEAVY)
    standard = _standard_outputs(units, y, heavy)
    offset = standard.mean(axis=0)
    errors = np.eye(y.shape[1]) if whitening is None else whitening * units.output_scale
    left, sizes, right = np.linalg.svd((standard - offset) @ errors.T, full_matrices=False)
    if sizes[0] == 0:
        raise DataError(f"all {len(z)} solves gave the same observations")
    # Rest after the first c components, root mean square over all observations.
    rest = np.sqrt(np.append(np.cumsum(np.square(sizes)[::-1])[::-1], 0.0) / standard.size)
    wanted = np.flatnonzero(rest <= _LEFT_OUT)[0]
    kept = max(1, min(int(wanted), int(np.sum(sizes > _RANK * sizes[0]))))
    deviations = sizes[:kept] / np.sqrt(len(z))
    directions = right[:kept]
    basis = np.linalg.solve(errors, (deviations[:, None] * directions).T).T
    projection = errors.T @ (directions / deviations[:, None]).T
    processes = fit_processes(
        units.standard_inputs(z),
        left[:, :kept] * np.sqrt(len(z)),
        covariance,
        restarts,
        seed,
        stage,
    )
    fitted = Emulator(
        processes,
        units,
        offset=torch.from_numpy(offset),
        basis=torch.from_numpy(basis),
        projection=torch.from_numpy(projection),
        heavy=heavy,
    )
    return Emulator.from_arrays(fitted.to_arrays(), fitted.hyperparameters)


def _standard_outputs(units: Standardisation, y: np.ndarray, heavy: bool) -> np.ndarray:
    affine = (y - units.output_mean) / units.output_scale
    return np.arcsinh(affine) if heavy else affine
