"""Downstream methods: their own test problems, and their use on a study."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from popinv.config.base import (
    Count,
    CountOrZero,
    Fraction,
    NotBoolean,
    Positive,
    Section,
)

__all__ = ["Bigram", "Birch", "Downstream", "Mwgrad", "Posterior", "SgdDynamics", "StudyDownstream"]


class Downstream(Section):
    """The downstream methods' own test problems, which `snakemake downstream` runs."""

    size: Literal["workstation", "paper"] = Field(
        default="workstation",
        description="Size of the test problems: `workstation` takes at most 10 minutes for each "
        "on two cores, `paper` is as large as the paper's where the data can be had.",
    )


class Bigram(Section):
    """Scaling laws of gradient and sign descent on the symbols of the observed series."""

    vocabulary: Annotated[int, Field(ge=10, le=2000), NotBoolean] = Field(
        default=100, description="Symbols that the observed vectors are turned into."
    )
    target: Fraction = Field(
        default=0.1, description="Relative loss whose number of steps is compared."
    )


class Birch(Section):
    """The surrogate trained by worker processes of unequal speed."""

    seconds: list[Positive] = Field(
        default=[0.01, 0.01, 0.02, 0.04],
        min_length=2,
        max_length=16,
        description="Least time of a gradient of each worker, in seconds; a worker that is done "
        "sooner waits.",
    )
    message: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False), NotBoolean] = Field(
        default=0.01, description="Time of a message from worker to server, in seconds."
    )
    gradients: Annotated[int, Field(ge=20), NotBoolean] = Field(
        default=400, description="Gradients that each policy applies."
    )
    batch_size: Count = Field(default=32, description="Solves in a gradient.")


class Mwgrad(Section):
    """Particles that serve a group of observed systems at once."""

    systems: list[CountOrZero] = Field(
        default=[0, 1, 2, 3],
        min_length=2,
        max_length=20,
        description="Numbers of the systems of the group, as in `observations.zarr`, from 0.",
    )
    particles: Annotated[int, Field(ge=10), NotBoolean] = Field(
        default=60, description="Particles."
    )
    iterations: Count = Field(default=600, description="Steps of each descent.")
    rate: Positive = Field(default=0.03, description="Learning rate of Adam.")


class SgdDynamics(Section):
    """Critical points of the descent's loss along lines, and its gradient noise there."""

    places: Annotated[int, Field(ge=5), NotBoolean] = Field(
        default=21, description="Places on each line at which the mean slope is measured."
    )
    draws: Annotated[int, Field(ge=4), NotBoolean] = Field(
        default=32, description="Draws for the mean slope at each place."
    )
    noise_draws: Annotated[int, Field(ge=50), NotBoolean] = Field(
        default=400, description="Draws for the gradient noise at a critical point."
    )
    batch_size: Annotated[int, Field(ge=10), NotBoolean] = Field(
        default=100, description="Systems, and model samples, in a minibatch."
    )
    rate: Fraction = Field(
        default=0.1,
        description="Learning rate times the size of the curvature, of the descent that is run.",
    )
    paths: Annotated[int, Field(ge=5), NotBoolean] = Field(
        default=20, description="Paths that are run from each critical point."
    )


class Posterior(Section):
    """The parameters of every observed system, with the recovered population as their prior."""

    chains: Annotated[int, Field(ge=2), NotBoolean] = Field(
        default=2, description="Chains of each system."
    )
    warmup: Count = Field(default=300, description="Moves before the first draw.")
    draws: Annotated[int, Field(ge=20), NotBoolean] = Field(
        default=200, description="Draws of each chain."
    )
    thin: Count = Field(default=5, description="Moves from one draw to the next.")
    kept_draws: Count = Field(
        default=100, description="Draws of each system that are kept in `posterior.zarr`."
    )


class StudyDownstream(Section):
    """Downstream methods that are used on the study; none unless named here."""

    posterior: Posterior | None = Field(
        default=None,
        description="What each system's observation says of its own parameters; `{}` asks for it "
        "with the defaults.",
    )

    bigram: Bigram | None = Field(
        default=None,
        description="Which optimiser Zipf's law advises for a linear model of the observed "
        "series; `{}` asks for it with the defaults. Needs observations with times.",
    )
    birch: Birch | None = Field(
        default=None,
        description="Which way of sharing work suits unequal machines that train the surrogate; "
        "`{}` asks for it with the defaults. Starts a process for each worker.",
    )
    mwgrad: Mwgrad | None = Field(
        default=None,
        description="Parameters that serve a group of systems at once; `{}` asks for the first "
        "four.",
    )
    sgd_dynamics: SgdDynamics | None = Field(
        default=None,
        description="Where plain stochastic gradient descent would stick on the study's loss, for "
        "how long, and which way it would leave; `{}` asks for it with the defaults. Not for "
        "noise of kind `full`.",
    )
