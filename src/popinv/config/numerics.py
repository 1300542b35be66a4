"""The sections of active learning and of the assessment."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from popinv.sections.base import (
    Count,
    CountOrZero,
    NotBoolean,
    Positive,
    Section,
    Several,
)

Baseline = Literal["full", "plain", "two_stage", "nuts"]

# Fewer resamples of the null have no 95 % point.
_FEWEST_NULL_RESAMPLES = 20


class ActiveLearning(Section):
    """The rounds of solves that train the surrogate."""

    rounds: Count = Field(
        default=4,
        json_schema_extra={"x-default": "4; 1 without a surrogate"},
        description=(
            "Rounds of solving, training and descending. If the surrogate of a round is already "
            "good enough, the round passes on the result of its predecessor."
        ),
    )
    first_design: Annotated[int, Field(ge=10), NotBoolean] = Field(
        default=2000,
        json_schema_extra={"x-default": "2000; 60 for a Gaussian process, 100 without a surrogate"},
        description="Solves of the first round, spread broadly about the start.",
    )
    solves_per_round: Count = Field(
        default=1000,
        json_schema_extra={"x-default": "1000; 40 for a Gaussian process"},
        description="Solves of each later round, at parameters from the current estimate.",
    )
    chunk_size: Count = Field(
        default=500,
        json_schema_extra={"x-default": "500; 10 for a Gaussian process"},
        description="Solves per job.",
    )
    recency_decay: Annotated[float, Field(gt=0, le=1), NotBoolean] = Field(
        default=0.2,
        description=(
            "Weight of a round's solves in training, relative to the solves of the next round. 1 "
            "weighs all rounds alike, as a Gaussian process always does."
        ),
    )
    threshold: Positive = Field(
        default=0.1,
        description=(
            "Largest error of the surrogate on fresh solves, in noise standard deviations. A "
            "surrogate is good enough if it meets this and `answer_threshold`."
        ),
    )
    answer_threshold: Positive = Field(
        default=0.25,
        description=(
            "Largest change of the estimate due to the surrogate's error, in standard errors of "
            "the parameter that changes most."
        ),
    )
    failure_budget: Annotated[float, Field(ge=0, lt=1), NotBoolean] = Field(
        default=0.05, description="Share of the solves that may fail before the study stops."
    )


class Assessment(Section):
    """The computations that judge the answer."""

    null_resamples: Annotated[int, Field(ge=_FEWEST_NULL_RESAMPLES), NotBoolean] = Field(
        default=500,
        description="Resamples of the held-out discrepancy under agreement of model and data. It "
        "is judged if score tests do not judge law, noise and simulator.",
    )
    oracles: bool = Field(
        default=True,
        strict=True,
        description=(
            "`true` compares, on synthetic data, with the law estimated with known noise and the "
            "noise estimated with known law."
        ),
    )
    surrogate_check: Count = Field(
        default=500,
        json_schema_extra={"x-default": "500; 40 for a Gaussian process, or without one"},
        description="Fresh solves that judge the surrogate at the end.",
    )
    baselines: list[Baseline] = Field(
        default=[],
        description=(
            "Other methods to compare with: `full`, `plain`, `two_stage`, `nuts`. They use the "
            "same observations and the same surrogate.\n\n"
            "`full` and `plain` are the descent with another `descent.policy`. `two_stage` fits "
            "each system by itself and pools the fits. `nuts` is hierarchical Bayes by the "
            "No-U-Turn sampler on at most 100 systems. It needs `pip install numpyro`."
        ),
    )
    repeats: CountOrZero = Field(
        default=8,
        description=(
            "Solves of one system from different initial states, at least 2. They measure the "
            "sampling error of forward models that have one. 0: none."
        ),
    )
    repeated_systems: Several = Field(
        default=64, description="Systems of the recovered law that are solved `repeats` times."
    )
