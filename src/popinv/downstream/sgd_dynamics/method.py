"""The record of the method ``sgd_dynamics``."""

from __future__ import annotations

from popinv.downstream.method import Check, Method, StudySizes, Use
from popinv.downstream.sgd_dynamics.section import SgdDynamics

__all__ = ["METHOD"]


def _megabytes(sizes: StudySizes, asked: SgdDynamics) -> float:
    return sizes.descent_megabytes + 300


def _minutes(sizes: StudySizes, asked: SgdDynamics) -> float:
    # Two lines: slopes at all places, noise and runs at about three critical points.
    slopes = asked.places * asked.draws + 3 * (asked.noise_draws + 200 * asked.paths)
    return 2 * slopes * sizes.iteration_seconds / 60


METHOD = Method(
    name="sgd_dynamics",
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
        message="probing the descent along lines",
        stores=("observations", "surrogate", "estimate", "descent"),
        sections=("forward", "law", "noise", "descent"),
        imports=("law", "noise"),
        figures=("slices",),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
