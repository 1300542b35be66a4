"""The record of the tests of a group."""

from __future__ import annotations

from popinv.methods.groups.section import Groups
from popinv.methods.method import WITH_TORCH_MB, Method, StudySizes, Use, megabytes_of

# Minutes of the fits of one group of one system.
_MINUTES = 0.05 / 60


def _minutes(sizes: StudySizes, asked: Groups) -> float:
    systems = len(asked.systems)
    return asked.simulated * systems * _MINUTES * (1 + systems)


METHOD = Method(
    name="groups",
    package="popinv.methods.groups",
    section=Groups,
    use=Use(
        message="testing whether a group of systems may share their parameters",
        stores=("observations", "surrogate", "population"),
        sections=("forward", "law", "noise"),
        imports=("law", "noise"),
        figures=("tests",),
        megabytes=lambda sizes, asked: WITH_TORCH_MB + megabytes_of(sizes.systems * sizes.row),
        minutes=_minutes,
    ),
)
