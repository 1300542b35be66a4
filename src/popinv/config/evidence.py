"""The section of the evidence that the method works, which a synthetic study computes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from popinv.sections.base import (
    Count,
    CountOrZero,
    NotBoolean,
    Section,
    Several,
    not_too_many,
)
from popinv.sections.messages import ConfigProblem

_FEWEST_SYSTEMS = 10
_Size = Annotated[int, Field(ge=_FEWEST_SYSTEMS), AfterValidator(not_too_many), NotBoolean]


class Evidence(Section):
    """Evidence that the method works; all of it is off by default."""

    system_counts: list[_Size] = Field(
        default=[],
        description=(
            "Numbers of systems, ascending. For each, new data sets are drawn from the truth and "
            "fitted, to measure how the errors fall. `[]`: none."
        ),
    )
    repeats: Several = Field(default=4, description="Data sets for each number of systems.")
    through: Literal["surrogate", "solver"] = Field(
        default="surrogate",
        description=(
            "Forward model of the data sets of `system_counts` and `calibration`: the final "
            "`surrogate`, which is quick, or the `solver`, with new solves for every system."
        ),
    )
    design_counts: list[_Size] = Field(
        default=[],
        description=(
            "Numbers of solves, ascending. For each, a surrogate is trained on a fixed, broad "
            "design and compared with active learning. `[]`: none."
        ),
    )
    calibration: CountOrZero = Field(
        default=0,
        description=(
            "Number of data sets of the study's size that are drawn from a truth and estimated as "
            "the study is. 0: none.\n\n"
            "They measure how often the intervals hold the truth, and how the errors compare with "
            "the bound. Each estimate begins at the study's start. The truth is the study's own. "
            "With your observations, a new truth is drawn about the answer for each data set."
        ),
    )
    calibration_block: Count = Field(default=5, description="Data sets of `calibration` per job.")

    def calibration_blocks(self) -> int:
        """Return the number of jobs that share the data sets of ``calibration``."""
        return -(-self.calibration // self.calibration_block)

    def replications(self, block: int) -> tuple[int, int]:
        """Return the first data set of a job's, and their number."""
        first = block * self.calibration_block
        return first, min(self.calibration_block, self.calibration - first)

    def figures(self) -> list[str]:
        """Return the names of the figures of the requested evidence."""
        asked = {
            "evidence_error_against_systems": self.system_counts,
            "evidence_designs": self.design_counts,
            "evidence_calibration": self.calibration,
        }
        return [figure for figure, wanted in asked.items() if wanted]


def evidence_problems(evidence: Evidence) -> Iterator[ConfigProblem]:
    """Yield numbers that are too few, or out of order."""
    # A slope with its uncertainty takes three points, a curve two.
    for name, fewest, purpose in (
        ("system_counts", 3, "a slope with its uncertainty needs at least three numbers"),
        ("design_counts", 2, "a curve needs at least two numbers"),
    ):
        counts = getattr(evidence, name)
        if counts != sorted(set(counts)):
            yield ConfigProblem(
                ("evidence", name), f"got {counts}, but the numbers must ascend, each given once."
            )
        if 0 < len(counts) < fewest:
            yield ConfigProblem(("evidence", name), f"got {counts}, but {purpose}.")
