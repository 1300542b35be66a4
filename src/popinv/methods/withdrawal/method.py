"""The record of the method ``withdrawal``, with its settings and their demands on the study."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from popinv.forward.section import ForwardSection
from popinv.methods.method import NOT_RANDOM, NOT_RESTRICTED, Method, StudySizes, Use
from popinv.methods.section import (
    MethodSection,
    ObservedSystems,
    StudySections,
    named_system_problems,
)
from popinv.sections.base import CountOrZero, NotBoolean, Positive
from popinv.sections.messages import ConfigProblem
from popinv.sections.systems import SystemName


class Withdrawal(MethodSection):
    """The answer without some of the systems, and the influence of every system on it."""

    question: ClassVar[str] = (
        "Influence of every system on law and noise, and the answer without those that withdraw"
    )
    condition: ClassVar[str] = (
        "`{}` requests the influence, `{systems: [17]}` the answer without a system."
    )

    systems: list[SystemName] = Field(
        default_factory=list,
        description=(
            "Systems that withdraw, all together: their names or, without names, their numbers in "
            "`observations.zarr.zip`, from 0."
        ),
        json_schema_extra={"x-default": "none"},
    )
    rerun: bool = Field(
        default=False,
        strict=True,
        description=(
            "`true` also runs the whole study without them, from the first solve on, as the study "
            "`NAME_without`."
        ),
    )
    tolerance: Positive = Field(
        default=0.01,
        description=(
            "Part of a shift that a short fit may leave, in standard errors of the answer, for the "
            "system to count as forgotten."
        ),
    )
    checked: Annotated[CountOrZero, NotBoolean] = Field(
        default=10,
        description=(
            "Systems that are left out, one at a time, to check the prediction of the influence. "
            "They go from the least to the most influential."
        ),
    )

    def problems(self, study: StudySections) -> Iterator[ConfigProblem]:
        """Refuse a rerun without withdrawals."""
        if self.rerun and not self.systems:
            yield ConfigProblem(("rerun",), "got true, but `systems` names none that withdraw.")

    def data_problems(
        self, observed: ObservedSystems, forward: ForwardSection | None
    ) -> Iterator[ConfigProblem]:
        """Refuse systems that are not there or are named twice, and too few that are left."""
        yield from named_system_problems(self.systems, observed)


# Evaluations of the likelihood in a fit without some systems, and evaluations before the fits.
_EVALUATIONS, _FIRST = 6, 12
# Calls of the surrogate, or of the solver, for each system in an evaluation; and the most seconds
# of these calls with which an answer goes through the solver.
_CALLS, _LONGEST = 200, 20.0


def _minutes(sizes: StudySizes, asked: Withdrawal) -> float:
    evaluations = _FIRST + _EVALUATIONS * (asked.checked + 1)
    calls = sizes.systems * sizes.calls * _CALLS
    by_solver = calls * sizes.solve_seconds
    each = calls * sizes.network_seconds + (by_solver if by_solver < _LONGEST else 0.0)
    # The distance takes short descents.
    return evaluations * max(each, 3 * sizes.iteration_seconds) / 60 + 1


METHOD = Method(
    name="withdrawal",
    package="popinv.methods.withdrawal",
    section=Withdrawal,
    refuses=NOT_RANDOM | NOT_RESTRICTED,
    use=Use(
        message="withdrawing systems, and the influence of each",
        shares=True,
        stores=("observations", "surrogate", "population", "rerun", "solves"),
        sections=("forward", "law", "noise", "descent", "polish"),
        imports=("law", "noise"),
        figures=("influence", "answers"),
        files=("influence.csv", "answers.csv"),
        megabytes=lambda sizes, asked: sizes.descent_megabytes + 500,
        minutes=_minutes,
    ),
)
