"""The record of the method ``posterior``, with its settings and their demands on the study."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from popinv.methods.method import WITH_TORCH_MB, Method, StudySizes, Use, megabytes_of
from popinv.methods.section import MethodSection
from popinv.sections.base import Count, NotBoolean


class Posterior(MethodSection):
    """The parameters of every observed system, with the recovered population as their prior."""

    question: ClassVar[str] = "Parameters of each system, given its own observation"

    law_and_noise: Literal["uncertain", "fixed"] = Field(
        default="uncertain",
        description=(
            "`uncertain` includes the error of the recovered law and noise in the intervals. "
            "`fixed` takes them as known."
        ),
    )
    effective: Annotated[int, Field(ge=20), NotBoolean] = Field(
        default=200,
        description="Effective sample size of every parameter at which a system is finished.",
    )
    chains: Annotated[int, Field(ge=2), NotBoolean] = Field(
        default=4, description="Chains of each system."
    )
    most_moves: Annotated[int, Field(ge=200), NotBoolean] = Field(
        default=8000, description="Most moves of each chain of a system."
    )
    kept_draws: Count = Field(
        default=100, description="Draws of each system that are kept in `posterior.zarr.zip`."
    )


# Draws of each chain of most systems, and moves of each draw with the calls of the surrogate that
# they take, including those by which modes follow law and noise.
_DRAWS, _MOVES, _CALLS = 120, 4, 14
# Calls of the surrogate for the modes and the starts of a system, and for one that is simulated.
_CALLS_FOR_MODES = 2500
_SIMULATED = 2000
# Seconds of a draw of one system's chains, whose arrays are small: some run to the cap.
_SECONDS_OF_DRAW = 0.06


def _megabytes(sizes: StudySizes, asked: Posterior) -> float:
    chains = sizes.systems * asked.chains
    kept = max(_DRAWS, 2 * asked.effective / asked.chains)
    numbers = chains * ((kept + 12) * sizes.row + 2 * sizes.activations)
    return WITH_TORCH_MB + megabytes_of(2 * numbers)


def _minutes(sizes: StudySizes, asked: Posterior) -> float:
    draws = min(max(_DRAWS, 2 * asked.effective / asked.chains), asked.most_moves / _MOVES)
    calls = sizes.systems * asked.chains * draws * _CALLS
    calls += (sizes.systems + _SIMULATED) * _CALLS_FOR_MODES
    calls *= sizes.members
    longest = asked.most_moves / _MOVES * _SECONDS_OF_DRAW
    return (calls * sizes.network_seconds + longest) / 60


METHOD = Method(
    name="posterior",
    package="popinv.methods.posterior",
    section=Posterior,
    refuses={},
    use=Use(
        message="sampling the parameters of every system",
        shares=True,
        stores=("observations", "surrogate", "population", "truth"),
        sections=("forward", "law", "noise"),
        imports=("law", "noise"),
        figures=("systems", "calibration"),
        files=("systems.csv",),
        store="posterior.zarr.zip",
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
