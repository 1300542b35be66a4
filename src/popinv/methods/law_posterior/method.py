"""The record of the method ``law_posterior``, with its settings and their demands on the study."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from popinv.methods.method import (
    NOT_DISCREPANT,
    NOT_RANDOM,
    WITH_TORCH_MB,
    Method,
    StudySizes,
    Use,
    megabytes_of,
)
from popinv.methods.section import MethodSection
from popinv.sections.base import Count, CountOrZero, NotBoolean

# Split R-hat and effective sizes need several chains, and some draws of each.
FEWEST = {"chains": 2, "draws": 20, "warmup": 1}


class PosteriorOfLaw(MethodSection):
    """Law and noise given all systems and a prior, for few systems above all."""

    question: ClassVar[str] = "Posterior of law and noise, given all systems and a prior"
    condition: ClassVar[str] = "`{}` requests it with the defaults. It needs the extra `bayes`."

    chains: Annotated[int, Field(ge=FEWEST["chains"]), NotBoolean] = Field(
        default=4, description="Chains of the sampler."
    )
    draws: Annotated[int, Field(ge=FEWEST["draws"]), NotBoolean] = Field(
        default=250, description="Draws of each chain."
    )
    warmup: Count = Field(default=200, description="Draws of each chain before these.")
    predicted: CountOrZero = Field(
        default=100, description="Draws at which observations of all systems are predicted."
    )


# Evaluations of the likelihood for each draw, its correction included.
_EVALUATIONS = 9
# Draws of the integrals of few systems together, of each of many systems, and calls of the
# surrogate for each of these.
_TOGETHER, _EACH, _CALLS = 100_000, 64, 3


def _megabytes(sizes: StudySizes, asked: PosteriorOfLaw) -> float:
    draws = asked.chains * asked.draws
    numbers = sizes.systems * (draws + 2 * asked.predicted * sizes.row)
    integrals = max(_TOGETHER, _EACH * sizes.systems) * (sizes.row + sizes.activations)
    return WITH_TORCH_MB + megabytes_of(2 * numbers + min(2 * integrals, 2e8))


def _minutes(sizes: StudySizes, asked: PosteriorOfLaw) -> float:
    evaluations = _EVALUATIONS * asked.chains * (asked.warmup + asked.draws)
    calls = _CALLS * sizes.calls * max(_TOGETHER, _EACH * sizes.systems)
    return 1 + evaluations * (0.02 + calls * sizes.network_seconds) / 60


METHOD = Method(
    name="law_posterior",
    package="popinv.methods.law_posterior",
    section=PosteriorOfLaw,
    refuses=NOT_RANDOM | NOT_DISCREPANT,
    use=Use(
        message="sampling the posterior of law and noise",
        stores=("observations", "surrogate", "population", "likelihood", "fresh_solves", "truth"),
        sections=("forward", "law", "noise"),
        imports=("law", "noise"),
        figures=("marginals",),
        files=("parameters.csv",),
        store="law_posterior.zarr.zip",
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
