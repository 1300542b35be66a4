"""The sizes of a study that its jobs' demands follow from, and what a demand is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from popinv.config.forward import Forward, ForwardSection
from popinv.forward.costs import ForwardCost, forward_cost
from popinv.workflow import is_synthetic, solve_count

__all__ = ["Demand", "NotAsked", "Sizes", "Study", "Wildcards", "megabytes", "sizes"]

Study = Mapping[str, Any]
Wildcards = Mapping[str, str]

# Python with the package, and the processes of Snakemake around it, which on a cluster count
# towards the job: with torch, and without.
WITH_TORCH_MB = 1200.0
PLAIN_MB = 900.0
# A matplotlib figure at print resolution, several at once.
FIGURES_MB = 300.0
# What the arrays below may come to in copies that are not counted one by one.
_MARGIN = 1.5
# Floating-point operations a second of one core, in the products of matrices that networks are.
FLOPS = 2e10
_OF_A_FILE = 1000


class NotAsked(LookupError):
    """The study does not ask for the method whose rule this is."""


@dataclass(frozen=True)
class Demand:
    """What a job needs at its first attempt: megabytes, and seconds."""

    megabytes: float
    seconds: float = 0.0


@dataclass(frozen=True)
class Sizes:
    """The sizes that a study's demands follow from.

    Parameters
    ----------
    study : mapping
        The study's section of a checked configuration.
    row : int
        Numbers of a solved system: parameters and observations.
    observed : int
        Observations of a system.
    laws : int
        Parameters of the law, about.
    systems : int
        Systems observed, those kept aside included.
    training : int
        Solves of all rounds of active learning.
    largest : int
        Solves of the largest round, whatever it is for.
    cost : ForwardCost
        What solving takes.
    """

    study: Study
    row: int
    observed: int
    laws: int
    systems: int
    training: int
    largest: int
    cost: ForwardCost


def sizes(study: Study) -> Sizes:
    """Return the sizes of a study of a checked configuration."""
    section: ForwardSection = TypeAdapter(Forward).validate_python(study["forward"])
    parameters, observed = len(section.parameter_names()), section.observation_count()
    learning = study["active_learning"]
    return Sizes(
        study=study,
        row=parameters + observed,
        observed=observed,
        laws=2 * parameters if study["law"]["kind"] in ("normal", "lognormal") else 5,
        systems=_systems(study, observed),
        training=solve_count(study, "0")
        + (int(learning["rounds"]) - 1) * int(learning["solves_per_round"]),
        largest=max(solve_count(study, name) for name in _rounds(study)),
        cost=forward_cost(study["forward"], parameters),
    )


def _rounds(study: Study) -> list[str]:
    """Return one name of each sort of rounds that a study has."""
    names = ["0", "1", "check", "fixed"]
    names += [f"systems_{count}" for count in study["evidence"]["system_counts"]]
    return [*names, "truth"] if is_synthetic(study) else names


def _systems(study: Study, observed: int) -> int:
    if is_synthetic(study):
        return solve_count(study, "truth")
    # How many are in the user's file is not known yet: as many as there is room for, at four bytes
    # a number.
    file = Path(study["observations"]["file"])
    files = [f for f in file.rglob("*") if f.is_file()] if file.is_dir() else [file]
    total = sum(f.stat().st_size for f in files if f.exists())
    return max(_OF_A_FILE, total // (4 * observed))


def megabytes(numbers: float) -> float:
    """Memory of so many double-precision numbers, with the margin."""
    return _MARGIN * 8e-6 * numbers
