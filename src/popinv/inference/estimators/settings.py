"""Settings of the estimators: the sections ``descent`` and ``polish`` of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

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

# With more systems, a step of the descent uses this many of them.
_MOST_WHOLE, _BATCH = 20_000, 10_000
# Fewer systems need fewer simulated systems: this many for each, or at least this number.
_FEW, _SAMPLES_OF_FEW, _FEWEST_SAMPLES = 250, 8, 400

FEWEST_GROUPS = 8
"""Number of whole groups whose fresh solves tell the effect of the surrogate's error."""

Estimator = Literal["auto", "distance", "pseudo_likelihood", "likelihood"]


def wants_likelihood(estimator: str) -> bool:
    """Return whether the marginal likelihood may be the answer of a study with this estimator."""
    return estimator in ("auto", "likelihood")


class DescentSettings(Section):
    """The descent on the law and the noise together."""

    policy: Literal["cut", "full", "plain"] = Field(
        default="cut",
        description=(
            "Role of the noise covariance in the distance. `cut`: it weights the distance, and the "
            "gradient holds it fixed. `full`: the gradient includes it. `plain`: no weight.\n\n"
            "The distance is the sliced Wasserstein distance. `full` and `plain` serve for "
            "comparison."
        ),
    )
    optimiser: Literal["gauss_newton", "adam"] = Field(
        default="gauss_newton",
        description=(
            "`gauss_newton`: steps preconditioned by the curvature of the loss, which are not slow "
            "along ridges. `adam`: steps of Adam."
        ),
    )
    debias: bool = Field(
        default=True,
        strict=True,
        description=(
            "`true` subtracts half the distance between two samples of the model, so that a finite "
            "sample does not bias the answer.\n\n"
            "The draws of a step are then split into two halves."
        ),
    )
    iterations: Count = Field(default=200, description="Steps of the descent.")
    legs: Count = Field(
        default=4,
        description=(
            "Most legs of `iterations` steps each. The descent continues with another leg while "
            "the remaining distance exceeds the sampling error."
        ),
    )
    learning_rate: Positive = Field(
        default_factory=lambda values: 0.05 if values.get("optimiser") == "adam" else 0.3,
        description=(
            "First learning rate: the share of a Gauss-Newton step, or Adam's step in the "
            "unconstrained coordinates."
        ),
        json_schema_extra={"x-default": "0.3, or 0.05 with `adam`"},
    )
    final_learning_rate: Positive = Field(
        default_factory=lambda values: 0.003 if values.get("optimiser") == "adam" else 0.02,
        description="Last learning rate. The rate falls geometrically.",
        json_schema_extra={"x-default": "0.02, or 0.003 with `adam`"},
    )
    max_step: Positive = Field(
        default=0.5,
        description=(
            "Longest step of the logarithm of a positive parameter. A location moves by at most "
            "this share of its natural size.\n\n"
            "The natural size follows from the distance between model and data, and from the "
            "spread of the data."
        ),
    )
    model_samples: Several = Field(
        default=2000,
        description=(
            "Systems simulated at each step. If this key is not stated, fewer than 250 observed "
            "systems have 8 for each, but at least 400."
        ),
    )
    batch_size: Several | None = Field(
        default=None,
        description=(
            "Observations used at each step. null: all; of more than 20,000 systems 10,000, with "
            "at least 20,000 simulated systems."
        ),
    )
    directions: Count = Field(
        default=200,
        description="Random directions of the sliced Wasserstein distance at each step.",
    )
    pooled_directions: CountOrZero = Field(
        default=0,
        description="Size of a fixed pool of directions. 0 draws fresh directions at each step.",
    )
    averaging: Annotated[float, Field(ge=0, le=1), NotBoolean] = Field(
        default=0.3,
        description="Share of the last steps whose mean is the answer. 0 takes the last step.",
    )
    regularisation: NonNegative = Field(
        default=0.0,
        description=(
            "Standard deviation of a Gaussian prior on the law about the start, with positive "
            "quantities in logarithms. 0: no prior."
        ),
    )
    restarts: Count = Field(
        default=1,
        description=(
            "Number of descents. The first starts at the last estimate, the others at points drawn "
            "with `law.spread`. The descent with the smallest loss in a fixed metric is kept."
        ),
    )

    def for_systems(self, systems: int) -> Self:
        """Return the settings of a descent on a number of systems.

        With many systems, a step uses some of them and simulates twice as many, as the correction
        for finite samples requires. The mean of the last steps has then used most of a million
        systems. With few systems, simulating more than 8 for each changes the answer by less than a
        tenth of a standard error.

        Examples
        --------
        >>> DescentSettings().for_systems(20_000) == DescentSettings()
        True
        >>> large = DescentSettings().for_systems(1_000_000)
        >>> large.batch_size, large.model_samples
        (10000, 20000)
        >>> DescentSettings().for_systems(30).model_samples
        400
        """
        if systems < _FEW and "model_samples" not in self.model_fields_set:
            most = max(_FEWEST_SAMPLES, _SAMPLES_OF_FEW * systems)
            return self.replace(model_samples=min(self.model_samples, most))
        if self.batch_size is not None or systems <= _MOST_WHOLE:
            return self
        samples = max(self.model_samples, 2 * _BATCH)
        return self.replace(batch_size=_BATCH, model_samples=samples)


class PolishSettings(Section):
    """Pseudo-likelihood and likelihood, which follow the descent."""

    solver_seconds: NonNegative = Field(
        default=120.0,
        description=(
            "Most seconds of the forward model for each of the two estimates, by a nominal cost of "
            "a solve. 0 always uses the surrogate.\n\n"
            "If the time is enough, the estimate uses the forward model itself. Otherwise it uses "
            "the surrogate. Fresh solves then measure the effect of the surrogate's error, and the "
            "estimate subtracts it."
        ),
    )
    seconds_per_solve: Positive | None = Field(
        default=None,
        description="Cost of a solve in seconds. `popinv try` measures it for your own simulator.",
        json_schema_extra={
            "x-default": "a bound for the package's own models; a hundredth of `time_limit` for "
            "other simulators"
        },
    )
    draws: Annotated[int, Field(ge=8, multiple_of=4), NotBoolean] = Field(
        default=64,
        description="Draws for the integral over the parameters of each system, in the likelihood. "
        "Fewer than 200 systems have at least 100,000 draws together.",
    )
    restricted: bool = Field(
        default=False,
        strict=True,
        description=(
            "Whether the likelihood is the restricted one (REML), which integrates the means of "
            "the law and the coefficients of covariates in them. It removes the bias of standard "
            "deviations from few systems.\n\n"
            "The law must be `normal`, `lognormal` or `transformed_normal`. AIC and BIC then "
            "compare only models with equal means."
        ),
    )


@dataclass(frozen=True)
class CurvatureSettings:
    """The renewal of the descent's Gauss-Newton matrix, and the number of its draws.

    Attributes
    ----------
    every : int
        Number of steps between two matrices; with 0 the matrix that the state begins with is kept.
    rows : int
        Number of draws that a matrix is made of.
    """

    every: int = 20
    rows: int = 500
