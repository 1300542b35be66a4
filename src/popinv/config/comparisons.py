"""Checks of the comparisons of models: their studies must have the same observations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from popinv.config.observations import FileObservations
from popinv.config.study import Config, Study
from popinv.errors import nearest
from popinv.sections.base import plain
from popinv.sections.messages import ConfigProblem, listed

# Keys of a file of observations that may differ: a model uses more or fewer of its columns.
_MAY_DIFFER = ("ignored_columns",)


def comparison_problems(config: Config) -> Iterator[ConfigProblem]:
    """Yield what is wrong with each comparison; paths begin at the top level.

    The observations themselves are compared when they have been read.
    """
    for name, studies in config.comparisons.items():
        at = ("comparisons", name)
        for i, study in enumerate(studies):
            if study not in config.studies:
                yield ConfigProblem(
                    (*at, i),
                    f"got '{study}', but there is no such study.{nearest(study, config.studies)} "
                    f"The studies are {listed(config.studies)}.",
                )
            elif study in studies[:i]:
                yield ConfigProblem((*at, i), f"'{study}' is named twice; leave one out.")
        known = [study for study in dict.fromkeys(studies) if study in config.studies]
        if len(studies) < 2:
            yield ConfigProblem(at, "a comparison needs at least 2 studies.")
        for study in known[1:]:
            first, other = config.studies[known[0]], config.studies[study]
            if key := _different(first, other, config.seed):
                yield ConfigProblem(
                    at,
                    f"'{known[0]}' and '{study}' differ in '{key}', so that they have other "
                    "observations, or test other systems. Models can be compared on the same "
                    f"observations only: give both studies the same '{key}', or leave one out.",
                )


def _different(one: Study, other: Study, seed: int) -> str:
    """Return the key in which the observations of two studies differ, or ""."""
    if (seed if one.seed is None else one.seed) != (seed if other.seed is None else other.seed):
        return "seed"
    if _read(one) != _read(other):
        return "observations"
    return ""


def _read(study: Study) -> dict[str, Any]:
    observations: dict[str, Any] = plain(study.observations)
    if isinstance(study.observations, FileObservations):
        return {key: value for key, value in observations.items() if key not in _MAY_DIFFER}
    return observations
