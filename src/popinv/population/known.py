"""The known quantities of each system: its design and its covariates.

The design is a further input of the forward model, such as a dose, a load or a geometry. Covariates
shift the law of the parameters, or scale the noise. Simulated systems take both from observed ones.
Where each system has its own places, both contain these places (:mod:`popinv.population.places`).
The places of sensors that each system has of its own are inputs of the forward model. Along a line,
they stand after the covariates too, for a discrepancy that is a function of the place
(:mod:`popinv.population.noise.knots`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from popinv.late import torch
from popinv.population.laws.base import Law


@dataclass(frozen=True)
class Known:
    """Design and covariates of n systems, one in each row.

    Parameters
    ----------
    design : Tensor of shape (n, d_design)
    covariates : Tensor of shape (n, k)
        The covariates of the law in its order, then the covariates that only the noise uses.
    """

    design: torch.Tensor
    covariates: torch.Tensor

    @classmethod
    def of_arrays(cls, design: np.ndarray, covariates: np.ndarray) -> Known:
        """Return the quantities as tensors."""
        return cls(torch.from_numpy(design), torch.from_numpy(covariates))

    @classmethod
    def nothing(cls, count: int) -> Known:
        """Return the quantities of ``count`` systems of which nothing is known."""
        none = torch.empty((count, 0), dtype=torch.float64)
        return cls(none, none)

    def __len__(self) -> int:
        return len(self.design)

    @property
    def width(self) -> int:
        """Number of quantities of each system."""
        return self.design.shape[1] + self.covariates.shape[1]

    @property
    def columns(self) -> np.ndarray:
        """All quantities side by side, (n, width)."""
        return torch.cat([self.design, self.covariates], dim=1).numpy()

    def of(self, systems: np.ndarray | torch.Tensor) -> Known:
        """Return the rows of some systems, which may occur several times."""
        return self._mapped(lambda rows: rows[systems])

    def repeated(self, times: int) -> Known:
        """Return each row ``times`` times in a row."""
        return self._mapped(lambda rows: rows.repeat_interleave(times, dim=0))

    def for_rows(self, count: int) -> Known:
        """Return each row equally often, copies in a row, ``count`` rows in all."""
        return self.repeated(count // len(self)) if self.width else Known.nothing(count)

    def tiled(self, times: int) -> Known:
        """Return all rows ``times`` times, one copy after the other."""
        return self._mapped(lambda rows: rows.repeat(times, 1))

    def in_turns(self, count: int) -> Known:
        """Return ``count`` rows: the systems in order, repeated from the first."""
        return self.of(np.arange(count) % len(self))

    def _mapped(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Known:
        return Known(change(self.design), change(self.covariates))


def known_of(observations: xr.Dataset, ending: str = "") -> Known:
    """Return the known quantities of observed systems.

    Parameters
    ----------
    observations : Dataset
        With ``design`` (system, design_name) and ``covariate`` (system, covariate_name), if there
        are any. Of groups, they have a dimension ``member`` after that of the systems.
    ending : str
        "_heldout" for the systems that are held out.
    """
    count = len(observations[f"y{ending}"])
    none = np.empty((count, 0))
    found = [observations.get(f"{name}{ending}") for name in ("design", "covariate")]
    # Those of the members of a group stand side by side.
    design, covariates = (
        none if each is None else each.values.reshape(count, -1) for each in found
    )
    if "observation_sensor" in observations.coords and "member" not in observations.dims:
        names = list(map(str, observations["design_name"].values))
        covariates = with_sensors(covariates, design, names)
    return Known.of_arrays(design, covariates)


def with_sensors(
    covariates: np.ndarray, design: np.ndarray, design_names: Sequence[str]
) -> np.ndarray:
    """Return covariates (n, k) with the places x_1, ..., x_m of own sensors after them.

    Sensors in the plane, x_1, y_1, ..., do not join the covariates.
    """
    if "y_1" in design_names:
        return covariates
    columns = [i for i, name in enumerate(design_names) if re.fullmatch(r"x_\d+", name)]
    return np.concatenate([covariates, design[:, columns]], axis=1)


def inputs(law: Law, alpha: torch.Tensor, omega: torch.Tensor, known: Known) -> torch.Tensor:
    """Return the inputs of the forward model: the parameters, then the design.

    Parameters
    ----------
    alpha : Tensor of shape (d_alpha,) or (n, d_alpha)
    omega : Tensor of shape (n, d_omega)
    known : Known of n systems

    Returns
    -------
    Tensor of shape (n, d_z + d_design)
    """
    if law.covariates:
        # The law's covariates come first; the covariates that only the noise uses follow.
        z = law.sample_given(alpha, omega, known.covariates[:, : law.covariates])
    else:
        z = law.sample(alpha, omega)
    return torch.cat([z, known.design.to(z.dtype)], dim=1) if known.design.shape[1] else z
