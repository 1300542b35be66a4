"""The section of the user's own Python function."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

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

    It takes an array of parameters of shape (n, number of parameters), with a row for each system.
    It returns the observations, of shape (n, number of observations). With a `design` it takes a
    second argument `design`, of shape (n, number of design entries). An argument `times` receives
    the times of the observations. It runs in its own process.
    """

    kind: Literal["python"] = Field(description="A function in Python.")
    function: Annotated[str, AfterValidator(_module_and_function)] = Field(
        description=(
            "`module:function`. An argument `seeds` receives a whole number for each system, to "
            "draw its random numbers from."
        )
    )
    path: InsidePath = Field(
        default=".", description="Folder of the module, inside the working directory."
    )
    vectorised: bool = Field(
        default=True,
        strict=True,
        description=(
            "`true`: the function takes a table of systems. `false`: it takes one system, of shape "
            "(number of parameters,), and returns its observations.\n\n"
            "With `false`, the observations have the shape (number of observations,). An argument "
            "`design` holds the design of the system, and an argument `seed` one whole number. A "
            "Jacobian has the shape (number of observations, number of parameters)."
        ),
    )
    derivatives: Literal["jacobian", "torch"] | None = Field(
        default=None,
        description=(
            "`jacobian`: the function returns a pair, the observations and their Jacobian. "
            "`torch`: it takes and returns tensors, and torch differentiates it. null: no "
            "derivatives.\n\n"
            "The Jacobian has the shape (n, number of observations, number of parameters). An "
            "argument `jacobian` tells the function whether the Jacobian is needed."
        ),
    )

    @property
    def differentiated(self) -> bool:
        """Whether torch differentiates the function of a table of systems."""
        return self.derivatives == "torch" and self.vectorised

    def takes_times(self) -> bool:
        """Return whether the function has an argument ``times``; its module is imported."""
        from popinv.forward.python.worker import loaded, takes

        return takes(loaded(self.function, self.path), "times")

    def takes_seeds(self) -> bool:
        """Return whether the word seed stands in the function's code; nothing is imported."""
        return any("seed" in file.read_text(errors="replace") for file in self.code_files())

    def is_given_seeds(self) -> bool:
        """Return whether the function has an argument for seeds; its module is imported."""
        from popinv.forward.python.worker import loaded, takes

        return takes(loaded(self.function, self.path), "seeds" if self.vectorised else "seed")

    def solver_modules(self) -> tuple[str, ...]:
        """Return the modules of any simulator, and the one that differentiates torch functions."""
        torch = ("popinv.forward.python.autograd",) if self.derivatives == "torch" else ()
        return (*super().solver_modules(), *torch)

    def called(self) -> str:
        """Return the function's name."""
        return f"`{self.function}`"

    def code_files(self) -> set[Path]:
        """Return the module of the function, and what it imports from the folder ``path``."""
        return module_files(self.function.split(":")[0], self.path)

    def check_files(self) -> None:
        """Check that the module is there and defines the function; nothing is imported."""
        super().check_files()
        check_function(self.function, self.path)
