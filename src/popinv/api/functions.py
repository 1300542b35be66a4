"""The user's own function in memory, as a forward model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, PrivateAttr

from popinv.errors import ConfigError, SolverError
from popinv.forward.external.evaluation import CallFailed, checked_answer
from popinv.forward.external.section import ExternalSection
from popinv.forward.python.derivatives import JVP, TORCH, VALUES, VJP
from popinv.forward.python.exchange import FAILED, UNUSABLE
from popinv.forward.python.one_system import HINT, over_systems, works_for_one
from popinv.forward.python.worker import answer, takes, with_design
from popinv.sections.base import Count

if TYPE_CHECKING:
    from popinv.forward.external.model import ExternalModel
    from popinv.surrogate.exact import ExactSimulator


Function = Callable[..., Any]

KIND = f"{__name__}:OwnFunction"
"""The key ``kind`` of the section."""

_ADVICE = (
    "Every step from z to the observations must be computed by torch, without detach(), numpy(), "
    "item() or no_grad()."
)


class OwnFunction(ExternalSection):
    """Your own function, as it is in memory.

    The function takes the arguments of the kind ``python``, and is called in this process. The
    function is not stored: a section that is read from a file has none until it is given one.
    """

    may_be_exact: ClassVar[bool] = True

    kind: str = Field(default=KIND, description="This class.")
    vectorised: bool = Field(
        default=True, strict=True, description="Whether the function takes a table of systems."
    )
    differentiated: bool = Field(
        default=False, strict=True, description="Whether torch differentiates the function."
    )
    rows_per_call: Count = Field(
        default=10_000, description="Largest number of systems in one call."
    )
    _function: Function | None = PrivateAttr(default=None)

    def having(self, function: Function, **changes: Any) -> OwnFunction:
        """Return the section with a function, and with other values for some keys."""
        # A copy and no new section, as keys have other names in Python.
        copied = self.model_copy(update=changes)
        copied._function = function
        return copied

    @property
    def function(self) -> Function:
        """The function; of a table of systems, or of one."""
        if self._function is None:
            raise ConfigError(
                "the simulator is a function that was not stored; give it again: "
                "popinv.load(folder, simulator=function)"
            )
        return self._function

    def takes_times(self) -> bool:
        """Return whether the function has an argument ``times``."""
        return takes(self.function, "times")

    def takes_seeds(self) -> bool:
        """Return whether the function has an argument for seeds."""
        return takes(self.function, "seeds" if self.vectorised else "seed")

    def of_inputs(self) -> Function:
        """Return the function of a table of the inputs, the parameters and then the design.

        Raises
        ------
        ConfigError
            If the section has no function.
        """
        function = self._of_table()
        for name, given in {"design": self.design_list, "inputs": self.timed}.items():
            if given and not takes(function, name):
                raise ConfigError(
                    f"the simulator takes no argument '{name}', but '{name}' names its inputs; "
                    f"write it as solve(z, {name})"
                )
        times = self.observations.asked_times()
        return with_design(function, len(self.design_list), times, self.inputs_shape())

    def _of_table(self) -> Function:
        return self.function if self.vectorised else over_systems(self.function)

    def model(self, seed: int) -> ExternalModel:
        """Return the function as a forward model, with derivatives if torch gives them."""
        from popinv.forward.external.differentiable import DifferentiableExternalModel
        from popinv.forward.external.model import ExternalModel

        start = partial(_InProcess, self.of_inputs(), TORCH if self.differentiated else "")
        if self.differentiated:
            return DifferentiableExternalModel(self, seed, start, self.rows_per_call, _ADVICE)
        return ExternalModel(self, seed, start, self.rows_per_call)

    def exact(self) -> ExactSimulator:
        """Return the function as a simulator that needs no surrogate."""
        from popinv.surrogate.exact import of_function

        return of_function(
            self._of_table(),
            len(self.design_list),
            self.observations,
            inputs=self.inputs_shape(),
            parameters=None if self.differentiated else len(self.parameter_list),
        )

    def is_exact(self) -> bool:
        """Return whether the function needs no surrogate.

        Torch differentiates it, or a surrogate would have all inputs over time to learn from.
        """
        return self.differentiated or (self.timed is not None and self.timed.needs_solver())


class _InProcess:
    """A function that is called in this process, as a running simulator.

    No time limit ends it, since nothing can stop a function in its own process.
    """

    def __init__(self, function: Function, source: str) -> None:
        self._function, self._source = function, source

    def call(self, z: np.ndarray, seeds: np.ndarray, seconds: float) -> np.ndarray:
        return self._asked(VALUES, z, seeds)

    def jvp(
        self, z: np.ndarray, tangents: np.ndarray, seeds: np.ndarray, seconds: float
    ) -> np.ndarray:
        return self._asked(JVP, z, seeds, tangents)

    def vjp(
        self, z: np.ndarray, cotangents: np.ndarray, seeds: np.ndarray, seconds: float
    ) -> np.ndarray:
        return self._asked(VJP, z, seeds, cotangents)

    def close(self) -> None:
        """Nothing was started."""

    def _asked(
        self, asked: str, z: np.ndarray, seeds: np.ndarray, directions: np.ndarray | None = None
    ) -> np.ndarray:
        kind, content = answer(self._function, self._source, asked, z, seeds, directions)
        if kind == FAILED:
            raise CallFailed(content)
        if kind == UNUSABLE:
            raise SolverError(content)
        values: np.ndarray = content
        return values


def differentiable(section: OwnFunction, z: np.ndarray) -> bool:
    """Return whether torch differentiates the function, which is called to find out.

    It does if the function returns a tensor that depends on a tensor of inputs. A function that
    draws random numbers (``seeds``) needs a surrogate all the same.

    Parameters
    ----------
    z : ndarray of shape (n, d_z)
        Inputs of a few systems.

    Raises
    ------
    SolverError
        If the function fails for these systems, or returns something else than a row of numbers
        for each.
    """
    function, width = section.of_inputs(), section.observations.asked_count()
    why = "it draws random numbers"
    if not takes(function, "seeds"):
        values, why = _of_tensors(function, z)
        if values is not None:
            checked_answer(values, len(z), width)
            return True
    kind, content = answer(function, "", VALUES, z, np.arange(len(z), dtype=np.int64))
    one = section.vectorised and works_for_one(function, z[0], width)
    if kind in (FAILED, UNUSABLE):
        mixed = " A function of torch turns arrays into tensors: torch.as_tensor(times)."
        raise SolverError(
            f"the simulator cannot be called for a table of shape {z.shape}, a row for each "
            f"system. With an array of NumPy: {content}. With a tensor of torch: {why}."
            + (mixed if "numpy" in why else "")
            + (f" {_hint()}." if one else "")
        )
    if content.shape != (len(z), width) and one:
        raise SolverError(
            f"the simulator returned an array of shape {content.shape} for a table of shape "
            f"{z.shape}. {_hint()}."
        )
    checked_answer(content, len(z), width)
    return False


def _of_tensors(function: Function, z: np.ndarray) -> tuple[np.ndarray | None, str]:
    """Return the values of a function of tensors, or None and the reason why it is none."""
    import torch

    x = torch.from_numpy(z.copy()).requires_grad_(True)
    try:
        y = function(x)
    except Exception as error:  # a function of arrays may raise any error
        text = " ".join(f"{type(error).__name__}: {error}".split())
        # A detached tensor has no derivatives.
        return None, text.removesuffix(" Use tensor.detach().numpy() instead.").removesuffix(".")
    if not isinstance(y, torch.Tensor):
        return None, f"it returns a {type(y).__name__}"
    if not y.requires_grad:
        return None, "the result has no derivatives"
    return y.detach().numpy(), ""


def _hint() -> str:
    return HINT.replace("'forward.vectorised: false'", "'vectorised=False'")
