"""The sources of the observations: a synthetic population, or the user's file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Annotated, Any

import numpy as np
from pydantic import Discriminator, Tag

from popinv.errors import DataError
from popinv.forward.inputs.shape import is_of_inputs
from popinv.forward.section import ForwardSection
from popinv.observation_files.limit_keys import ORDER, VARIABLES, LimitColumns
from popinv.observation_files.section import FileObservations
from popinv.population.laws.section import LawSection
from popinv.population.model import covariate_names
from popinv.population.noise.section import NoiseSection
from popinv.population.sections import SyntheticObservations
from popinv.sections.base import MOST_ENTRIES
from popinv.sections.messages import ConfigProblem, name_problems, shown

__all__ = [
    "FileObservations",
    "Observations",
    "SyntheticObservations",
    "known_problems",
    "known_quantities",
    "level_problems",
    "limit_problems",
    "member_problems",
    "states_noise_scales",
    "states_replicates",
    "with_observed_times",
]


def _source(value: Any) -> str | None:
    if isinstance(value, SyntheticObservations):
        return "<synthetic>"
    if isinstance(value, FileObservations):
        return "<file>"
    if not isinstance(value, dict) or ("file" in value) == ("truth" in value):
        return None
    return "<file>" if "file" in value else "<synthetic>"


Observations = Annotated[
    Annotated[SyntheticObservations, Tag("<synthetic>")]
    | Annotated[FileObservations, Tag("<file>")],
    Discriminator(
        _source,
        custom_error_type="observations_source",
        custom_error_message="it needs either 'truth' (a synthetic population drawn from known "
        "parameters) or 'file' (your own observations), and not both",
    ),
]


def states_replicates(observations: SyntheticObservations | FileObservations) -> bool:
    """Return whether systems have, or may have, several replicates."""
    if isinstance(observations, SyntheticObservations):
        return observations.replicates > 1
    return observations.replicated


def states_noise_scales(observations: SyntheticObservations | FileObservations) -> bool:
    """Return whether systems have noise scales of their own."""
    if isinstance(observations, SyntheticObservations):
        return observations.noise_scale is not None
    return observations.noise_scale_column is not None


def with_observed_times(study: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study as its file states it, with the times of its own long table written out.

    They are the times of the rows with a value. What is wrong with the table, or with what is
    stated of it, is left to the checks of the sections.
    """
    given = dict(study)
    forward, table = given.get("forward", {}), given.get("observations")
    described = forward.get("observations", {}) if isinstance(forward, Mapping) else {}
    times = described.get("times") if isinstance(described, Mapping) else None
    if not (isinstance(times, Mapping) and isinstance(table, Mapping) and "value_column" in table):
        return given
    # Imported here, since few studies read their times from a file.
    from popinv.forward.external.observations import TimesOfFile
    from popinv.sections.tables import Seen, times_of_file

    try:
        asked = TimesOfFile.model_validate(times)
        if PurePath(asked.file) != PurePath(table["file"]):
            return given
        seen = Seen(str(table["value_column"]), tuple(table.get("missing_values") or ()))
        held = times_of_file(asked.file, asked.column, asked.grid, seen)
    except (DataError, KeyError, TypeError, ValueError):
        return given
    given["forward"] = {**forward, "observations": {**described, "times": held}}
    return given


def known_quantities(
    forward: ForwardSection, law: LawSection, noises: Sequence[NoiseSection]
) -> tuple[str, ...]:
    """Return the names of design and covariates, without the numbers of inputs over time."""
    names = (*forward.design_names(), *covariate_names(law, *noises))
    return tuple(dict.fromkeys(name for name in names if not is_of_inputs(name)))


def known_problems(
    observations: SyntheticObservations, wanted: Sequence[str]
) -> Iterator[ConfigProblem]:
    """Yield known quantities without a distribution, and distributions of others."""
    described = "the design and the covariates"
    for problem in name_problems(observations.known, wanted, described):
        yield problem.under("observations", "known")


def level_problems(observations: FileObservations, law: LawSection) -> Iterator[ConfigProblem]:
    """Yield levels whose column holds something else than labels."""
    for key, column in observations.model_dump().items():
        if key.endswith("_column") and key != "system_column" and column in law.level_names():
            yield ConfigProblem(
                ("law", "levels", column),
                f"'observations.{key}' has this column; a level needs a column of its own labels.",
            )


def member_problems(
    observations: SyntheticObservations, levels: Sequence[str], forward: ForwardSection | None
) -> Iterator[ConfigProblem]:
    """Yield what is wrong with the members of the groups of a synthetic population."""
    at, inner = ("observations", "members"), levels[1:]
    if not levels and observations.members:
        text = f"got {shown(observations.members)}, but the law has no 'levels'; leave it out."
        yield ConfigProblem(at, text)
        return
    wrong = list(name_problems(observations.members, inner, "the levels within the first"))
    yield from (problem.under(*at) for problem in wrong)
    for level, count in observations.members.items():
        if count < 2:
            text = "got 1, but its effect could not be told apart from that of the level around it."
            yield ConfigProblem((*at, level), text)
    if wrong or not inner or forward is None:
        return
    width = observations.members_of_group * observations.replicates * forward.observation_count()
    if width > MOST_ENTRIES:
        text = f"a group has {width:,} observations, and at most {MOST_ENTRIES:,} are possible."
        yield ConfigProblem(at, text)


def limit_problems(
    observations: SyntheticObservations | FileObservations, forward: ForwardSection | None
) -> Iterator[ConfigProblem]:
    """Yield limits that fit neither each other nor the observations."""
    given = {name: getattr(observations, name) for name in VARIABLES}
    for name, limit in (("not_below", "censored_below"), ("not_above", "censored_above")):
        if given[name] is not None and given[limit] is None:
            yield ConfigProblem(
                ("observations", name),
                f"it says more of the values beyond '{limit}', which is not stated; state it too.",
            )
    if forward is None:
        return
    described = forward.observed(0)
    numbers = {}
    for name, value in given.items():
        if value is None or isinstance(value, LimitColumns):
            continue
        if isinstance(value, list) and len(value) != len(described):
            yield ConfigProblem(
                ("observations", name),
                f"got {len(value)} numbers, but there are {len(described)} observations of each "
                "system; give one for each, or one number.",
            )
            continue
        numbers[name] = np.broadcast_to(value, len(described))
        if described.logarithm and name.startswith("censored") and numbers[name].min() <= 0:
            text = "a limit must be positive, as logarithms are observed."
            yield ConfigProblem(("observations", name), text)
    for low, high in ORDER:
        if low in numbers and high in numbers and (numbers[low] >= numbers[high]).any():
            yield ConfigProblem(("observations", low), f"it must be smaller than '{high}'.")
