"""The record of the method ``mwgrad``."""

from __future__ import annotations

from typing import Any

from popinv.methods.method import WITH_TORCH_MB, StudySizes, Use, megabytes_of
from popinv_papers.kit.paper import Check, Paper
from popinv_papers.mwgrad.ensemble_runs import SIZES, runs
from popinv_papers.mwgrad.section import Mwgrad

# The rule train_ensemble writes there.
_ENSEMBLES = "<results>/downstream/mwgrad_images"


def _trained(section: Any) -> tuple[str, ...]:
    return tuple(f"{_ENSEMBLES}/{run.name}.zarr.zip" for run in runs(SIZES[section.size]))


def _megabytes(sizes: StudySizes, asked: Mwgrad) -> float:
    return WITH_TORCH_MB + megabytes_of(sizes.systems * sizes.row)


def _minutes(sizes: StudySizes, asked: Mwgrad) -> float:
    systems = len(asked.systems)
    # Descents for each system and for the group, and from other starts; and the tests' fits.
    descents = 8 * asked.iterations * systems * 0.01
    tests = asked.simulated * systems * 0.05 * (1 + systems)
    return (descents + tests) / 60


METHOD = Paper(
    name="mwgrad",
    package="popinv_papers.mwgrad",
    section=Mwgrad,
    checks=(
        Check(
            name="mwgrad",
            message="moving particles on four mixtures",
            settings=("seed",),
            figures=("particles", "accelerated"),
            megabytes=1000,
            minutes=60,
        ),
        Check(
            name="mwgrad_images",
            message="scoring ensembles on pairs of overlapping images",
            inputs=_trained,
            settings=(),
            figures=("examples", "accuracies", "logs"),
            has_store=False,
            module="check_images",
            megabytes=1000,
            minutes=20,
        ),
    ),
    use=Use(
        message="testing a group of systems, and moving particles that serve it",
        stores=("observations", "surrogate", "population"),
        sections=("forward", "law", "noise"),
        imports=("law", "noise"),
        figures=("tests", "group", "front"),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
