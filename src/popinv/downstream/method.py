"""The record of a method: the inputs, outputs, code and resources of its jobs.

``popinv.downstream.NAME.method`` holds the record of the method NAME. The workflow makes a rule of
each test problem and of each use on a study. Records are light: what computes stands in the modules
that they name, ``check`` and ``use`` beside the record unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from popinv.downstream.section import MethodSection

__all__ = ["STUDY_STORES", "WITH_TORCH_MB", "Check", "Method", "StudySizes", "Use", "megabytes_of"]

STUDY_STORES = {
    "observations": "observations",
    "truth": "truth",
    "first_surrogate": "rounds/0/surrogate",
    "solves": "rounds/{last}/solves",
    "surrogate": "rounds/{last}/surrogate",
    "estimate": "rounds/{last}/estimate",
    "descent": "descent",
    "fresh_solves": "rounds/check/solves",
    "population": "population",
    "rerun": "population",
}
"""The stores of a study that a method can read, by name, with the number of the last round.

``rerun`` is that of the study without the systems that withdraw, where the method asks for it.
"""


@dataclass(frozen=True)
class StudySizes:
    """The sizes of a study that determine the memory and the time of its jobs.

    Parameters
    ----------
    systems : int
        Observed systems, held-out ones included.
    row : int
        Parameters and observations of a system.
    training : int
        Solves of all rounds.
    network, activations : float
        Multiplications of an evaluation of the surrogate at one system, and its hidden numbers.
    network_seconds : float
        Seconds of such an evaluation.
    descent_megabytes, iteration_seconds : float
        Memory of the study's descent, and time of one iteration.
    training_megabytes, training_seconds : float
        Memory and time of a training of the surrogate on all solves.
    solve_megabytes, solve_seconds : float
        Memory and time of a solve of the forward model.
    """

    systems: int
    row: int
    training: int
    network: float
    activations: float
    network_seconds: float
    descent_megabytes: float
    iteration_seconds: float
    training_megabytes: float
    training_seconds: float
    solve_megabytes: float
    solve_seconds: float


Amount = float | Callable[[StudySizes, Any], float]
"""A number, or a function of the study's sizes and of the method's section."""

WITH_TORCH_MB = 800
"""Megabytes of a process that imports torch and draws figures, beside its arrays."""


@dataclass(frozen=True)
class Check:
    """A method's own test problem.

    Parameters
    ----------
    name : str
        The folder of its results.
    message : str
        What its job is doing, as Snakemake says it.
    figures : tuple of str
    megabytes, minutes : int
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
class Use:
    """A method's use on a study: the function ``use`` of the module ``use`` beside the record.

    Parameters
    ----------
    message : str
        What its job is doing, as Snakemake says it.
    stores : tuple of str
        Keys of :data:`STUDY_STORES`; the truth is read only where there is one.
    figures : tuple of str
    megabytes, minutes : float or callable
    sections : tuple of str
        The study's sections, and single keys of them such as ``active_learning.recency_decay``,
        that it depends on beside the method's own.
    imports : tuple of str
        Keys of :data:`popinv.workflow.selection.USES`: the modules that it imports because the
        study names them.
    files : tuple of str
        Files that it writes beside metrics, figures and store.
    store : str
        Path of the store that it writes, in the study's folder; ``result.zarr.zip`` in its own
        folder unless given.
    """

    message: str
    stores: tuple[str, ...]
    figures: tuple[str, ...]
    megabytes: Amount
    minutes: Amount
    sections: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    store: str = ""


@dataclass(frozen=True)
class Method:
    """A method: the section that asks for it, its use on a study, and its test problems.

    Parameters
    ----------
    name : str
        The name of its folder and of its section.
    section : type of MethodSection
        The settings, and the question that the method answers.
    use : Use
    checks : tuple of Check
        None where the method needs no test problem of its own.
    """

    name: str
    section: type[MethodSection]
    use: Use
    checks: tuple[Check, ...] = ()

    @property
    def question(self) -> str:
        """The question about a study that the method answers."""
        return self.section.question

    def module_of(self, job: Check | Use) -> str:
        """Return the module that a job runs."""
        own = job.module if isinstance(job, Check) else "use"
        return f"popinv.downstream.{self.name}.{own}"


def megabytes_of(numbers: float) -> float:
    """Return the megabytes of so many double-precision numbers, with a margin for copies."""
    return 12e-6 * numbers
