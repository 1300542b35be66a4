"""The record of many descents."""

from __future__ import annotations

from popinv.methods.method import Method, Use
from popinv.methods.restarts.section import Restarts

# Steps of a descent of up to four legs.
_STEPS = 800

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
        megabytes=lambda sizes, asked: sizes.descent_megabytes + 300,
        minutes=lambda sizes, asked: (
            (_STEPS + asked.draws) * asked.starts * sizes.iteration_seconds / 60
        ),
    ),
)
