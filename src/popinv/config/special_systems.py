"""Checks on systems with known quantities or replicates, on noise that varies, and on limits.

Some parts of a study do not take these. The message names the part and the reason.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from popinv.config.observations import FileObservations, SyntheticObservations, states_replicates
from popinv.config.study_sections import Sections
from popinv.forward.inputs.shape import is_of_inputs
from popinv.forward.section import ForwardSection
from popinv.inference.settings import FEWEST_GROUPS
from popinv.observation_files.limit_keys import ORDER, VARIABLES, LimitColumns, states_limits
from popinv.population.laws.section import LawSection
from popinv.population.model import covariate_names
from popinv.sections.base import MOST_ENTRIES
from popinv.sections.messages import ConfigProblem, name_problems, shown

# Kinds of noise without correlations.
_INDEPENDENT = ("isotropic", "diagonal")


def known_problems(
    forward: ForwardSection, law: LawSection, sections: Sections
) -> Iterator[ConfigProblem]:
    """Yield known quantities without a distribution, and parts of a study that do not take any."""
    covariates = covariate_names(law, *sections.noises)
    design = [name for name in forward.design_names() if not is_of_inputs(name)]
    wanted = tuple(dict.fromkeys([*design, *covariates]))
    if isinstance(sections.observations, SyntheticObservations):
        described = "the design and the covariates"
        for problem in name_problems(sections.observations.known, wanted, described):
            yield problem.under("observations", "known")
    if wanted:
        yield from _not_for(sections, f"systems with known quantities ({', '.join(wanted)})")
    elif forward.timed_inputs() is not None:
        yield from _not_for(sections, "systems with inputs over time ('forward.inputs')")


def replicate_problems(
    observations: SyntheticObservations | FileObservations, sections: Sections
) -> Iterator[ConfigProblem]:
    """Yield parts of a study that do not take systems with several replicates."""
    if states_replicates(observations):
        yield from _not_for(sections, "systems with replicates")


def level_problems(law: LawSection, sections: Sections) -> Iterator[ConfigProblem]:
    """Yield parts of a study that do not take groups, whose members share effects."""
    levels, observations = law.level_names(), sections.observations
    if isinstance(observations, SyntheticObservations):
        yield from _members(levels, observations, sections)
    if not levels:
        return
    if isinstance(observations, FileObservations):
        yield from _columns_of_others(levels, observations)
    if sections.noise and sections.noise.covariate_names():
        yield ConfigProblem(
            ("noise", "errors", "covariates"),
            "noise that depends on covariates is one scale of a whole group, and members have "
            "covariates of their own; leave it out, or leave out 'law.levels'.",
        )
    yield from _not_for_groups(sections)
    if law.level_columns().crossed:
        yield from _not_for_crossed(sections)


def _columns_of_others(
    levels: tuple[str, ...], observations: FileObservations
) -> Iterator[ConfigProblem]:
    """Yield levels whose column holds something else than labels."""
    for key, column in observations.model_dump().items():
        if key.endswith("_column") and key != "system_column" and column in levels:
            yield ConfigProblem(
                ("law", "levels", column),
                f"'observations.{key}' has this column; a level needs a column of its own labels.",
            )


def _not_for_crossed(sections: Sections) -> Iterator[ConfigProblem]:
    """Yield what needs several independent systems; crossed levels join the members into one."""
    crossed = "crossed levels join the members into one system or few"
    if isinstance(sections.observations, SyntheticObservations):
        yield ConfigProblem(
            ("law", "crossed"),
            "a synthetic population has no crossed levels; they are columns of a table.",
        )
    if sections.assessment and "two_stage" in sections.assessment.baselines:
        yield ConfigProblem(
            ("assessment", "baselines"),
            f"'two_stage' fits many systems one by one, and {crossed}; leave it out.",
        )


def _members(
    levels: tuple[str, ...], observations: SyntheticObservations, sections: Sections
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
    forward, members = sections.forward, observations.members_of_group
    if wrong or not inner or forward is None:
        return
    width = members * observations.replicates * forward.observation_count()
    if width > MOST_ENTRIES:
        text = f"a group has {width:,} observations, and at most {MOST_ENTRIES:,} are possible."
        yield ConfigProblem(at, text)
    checked = sections.assessment.surrogate_check if sections.assessment else None
    network = sections.surrogate is not None and sections.surrogate.kind == "network"
    if network and checked is not None and checked < FEWEST_GROUPS * members:
        text = (
            f"got {checked}, but the effect of the surrogate's error is measured on "
            f"{FEWEST_GROUPS} whole groups of {members} members; set it to "
            f"{FEWEST_GROUPS * members} or more."
        )
        yield ConfigProblem(("assessment", "surrogate_check"), text)


def _not_for_groups(sections: Sections) -> Iterator[ConfigProblem]:
    """Yield the requested methods that do not take groups."""
    for method, asked in sections.downstream or ():
        if asked is not None and asked.levels:
            text = f"not for a law with 'levels': {asked.levels}; leave it out."
            yield ConfigProblem(("downstream", method), text)


def error_problems(sections: Sections) -> Iterator[ConfigProblem]:
    """Yield parts of a study that do not take noise that varies."""
    observations = sections.observations
    if sections.noise_varies:
        yield from _not_for(sections, "noise with 'errors'")
    if observations is not None and states_limits(observations):
        yield from _not_for(sections, "observations that are censored")
        yield from _limits(sections, observations)


def _limits(
    sections: Sections, observations: SyntheticObservations | FileObservations
) -> Iterator[ConfigProblem]:
    """Yield limits that do not fit, and noise that they do not go with."""
    noise = sections.noise
    heavy = bool(noise and noise.errors and noise.errors.tails != "gaussian")
    if noise and heavy and noise.kind not in _INDEPENDENT:
        yield ConfigProblem(
            ("noise", "errors", "tails"),
            "censored values need Gaussian tails, or noise of kind 'isotropic' or 'diagonal'. "
            f"With the kind '{noise.kind}' and heavy tails, the values seen depend on the censored "
            "ones before them through independent innovations, and the probability of the "
            "censored ones has neither a closed form nor a rule of known error.",
        )
    given = {name: getattr(observations, name) for name in VARIABLES}
    for name, limit in (("not_below", "censored_below"), ("not_above", "censored_above")):
        if given[name] is not None and given[limit] is None:
            yield ConfigProblem(
                ("observations", name),
                f"it says more of the values beyond '{limit}', which is not stated; state it too.",
            )
    if sections.forward is None:
        return
    described = sections.forward.observed(0)
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


def _not_for(sections: Sections, what: str) -> Iterator[ConfigProblem]:
    """Yield the requested methods that do not take the systems of the study."""
    for method, asked in sections.downstream or ():
        if asked is not None and asked.special_systems:
            yield ConfigProblem(
                ("downstream", method), f"not for {what}: {asked.special_systems}; leave it out."
            )
