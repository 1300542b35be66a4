"""Downstream methods: their own test problems, and their use on a study."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from popinv.config.base import Fraction, NotBoolean, Section

__all__ = ["Bigram", "Downstream", "SgdDynamics", "StudyDownstream"]


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


class StudyDownstream(Section):
    """Downstream methods that are used on the study; none unless named here."""

    bigram: Bigram | None = Field(
        default=None,
        description="Which optimiser Zipf's law advises for a linear model of the observed "
        "series; `{}` asks for it with the defaults. Needs observations with times.",
    )
    sgd_dynamics: SgdDynamics | None = Field(
        default=None,
        description="Where plain stochastic gradient descent would stick on the study's loss, for "
        "how long, and which way it would leave; `{}` asks for it with the defaults. Not for "
        "noise of kind `full`.",
    )
