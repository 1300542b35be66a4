"""The record of the method ``sgd_dynamics``."""

from __future__ import annotations

from popinv.methods.method import StudySizes, Use
from popinv_papers.kit.paper import Check, Paper
from popinv_papers.sgd_dynamics.section import SgdDynamics


def _megabytes(sizes: StudySizes, asked: SgdDynamics) -> float:
    return sizes.descent_megabytes + 300


def _minutes(sizes: StudySizes, asked: SgdDynamics) -> float:
    # Descents of up to four legs of 200 steps, and slopes and noise on up to three lines.
    descents = 800 * (asked.starts + asked.changes)
    slopes = 3 * (asked.places * asked.draws + 3 * asked.noise_draws) + asked.draws * asked.starts
    return (descents + slopes) * sizes.iteration_seconds / 60


METHOD = Paper(
    name="sgd_dynamics",
    package="popinv_papers.sgd_dynamics",
    section=SgdDynamics,
    checks=(
        Check(
            name="sgd_dynamics",
            message="simulating paths near critical points",
            figures=("comparisons",),
            megabytes=1000,
            minutes=240,
        ),
    ),
    use=Use(
        message="descending from many starts",
        stores=("observations", "surrogate", "estimate", "descent"),
        sections=("forward", "law", "noise", "descent"),
        imports=("law", "noise"),
        figures=("slices",),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
