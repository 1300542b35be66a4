"""A forward model that is quick, and so needs no surrogate.

Torch differentiates it, or differences of its solves do (:mod:`popinv.surrogate.differences`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, wraps
from pathlib import Path
from typing import Any

import numpy as np

from popinv.errors import DataError, SolverError
from popinv.forward.executable.model import program
from popinv.forward.executable.section import Executable
from popinv.forward.external.evaluation import CallFailed, checked_answer
from popinv.forward.external.files import simulator_hash
from popinv.forward.external.model import as_observed
from popinv.forward.external.observations import SimulatorObservations, interpolated
from popinv.forward.external.own_times import AtOwnTimes
from popinv.forward.external.section import LocalSimulator
from popinv.forward.inputs.shape import InputsShape
from popinv.forward.python.autograd import changes_along
from popinv.forward.python.derivatives import table
from popinv.forward.python.one_system import over_systems
from popinv.forward.python.section import PythonFunction
from popinv.forward.python.worker import loaded, takes, with_design
from popinv.late import torch
from popinv.sections.base import plain
from popinv.surrogate.differences import Differenced

AtEntries = Callable[["torch.Tensor", np.ndarray], "torch.Tensor"]
"""A function of inputs (n, d_z), and of the requested entries (n, m)."""

# Rows of a call. Larger arrays exceed the caches and are allocated anew: with 16,000 rows a
# function takes several times as long.
_ROWS = 4000
# Rows of a call of a simulator without derivatives, whose calls may cost more than their rows.
_ROWS_OF_SOLVES = 20_000
# Numbers of an array (rows, observations, and events of a function of inputs over time) that a call
# may hold, and rows that it has in any case.
_NUMBERS, _FEWEST_ROWS = 4_000_000, 100


class ExactSimulator:
    """The forward model itself in the place of a surrogate.

    Parameters
    ----------
    simulate : callable
        Maps inputs, a Tensor (n, d_z) of float64, to observations (n, d_y), each row by itself.
        Torch differentiates it, unless ``parameters`` are given.
    at : callable, optional
        Maps inputs (n, d_z) and the requested entries (n, m) to these m observations of each row.
        By default all observations are computed.
    section : mapping, optional
        The section from which :func:`of_section` restores the simulator. A function in memory has
        no section.
    parameters : int, optional
        Number of parameters, the first inputs, for a function without derivatives.

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
        parameters: int | None = None,
    ) -> None:
        self._plain, self._at = simulate, at
        self._section, self._parameters = section or {}, parameters
        self._differenced: Differenced | None = None
        self._simulate: Callable[[torch.Tensor], torch.Tensor]
        if parameters is None:
            self._simulate = _in_blocks(simulate, _ROWS)
        else:
            self._plain = _in_blocks(simulate, _ROWS_OF_SOLVES)
            self._simulate = self._differenced = Differenced(self._plain, parameters)

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
        if self._differenced is not None:
            return self._differenced.linearise(z, tangents)
        return changes_along(self._simulate, z.detach(), tangents.detach())

    def of_outputs(self, entries: np.ndarray) -> ExactSimulator:
        """Return the simulator of some of the observations alone."""
        index = torch.from_numpy(entries)
        whole = self._whole
        return ExactSimulator(lambda z: whole(z)[:, index], parameters=self._parameters)

    def at_places(self, count: int) -> ExactSimulator:
        """Return the simulator of ``count`` entries of each row, which follow its inputs."""

        def simulate(z: torch.Tensor) -> torch.Tensor:
            inputs, entries = z[:, :-count], z[:, -count:].long()
            if self._at is None:
                return self._whole(inputs).gather(1, entries)
            return self._at(inputs, entries.numpy())

        return ExactSimulator(simulate, parameters=self._parameters)

    @property
    def _whole(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """The function that another simulator differentiates, as this one does."""
        return self._simulate if self._differenced is None else self._plain

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
    inputs: InputsShape | None = None,
    parameters: int | None = None,
) -> ExactSimulator:
    """Return the simulator of a user's function of tensors, at all times or at each row's times.

    Parameters
    ----------
    function : callable
        It takes parameters, and ``design``, ``inputs`` and ``times`` if it has such arguments.
    design : int
        Number of entries of the design.
    section : mapping, optional
        See :class:`ExactSimulator`.
    inputs : InputsShape, optional
        The inputs over time.
    parameters : int, optional
        Number of parameters, for a function of arrays of NumPy, which differences differentiate.
    """
    if parameters is not None:
        if takes(function, "seeds"):
            raise SolverError(
                "the simulator draws random numbers (it has an argument 'seeds'), so that "
                "differences of its solves are no derivatives; fix the numbers within it"
            )
        function = _of_arrays(function)
    given = observations.interpolation_matrix()
    matrix = None if given is None else torch.from_numpy(given)
    whole = with_design(function, design, observations.asked_times(), inputs)
    own = AtOwnTimes.of_table(function, design, observations, inputs)
    events = 1 if inputs is None else inputs.count

    def rows(entries: int) -> int:
        # A function of inputs over time holds an array of rows, observations and events.
        return max(_FEWEST_ROWS, _NUMBERS // (max(entries, 1) * events))

    def observed(y: torch.Tensor) -> torch.Tensor:
        return torch.log(y) if observations.logarithm else y

    def simulate(z: torch.Tensor) -> torch.Tensor:
        y = whole(z).to(torch.float64)
        return observed(y if matrix is None else interpolated(y, matrix))

    def at(z: torch.Tensor, entries: np.ndarray) -> torch.Tensor:
        assert own is not None
        size = rows(entries.shape[1])
        calls = [slice(i, i + size) for i in range(0, len(z), size)]
        y = [own(z[some], entries[some]).to(torch.float64) for some in calls]
        return observed(torch.cat(y) if y else own(z, entries))

    at_all = _in_blocks(simulate, rows(len(observations.asked_times() or ())))
    at_own = None if own is None else at
    return ExactSimulator(at_all, at_own, section, parameters)


def _of_arrays(function: Callable[..., Any]) -> Callable[..., torch.Tensor]:
    """Return a function of tensors for one of arrays."""

    def arrays(given: Any) -> Any:
        if isinstance(given, Mapping):
            return {name: arrays(each) for name, each in given.items()}
        return given.detach().numpy() if isinstance(given, torch.Tensor) else given

    @wraps(function)
    def of_tensors(z: torch.Tensor, **keywords: Any) -> torch.Tensor:
        result = function(arrays(z), **{name: arrays(each) for name, each in keywords.items()})
        return torch.from_numpy(table(result))

    return of_tensors


def _of_program(forward: Executable, section: Mapping[str, Any]) -> ExactSimulator:
    """Return the simulator of a study's own program, which is run for each call."""
    start = as_observed(forward, partial(program, forward))

    def simulate(z: torch.Tensor) -> torch.Tensor:
        each = forward.most_rows()
        calls = [z[i : i + each].numpy() for i in range(0, len(z), each)]
        return torch.from_numpy(np.concatenate([run(rows) for rows in calls]))

    def run(rows: np.ndarray) -> np.ndarray:
        running = start()
        try:
            limit = forward.longest_call() or forward.time_limit * len(rows)
            values = running.call(rows, np.zeros(len(rows), dtype=np.int64), limit)
            return checked_answer(values, len(rows), forward.observation_count())
        except CallFailed as failure:
            raise SolverError(f"a call for {len(rows)} systems failed: {failure.reason}") from None
        finally:
            running.close()

    return ExactSimulator(simulate, None, section, len(forward.parameters()))


def of_section(
    forward: LocalSimulator | Mapping[str, Any], files: str | None = None
) -> ExactSimulator:
    """Return the simulator of a study's own function, loaded into this process, or program.

    Parameters
    ----------
    forward : PythonFunction, Executable or mapping
        The section itself, or the section as the configuration holds it.
    files : str, optional
        Stored hash of the function's files. Other code is not loaded.

    Raises
    ------
    DataError
        If the folder does not have the module, or if its code has another hash.
    """
    kind = forward.get("kind") if isinstance(forward, Mapping) else forward.kind
    if kind == "executable":
        asked = Executable.model_validate(forward)
        own = simulator_hash(asked.source_files())
        if files not in (None, own):
            raise DataError(
                f"the program {asked.command}, which needs no surrogate, is not as it was when the "
                "result was made; go to the working directory of the study, or run it again"
            )
        return _of_program(asked, {"forward": plain(asked), "files": own})
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
    if not forward.vectorised:
        function = over_systems(function)
    return of_function(
        function,
        len(forward.design_list),
        forward.observations,
        section,
        forward.inputs_shape(),
        None if forward.differentiated else len(forward.parameters()),
    )


def _in_blocks(
    simulate: Callable[[torch.Tensor], torch.Tensor], most: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function of independent rows that calls ``simulate`` with few rows at a time."""

    def simulated(z: torch.Tensor) -> torch.Tensor:
        if len(z) <= most:
            return simulate(z)
        return torch.cat([simulate(rows) for rows in z.split(most)])

    return simulated
