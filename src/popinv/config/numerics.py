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

# Fewer resamples have no spread to speak of, and fewer of the null no 95 % point.
_FEWEST_BOOTSTRAPS = 2
_FEWEST_NULL_RESAMPLES = 20


class ActiveLearning(Section):
    """The rounds of solves that train the surrogate."""

    rounds: Count = Field(
        default=4,
        json_schema_extra={"x-default": "4; 1 without a surrogate"},
        description="Rounds of solving, training and descending. A round whose surrogate is "
        "already good enough passes its predecessor's result on.",
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
        description="Weight of a round's solves in training relative to the next round's; 1 "
        "weighs all rounds alike. A Gaussian process always does.",
    )
    threshold: Positive = Field(
        default=0.1,
        description="Largest error of the surrogate on fresh solves, in standard deviations of the "
        "noise. The surrogate is good enough if it meets this and `answer_threshold`.",
    )
    answer_threshold: Positive = Field(
        default=0.25,
        description="Largest change of the estimate due to the surrogate's error, in standard "
        "errors of the parameter that changes most.",
    )
    failure_budget: Annotated[float, Field(ge=0, lt=1), NotBoolean] = Field(
        default=0.05, description="Share of the solves that may fail before the study stops."
    )


class Assessment(Section):
    """The computations that judge the answer."""

    null_resamples: Annotated[int, Field(ge=_FEWEST_NULL_RESAMPLES), NotBoolean] = Field(
        default=500,
        description="Resamples of the held-out discrepancy as it is when model and data agree.",
    )
    bootstrap: CountOrZero = Field(
        default=0,
        description="Resamples of the systems for the confidence intervals, each with its own "
        "estimate. 0 takes the intervals from the estimate's covariance; else at least "
        f"{_FEWEST_BOOTSTRAPS}.",
    )
    oracles: bool = Field(
        default=True,
        strict=True,
        description="`true` compares, on synthetic data, with the law estimated when the noise "
        "is known and the noise estimated when the law is known.",
    )
    surrogate_check: Count = Field(
        default=500,
        json_schema_extra={"x-default": "500; 40 for a Gaussian process, or without one"},
        description="Fresh solves on which the surrogate is judged at the end.",
    )
    baselines: list[Baseline] = Field(
        default=[],
        description="Other methods to compare with, on the same observations and through the same "
        "surrogate: the descent with another `descent.policy` (`full`, `plain`), fitting each "
        "system by itself and pooling the fits (`two_stage`), or hierarchical Bayes by the "
        "No-U-Turn sampler on at most 100 systems (`nuts`, which needs `pip install numpyro`).",
    )
    repeats: CountOrZero = Field(
        default=8,
        description=(
            "Solves of one system, each from another initial state. They measure the sampling "
            "error of forward models that have one (Lorenz-96). 0 for none, else at least 2."
        ),
    )
    repeated_systems: Several = Field(
        default=64, description="Systems of the recovered law that are solved `repeats` times."
    )
