"""The record of the method ``posterior``."""

from __future__ import annotations

from popinv.downstream.method import WITH_TORCH_MB, Method, StudySizes, Use, megabytes_of
from popinv.downstream.posterior.section import Posterior

__all__ = ["METHOD"]


def _megabytes(sizes: StudySizes, asked: Posterior) -> float:
    chains = sizes.systems * asked.chains
    numbers = chains * ((asked.draws + 6) * sizes.row + 2 * sizes.activations)
    return WITH_TORCH_MB + megabytes_of(2 * numbers)


def _minutes(sizes: StudySizes, asked: Posterior) -> float:
    moves = asked.warmup + asked.draws * asked.thin
    # A move tries about five angles.
    return 5 * moves * sizes.systems * asked.chains * sizes.network_seconds / 60


METHOD = Method(
    name="posterior",
    section=Posterior,
    use=Use(
        message="sampling the parameters of every system",
        stores=("observations", "surrogate", "population", "truth"),
        sections=("forward", "law", "noise"),
        imports=("law", "noise"),
        figures=("systems", "calibration"),
        store="posterior.zarr.zip",
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
