"""The section of the user's own Python function."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from popinv.forward.base import ForwardModel
from popinv.forward.external.files import check_function, module_files
from popinv.forward.external.section import InsidePath, LocalSimulator


def _module_and_function(target: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", target):
        raise PydanticCustomError(
            "function", "it must be 'module:function', such as 'simulator:solve'"
        )
    return target


class PythonFunction(LocalSimulator):
    """Your own function in Python.

    It takes an array of parameters of shape (n, number of parameters), one system a row, and
    returns the observations, shape (n, number of observations). With a `design` it takes a second
    argument `design`, of shape (n, number of design entries). With an argument `times` it is given
    the times of the observations. It runs in a process of its own.
    """

    kind: Literal["python"] = Field(description="A function in Python.")
    function: Annotated[str, AfterValidator(_module_and_function)] = Field(
        description="`module:function`. A function with an argument `seeds` is given one whole "
        "number for each system, to draw its random numbers from."
    )
    path: InsidePath = Field(
        default=".", description="Folder of the module, inside the working directory."
    )
    vectorised: bool = Field(
        default=True,
        strict=True,
        description="`true`: the function takes a table of systems. `false`: it takes one system, "
        "of shape (number of parameters,), and returns its observations, of shape (number of "
        "observations,). An argument `design` is then that of the system, an argument `seed` one "
        "whole number. A Jacobian has the shape (number of observations, number of parameters).",
    )
    derivatives: Literal["jacobian", "torch"] | None = Field(
        default=None,
        description="Derivatives that the function gives. `jacobian`: it returns a pair, the "
        "observations and their Jacobian of shape (n, number of observations, number of "
        "parameters); an argument `jacobian` tells it whether the Jacobian is needed. `torch`: it "
        "takes and returns tensors of torch, which differentiates it. null: none.",
    )

    @property
    def differentiated(self) -> bool:
        """Whether torch differentiates the function of a table of systems."""
        return self.derivatives == "torch" and self.vectorised

    def model(self, seed: int) -> ForwardModel:
        """Return the function as a forward model."""
        return super().model(seed)

    def solver_modules(self) -> tuple[str, ...]:
        """Return those of any simulator, and that which differentiates functions of torch."""
        torch = ("popinv.forward.python.autograd",) if self.derivatives == "torch" else ()
        return (*super().solver_modules(), *torch)

    def code_files(self) -> set[Path]:
        """Return the module of the function, and what it imports from the folder ``path``."""
        return module_files(self.function.split(":")[0], self.path)

    def check_files(self) -> None:
        """Check that the module is there and defines the function; nothing is imported."""
        super().check_files()
        check_function(self.function, self.path)
