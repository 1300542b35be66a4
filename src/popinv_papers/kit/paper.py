"""The record of a paper: its use on a study, and its test problems.

The workflow makes a rule ``check_NAME`` of each test problem.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from popinv.methods.method import USUALLY_REFUSED, Method
from popinv.methods.section import HouseSettings
from popinv_papers.kit.claims import claim_cells

ALIKE = dict.fromkeys(
    ("known quantities", "inputs over time", "replicates", "limits", "noise that varies"),
    "it reproduces a paper in which all systems are observed alike, once, under noise that is "
    "normal and the same for all",
)
"""What the use of a paper's method refuses beside what methods usually do, with the reason."""
PLAIN: Mapping[str, str] = {**USUALLY_REFUSED, **ALIKE}
TRAINING: Mapping[str, str] = {
    **PLAIN,
    **dict.fromkeys(("no surrogate", "Gaussian process"), "it trains the surrogate's network"),
}
"""What the use of a method that trains the network refuses."""


class Size(HouseSettings):
    """The size of the test problems."""

    size: Literal["workstation", "paper"] = Field(
        default="workstation",
        description="Size of the test problems: `workstation` takes at most a quarter of an "
        "hour for each, `paper` is as large as the paper's where the data can be had.",
    )


@dataclass(frozen=True)
class Check:
    """A method's own test problem.

    Parameters
    ----------
    name : str
        The folder of its results.
    message : str
        What its job is doing, as Snakemake says it.
    inputs : tuple of str, or callable
        Patterns of the files to read, or a function of the configuration's section ``downstream``.
    settings : tuple of str
        Its dependencies: ``seed``, and keys of the section ``downstream``.
    files : tuple of str
        Files that it writes beside metrics, claims, figures and store.
    has_store : bool
        True if it writes ``result.zarr.zip``.
    module : str
        The module whose function ``check`` is the test problem.
    """

    name: str
    message: str
    figures: tuple[str, ...]
    megabytes: int
    minutes: int
    inputs: tuple[str, ...] | Callable[[Any], tuple[str, ...]] = ()
    settings: tuple[str, ...] = ("seed", "size")
    files: tuple[str, ...] = ()
    has_store: bool = True
    module: str = "check"


@dataclass(frozen=True)
class Paper(Method):
    """A method of a paper, with the test problems that compare its claims with measurements."""

    checks: tuple[Check, ...] = ()

    @staticmethod
    def cells(row: Mapping[str, str]) -> dict[str, str]:
        """Return what is shown of a row of a test problem's ``claims.csv``, by column."""
        return claim_cells(row)

    def module_of(self, check: Check) -> str:
        """Return the module that a test problem runs."""
        return f"{self.package}.{check.module}"
