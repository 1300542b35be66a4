"""The record of the method ``federated``."""

from __future__ import annotations

from popinv.methods.federated.section import Federated
from popinv.methods.method import WITH_TORCH_MB, Method, StudySizes, Use, megabytes_of

# Evaluations of the likelihood of all systems: by the federation, in one place and by sites alone,
# and calls of the surrogate for each system in one.
_EVALUATIONS, _CALLS = 100, 200
# Numbers for each number of the observations: slopes of the messages that are inverted.
_SLOPES = 200


def _megabytes(sizes: StudySizes, asked: Federated) -> float:
    slopes = megabytes_of(_SLOPES * sizes.systems * sizes.row)
    return WITH_TORCH_MB + sizes.descent_megabytes + slopes


def _minutes(sizes: StudySizes, asked: Federated) -> float:
    calls = _EVALUATIONS * _CALLS * sizes.systems * sizes.network_seconds
    solves = sizes.systems * sizes.solve_seconds if asked.shift else 0.0
    return (calls + solves) / 60 + 10


METHOD = Method(
    name="federated",
    package="popinv.methods.federated",
    section=Federated,
    use=Use(
        message="inferring law and noise by sites that keep their observations",
        stores=("observations", "surrogate", "population"),
        sections=("forward", "law", "noise", "observations", "polish"),
        imports=("solver", "law", "noise"),
        figures=("answers", "reconstruction"),
        files=("answers.csv", "rounds.csv"),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
