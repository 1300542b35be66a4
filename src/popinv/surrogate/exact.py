"""A forward model that is differentiable and quick, and so needs no surrogate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from popinv.errors import DataError
from popinv.forward.external.files import simulator_hash
from popinv.forward.external.observations import SimulatorObservations, interpolated
from popinv.forward.external.own_times import AtOwnTimes
from popinv.forward.python.autograd import changes_along
from popinv.forward.python.section import PythonFunction
from popinv.forward.python.worker import loaded, with_design
from popinv.sections.base import plain

AtEntries = Callable[[torch.Tensor, np.ndarray], torch.Tensor]
"""A function of inputs (n, d_z), and of the requested entries (n, m)."""

# Rows of a call. Larger arrays exceed the caches and are allocated anew: with 16,000 rows a
# function takes several times as long.
_ROWS = 4000


class ExactSimulator:
    """The forward model itself in the place of a surrogate.

    Parameters
    ----------
    simulate : callable
        Maps inputs, a Tensor (n, d_z) of float64, to observations (n, d_y), each row by itself.
        Torch differentiates it.
    at : callable, optional
        Maps inputs (n, d_z) and the requested entries (n, m) to these m observations of each row.
        By default all observations are computed.
    section : mapping, optional
        The section from which :func:`of_section` restores the simulator. A function in memory has
        no section.

    Attributes
    ----------
    exact : bool
        True. No correction for the error of a surrogate is needed.

    Examples
    --------
    >>> twice = ExactSimulator(lambda z: 2 * z)
    >>> twice.predict(np.array([[1.0], [3.0]])).tolist()
    [[2.0], [6.0]]
    """

    exact = True

    def __init__(
        self,
        simulate: Callable[[torch.Tensor], torch.Tensor],
        at: AtEntries | None = None,
        section: Mapping[str, Any] | None = None,
    ) -> None:
        self._simulate, self._at = _in_blocks(simulate), at
        self._section = section or {}

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """The key ``kind``, and the keys of the function that is the forward model."""
        return {"kind": "exact", **self._section}

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Map inputs to observations."""
        return self._simulate(z)

    def linearise(
        self, z: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the observations, and their derivatives along tangents (k, n, d_z)."""
        return changes_along(self._simulate, z.detach(), tangents.detach())

    def of_outputs(self, entries: np.ndarray) -> ExactSimulator:
        """Return the simulator of some of the observations alone."""
        index = torch.from_numpy(entries)
        return ExactSimulator(lambda z: self._simulate(z)[:, index])

    def at_places(self, count: int) -> ExactSimulator:
        """Return the simulator of ``count`` entries of each row, which follow its inputs."""

        def simulate(z: torch.Tensor) -> torch.Tensor:
            inputs, entries = z[:, :-count], z[:, -count:].long()
            if self._at is None:
                return self._simulate(inputs).gather(1, entries)
            return self._at(inputs, entries.numpy())

        return ExactSimulator(simulate)

    def predict(self, z: np.ndarray) -> np.ndarray:
        """Map an array of inputs to observations, without gradients."""
        with torch.no_grad():
            return self._simulate(torch.from_numpy(z)).numpy()

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return nothing: a function is not stored."""
        return {}


def of_function(
    function: Callable[..., torch.Tensor],
    design: int,
    observations: SimulatorObservations,
    section: Mapping[str, Any] | None = None,
) -> ExactSimulator:
    """Return the simulator of a user's function of tensors, at all times or at each row's times.

    Parameters
    ----------
    function : callable
        It takes parameters, and ``design`` and ``times`` if it has such arguments.
    design : int
        Number of inputs that are not parameters.
    section : mapping, optional
        See :class:`ExactSimulator`.
    """
    given = observations.interpolation_matrix()
    matrix = None if given is None else torch.from_numpy(given)
    whole = with_design(function, design, observations.asked_times())
    own = AtOwnTimes.of_table(function, design, observations)

    def observed(y: torch.Tensor) -> torch.Tensor:
        return torch.log(y) if observations.logarithm else y

    def simulate(z: torch.Tensor) -> torch.Tensor:
        y = whole(z).to(torch.float64)
        return observed(y if matrix is None else interpolated(y, matrix))

    def at(z: torch.Tensor, entries: np.ndarray) -> torch.Tensor:
        assert own is not None
        return observed(own(z, entries).to(torch.float64))

    return ExactSimulator(simulate, None if own is None else at, section)


def of_section(
    forward: PythonFunction | Mapping[str, Any], files: str | None = None
) -> ExactSimulator:
    """Return the simulator of a study's own function of torch, which is loaded into this process.

    Parameters
    ----------
    forward : PythonFunction or mapping
        The section itself, or the section as the configuration holds it.
    files : str, optional
        Stored hash of the function's files. Other code is not loaded.

    Raises
    ------
    DataError
        If the folder does not have the module, or if its code has another hash.
    """
    forward = PythonFunction.model_validate(forward)
    folder, code = Path(forward.path).resolve(), forward.code_files()
    inside = all(each.is_file() and each.resolve().is_relative_to(folder) for each in code)
    own = simulator_hash(forward.source_files()) if code and inside else ""
    if not own or files not in (None, own):
        raise DataError(
            f"the function '{forward.function}', which needs no surrogate, is not in a module of "
            f"the folder '{forward.path}' as it was when the result was made; go to the working "
            "directory of the study, or run it again"
        )
    section = {"forward": plain(forward), "files": own}
    function = loaded(forward.function, forward.path)
    return of_function(function, len(forward.design()), forward.observations, section)


def _in_blocks(
    simulate: Callable[[torch.Tensor], torch.Tensor],
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function of independent rows that calls ``function`` with few rows at a time."""

    def simulated(z: torch.Tensor) -> torch.Tensor:
        if len(z) <= _ROWS:
            return simulate(z)
        return torch.cat([simulate(rows) for rows in z.split(_ROWS)])

    return simulated
