"""The record of many descents."""

from __future__ import annotations

from popinv.methods.method import Method, StudySizes, Use
from popinv.methods.restarts.section import Restarts


def _megabytes(sizes: StudySizes, asked: Restarts) -> float:
    return sizes.descent_megabytes + 300


def _minutes(sizes: StudySizes, asked: Restarts) -> float:
    # Descents of up to four legs of 200 steps.
    return (800 + asked.draws) * asked.starts * sizes.iteration_seconds / 60


METHOD = Method(
    name="restarts",
    package="popinv.methods.restarts",
    section=Restarts,
    use=Use(
        message="descending from many starts",
        stores=("observations", "surrogate", "estimate", "descent"),
        sections=("forward", "law", "noise", "descent"),
        imports=("law", "noise"),
        figures=("ends",),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
