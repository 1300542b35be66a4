"""A trained network in physical units: the surrogate of the forward model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from popinv.errors import DataError
from popinv.late import torch
from popinv.surrogate.components import OutputComponents
from popinv.surrogate.networks import MLP, build_network
from popinv.surrogate.standardisation import Standardisation


@dataclass(frozen=True)
class Surrogate:
    """A trained network in physical units.

        y = mean_y + scale_y sinh(network((z - mean_z) / scale_z)),

    with log z in place of z where the standardisation uses logarithms.

    Parameters
    ----------
    network : MLP
        Its weights are frozen, so gradients flow to z alone.
    hyperparameters : mapping
        The arguments of ``build_network``: plain numbers, strings and lists.
    """

    network: MLP
    standardisation: Standardisation
    hyperparameters: Mapping[str, Any]

    def __post_init__(self) -> None:
        self.network.requires_grad_(False)

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Map parameters of shape (n, d_z) to observations of shape (n, d_y).

        The map is differentiable in z. The result has the dtype and device of z. The network
        computes in its own dtype, float32 by default, and on its own device. The change of units
        is done in the dtype of z.
        """
        _, _, mean_y, scale_y = self._units(z)
        return mean_y + scale_y * torch.sinh(self.standardised(z))

    def standardised(self, z: torch.Tensor) -> torch.Tensor:
        """Return the network's outputs for parameters (n, d_z), before the change of units."""
        mean_z, scale_z, _, _ = self._units(z)
        mask = torch.as_tensor(self.standardisation.input_logarithmic, device=z.device)
        if mask.any():
            z = torch.where(mask, torch.log(torch.where(mask, z, 1.0)), z)
        weights = next(self.network.parameters())
        inner = ((z - mean_z) / scale_z).to(weights.device, weights.dtype)
        return self.network(inner).to(z.device, z.dtype)

    def linearise(
        self, z: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return y for z (n, d_z) and its derivatives along tangents (k, n, d_z), (k, n, d_y)."""
        _, _, mean_y, scale_y = self._units(z)
        out, change = self.standardised_tangents(z, tangents)
        return mean_y + scale_y * torch.sinh(out), scale_y * torch.cosh(out) * change

    def standardised_tangents(
        self, z: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the network's outputs, and their derivatives along tangents."""
        mean_z, scale_z, _, _ = self._units(z)
        mask = torch.as_tensor(self.standardisation.input_logarithmic, device=z.device)
        if mask.any():
            positive = torch.where(mask, z, 1.0)
            z, tangents = torch.where(mask, torch.log(positive), z), tangents / positive
        weights = next(self.network.parameters())
        inner, along = (
            x.to(weights.device, weights.dtype)
            for x in ((z - mean_z) / scale_z, tangents / scale_z)
        )
        out, change = (x.to(z.device, z.dtype) for x in self.network.linearise(inner, along))
        return out, change

    def in_double(self) -> Surrogate:
        """Return the surrogate whose network computes in double precision."""
        return replace(self, network=copy.deepcopy(self.network).double())

    def of_outputs(self, entries: np.ndarray) -> Surrogate:
        """Return the surrogate of some of the observations alone."""
        units = self.standardisation
        own = replace(
            units,
            output_mean=units.output_mean[entries],
            output_scale=units.output_scale[entries],
        )
        network = self.network.of_outputs(torch.from_numpy(entries))
        return Surrogate(network, own, self.hyperparameters)

    def _units(self, z: torch.Tensor) -> tuple[torch.Tensor, ...]:
        s = self.standardisation
        values = s.input_mean, s.input_scale, s.output_mean, s.output_scale
        return tuple(torch.as_tensor(v, dtype=z.dtype, device=z.device) for v in values)

    def predict(self, z: np.ndarray, rows: int = 4096) -> np.ndarray:
        """Map an array of shape (n, d_z), ``rows`` at a time, without gradients."""
        with torch.no_grad():
            parts = torch.as_tensor(z, dtype=torch.float64).split(rows)
            return torch.cat([self(part) for part in parts]).numpy()

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything but the hyperparameters as arrays, for ``from_arrays``."""
        arrays = {f.name: getattr(self.standardisation, f.name) for f in fields(Standardisation)}
        for name, tensor in self.network.state_dict().items():
            arrays[f"network.{name}"] = tensor.detach().cpu().numpy().copy()
        return arrays

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, np.ndarray],
        hyperparameters: Mapping[str, Any],
        outputs: int | None = None,
    ) -> Surrogate:
        """Rebuild the surrogate from the arrays of ``to_arrays``.

        Parameters
        ----------
        outputs : int, optional
            Number of the network's outputs, if it has more than there are observations.

        Raises
        ------
        DataError
            If an array is missing or of the wrong shape.
        ConfigError
            If the hyperparameters do not describe a network.
        """
        wanted = [f.name for f in fields(Standardisation)]
        missing = [name for name in wanted if name not in arrays]
        if missing:
            raise DataError(f"the surrogate lacks the arrays {', '.join(missing)}")
        standardisation = Standardisation(*(np.array(arrays[name]) for name in wanted))
        prefix = "network."
        state = {
            name[len(prefix) :]: torch.from_numpy(np.array(value))
            for name, value in arrays.items()
            if name.startswith(prefix)
        }
        components = None
        if "matrix" in state:
            components = OutputComponents(state["centre"].numpy(), state["matrix"].numpy())
        d_in, d_out = len(standardisation.input_mean), len(standardisation.output_mean)
        network = build_network(hyperparameters, d_in, outputs or d_out, components)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise DataError(f"the surrogate's arrays do not fit its network: {error}") from error
        return cls(network, standardisation, dict(hyperparameters))
