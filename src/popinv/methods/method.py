"""The record of a method: the inputs, outputs, code and resources of its use on a study.

The workflow makes a rule ``use_NAME`` of each record. Records are light: the computation is in the
module ``use`` beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from popinv.methods.section import HouseSettings, MethodSection

STUDY_STORES = {
    "observations": "observations",
    "truth": "truth",
    "first_surrogate": "rounds/0/surrogate",
    "solves": "rounds/{last}/solves",
    "surrogate": "rounds/{last}/surrogate",
    "estimate": "rounds/{last}/estimate",
    "descent": "descent",
    "fresh_solves": "rounds/check/solves",
    "likelihood": "likelihood",
    "population": "population",
    "rerun": "population",
}
"""The stores of a study that a method can read, by name, with the number of the last round.

``rerun`` is the store of the study without the systems that withdraw, if the method requests it.
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
    members, calls : int
        Members of a system, and calls of the surrogate for a draw of its integral.
    training : int
        Solves of all rounds.
    network, activations : float
        Multiplications of an evaluation of the surrogate at one system, and its hidden numbers.
    iteration_seconds : float
        Seconds of one iteration of the study's descent.
    training_megabytes, training_seconds : float
        Memory and time of a training of the surrogate on all solves.
    """

    systems: int
    row: int
    members: int
    calls: int
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
class Use:
    """A method's use on a study: the function ``use`` of the module ``use`` beside the record.

    Parameters
    ----------
    message : str
        Description of its job, as Snakemake prints it.
    stores : tuple of str
        Keys of :data:`STUDY_STORES`; the truth is read only where there is one.
    sections : tuple of str
        The study's sections, and single keys of them such as ``active_learning.recency_decay``,
        that it depends on beside the method's own.
    imports : tuple of str
        Of :data:`popinv.workflow.fingerprint.USES`: what it imports because the study names it.
    files : tuple of str
        Files that it writes beside metrics, figures and store.
    shares : bool
        Whether it shares loops among the processes of its job (:mod:`popinv.workers`).
    store : str
        Path of the store that it writes, in the study's folder; ``result.zarr.zip`` in its own
        folder unless given.
    module : str
        The module whose function ``use`` computes; ``use`` of the method's package unless given.
    """

    message: str
    stores: tuple[str, ...]
    figures: tuple[str, ...]
    megabytes: Amount
    minutes: Amount
    sections: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    shares: bool = False
    store: str = ""
    module: str = ""


NOT_RANDOM = {
    "random simulator": (
        "it takes a system's answer by the simulator for its observation without noise, and a "
        "random simulator has another answer in each run"
    )
}
NOT_DISCREPANT = {
    "discrepancy": (
        "it is derived for noise of mean zero, and a discrepancy of the simulator is a mean whose "
        "size has an uncertainty of its own"
    )
}
NOT_LEVELS = {
    "levels": (
        "it is derived for systems whose parameters are independent, and the members of a group "
        "share effects"
    )
}
USUALLY_REFUSED: Mapping[str, str] = NOT_LEVELS | NOT_RANDOM | NOT_DISCREPANT
"""What a method does not take, with the reasons, if its record states nothing else."""
NOT_RESTRICTED = {
    "restricted likelihood": (
        "it fits the likelihood again and not the restricted one, so that the fits could not be "
        "compared"
    )
}


@dataclass(frozen=True)
class Method:
    """A method: its use on a study, and the section that requests it.

    Parameters
    ----------
    name : str
        The key of a study's section ``downstream``.
    package : str
        The package of the module ``use``.
    refuses : mapping of str to str
        Reasons why it does not take a study that has a trait, by the names of the traits
        (:data:`popinv.config.traits.TRAITS`).
    """

    name: str
    package: str
    section: type[MethodSection]
    use: Use
    refuses: Mapping[str, str] = field(default_factory=lambda: USUALLY_REFUSED)

    @property
    def question(self) -> str:
        """The question about a study that the method answers."""
        return self.section.question

    @property
    def module(self) -> str:
        """The module whose function ``use`` is the use on a study."""
        return self.use.module or f"{self.package}.use"


@dataclass(frozen=True)
class House:
    """Methods that are installed together, and settings that they share outside of studies.

    The fields of the settings are keys of the section ``downstream`` beside the studies.
    """

    methods: tuple[Method, ...]
    settings: tuple[type[HouseSettings], ...] = ()


def megabytes_of(numbers: float) -> float:
    """Return the megabytes of ``numbers`` double-precision numbers, with a margin for copies."""
    return 12e-6 * numbers
