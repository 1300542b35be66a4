"""How a study is computed: active learning, surrogate, descent and assessment."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from popinv.config.base import (
    Count,
    CountOrZero,
    Fraction,
    NonNegative,
    NotBoolean,
    Positive,
    Section,
    Several,
)

__all__ = ["ActiveLearning", "Assessment", "Descent", "Estimator", "Polish", "Surrogate"]

Baseline = Literal["full", "plain", "two_stage", "nuts"]
Estimator = Literal["auto", "distance", "pseudo_likelihood", "likelihood"]

# Fewer resamples have no spread to speak of, and fewer of the null no 95 % point.
_FEWEST_BOOTSTRAPS = 2
_FEWEST_NULL_RESAMPLES = 20


class ActiveLearning(Section):
    """Where and how often the forward model is solved to train the surrogate."""

    rounds: Count = Field(
        default=4,
        description="Rounds of solving, training and descending. A round whose surrogate is "
        "already good enough passes its predecessor's result on.",
    )
    first_design: Annotated[int, Field(ge=10), NotBoolean] = Field(
        default=2000, description="Solves of the first round, spread broadly about the start."
    )
    solves_per_round: Count = Field(
        default=1000,
        description="Solves of each later round, at parameters from the current estimate.",
    )
    chunk_size: Count = Field(default=500, description="Solves per job.")
    recency_decay: Annotated[float, Field(gt=0, le=1), NotBoolean] = Field(
        default=0.2,
        description="Weight of a round's solves in training relative to the next round's; 1 "
        "weighs all rounds alike.",
    )
    threshold: Positive = Field(
        default=0.1,
        description="The surrogate is good enough when its error on fresh solves is below this, "
        "in standard deviations of the noise.",
    )
    answer_threshold: Positive = Field(
        default=0.25,
        description="And only if its error moves the estimate by less than this, in standard "
        "errors of the parameter that it moves most.",
    )
    failure_budget: Annotated[float, Field(ge=0, lt=1), NotBoolean] = Field(
        default=0.05, description="Share of the solves that may fail before the study stops."
    )


class Surrogate(Section):
    """The network that stands in for the forward model."""

    network: Literal["mlp", "fno"] = Field(
        default="mlp",
        description="`mlp` maps the parameters to the observations; `fno` is a Fourier neural "
        "operator that reads the field on the mesh.",
    )
    width: Count = Field(default=128, description="Width of the layers (`fno`: channels).")
    depth: Count = Field(default=3, description="Hidden layers (`mlp`).")
    fourier_layers: Count = Field(default=4, description="Fourier layers (`fno`).")
    fourier_modes: Count = Field(
        default=12,
        description="Fourier modes kept along each side (`fno`); at most half the elements.",
    )
    max_epochs: Count = Field(
        default=200, description="Most passes over the training set in a round."
    )
    patience: Count = Field(
        default=100,
        description="Passes without improvement on the validation set before training stops.",
    )
    learning_rate: Positive = Field(default=5e-3, description="First learning rate of Adam.")
    refit_learning_rate: Positive = Field(
        default=1e-3,
        description="The same in later rounds, which start from the last weights and would be "
        "thrown off by larger steps.",
    )
    batch_size: Count = Field(default=64, description="Training samples per step.")
    validation_fraction: Fraction = Field(
        default=0.1, description="Share of the solves kept for validation."
    )


class Descent(Section):
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


class Polish(Section):
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


class Assessment(Section):
    """What is computed to judge the answer."""

    null_resamples: Annotated[int, Field(ge=_FEWEST_NULL_RESAMPLES), NotBoolean] = Field(
        default=500,
        description="Resamples of the held-out discrepancy as it is when model and data agree.",
    )
    bootstrap: CountOrZero = Field(
        default=0,
        description="Resamples of the systems, each with an estimate of its own, for the "
        "confidence intervals; 0 takes these from the estimate's covariance, else at least "
        f"{_FEWEST_BOOTSTRAPS}.",
    )
    oracles: bool = Field(
        default=True,
        strict=True,
        description="Whether to compare, on synthetic data, with the law estimated when the noise "
        "is known and the noise estimated when the law is known.",
    )
    surrogate_check: Count = Field(
        default=500, description="Fresh solves on which the surrogate is judged at the end."
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
        description="Solves of one system from as many initial states, which show the sampling "
        "error of forward models that have one (Lorenz-96); 0 for none, else at least 2.",
    )
    repeated_systems: Several = Field(
        default=64, description="Systems of the recovered law that are solved so often."
    )
