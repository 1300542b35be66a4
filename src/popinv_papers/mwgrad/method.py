"""The record of the method ``mwgrad``, with its settings and their demands on a study."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field

from popinv.methods.groups.method import METHOD as GROUPS
from popinv.methods.groups.method import Groups
from popinv.methods.method import WITH_TORCH_MB, StudySizes, Use, megabytes_of
from popinv.methods.section import StudySections
from popinv.sections.base import Count, NotBoolean, Positive
from popinv.sections.messages import ConfigProblem
from popinv_papers.kit.paper import ALIKE, Check, Paper
from popinv_papers.mwgrad.ensemble_runs import SIZES, runs

# Parameters of a field that are the law's own, not a standard normal number of each system.
_WITHOUT_NUMBER = {"matern_field": 1, "level_set_field": 2}


class Mwgrad(Groups):
    """Whether one set of parameters can serve a group of observed systems."""

    question: ClassVar[str] = "Parameters that serve a group of systems at once"
    condition: ClassVar[str] = "`{}` requests the first four."

    particles: Annotated[int, Field(ge=10), NotBoolean] = Field(
        default=200,
        description="Number of particles: at least twice the standard normal numbers of the law.",
    )
    iterations: Count = Field(default=600, description="Steps of each descent.")
    rate: Positive = Field(default=0.03, description="Learning rate of Adam.")

    def problems(self, study: StudySections) -> Iterator[ConfigProblem]:
        """Refuse fewer particles than a normal law in the law's coordinates needs."""
        if not (study.forward and study.law):
            return
        numbers = len(study.forward.parameter_names()) - _WITHOUT_NUMBER.get(study.law.kind, 0)
        if self.particles < 2 * numbers:
            yield ConfigProblem(
                ("particles",),
                f"got {self.particles}, but it must be at least {2 * numbers}: twice the "
                f"{numbers} standard normal numbers of the law.",
            )


# The rule train_ensemble writes there.
_ENSEMBLES = "<results>/downstream/mwgrad_images"


def _trained(section: Any) -> tuple[str, ...]:
    return tuple(f"{_ENSEMBLES}/{run.name}.zarr.zip" for run in runs(SIZES[section.size]))


def _megabytes(sizes: StudySizes, asked: Mwgrad) -> float:
    return WITH_TORCH_MB + megabytes_of(sizes.systems * sizes.row)


def _minutes(sizes: StudySizes, asked: Mwgrad) -> float:
    systems = len(asked.systems)
    # Descents for each system and for the group, and from other starts; and the tests' fits.
    descents = 8 * asked.iterations * systems * 0.01
    tests = asked.simulated * systems * 0.05 * (1 + systems)
    return (descents + tests) / 60


METHOD = Paper(
    name="mwgrad",
    package="popinv_papers.mwgrad",
    section=Mwgrad,
    refuses={**GROUPS.refuses, **ALIKE},
    checks=(
        Check(
            name="mwgrad",
            message="moving particles on four mixtures",
            settings=("seed",),
            figures=("particles", "accelerated"),
            megabytes=1000,
            minutes=60,
        ),
        Check(
            name="mwgrad_images",
            message="scoring ensembles on pairs of overlapping images",
            inputs=_trained,
            settings=(),
            figures=("examples", "accuracies", "logs"),
            has_store=False,
            module="check_images",
            megabytes=1000,
            minutes=20,
        ),
    ),
    use=Use(
        message="testing a group of systems, and moving particles that serve it",
        stores=("observations", "surrogate", "population"),
        sections=("forward", "law", "noise"),
        imports=("law", "noise"),
        figures=("tests", "group", "front"),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
