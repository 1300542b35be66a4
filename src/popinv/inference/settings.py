"""Settings of the estimators: the sections ``descent`` and ``polish`` of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from popinv.sections.base import (
    Count,
    CountOrZero,
    NonNegative,
    NotBoolean,
    Positive,
    Section,
    Several,
)

__all__ = [
    "CurvatureSettings",
    "DescentSettings",
    "Estimator",
    "PolishSettings",
    "wants_likelihood",
]

Estimator = Literal["auto", "distance", "pseudo_likelihood", "likelihood"]


def wants_likelihood(estimator: Estimator) -> bool:
    """Return whether the marginal likelihood may be the answer of a study with this estimator."""
    return estimator in ("auto", "likelihood")


class DescentSettings(Section):
    """The descent on the law and the noise together."""

    policy: Literal["cut", "full", "plain"] = Field(
        default="cut",
        description="What the noise covariance does in the metric of the sliced Wasserstein "
        "distance: it weighs but is held fixed in the gradient (`cut`), it weighs and is "
        "differentiated too (`full`), or it does not weigh (`plain`). The last two are there to "
        "show the difference.",
    )
    optimiser: Literal["gauss_newton", "adam"] = Field(
        default="gauss_newton",
        description="Steps preconditioned by the curvature of the loss, which do not crawl along "
        "ridges, or Adam's.",
    )
    debias: bool = Field(
        default=True,
        strict=True,
        description="Whether to subtract half the distance between two samples of the model, so "
        "that a finite sample does not bias the answer. The draws of a step are then two halves.",
    )
    iterations: Count = Field(default=200, description="Steps of the descent.")
    legs: Count = Field(
        default=4,
        description="Where more is left to go at the end than the sampling error, the descent goes "
        "on for as many steps again, at most to so many times the steps.",
    )
    learning_rate: Positive = Field(
        default_factory=lambda values: 0.05 if values.get("optimiser") == "adam" else 0.3,
        description="First learning rate: the share of a Gauss-Newton step, or Adam's step in the "
        "unconstrained coordinates.",
        json_schema_extra={"x-default": "0.3, or 0.05 with `adam`"},
    )
    final_learning_rate: Positive = Field(
        default_factory=lambda values: 0.003 if values.get("optimiser") == "adam" else 0.02,
        description="Last learning rate; it falls geometrically.",
        json_schema_extra={"x-default": "0.02, or 0.003 with `adam`"},
    )
    max_step: Positive = Field(
        default=0.5,
        description="Longest step of the logarithm of a positive parameter. A location moves at "
        "most by this share of its natural size, which is how far model and data are apart and how "
        "widely the data are spread.",
    )
    model_samples: Several = Field(default=2000, description="Systems simulated at each step.")
    batch_size: Several | None = Field(
        default=None, description="Observations used at each step; `null` uses all."
    )
    directions: Count = Field(
        default=200,
        description="Random directions of the sliced Wasserstein distance at each step.",
    )
    pooled_directions: CountOrZero = Field(
        default=0,
        description="Size of a fixed pool that the directions are taken from; 0 draws fresh ones "
        "at each step.",
    )
    averaging: Annotated[float, Field(ge=0, le=1), NotBoolean] = Field(
        default=0.3,
        description="The answer is the mean of this last share of the steps; 0 takes the last.",
    )
    regularisation: NonNegative = Field(
        default=0.0,
        description="Standard deviation of a Gaussian about the start that keeps the law near it, "
        "where positive quantities are counted in logarithms; 0 is none.",
    )
    restarts: Count = Field(
        default=1,
        description="Descents: the first from the last round's estimate, more from starts "
        "drawn with `law.spread`; the one of smallest loss in a fixed metric is kept.",
    )


class PolishSettings(Section):
    """Pseudo-likelihood and likelihood, which follow the descent."""

    solver_seconds: NonNegative = Field(
        default=120.0,
        description="Seconds of the forward model that each of them may take, by a nominal cost of "
        "a solve. Where that is enough they go through the forward model itself; otherwise through "
        "the surrogate, and what its error does is measured by fresh solves and taken off. 0 "
        "leaves the forward model out.",
    )
    seconds_per_solve: Positive | None = Field(
        default=None,
        description="Cost of a solve in seconds. `popinv try` measures that of a simulator of "
        "one's own.",
        json_schema_extra={
            "x-default": "a bound for the package's own models; a hundredth of `time_limit` for "
            "other simulators"
        },
    )
    draws: Annotated[int, Field(ge=8, multiple_of=4), NotBoolean] = Field(
        default=64,
        description="Draws for the integral over the parameters of each system, in the likelihood.",
    )


@dataclass(frozen=True)
class CurvatureSettings:
    """When the descent takes its Gauss-Newton matrix anew, and from how many draws.

    Attributes
    ----------
    every : int
        Number of steps between two matrices; with 0 the matrix that the state begins with is kept.
    rows : int
        Number of draws that a matrix is made of.
    """

    every: int = 20
    rows: int = 500
